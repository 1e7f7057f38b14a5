//! Topology × facts → the complete resources that should exist, and their dependencies.
//!
//! One function a part of the network; read together they are its wiring
//! diagram. What a fact is missing for is [`Pending`](crate::resource::Pending)
//! on the resource that brings it.

mod allocation;
mod cluster_side;
mod context;
mod datacenter_side;
pub mod digest;
pub mod facts;
mod kubernetes_objects;
pub mod labels;
pub mod manifests;
pub mod names;
mod routers;
mod security;
mod set;
#[cfg(test)]
pub(crate) mod tests;
mod workers;

pub use allocation::{Allocation, AllocationError, Place, allocate};
pub use facts::Facts;
pub use set::{DesiredResource, DesiredSet, Protected};

use crate::resource::Side;
use crate::topology::model::{Site, Topology};
use context::Context;

/// Every resource that the topology asks for, with its dependencies.
///
/// # Errors
///
/// A pool or subnet has no room for a worker that needs a place in it.
pub fn build(topology: &Topology, facts: &Facts) -> Result<DesiredSet, AllocationError> {
    let allocation = allocate(topology, facts)?;
    let context = Context::new(topology, facts, &allocation);
    let mut set = DesiredSet::default();

    cluster_side::control_plane(&context, &mut set);
    cluster_side::router_machine(&context, &mut set);
    cluster_side::route_tables(&context, &mut set);
    for datacenter in &topology.datacenters {
        if let Site::Azure(site) = &datacenter.site {
            datacenter_side::network(&context, datacenter, site, &mut set);
            datacenter_side::router_machine(&context, datacenter, site, &mut set);
            datacenter_side::worker_machines(&context, datacenter, site, &mut set);
            datacenter_side::route_tables(&context, datacenter, site, &mut set);
        }
    }
    routers::cluster_router(&context, &mut set);
    for datacenter in &topology.datacenters {
        routers::datacenter_router(&context, datacenter, &mut set);
    }
    kubernetes_objects::shared(&context, &mut set);
    for datacenter in &topology.datacenters {
        kubernetes_objects::servers(&context, datacenter, &mut set);
        workers::join(&context, datacenter, &mut set);
    }
    protect(topology, &mut set);
    Ok(set)
}

/// Protects everything that a protected cluster or datacenter is made of. Of the
/// cluster's side, its Kubernetes objects are left out: they can be created again at
/// any time.
fn protect(topology: &Topology, set: &mut DesiredSet) {
    if topology.cluster.protect {
        set.protect_side(&Side::Cluster, |address| !address.kind.is_kubernetes());
    }
    for datacenter in topology.datacenters.iter().filter(|datacenter| datacenter.protect) {
        set.protect_side(&Side::Datacenter(datacenter.name.clone()), |_| true);
    }
}
