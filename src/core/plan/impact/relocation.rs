//! Nodes whose router, machine or place is renamed by a plan.
//!
//! The network before a plan is built under the names of the topology. After a name was
//! edited, the object with the new name is missing there, and the pairs of the nodes behind
//! it seem dropped although the object with the old name serves them.

use std::collections::{BTreeMap, BTreeSet};

use super::disruption::{Between, Disruption};
use super::live_nodes::{LiveNodes, by_site, cause_at, destroyed_node, live_nodes};
use super::projection::Projection;
use crate::connectivity::snapshot::Nodes;
use crate::plan::cost::seconds;
use crate::plan::{Action, Blocked, Change, StepGraph};
use crate::resource::azure::MachineRole;
use crate::resource::{Address, Kind, Resource, Site};

/// The effect of a plan on the place of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeRelocation {
    /// Whether it runs pods before the plan.
    is_live: bool,
    /// Whether an edit of its site's names or of its site is blocked, so that all stays as
    /// it is.
    is_blocked: bool,
    /// The change that gives it another router, machine or place.
    relocated: Option<usize>,
    /// The change that destroys its whole datacenter, even if it is created again.
    destroyed: Option<usize>,
}

/// The effect of a plan on the places of all nodes.
pub(super) struct Relocations {
    relocations: Vec<NodeRelocation>,
    causes: Vec<Address>,
}

impl Relocations {
    pub(super) fn of(projection: Projection<'_>, nodes: &Nodes) -> Self {
        let live = live_nodes(projection.observed);
        let changes = &projection.plan.changes;
        let mut found = Self { relocations: Vec::new(), causes: Vec::new() };
        let renamed = changes.iter().filter(|it| it.action == Action::Delete && holds_site(it));
        let renamed: BTreeMap<Site, usize> = renamed
            .map(|change| {
                let site = change.address.site.clone();
                let cause = cause_at(changes, &site).unwrap_or(&change.address).clone();
                (site, found.number(&cause))
            })
            .collect();
        let moving = changes.iter().filter(|it| it.address.kind == Kind::Worker);
        let moving: BTreeMap<&str, usize> = moving
            .filter(|change| change.moves_from().is_some())
            .map(|change| (change.address.name.as_str(), found.number(&change.address)))
            .collect();
        let joining = joining_others(projection, changes);
        let destroyed = found.destroyed_sites(changes, &live, &joining);
        let held = HeldPlaces::of(&projection.plan.blocked);
        let fate = |(name, site): (&String, &Site)| {
            let Some(home) = live.get(name) else { return NodeRelocation::default() };
            let of_site = || renamed.get(home).or_else(|| renamed.get(site)).copied();
            NodeRelocation {
                is_live: true,
                is_blocked: held.holds_worker(name, home)
                    || held.sites.contains(home)
                    || held.sites.contains(site),
                relocated: moving.get(name.as_str()).copied().or_else(of_site),
                destroyed: destroyed
                    .get(home)
                    .copied()
                    .filter(|_| !joining.contains(name.as_str())),
            }
        };
        found.relocations = nodes.iter().map(fate).collect();
        found
    }

    /// By the place of each node.
    pub(super) fn relocations(&self) -> &[NodeRelocation] {
        &self.relocations
    }

    pub(super) fn cause(&self, number: usize) -> Option<&Address> {
        self.causes.get(number)
    }

    fn number(&mut self, cause: &Address) -> usize {
        self.causes.iter().position(|known| known == cause).unwrap_or_else(|| {
            self.causes.push(cause.clone());
            self.causes.len() - 1
        })
    }

    /// Datacenters in which the plan deletes every node's machine with its container,
    /// outside of the waves, apart from nodes that have left for another datacenter by then.
    fn destroyed_sites(
        &mut self,
        changes: &[Change],
        live: &LiveNodes,
        joining: &BTreeSet<&str>,
    ) -> BTreeMap<Site, usize> {
        let destroyed = changes.iter().filter_map(destroyed_node);
        let destroyed: BTreeSet<&str> = destroyed.filter(|name| !joining.contains(name)).collect();
        let sites = by_site(live).into_iter().filter(|(site, nodes)| {
            let mut staying = nodes.iter().filter(|name| !joining.contains(*name)).peekable();
            **site != Site::Cluster
                && staying.peek().is_some()
                && staying.all(|name| destroyed.contains(name))
        });
        let with_cause = sites
            .filter_map(|(site, _)| Some((site, cause_at(changes, site)?)))
            .filter(|(_, cause)| is_container(cause.kind));
        with_cause.map(|(site, cause)| (site.clone(), self.number(cause))).collect()
    }
}

/// The workers that move to a datacenter that exists already. One that is created by the same
/// plan may be the old one under another name.
fn joining_others<'a>(projection: Projection<'_>, changes: &'a [Change]) -> BTreeSet<&'a str> {
    let moving = changes.iter().filter(|it| it.address.kind == Kind::Worker);
    let moving: Vec<&Change> = moving.filter(|it| it.moves_from().is_some()).collect();
    if moving.is_empty() {
        return BTreeSet::new();
    }
    let live = projection.observed.inventory.iter();
    let sites: BTreeSet<Site> = live.filter_map(|(_, observed)| observed.site()).collect();
    let joins = moving.into_iter().filter(|change| sites.contains(&change.address.site));
    joins.map(|change| change.address.name.as_str()).collect()
}

/// Machines and containers that blocked changes keep in place.
struct HeldPlaces<'a> {
    /// Sites of which a container is neither created nor deleted.
    sites: BTreeSet<&'a Site>,
    /// The sites that blocked workers would be on, by name.
    workers: BTreeMap<&'a str, BTreeSet<&'a Site>>,
}

impl<'a> HeldPlaces<'a> {
    fn of(blocked: &'a [Blocked]) -> Self {
        let mut held = Self { sites: BTreeSet::new(), workers: BTreeMap::new() };
        for Blocked { address, action, .. } in blocked {
            if matches!(action, Action::Create | Action::Delete) && is_container(address.kind) {
                held.sites.insert(&address.site);
            }
            if address.kind == Kind::Worker {
                held.workers.entry(address.name.as_str()).or_default().insert(&address.site);
            }
        }
        held
    }

    /// Whether a worker would move away from where it is, and may not.
    fn holds_worker(&self, name: &str, home: &Site) -> bool {
        self.workers.get(name).is_some_and(|sites| sites.iter().any(|site| *site != home))
    }
}

/// Whether a change deletes an object that all nodes of its site need: a router's machine,
/// or the container of the machines.
fn holds_site(change: &Change) -> bool {
    match &change.before {
        Some(Resource::VirtualMachine(machine)) => machine.role == MachineRole::Router,
        _ => is_container(change.address.kind),
    }
}

fn is_container(kind: Kind) -> bool {
    matches!(kind, Kind::ResourceGroup | Kind::VirtualNetwork | Kind::Subnet)
}

/// The effect of a plan on the places of a pair of nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PairRelocation(pub(super) [NodeRelocation; 2]);

impl PairRelocation {
    /// Whether the pair carries packets now, even if the network under the names of the
    /// topology drops them.
    pub(super) fn serves_now(self) -> bool {
        let [from, to] = self.0;
        from.is_live && to.is_live && (self.relocated().is_some() || self.is_blocked())
    }

    pub(super) fn is_blocked(self) -> bool {
        self.0.iter().any(|fate| fate.is_blocked)
    }

    pub(super) fn relocated(self) -> Option<usize> {
        self.0.iter().find_map(|fate| fate.relocated)
    }

    pub(super) fn destroyed(self) -> Option<usize> {
        self.0.iter().find_map(|fate| fate.destroyed)
    }
}

/// Pairs that are cut, by the two sites, with the names of one.
#[derive(Debug)]
struct CutPairs {
    between: BTreeMap<(Site, Site), u64>,
    example: (String, String),
}

/// Pairs that are cut while a plan gives their nodes another place, by its cause.
#[derive(Debug, Default)]
pub(super) struct RelocatedPairs(BTreeMap<usize, CutPairs>);

impl RelocatedPairs {
    pub(super) fn note(
        &mut self,
        cause: usize,
        Between { from, to, pairs }: Between,
        example: impl FnOnce() -> (String, String),
    ) {
        let cut = self.0.entry(cause);
        let cut = cut.or_insert_with(|| CutPairs { between: BTreeMap::new(), example: example() });
        *cut.between.entry((from, to)).or_default() += pairs;
    }

    /// The disruptions, each for the time that the changes of the cause's site take.
    pub(super) fn disruptions(
        self,
        relocations: &Relocations,
        changes: &[Change],
        graph: &StepGraph,
    ) -> Vec<Disruption> {
        let order = match self.0.is_empty() {
            true => Vec::new(),
            false => graph.order(changes),
        };
        let of_cause = |(cause, CutPairs { between, example }): (usize, CutPairs)| {
            let cause = relocations.cause(cause)?;
            let cell = |((from, to), pairs)| Between { from, to, pairs };
            Some(Disruption {
                pairs: between.values().sum(),
                example,
                between: between.into_iter().map(cell).collect(),
                during: vec![cause.clone()],
                seconds: duration(cause, changes, graph, &order),
                waves: None,
                is_rolling: false,
            })
        };
        self.0.into_iter().filter_map(of_cause).collect()
    }
}

/// The time that the changes take which belong to a cause: those of the same worker, or
/// those of the same site.
fn duration(cause: &Address, changes: &[Change], graph: &StepGraph, order: &[usize]) -> u64 {
    let belongs = |change: &Change| match cause.kind {
        Kind::Worker => change.address.name == cause.name,
        _ => change.address.site == cause.site,
    };
    let in_order = order.iter().copied();
    let of_cause: Vec<usize> =
        in_order.filter(|place| changes.get(*place).is_some_and(belongs)).collect();
    graph.critical_path(changes, &of_cause, seconds).1
}
