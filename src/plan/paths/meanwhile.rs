//! Who is not reached for a time while a plan is carried out.
//!
//! Steps run side by side, so that many orders are possible. For each change,
//! four moments stand for all of them: right after it with no more than what it
//! waits for, right before it with everything else done that does not wait for
//! it, and both of these once more while it is gone, where it is made anew. A
//! property test carries plans out in random orders and finds nothing that was
//! not foretold.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::snapshot::{Fares, Nodes, Snapshot};
use super::{Moment, Progress, Sources, path_model};
use crate::plan::cost::time_of;
use crate::plan::halves::{Half, HalfStep, half_steps};
use crate::plan::{Action, Change};
use crate::resource::{Address, Kind, Side};

/// How many nodes may be looked at, over all moments, before changes of one kind
/// are looked at together.
const MOST_WORK: usize = 60_000;

/// Pairs that are reached before the plan, are not lost with it, and are not
/// reached for a time in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// How many at one time, at the most.
    pub pairs: u64,
    /// The nodes of one of them.
    pub example: (String, String),
    /// From which side to which, and how many.
    pub between: Vec<Between>,
    /// The changes that it comes from.
    pub during: Vec<Address>,
    /// How long, by the usual time of what is done meanwhile.
    pub seconds: u64,
}

/// How many pairs of two sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The side that asks.
    pub from: Side,
    /// The side that is asked.
    pub to: Side,
    /// How many pairs.
    pub pairs: u64,
}

/// Looks at the moments in between. `nodes` are those of `before` and `after`.
pub(super) fn interruptions(
    sources: Sources<'_>,
    nodes: &Nodes,
    before: &Snapshot,
    after: &Snapshot,
) -> Vec<Interruption> {
    let changes = &sources.plan.changes;
    if changes.is_empty() || !keeps_any(before, after) {
        return Vec::new();
    }
    let order = Order::of(changes);
    let mut seen = BTreeSet::new();
    let mut found = Found { changes, by_cause: BTreeMap::new() };
    let mut look = |progress: Progress, unit: &Unit, cause: Address| {
        if seen.insert(on_paths(&progress)) {
            let model = path_model(sources, &Moment::Between(progress));
            found.note([before, &Snapshot::of(model, nodes), after], unit, cause);
        }
    };
    for unit in order.units(nodes.len()) {
        let Some(cause) = unit.first().and_then(|place| root(changes, *place)) else { continue };
        for progress in order.moments(&unit) {
            look(progress, &unit, cause.clone());
        }
    }
    // What is deferred comes only after all of this.
    if let Some(deferred) = sources.plan.deferred.first() {
        look(order.progress(&order.all()), &Unit::new(), deferred.address.clone());
    }
    found.finish()
}

fn is_kept(before: Fares, after: Fares) -> bool {
    before == Fares::Reached && after != Fares::Dropped
}

/// Whether there is anything that can be interrupted.
fn keeps_any(before: &Snapshot, after: &Snapshot) -> bool {
    let mut any = false;
    Snapshot::pairs_alike([before, after], |[from, to], _| {
        any |= is_kept(before.fares(from[0], to[0]), after.fares(from[1], to[1]));
    });
    any
}

/// Whether packets depend on what is of that kind.
fn is_on_paths(kind: Kind) -> bool {
    match kind {
        Kind::ManagedCluster
        | Kind::VirtualNetwork
        | Kind::Subnet
        | Kind::RouteTableAssociation
        | Kind::NetworkSecurityGroup
        | Kind::NetworkInterface
        | Kind::VirtualMachine
        | Kind::RouteTable
        | Kind::TailnetDevice
        | Kind::AdvertisedRoutes
        | Kind::ApprovedRoutes
        | Kind::RouterHost
        | Kind::CiliumNode
        | Kind::Worker => true,
        Kind::ResourceGroup
        | Kind::NatGateway
        | Kind::PublicIpAddress
        | Kind::CustomResourceDefinition
        | Kind::Namespace
        | Kind::ServiceAccount
        | Kind::ClusterRole
        | Kind::ClusterRoleBinding
        | Kind::DaemonSet
        | Kind::Service
        | Kind::Server
        | Kind::ProvisioningProfile => false,
    }
}

/// Changes that are looked at together, by their places in the plan.
type Unit = Vec<usize>;
/// Half steps, by their places.
type Steps = BTreeSet<usize>;

/// The half steps of a plan, and what comes before and behind each.
struct Order<'a> {
    changes: &'a [Change],
    steps: Vec<HalfStep>,
    /// Those that wait for each one.
    behind: Vec<Vec<usize>>,
}

impl<'a> Order<'a> {
    fn of(changes: &'a [Change]) -> Self {
        let steps = half_steps(changes);
        let mut behind = vec![Vec::new(); steps.len()];
        for (place, step) in steps.iter().enumerate() {
            for cause in &step.after {
                if let Some(behind) = behind.get_mut(*cause) {
                    behind.push(place);
                }
            }
        }
        Self { changes, steps, behind }
    }

    /// Every change that packets depend on by itself, if there are few nodes
    /// and changes; else those of one kind and side, or of one kind.
    fn units(&self, nodes: usize) -> Vec<Unit> {
        let most = (MOST_WORK / nodes.max(1) / 4).max(1);
        let matter = || {
            let places = 0..self.changes.len();
            places
                .filter_map(|place| Some((place, self.changes.get(place)?)))
                .filter(|(_, change)| is_on_paths(change.address.kind))
        };
        if matter().count() <= most {
            return matter().map(|(place, _)| vec![place]).collect();
        }
        let mut by_side: BTreeMap<_, Unit> = BTreeMap::new();
        let mut by_kind: BTreeMap<_, Unit> = BTreeMap::new();
        for (place, change) in matter() {
            let (kind, action) = (change.address.kind, change.action);
            by_side.entry((kind, action, &change.address.side)).or_default().push(place);
            by_kind.entry((kind, action)).or_default().push(place);
        }
        if by_side.len() <= most {
            return by_side.into_values().collect();
        }
        by_kind.into_values().collect()
    }

    fn all(&self) -> Steps {
        (0..self.steps.len()).collect()
    }

    /// How far the plan is at the moments that stand for a unit.
    fn moments(&self, unit: &Unit) -> Vec<Progress> {
        let of_half = |half: Half| -> Vec<usize> {
            let all = self.steps.iter().enumerate();
            let of_unit = all.filter(|(_, step)| step.half == half && unit.contains(&step.change));
            of_unit.map(|(place, _)| place).collect()
        };
        let (torn_down, made) = (of_half(Half::TearDown), of_half(Half::Make));
        let causes = |place: usize| self.steps.get(place).map_or(&[][..], |step| &step.after);
        let effects = |place: usize| self.behind.get(place).map_or(&[][..], Vec::as_slice);
        let all_but = |steps: Steps| self.all().difference(&steps).copied().collect();
        let first: Vec<usize> = torn_down.iter().chain(&made).copied().collect();
        let mut moments = vec![closure(&made, causes), all_but(closure(&first, effects))];
        if !torn_down.is_empty() {
            moments.extend([closure(&torn_down, causes), all_but(closure(&made, effects))]);
        }
        let mut moments: Vec<Progress> = moments.iter().map(|done| self.progress(done)).collect();
        let rests = |change: &&Change| change.action == Action::Reboot;
        let resting = unit.iter().filter_map(|place| self.changes.get(*place)).filter(rests);
        let resting: BTreeSet<Address> = resting.map(|change| change.address.clone()).collect();
        if !resting.is_empty() {
            let earlier: Vec<usize> = made.iter().flat_map(|it| causes(*it)).copied().collect();
            let mut progress = self.progress(&closure(&earlier, causes));
            progress.gone.extend(resting);
            moments.push(progress);
        }
        moments
    }

    fn progress(&self, done: &Steps) -> Progress {
        let mut progress = Progress::default();
        for (place, step) in self.steps.iter().enumerate() {
            let Some(change) = self.changes.get(step.change) else { continue };
            let is_done = done.contains(&place);
            match step.half {
                Half::TearDown if is_done => {
                    progress.gone.insert(change.address.clone());
                }
                Half::Make if is_done => {
                    progress.gone.remove(&change.address);
                    progress.made.insert(change.address.clone());
                }
                _ => {}
            }
        }
        progress
    }
}

/// What of it packets depend on.
fn on_paths(progress: &Progress) -> Progress {
    let some = |all: &BTreeSet<Address>| {
        all.iter().filter(|address| is_on_paths(address.kind)).cloned().collect()
    };
    Progress { made: some(&progress.made), gone: some(&progress.gone) }
}

/// What leads to these, or what they lead to, with them.
fn closure<'s>(steps: &[usize], next: impl Fn(usize) -> &'s [usize]) -> Steps {
    let mut found: Steps = steps.iter().copied().collect();
    let mut open = steps.to_vec();
    while let Some(step) = open.pop() {
        open.extend(next(step).iter().copied().filter(|it| found.insert(*it)));
    }
    found
}

/// What was found, by the change that it comes from.
struct Found<'a> {
    changes: &'a [Change],
    by_cause: BTreeMap<Address, Cut>,
}

/// What one change interrupts.
#[derive(Default)]
struct Cut {
    example: (String, String),
    between: BTreeMap<(Side, Side), u64>,
    /// The changes that are made meanwhile, by their places.
    during: BTreeSet<usize>,
}

/// The change that others only follow from.
fn root(changes: &[Change], place: usize) -> Option<Address> {
    let mut at = changes.get(place)?;
    // No chain is longer than the plan.
    for _ in 0..changes.len() {
        let Some(cause) = &at.follows_from else { break };
        let Some(change) = changes.iter().find(|it| it.address == *cause) else { break };
        at = change;
    }
    Some(at.address.clone())
}

impl Found<'_> {
    fn note(&mut self, [before, now, after]: [&Snapshot; 3], unit: &Unit, cause: Address) {
        let mut cells: BTreeMap<(Side, Side), u64> = BTreeMap::new();
        let mut example = None;
        Snapshot::sites_alike([before, now, after], |[from, to], [asking, asked], pairs| {
            let kept = is_kept(before.fares(from[0], to[0]), after.fares(from[2], to[2]));
            if kept && now.fares(from[1], to[1]) != Fares::Reached {
                *cells.entry((asking.clone(), asked.clone())).or_default() += pairs;
                example = example.take().or_else(|| before.example(from[0], to[0]));
            }
        });
        let Some(example) = example else { return };
        let cut = self.by_cause.entry(cause).or_default();
        cut.example = example;
        cut.during.extend(unit);
        for (cell, pairs) in cells {
            let known = cut.between.entry(cell).or_default();
            *known = pairs.max(*known);
        }
    }

    /// What is cut by several changes alike is one interruption.
    fn finish(self) -> Vec<Interruption> {
        let mut alike: BTreeMap<Vec<((Side, Side), u64)>, (Vec<Address>, Cut)> = BTreeMap::new();
        for (cause, cut) in self.by_cause {
            let cells: Vec<_> = cut.between.iter().map(|(cell, n)| (cell.clone(), *n)).collect();
            let (causes, known) = alike.entry(cells).or_default();
            causes.push(cause);
            known.during.extend(&cut.during);
            known.example = cut.example;
        }
        let mut found: Vec<Interruption> = alike
            .into_iter()
            .map(|(cells, (during, cut))| Interruption {
                pairs: cells.iter().map(|(_, pairs)| pairs).sum(),
                example: cut.example,
                between: cells
                    .into_iter()
                    .map(|((from, to), pairs)| Between { from, to, pairs })
                    .collect(),
                during,
                seconds: time_of(cut.during.iter().filter_map(|place| self.changes.get(*place))),
            })
            .collect();
        found.sort_by_key(|one| std::cmp::Reverse(one.pairs));
        found
    }
}
