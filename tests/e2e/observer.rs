//! Notes, at each call of a client, which workers are disturbed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::harness::Deployment;

/// A call that may change something, and the state right before it.
#[derive(Debug, Clone)]
pub(crate) struct ObservedCall {
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
    observed: Arc<Mutex<Vec<ObservedCall>>>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Observer").finish_non_exhaustive()
    }
}

impl Observer {
    /// Observes a deployment from now on.
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let observer = Self { sandbox: deployment.sandbox.clone(), observed: Arc::default() };
        deployment.sandbox.set_fault_injector(Some(Arc::new(observer.clone())));
        observer
    }

    /// The observed calls, in order.
    pub(crate) fn observed_calls(&self) -> Vec<ObservedCall> {
        self.observed.lock().unwrap().clone()
    }

    /// The place of the first call that contains all of these texts.
    pub(crate) fn place(&self, texts: &[&str]) -> Option<usize> {
        let is_it = |observed: &ObservedCall| texts.iter().all(|text| observed.call.contains(text));
        self.observed.lock().unwrap().iter().position(is_it)
    }

    /// The first call that contains all of these texts.
    pub(crate) fn observed_call(&self, texts: &[&str]) -> ObservedCall {
        let place = self.place(texts).unwrap_or_else(|| panic!("{texts:?}: {:#?}", self.calls()));
        self.observed_calls()[place].clone()
    }

    /// All calls that may change something, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.observed_calls().into_iter().map(|observed| observed.call).collect()
    }
}

fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The Nodes that are Ready and take pods.
pub(crate) fn serving_nodes(sandbox: &SandboxState) -> BTreeSet<String> {
    let nodes = sandbox.kubernetes.as_ref().map(|it| it.list("v1", "Node", None));
    nodes.into_iter().flatten().filter(|node| !is_disturbed(node)).map(name).collect()
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
        let observed = self.sandbox.read(|sandbox| {
            let store = sandbox.kubernetes.as_ref();
            let list = |kind| store.map(|it| it.list("v1", kind, None)).into_iter().flatten();
            let pods = list("Pod").filter(|pod| pod["metadata"]["namespace"] == "default");
            ObservedCall {
                call,
                disturbed: list("Node").filter(|node| is_disturbed(node)).map(name).collect(),
                serving: pods
                    .filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned))
                    .collect(),
            }
        });
        self.observed.lock().unwrap().push(observed);
        Disposition::Pass
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}
