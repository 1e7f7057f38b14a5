//! A refresh in which some objects could not be read, next to the complete one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::live_state::{LiveState, RefreshCase};
use crate::connectivity::{PROTOCOL, PathModel, Sources, usual};
use crate::dataplane::{End, RoundTrip, Verdict, trace_round_trip};
use crate::desired::tests::generate::{Sketch, SketchedDatacenter, SketchedWorker};
use crate::desired::{self, DesiredSet, Facts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Inventory, Source};
use crate::plan::Plan;
use crate::plan::impact::{IntermediateState, Projection, path_model};
use crate::resource::{ObjectKey, Resource};
use crate::topology::model::Topology;
use crate::topology::names::WorkerName;

/// A refresh in which some objects could not be read.
pub(super) struct Sight {
    pub(super) facts: Facts,
    pub(super) desired: DesiredSet,
    pub(super) inventory: Inventory,
}

impl Sight {
    pub(super) fn whole(live_state: &LiveState, topology: &Topology) -> Self {
        Self::without(live_state, topology, &BTreeSet::new())
    }

    /// Objects that could not be read leave a gap for their source, and the facts that
    /// depend on them alone are missing too.
    pub(super) fn without(
        live_state: &LiveState,
        topology: &Topology,
        unread: &BTreeSet<ObjectKey>,
    ) -> Self {
        let case = RefreshCase::default();
        let mut facts = live_state.facts(topology, &case);
        let mut inventory = live_state.inventory(topology, &case);
        for key in unread {
            let resource = &live_state.objects[key].resource;
            forget(&mut facts, key, resource);
            inventory.note_gap(gap(source(key)));
        }
        inventory.retain(|key| !unread.contains(key));
        let desired = desired::build(topology, &facts).unwrap();
        Self { facts, desired, inventory }
    }

    /// The refresh without the sources that did not answer.
    pub(super) fn blind(
        live_state: &LiveState,
        topology: &Topology,
        gaps: BTreeSet<Source>,
    ) -> Self {
        let case = RefreshCase { gaps, ..RefreshCase::default() };
        let facts = live_state.facts(topology, &case);
        let inventory = live_state.inventory(topology, &case);
        let desired = desired::build(topology, &facts).unwrap();
        Self { facts, desired, inventory }
    }

    pub(super) fn model(&self, topology: &Topology, plan: &Plan) -> PathModel {
        let Self { facts, desired, inventory } = self;
        let observed = Sources { topology, facts, desired, inventory };
        path_model(Projection { observed, plan, is_present: false }, &IntermediateState::Observed)
    }
}

pub(super) fn gap(source: Source) -> Gap {
    Gap {
        source,
        failure: Failure::new(Code::SourceGap, "it does not answer", "restore it"),
        explained: false,
        in_part: false,
    }
}

fn source(key: &ObjectKey) -> Source {
    match key {
        ObjectKey::Azure(_) | ObjectKey::AzureAssociation(_) => Source::Azure,
        ObjectKey::Device(_) | ObjectKey::DeviceAdvertised(_) | ObjectKey::DeviceApproved(_) => {
            Source::Tailscale
        }
        ObjectKey::Kubernetes(_) => Source::Kubernetes,
        ObjectKey::Host(name) => Source::Host(name.clone()),
    }
}

fn forget(facts: &mut Facts, key: &ObjectKey, resource: &Resource) {
    match (key, resource) {
        (_, Resource::ManagedCluster(_)) => {
            facts.cluster = None;
            facts.nodes.clear();
        }
        (_, Resource::TailnetDevice(device)) => {
            facts.router_addresses.remove(&device.hostname);
        }
        (_, Resource::Worker(worker)) => {
            facts.assigned.remove(&WorkerName::new(worker.name.clone()));
        }
        (ObjectKey::Azure(id), Resource::NetworkInterface(_)) => {
            let worker = id.name().strip_suffix("-nic").map(WorkerName::new);
            if let Some(held) = worker.and_then(|worker| facts.assigned.get_mut(&worker)) {
                held.ip = None;
            }
        }
        _ => {}
    }
}

/// The status of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PairStatus {
    Reached,
    Dropped,
    /// A fact is unread, or the packet left the modelled network.
    Unknown,
}

pub(super) fn status(round_trip: &RoundTrip) -> PairStatus {
    match round_trip.broken() {
        None => PairStatus::Reached,
        Some((_, Verdict::Dropped(_))) => PairStatus::Dropped,
        Some(_) => PairStatus::Unknown,
    }
}

/// Addresses that hosts have, by the hosts' names; and of each its site.
fn ends(model: &PathModel) -> Vec<(String, Ipv4Addr, usize)> {
    let mut ends = Vec::new();
    for (number, site) in model.sites.iter().enumerate() {
        for id in site.nodes.iter().chain([&site.router]) {
            let host = model.network.host(*id).unwrap();
            let own = host.ports.iter().map(|port| port.address);
            let pods = host.pods.read().ok().and_then(|pods| pods.range());
            let member = model.network.tunnel().members.get(id);
            let in_tailnet = member.and_then(|member| member.address.read().ok().copied());
            let all = own.chain(pods.map(|range| usual(&range))).chain(in_tailnet);
            ends.extend(all.map(|address| (host.name.clone(), address, number)));
        }
    }
    ends
}

/// Addresses that no host has.
const UNASSIGNED: [Ipv4Addr; 3] =
    [Ipv4Addr::new(10, 244, 9, 9), Ipv4Addr::new(10, 50, 0, 99), Ipv4Addr::new(100, 64, 9, 9)];

fn traced(model: &PathModel, from: &str, address: Ipv4Addr, to: Ipv4Addr) -> Option<RoundTrip> {
    let (host, _) = model.network.hosts().find(|(_, host)| host.name == from)?;
    Some(trace_round_trip(&model.network, End { host, address }, to, PROTOCOL))
}

/// A pair, traced with all facts and without some of them.
pub(super) struct Pair {
    pub(super) label: String,
    pub(super) sites: (usize, Option<usize>),
    pub(super) whole: RoundTrip,
    pub(super) partly: RoundTrip,
}

pub(super) fn pairs(whole: &PathModel, partly: &PathModel) -> Vec<Pair> {
    let ends = ends(whole);
    let case = ends.iter().map(|(name, address, site)| (name.as_str(), *address, Some(*site)));
    let case: Vec<_> =
        case.chain(UNASSIGNED.map(|address| ("unassigned", address, None))).collect();
    let mut pairs = Vec::new();
    for (from, address, site) in &ends {
        for (to, case, other) in &case {
            let Some(after) = traced(partly, from, *address, *case) else { continue };
            pairs.push(Pair {
                label: format!("{from} {address} -> {to} {case}"),
                sites: (*site, *other),
                whole: traced(whole, from, *address, *case).unwrap(),
                partly: after,
            });
        }
    }
    pairs
}

/// Whether hiding facts made the pair unknown or left it as it was.
pub(super) fn only_unknown(pair: &Pair) -> bool {
    match (status(&pair.whole), status(&pair.partly)) {
        (_, PairStatus::Unknown) => true,
        (PairStatus::Unknown, after) => after != PairStatus::Reached,
        (before, after) => before == after,
    }
}

/// Two datacenters, one of VMs and one of existing machines.
pub(super) fn small() -> Sketch {
    let worker = |number| SketchedWorker {
        number,
        writes_ip: false,
        writes_pod_cidr: false,
        protect: false,
    };
    let datacenter = |number| SketchedDatacenter {
        number,
        workers: vec![worker(0), worker(1)],
        ..SketchedDatacenter::default()
    };
    Sketch { datacenters: vec![datacenter(0), datacenter(1)], ..Sketch::default() }
}
