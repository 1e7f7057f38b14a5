//! Computes the table of `status` from one refresh.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::{Gap, Observed, Source};
use crate::pipeline::Planned;
use crate::provider::cluster::PastOperation;
use crate::render::table::{Health, OperationStatus, StatusRow, StatusTable, WorkerStatus};
use crate::resource::host::JoinedWorker;
use crate::resource::tailnet::Device;
use crate::resource::{Address, Kind, ObjectKey, Resource};

/// The kinds that have a row.
const KINDS: [Kind; 3] = [Kind::ManagedCluster, Kind::TailnetDevice, Kind::Worker];

/// One row for the cluster, each router and each worker, first those of the topology, then
/// those that it no longer lists. `operations` has the most recent Operation of each worker
/// by name.
pub(crate) fn status(
    planned: &Planned,
    operations: &BTreeMap<String, PastOperation>,
) -> StatusTable {
    let mut resources: Vec<StatusRow> = planned
        .plan
        .desired()
        .iter()
        .filter(|resource| KINDS.contains(&resource.address.kind))
        .map(|resource| {
            let observed = resource
                .key
                .as_ref()
                .and_then(|key| planned.observation.inventory.get(key))
                .map(|observed| &observed.resource);
            let address = &resource.address;
            let worker = match &resource.resource {
                Resource::Worker(desired) => {
                    Some(worker(Some(desired), observed, operations.get(&*address.name)))
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
    resources.extend(leaving(planned, operations));
    StatusTable { resources, reachability: None, watcher: None }
}

/// Objects that the topology owns and no longer lists, such as a worker under its former
/// name.
fn leaving(planned: &Planned, operations: &BTreeMap<String, PastOperation>) -> Vec<StatusRow> {
    let desired = planned.plan.desired();
    // Without desired resources nothing is known to leave.
    if desired.is_empty() {
        return Vec::new();
    }
    let listed: BTreeSet<&ObjectKey> = desired.iter().filter_map(|it| it.key.as_ref()).collect();
    let live = planned.observation.inventory.iter().filter(|(key, observed)| {
        KINDS.contains(&observed.resource.kind())
            && observed.ownership.is_ours()
            && !listed.contains(key)
    });
    let row = |(key, observed): (&ObjectKey, &Observed)| {
        let address = Address::new(observed.resource.kind(), observed.site()?, key.name());
        let is_worker = address.kind == Kind::Worker;
        let operation = operations.get(key.name());
        Some(StatusRow {
            kind: kind_name(address.kind).to_owned(),
            name: key.name().to_owned(),
            health: Health::Degraded,
            detail: departure(planned, &address),
            worker: is_worker.then(|| worker(None, Some(&observed.resource), operation)),
        })
    };
    live.filter_map(row).collect()
}

/// The planned action for a resource that the topology no longer lists.
fn departure(planned: &Planned, address: &Address) -> String {
    let plan = &planned.plan;
    let detail = "not in the topology";
    if plan.changes.iter().any(|change| change.address == *address) {
        return format!("{detail}: it is to be deleted");
    }
    match plan.blocked.iter().find(|blocked| blocked.address == *address) {
        Some(blocked) => format!("{detail}: its deletion is blocked ({})", blocked.failure.code),
        None => detail.to_owned(),
    }
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
    desired: Option<&JoinedWorker>,
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
        profile_applied: live
            .zip(desired)
            .map(|(live, desired)| live.profile_digest == desired.profile_digest),
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
        (None, Some(gap)) => (Health::Unknown, unread(gap)),
        (None, None) if is_running => {
            (Health::Progressing, "the Node does not exist yet".to_owned())
        }
        (None, None) => (Health::Missing, "does not exist".to_owned()),
        (Some(Resource::TailnetDevice(device)), _) => router(planned, address, device),
        (Some(Resource::Worker(worker)), _) if !worker.ready => {
            (unhealthy, "Node is not Ready".to_owned())
        }
        (Some(resource), _) => match difference(planned, address) {
            Some(difference) => (unhealthy, difference),
            None if is_running => (Health::Progressing, summary(resource)),
            None => (Health::Healthy, summary(resource)),
        },
    }
}

/// The unread part, and the reason.
fn unread(gap: &Gap) -> String {
    format!("{} could not be read: [{}] {}", gap.source, gap.failure.code, gap.failure.message)
}

/// The health of a router: its device must take part in the tailnet, and its host must be
/// configured.
fn router(planned: &Planned, address: &Address, device: &Device) -> (Health, String) {
    let inventory = &planned.observation.inventory;
    let name = address.name.to_string();
    let problem = if !device.authorized {
        Some("not authorized in the tailnet")
    } else if inventory.locked_out.contains(&name) {
        Some("kept out by tailnet lock: its key is not signed")
    } else if inventory.expired_keys.contains(&name) {
        Some("not connected to the tailnet: its node key has expired")
    } else if !device.online {
        Some("not connected to the tailnet")
    } else if inventory.blocks_incoming.contains(&name) {
        Some("refuses connections from the tailnet (shields up)")
    } else {
        None
    };
    if let Some(problem) = problem {
        return (Health::Degraded, problem.to_owned());
    }
    if let Some(difference) = difference(planned, address) {
        return (Health::Degraded, difference);
    }
    // Without its host it is unknown whether the router forwards packets.
    match inventory.gap_at(&Source::Host(name)) {
        Some(gap) => (Health::Unknown, unread(gap)),
        None => (Health::Healthy, "connected".to_owned()),
    }
}

/// The kinds of the objects that make up a router, a worker or the cluster. The objects of
/// one machine have the same name.
fn parts(kind: Kind) -> &'static [Kind] {
    match kind {
        Kind::TailnetDevice => &[
            Kind::TailnetDevice,
            Kind::RouterHost,
            Kind::AdvertisedRoutes,
            Kind::ApprovedRoutes,
            Kind::VirtualMachine,
        ],
        Kind::Worker => &[Kind::Worker, Kind::CiliumNode, Kind::Server, Kind::VirtualMachine],
        _ => &[Kind::ManagedCluster],
    }
}

/// How a resource differs from the topology, if it does: the first of its parts that an
/// apply changes, or that must not be changed.
fn difference(planned: &Planned, address: &Address) -> Option<String> {
    let plan = &planned.plan;
    let part_of = |kind: Kind| Address { kind, ..address.clone() };
    parts(address.kind).iter().map(|kind| part_of(*kind)).find_map(|part| {
        let subject = match part.kind == address.kind {
            true => "it".to_owned(),
            false => part.kind.to_string(),
        };
        if let Some(change) = plan.changes.iter().find(|change| change.address == part) {
            let done = change.action.participle();
            return Some(format!("differs from the topology: {subject} is to be {done}"));
        }
        let blocked = plan.blocked.iter().find(|blocked| blocked.address == part)?;
        let code = blocked.failure.code;
        Some(format!("differs from the topology: a change of {subject} is blocked ({code})"))
    })
}

fn summary(resource: &Resource) -> String {
    match resource {
        Resource::ManagedCluster(cluster) => format!("Kubernetes {}", cluster.kubernetes_version),
        Resource::Worker(worker) => {
            format!("{}, pods {}", worker.ip, worker.pod_cidr)
        }
        _ => String::new(),
    }
}
