//! Reads the facts that a first apply depends on, beyond the live state of a plan.

mod decode;
mod subscription;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use jiff::Timestamp;

use super::{Observation, Scope, targets};
use crate::diagnostics::Failure;
use crate::inventory::readiness::{LeaseHolder, TailnetRights};
use crate::inventory::subscription::{
    Answer, PermissionSet, Region, RegionFacts, SubscriptionFacts,
};
use crate::plan::{HostRoute, Plan};
use crate::provider::clients::ReadClients;
use crate::provider::host::HostTarget;
use crate::resource::{ArmId, ObjectKey};

/// How many hosts are probed side by side.
const WIDTH: usize = 32;

/// Facts that can be read before the live state is known.
#[derive(Debug, Clone)]
pub struct AccountReading {
    /// The subscription, without the permissions on its resource groups.
    pub subscription: SubscriptionFacts,
    /// The rights in the tailnet.
    pub tailnet: TailnetRights,
    /// Other topologies that own resource groups of the subscription.
    pub other_topologies: Answer<BTreeSet<String>>,
}

/// Reads the subscription and the rights in the tailnet, everything side by side.
pub async fn read_account(
    clients: &ReadClients,
    scope: &Scope<'_>,
    now: Timestamp,
) -> AccountReading {
    let (subscription, other_topologies, tailnet) = tokio::join!(
        subscription::read(clients, scope, now),
        subscription::other_topologies(clients, scope),
        tailnet_rights(clients),
    );
    AccountReading { subscription, tailnet, other_topologies }
}

/// Reads the permissions on every resource group of a plan's objects.
pub async fn read_group_permissions(
    clients: &ReadClients,
    scope: &Scope<'_>,
    plan: &Plan,
) -> BTreeMap<ArmId, Answer<Vec<PermissionSet>>> {
    subscription::group_permissions(clients, scope, plan).await
}

/// Reads the regions of a plan's objects that are not known yet.
pub async fn read_other_regions(
    clients: &ReadClients,
    scope: &Scope<'_>,
    plan: &Plan,
    known: &BTreeMap<Region, RegionFacts>,
) -> BTreeMap<Region, RegionFacts> {
    subscription::other_regions(clients, scope, plan, known).await
}

async fn tailnet_rights(clients: &ReadClients) -> TailnetRights {
    let tailnet = &clients.tailnet;
    let (scopes, role, keys, policy) = tokio::join!(
        tailnet.granted_scopes(),
        tailnet.owner_role(),
        tailnet.key_count(),
        tailnet.policy()
    );
    TailnetRights {
        scopes: scopes.map_err(Failure::from),
        role: role.map_err(Failure::from),
        keys: keys.map(drop).map_err(Failure::from),
        auto_approvers: policy.map(|it| it.auto_approver_routes).map_err(Failure::from),
    }
}

/// Probes existing machines without a Node that can be reached already.
pub async fn probe_hosts(
    clients: &ReadClients,
    scope: &Scope<'_>,
    observation: &Observation,
) -> BTreeMap<String, Answer<()>> {
    let probes = futures::stream::iter(unjoined(scope, observation)).map(|target| async move {
        let probe = clients.hosts.probe_worker(&target).await;
        (target.hostname, probe.map(drop).map_err(|error| Failure::from(&error)))
    });
    probes.buffer_unordered(WIDTH).collect::<Vec<_>>().await.into_iter().collect()
}

/// Workers behind routers that are in the tailnet.
fn unjoined(scope: &Scope<'_>, observation: &Observation) -> Vec<HostTarget> {
    let addresses = &observation.facts.router_addresses;
    let existing = scope.topology.datacenters.iter().filter(|datacenter| {
        datacenter.is_existing() && addresses.contains_key(datacenter.router.name.as_str())
    });
    let workers = existing.flat_map(|it| it.workers.iter().map(move |worker| (it, worker)));
    workers
        .filter(|(_, worker)| {
            observation.inventory.get(&ObjectKey::node(worker.name.as_str())).is_none()
        })
        .filter_map(|(datacenter, worker)| {
            let (name, key) = (worker.name.as_str(), worker.host_key.as_ref());
            let route = HostRoute::worker(scope.topology, datacenter, name, key, worker.ip?);
            targets::resolve(&route, addresses)
        })
        .collect()
}

/// The holder of a Lease that was renewed within its duration; `None` if the cluster could
/// not be read.
pub async fn lease_holder(
    observation: &Observation,
    lease: &str,
    now: Timestamp,
) -> Option<Answer<Option<LeaseHolder>>> {
    let access = observation.cluster_access()?;
    let record = match access.client.lease(lease).await {
        Ok(record) => record,
        Err(error) => return Some(Err(Failure::from(&error))),
    };
    Some(Ok(record.filter(|record| !record.holder.is_empty()).and_then(|record| {
        let renewed: Option<Timestamp> = record.renewed.parse().ok();
        let age = renewed.and_then(|renewed| now.duration_since(renewed).try_into().ok());
        // A holder whose clock cannot be read counts as alive.
        let is_alive = age.is_none_or(|age: std::time::Duration| age <= record.duration);
        is_alive.then(|| LeaseHolder {
            lease: lease.to_owned(),
            holder: record.holder,
            renewed: record.renewed,
        })
    })))
}
