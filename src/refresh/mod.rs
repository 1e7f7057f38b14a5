//! Reads live state into an inventory, by lists; writes nothing.

mod aks_nodes;
mod azure;
mod by_id;
mod cluster;
mod cluster_facts;
mod cluster_lists;
mod contents;
mod departed;
mod device_ownership;
mod egress;
mod foreign_nodes;
mod groups;
mod host_findings;
mod hosts;
mod interface_groups;
mod joined_places;
mod key_expiry;
pub mod measure;
mod network_group;
mod node_group;
mod node_pools;
mod observation;
mod offered_versions;
mod other_subscription;
mod provisioning;
pub mod readiness;
mod request_progress;
mod route_tables;
mod router_devices;
mod scope;
mod single;
mod subnets;
mod tailnet;
pub(crate) mod targets;
mod unable_to_join;
mod unsupported_cluster;

use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::inventory::Source;
use crate::provider::clients::ReadClients;

pub use observation::{Clock, Observation};
pub use scope::Scope;
pub use single::{Current, object_of_body, read_one};
pub(crate) use single::{device_of, find_device, no_cluster};

/// Reads Azure and the tailnet concurrently, the cluster as soon as Azure has listed it (its
/// credentials come from Azure), then the hosts (through the tailnet).
pub async fn observe(clients: &ReadClients, scope: &Scope<'_>, now: &Clock) -> Observation {
    let mut observation = Observation::begin(scope, now());
    let (found, listed) = oneshot::channel();
    let ((azure, azure_at), (tailnet, tailnet_at), cluster) = tokio::join!(
        timed(azure::read(clients, scope, found), now),
        timed(tailnet::read(clients), now),
        cluster_lists::read_listed(clients, scope, (listed, now)),
    );
    observation.read_at.insert(Source::Azure, azure_at);
    observation.read_at.insert(Source::Tailscale, tailnet_at);
    azure::note(azure, scope, &mut observation);
    let mut tagged = tailnet::note(tailnet, scope, &mut observation);
    cluster::read(clients, scope, (cluster, now), &mut observation).await;
    device_ownership::check(clients, &mut tagged, scope, &mut observation).await;
    request_progress::note(scope, now, &mut observation).await;
    departed::note(scope, &mut observation);
    hosts::read(clients, scope, (&mut tagged.devices, now), &mut observation).await;
    observation
}

/// An answer, and when it came.
async fn timed<T>(response: impl Future<Output = T>, now: &Clock) -> (T, Timestamp) {
    let response = response.await;
    (response, now())
}
