//! The network of one state, and its sources.

use super::provenance::ProvenanceTable;
use crate::dataplane::{HostId, Network};
use crate::desired::{DesiredSet, Facts};
use crate::inventory::Inventory;
use crate::resource::Site;
use crate::topology::model::Topology;

/// The observed state, and the desired state.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// Facts that the desired resources are made from.
    pub facts: &'a Facts,
    /// The desired state.
    pub desired: &'a DesiredSet,
    /// The live state.
    pub inventory: &'a Inventory,
}

/// The network, and where each of its facts comes from.
#[derive(Debug, Clone)]
pub struct PathModel {
    /// The elements.
    pub network: Network,
    /// The origin of each fact.
    pub provenance: ProvenanceTable,
    /// The cluster's site first, then the datacenters in the order of the file.
    pub sites: Vec<SiteHosts>,
}

/// The hosts of one site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteHosts {
    /// The site.
    pub site: Site,
    /// Its router.
    pub router: HostId,
    /// Its nodes: those that pods live on.
    pub nodes: Vec<HostId>,
}
