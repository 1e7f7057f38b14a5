//! Notes, at each call of a client, which workers are disturbed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use crate::harness::Deployment;

/// A call that may change something, and the state right before it.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    /// The call, as in `PUT …/virtualMachines/a` and `reset on a`.
    pub(crate) call: String,
    /// Nodes that take no new pods or are not Ready.
    pub(crate) disturbed: BTreeSet<String>,
    /// Nodes that run pods of the test.
    pub(crate) serving: BTreeSet<String>,
}

#[derive(Clone)]
pub(crate) struct Observer {
    sandbox: SharedSandbox,
    moments: Arc<Mutex<Vec<Moment>>>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// Observes a deployment from now on.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let observer = Self { sandbox: deployment.sandbox.clone(), moments: Arc::default() };
        deployment.sandbox.set_fault_injector(Some(Arc::new(observer.clone())));
        observer
    }

    /// What was observed, in order.
    pub(crate) fn moments(&self) -> Vec<Moment> {
        self.moments.lock().unwrap().clone()
    }

    /// The place of the first call that contains all of these texts.
    pub(crate) fn place(&self, texts: &[&str]) -> Option<usize> {
        let is_it = |moment: &Moment| texts.iter().all(|text| moment.call.contains(text));
        self.moments.lock().unwrap().iter().position(is_it)
    }

    /// The first call that contains all of these texts.
    pub(crate) fn moment(&self, texts: &[&str]) -> Moment {
        let place = self.place(texts).unwrap_or_else(|| panic!("{texts:?}: {:#?}", self.calls()));
        self.moments()[place].clone()
    }

    /// All calls that may change something, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.moments().into_iter().map(|moment| moment.call).collect()
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn is_disturbed(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let is_ready = conditions.iter().any(|it| it["type"] == "Ready" && it["status"] == "True");
    node["spec"]["unschedulable"] == true || !is_ready
}

impl FaultInjector for Observer {
    fn before(&self, effect: &Call) -> Disposition {
        if !effect.writes() {
            return Disposition::Pass;
        }
        let call = match effect {
            Call::Request { method, path, .. } => format!("{method} {path}"),
            Call::Host { hostname, activity, .. } => format!("{activity} on {hostname}"),
        };
        let moment = self.sandbox.read(|sandbox| {
            let store = sandbox.kubernetes.as_ref();
            let list = |kind| store.map(|it| it.list("v1", kind, None)).into_iter().flatten();
            let pods = list("Pod").filter(|pod| pod["metadata"]["namespace"] == "default");
            Moment {
                call,
                disturbed: list("Node").filter(|node| is_disturbed(node)).map(name).collect(),
                serving: pods
                    .filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned))
                    .collect(),
            }
        });
        self.moments.lock().unwrap().push(moment);
        Disposition::Pass
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}
