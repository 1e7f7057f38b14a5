//! Computes the table of `status` from one refresh.

use std::collections::BTreeMap;

use crate::pipeline::Planned;
use crate::provider::cluster::PastOperation;
use crate::render::table::{Health, OperationStatus, StatusRow, StatusTable, WorkerStatus};
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, Kind, Resource};

/// One row for the cluster, each router and each worker. `operations` has the
/// most recent Operation of each worker by name.
pub(crate) fn status(
    planned: &Planned,
    operations: &BTreeMap<String, PastOperation>,
) -> StatusTable {
    let kinds = [Kind::ManagedCluster, Kind::TailnetDevice, Kind::Worker];
    let resources = planned
        .plan
        .desired()
        .iter()
        .filter(|resource| kinds.contains(&resource.address.kind))
        .map(|resource| {
            let observed = resource
                .key
                .as_ref()
                .and_then(|key| planned.observation.inventory.get(key))
                .map(|observed| &observed.resource);
            let address = &resource.address;
            let worker = match &resource.resource {
                Resource::Worker(wanted) => {
                    Some(worker(wanted, observed, operations.get(&*address.name)))
                }
                _ => None,
            };
            let (health, detail) = health(planned, address, observed, worker.as_ref());
            StatusRow {
                kind: kind_name(address.kind).to_owned(),
                name: address.name.to_string(),
                health,
                detail,
                worker,
            }
        })
        .collect();
    StatusTable { resources, reachability: None, watcher: None }
}

/// The name of a kind in the table.
fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::ManagedCluster => "cluster",
        Kind::TailnetDevice => "router",
        _ => "worker",
    }
}

fn worker(
    wanted: &JoinedWorker,
    observed: Option<&Resource>,
    operation: Option<&PastOperation>,
) -> WorkerStatus {
    let live = match observed {
        Some(Resource::Worker(live)) => Some(live),
        _ => None,
    };
    WorkerStatus {
        node_ready: live.map(|live| live.ready),
        kubelet_version: live.map(|live| live.kubelet_version.to_string()),
        profile_applied: live.map(|live| live.profile_digest == wanted.profile_digest),
        last_operation: operation.map(|past| OperationStatus {
            kind: past.kind.clone(),
            phase: past.phase.clone(),
            message: past.message.clone(),
            started: past.started.map(|time| time.to_string()),
            completed: past.completed.map(|time| time.to_string()),
        }),
    }
}

fn health(
    planned: &Planned,
    address: &Address,
    observed: Option<&Resource>,
    worker: Option<&WorkerStatus>,
) -> (Health, String) {
    let operation = worker.and_then(|worker| worker.last_operation.as_ref());
    let key = planned.plan.desired().get(address).and_then(|desired| desired.key.as_ref());
    let gap = planned.observation.inventory.gap_for(address.kind, key);
    let is_running = operation.is_some_and(|operation| operation.phase == "Running");
    let unhealthy = if is_running { Health::Progressing } else { Health::Degraded };
    match (observed, gap) {
        (None, Some(gap)) => (Health::Unknown, format!("{} could not be read", gap.source)),
        (None, None) if is_running => {
            (Health::Progressing, "the Node does not exist yet".to_owned())
        }
        (None, None) => (Health::Missing, "does not exist".to_owned()),
        (Some(Resource::TailnetDevice(device)), _) if !device.online => {
            (Health::Degraded, "not connected to the tailnet".to_owned())
        }
        (Some(Resource::Worker(worker)), _) if !worker.ready => {
            (unhealthy, "Node is not Ready".to_owned())
        }
        (Some(resource), _) => {
            let changes = &planned.plan.changes;
            match changes.iter().find(|change| change.address == *address) {
                Some(change) => (
                    unhealthy,
                    format!("differs from the topology: to be {}", change.action.participle()),
                ),
                None if is_running => (Health::Progressing, summary(resource)),
                None => (Health::Healthy, summary(resource)),
            }
        }
    }
}

fn summary(resource: &Resource) -> String {
    match resource {
        Resource::ManagedCluster(cluster) => format!("Kubernetes {}", cluster.kubernetes_version),
        Resource::TailnetDevice(_) => "connected".to_owned(),
        Resource::Worker(worker) => {
            format!("{}, pods {}", worker.ip, worker.pod_cidr)
        }
        _ => String::new(),
    }
}
