//! Topology × facts → the complete desired resources and their dependencies.
//!
//! There is one function for each part of the network; together they are its wiring
//! diagram. A value that depends on a missing fact is a
//! [`Pending`](crate::resource::Pending) on the resource that yields the fact.

mod allocation;
mod cluster_routes;
mod cluster_site;
pub(crate) mod components;
mod context;
mod datacenter_site;
pub mod digest;
pub mod facts;
mod kubernetes_objects;
pub mod labels;
mod later_iterations;
pub mod manifests;
pub mod names;
mod node_pools;
mod offered_versions;
mod protection;
mod retained;
mod routers;
mod security;
mod set;
mod takeovers;
#[cfg(test)]
pub(crate) mod tests;
mod versions;
mod workers;

pub use allocation::{AddressAssignment, Allocation, AllocationError, allocate};
pub use facts::Facts;
pub use offered_versions::{
    OfferedMinor, OfferedVersions, VersionRequest, refusal_of_new_cluster, refusal_of_upgrade,
};
#[cfg(test)]
pub(crate) use protection::unprotected_blocks;
pub(crate) use set::LaterIteration;
pub use set::{DesiredResource, DesiredSet, Protected};

use std::sync::Arc;

use crate::resource::Site;
use crate::resource::version::KubernetesVersion;
use crate::topology::model::{DatacenterKind, Topology};
use context::DesiredContext;

/// Every resource that the topology asks for, with its dependencies.
///
/// # Errors
///
/// A pool or subnet has no room for a worker that needs a place in it.
pub fn build(topology: &Topology, facts: &Facts) -> Result<DesiredSet, AllocationError> {
    Ok(build_with(topology, facts, Arc::new(allocate(topology, facts)?)))
}

/// The same with the places of workers that [`allocate`] returned.
pub fn build_with(topology: &Topology, facts: &Facts, allocation: Arc<Allocation>) -> DesiredSet {
    build_at_most(topology, facts, allocation, later_iterations::MAX_BUILT_RESOURCES)
}

/// The same. Once more than `max_built_resources` are built, no further iterations are.
pub(crate) fn build_at_most(
    topology: &Topology,
    facts: &Facts,
    allocation: Arc<Allocation>,
    max_built_resources: usize,
) -> DesiredSet {
    let context = DesiredContext::new(topology, facts, &allocation);
    let mut set = build_in(&context, &allocation);
    if !context.retained.is_empty() && !allocation.has_later_places() {
        let narrowed = build_in(&context.without_retained(), &allocation);
        set.note_narrowed(&narrowed);
    }
    protect(topology, &mut set);
    if allocation.has_later_places() {
        let iterations =
            later_iterations::after(topology, facts, &set, &allocation, max_built_resources);
        set.note_later_iterations(iterations);
        let last = Arc::new(allocation.at_next_places());
        let mut last = build_in(&DesiredContext::new(topology, facts, &last), &last);
        protect(topology, &mut last);
        set.note_last(&last);
    }
    set
}

fn build_in(context: &DesiredContext<'_>, allocation: &Arc<Allocation>) -> DesiredSet {
    let topology = context.topology;
    let mut set = DesiredSet::with_allocation(allocation.clone());
    cluster_site::control_plane(context, &mut set);
    node_pools::existing(context, &mut set);
    cluster_site::router_machine(context, &mut set);
    cluster_routes::all(context, &mut set);
    for datacenter in &topology.datacenters {
        if let DatacenterKind::Azure(azure) = &datacenter.kind {
            datacenter_site::network(context, datacenter, azure, &mut set);
            datacenter_site::router_machine(context, datacenter, azure, &mut set);
            datacenter_site::worker_machines(context, datacenter, azure, &mut set);
            datacenter_site::route_tables(context, datacenter, azure, &mut set);
        }
    }
    routers::cluster_router(context, &mut set);
    for datacenter in &topology.datacenters {
        routers::datacenter_router(context, datacenter, &mut set);
    }
    kubernetes_objects::shared(context, &mut set);
    for datacenter in &topology.datacenters {
        kubernetes_objects::servers(context, datacenter, &mut set);
        workers::join(context, datacenter, &mut set);
    }
    set
}

/// The version that the control plane runs once the topology is applied; `None` while
/// there is no cluster.
pub fn control_plane_version(topology: &Topology, facts: &Facts) -> Option<KubernetesVersion> {
    facts.cluster.as_ref().map(|cluster| versions::reached(topology, facts, cluster.version))
}

/// Protects everything that a protected cluster or datacenter is made of. Of the
/// cluster's side, its Kubernetes objects are left out: they can be created again at
/// any time.
fn protect(topology: &Topology, set: &mut DesiredSet) {
    if topology.cluster.protect {
        set.protect_site(&Site::Cluster, |address| !address.kind.is_kubernetes());
    }
    for datacenter in topology.datacenters.iter().filter(|datacenter| datacenter.protect) {
        set.protect_site(&Site::Datacenter(datacenter.name.clone()), |_| true);
    }
    protection::record(topology, set);
}
