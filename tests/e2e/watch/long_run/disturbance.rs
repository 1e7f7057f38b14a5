//! Disturbances of the infrastructure, of the file and of the services.

use std::time::Duration;

use stargate::provider::http::Api;
use stargate::sandbox::faults::{self, Fault};
use stargate::watch::Trigger;
use tokio::time::sleep;

use super::unreliable_services::Trouble;
use super::{LongRun, Rng, Subject};
use crate::node_pools::nodes_and_routes;
use crate::watch::operations::{create, delete, manifest, operations};

/// Drift that is corrected without approval.
const DRIFT: &[Fault] = &[
    Fault::RouteMissing,
    Fault::RouteWrongHop,
    Fault::RouteStale,
    Fault::DcRouteMissing,
    Fault::RouterTableDetached,
    Fault::NicForwardingOff,
    Fault::TailnetRouteUnapproved,
    Fault::TailnetBroadRoute,
    Fault::KernelRouteMissing,
    Fault::ForwardingOff,
    Fault::MasqueradeMissing,
    Fault::MssClampMissing,
    Fault::AcceptRoutesOff,
    Fault::CiliumNodeEmpty,
    Fault::ServerRouterIpHostname,
];

/// Nodes of AKS come and go.
const SCALE: &[Fault] = &[Fault::AksScaleOut, Fault::AksScaleIn];
/// The least nodes of the node pool.
const MIN_NODES: usize = 2;

/// Something that happens, and ends.
#[derive(Debug, Clone)]
pub(super) enum Disturbance {
    /// AKS has more or fewer nodes, perhaps while services fail.
    Nodes(Vec<Fault>),
    /// Objects were changed from outside.
    Drift(Vec<Fault>),
    /// A service does not answer for a time, in which nodes come or go.
    Outage(Api, Duration),
    /// Calls fail for a time.
    Unreliable(Trouble, Duration),
    /// The API server is restarted: its log of changes is empty.
    Restart,
    /// The file is edited, and perhaps broken or removed before.
    Edit(Option<Break>, u64),
    /// Work is requested on these workers, in this order.
    Operations(Vec<(String, &'static str)>),
    /// Work is requested on a worker that the topology does not have.
    UnknownServer,
    /// Work is requested and cancelled.
    Cancelled(String),
}

/// How the file becomes invalid.
#[derive(Debug, Clone, Copy)]
pub(super) enum Break {
    Truncated(usize),
    Removed,
}

impl Disturbance {
    pub(super) fn random(rng: &mut Rng, subject: &Subject) -> Self {
        match rng.below(12) {
            0..=2 => Self::Nodes((0..=rng.below(4)).map(|_| *rng.one(SCALE)).collect()),
            3 | 4 => Self::Drift((0..=rng.below(3)).map(|_| *rng.one(DRIFT)).collect()),
            5 => Self::Outage(*rng.one(&Api::ALL), rng.seconds(5, 1_200)),
            6 => {
                let trouble = *rng.one(&[Trouble::SomeCalls, Trouble::SomeCalls, Trouble::Hosts]);
                Self::Unreliable(trouble, rng.seconds(60, 900))
            }
            7 => Self::Restart,
            8 => {
                let length = rng.below(subject.text.len());
                let all = [None, Some(Break::Truncated(length)), Some(Break::Removed)];
                Self::Edit(*rng.one(&all), 100 + u64::try_from(rng.below(900)).unwrap())
            }
            9 => {
                let mut request =
                    || (rng.one(&subject.workers).clone(), *rng.one(&["reboot", "repave"]));
                Self::Operations((0..2).map(|_| request()).collect())
            }
            // Such a request waits for five minutes, which are not virtual in a soak.
            10 if rng.divisor == 1 => Self::UnknownServer,
            _ => Self::Cancelled(rng.one(&subject.workers).clone()),
        }
    }

    pub(super) async fn happen(&self, run: &mut LongRun<'_>) {
        match self {
            Self::Nodes(faults) | Self::Drift(faults) => {
                for fault in faults {
                    run.inject(*fault);
                    sleep(run.rng.seconds(0, 5)).await;
                }
            }
            Self::Outage(api, time) => {
                run.deployment.sandbox.change(|sandbox, _| sandbox.down.insert(*api));
                sleep(*time / 2).await;
                run.inject(Fault::AksScaleOut);
                sleep(*time / 2).await;
                run.deployment.sandbox.change(|sandbox, _| sandbox.down.clear());
            }
            Self::Unreliable(trouble, time) => {
                run.services.set(*trouble);
                let faults = [*run.rng.one(SCALE), *run.rng.one(DRIFT)];
                for fault in faults {
                    run.inject(fault);
                }
                sleep(*time).await;
                run.services.set(Trouble::None);
            }
            Self::Restart => run.deployment.sandbox.change(|sandbox, _| {
                let store = serde_json::to_value(sandbox.kubernetes.as_ref().unwrap()).unwrap();
                sandbox.kubernetes = Some(serde_json::from_value(store).unwrap());
            }),
            Self::Edit(broken, removals) => run.edit(*broken, *removals).await,
            Self::Operations(requests) => {
                for (server, operation) in requests {
                    run.request(server, operation).await;
                }
            }
            Self::UnknownServer => _ = run.request("worker-of-another-cluster", "reboot").await,
            Self::Cancelled(server) => {
                let name = run.request(server, "repave").await;
                delete(run.deployment, &name).await;
            }
        }
    }
}

impl LongRun<'_> {
    /// A fault without a target at this moment does not happen, and neither does one that
    /// leaves the bounds of the node pool.
    fn inject(&self, fault: Fault) {
        let sandbox = &self.deployment.sandbox;
        let nodes = nodes_and_routes(self.deployment).0.len();
        match fault {
            Fault::AksScaleOut if nodes >= self.subject.max_nodes => return,
            Fault::AksScaleIn if nodes <= MIN_NODES => return,
            _ => {}
        }
        let _ = sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now));
    }

    async fn request(&mut self, server: &str, operation: &str) -> String {
        let name = format!("request-{}-{}", self.disturbances, self.rng.below(1_000_000));
        let object = manifest(&name, server, operation, self.subject.profile);
        create(self.deployment, object).await;
        name
    }

    async fn edit(&mut self, broken: Option<Break>, removals: u64) {
        let text = &self.subject.text;
        if let Some(broken) = broken {
            match broken {
                Break::Truncated(length) => self.file.write(text.get(..length)),
                Break::Removed => self.file.write(None),
            }
            self.triggers.add(Trigger::TopologyFile);
            sleep(self.rng.seconds(0, 400)).await;
        }
        let edited = text.replace("max_removals = 1000", &format!("max_removals = {removals}"));
        self.file.write(Some(&edited));
        self.triggers.add(Trigger::TopologyFile);
        sleep(Duration::from_secs(2)).await;
    }
}

/// Whether a request has not ended.
pub(super) fn has_open_operations(deployment: &crate::harness::Deployment) -> bool {
    let is_open = |it: &serde_json::Value| {
        let is_held = it["metadata"]["finalizers"].as_array().is_some_and(|it| !it.is_empty());
        is_held || it["status"]["completionTime"].is_null()
    };
    operations(deployment).iter().any(is_open)
}
