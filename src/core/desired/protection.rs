//! The record of protection on desired objects, and the blocks that the topology does
//! not protect.

use std::collections::BTreeSet;

use super::names;
use super::set::{DesiredResource, DesiredSet};
use crate::resource::protection::site_block;
use crate::resource::{Address, Kind, Resource, Site};
use crate::topology::model::{Datacenter, Topology};

/// Records the protecting block on every protected resource that can carry it, and notes
/// the blocks that are not protected.
pub(super) fn record(topology: &Topology, set: &mut DesiredSet) {
    let sites = protected_sites(topology);
    let is_carrier = |it: &DesiredResource| it.protect && carries_record(topology, it);
    for desired in set.select_mut(is_carrier) {
        let site = &desired.address.site;
        let block = if sites.contains(site) {
            site_block(site)
        } else {
            machine_block(topology, &desired.address)
        };
        desired.resource.record_protection(Some(block));
    }
    set.note_unprotected(unprotected_blocks(topology));
}

fn protected_sites(topology: &Topology) -> BTreeSet<Site> {
    let datacenters = topology.datacenters.iter().filter(|datacenter| datacenter.protect);
    let sites = datacenters.map(|datacenter| Site::Datacenter(datacenter.name.clone()));
    sites.chain(topology.cluster.protect.then_some(Site::Cluster)).collect()
}

/// The stamp of a router's host is written only if no VM represents the machine.
fn carries_record(topology: &Topology, desired: &DesiredResource) -> bool {
    let site = &desired.address.site;
    let is_existing = |it: &Datacenter| it.is_existing() && is_at(it, site);
    !matches!(desired.resource, Resource::RouterHost(_))
        || topology.datacenters.iter().any(is_existing)
}

/// The block of a router or of a worker that is protected by itself.
fn machine_block(topology: &Topology, address: &Address) -> String {
    let name = match address.kind {
        Kind::NetworkInterface => names::machine_of(&address.name).unwrap_or(&address.name),
        _ => &address.name,
    };
    let datacenter = topology.datacenters.iter().find(|it| is_at(it, &address.site));
    match datacenter {
        None => CLUSTER_ROUTER.to_owned(),
        Some(datacenter) if datacenter.router.name.as_str() == name => router_block(datacenter),
        Some(datacenter) => worker_block(datacenter, name),
    }
}

const CLUSTER_ROUTER: &str = "cluster.router";

fn is_at(datacenter: &Datacenter, site: &Site) -> bool {
    *site == Site::Datacenter(datacenter.name.clone())
}

fn router_block(datacenter: &Datacenter) -> String {
    format!("datacenters.{}.router", datacenter.name)
}

fn worker_block(datacenter: &Datacenter, worker: &str) -> String {
    format!("datacenters.{}.workers.{worker}", datacenter.name)
}

/// The blocks in the topology without `protect = true`: their protection is lifted, even if
/// it is recorded.
pub(crate) fn unprotected_blocks(topology: &Topology) -> BTreeSet<String> {
    let cluster = &topology.cluster;
    let of_cluster = [
        (site_block(&Site::Cluster), cluster.protect),
        (CLUSTER_ROUTER.to_owned(), cluster.protect || cluster.router.protect),
    ];
    let of_datacenters = topology.datacenters.iter().flat_map(|datacenter| {
        let site = Site::Datacenter(datacenter.name.clone());
        let whole = datacenter.protect;
        let workers = datacenter.workers.iter().map(move |worker| {
            (worker_block(datacenter, worker.name.as_str()), whole || worker.protect)
        });
        let router = (router_block(datacenter), whole || datacenter.router.protect);
        workers.chain([(site_block(&site), whole), router])
    });
    let blocks = of_cluster.into_iter().chain(of_datacenters);
    blocks.filter(|(_, is_protected)| !is_protected).map(|(block, _)| block).collect()
}
