//! Whether the API server reaches the kubelets of workers: it asks through an
//! agent on AKS's own nodes, and `kubectl logs` and `exec` hang on that.

use std::collections::BTreeMap;

use super::super::{PROTOCOL, addresses, node_ends};
use super::{Checker, Invariant};
use crate::dataplane::equivalence::Classes;
use crate::dataplane::{End, HostId, Protocol, Verdict, trace_round_trip};
use crate::diagnostics::counted;
use crate::resource::{Address, Site};

/// The port that a kubelet answers on.
const KUBELET: Protocol = Protocol::Tcp(10_250);

impl Checker<'_> {
    /// The pairs already report two nodes between which no packet passes; this
    /// rule reports nodes where only the kubelet's port is blocked.
    pub(super) fn kubelets(&mut self) {
        let network = &self.model.network;
        let aks_nodes: Vec<HostId> = self.nodes_of(|site| *site == Site::Cluster);
        let workers: Vec<HostId> = self.nodes_of(|site| *site != Site::Cluster);
        let classes = Classes::of(network, node_ends(self.model));
        let from = |end: &End| aks_nodes.contains(&end.host);
        let mut found: BTreeMap<Address, (u64, String)> = BTreeMap::new();
        for class_trip in classes.trips(network, KUBELET) {
            let (source, destination) = class_trip.example;
            if !from(&source) || !workers.contains(&destination.host) {
                continue;
            }
            let Some((_, verdict @ Verdict::Dropped(_))) = class_trip.round_trip.broken() else {
                continue;
            };
            if !trace_round_trip(network, source, destination.address, PROTOCOL).reached() {
                continue;
            }
            let Some(address) = addresses(self.model, verdict).into_iter().next() else { continue };
            let name = |end: End| network.name(end.host).to_owned();
            let example = format!("{} to {}", name(source), name(destination));
            found.entry(address).or_insert((0, example)).0 += class_trip.pairs;
        }
        for (address, (pairs, example)) in found {
            let pairs = counted(pairs, "pair");
            let found =
                format!("TCP port 10250 is unreachable for {pairs}, for example from {example}");
            self.add(Invariant::KubeletPortReachable, address, found);
        }
    }

    fn nodes_of(&self, fits: impl Fn(&Site) -> bool) -> Vec<HostId> {
        let sites = self.model.sites.iter().filter(|site| fits(&site.site));
        sites.flat_map(|site| site.nodes.iter().copied()).collect()
    }
}
