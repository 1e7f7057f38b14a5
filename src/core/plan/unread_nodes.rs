//! Workers whose Nodes cannot be read: they may run and be protected, so the paths to them,
//! their records and the routers that lead to their hosts stay as they are.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::{Retained, blocked_for};
use super::withdrawal::{gained, leads_elsewhere, withdrawn};
use super::{Action, Change};
use crate::diagnostics::Failure;
use crate::inventory::Gap;
use crate::resource::azure::MachineRole;
use crate::resource::{Kind, Resource, Site};

/// Blocks updates that remove a path to workers whose Nodes are unread, and the deletions
/// of their records and routers. Returns the retained objects.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) -> Vec<Retained> {
    // A plan that destroys has rules of its own.
    if input.desired.is_empty() {
        return Vec::new();
    }
    let unread = UnreadNodes::of(input);
    if unread.is_empty() {
        return Vec::new();
    }
    let mut retained = Vec::new();
    let mut used = BTreeMap::new();
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        let cut = unread.cut_path(change);
        if let Some((prefix, failure)) = &cut {
            let prefixes = withdrawn(change).into_iter().chain([*prefix]);
            used.extend(prefixes.map(|prefix| (prefix, failure.clone())));
        }
        let failure = cut.map(|(_, failure)| failure).or_else(|| unread.needed(change));
        let Some(failure) = failure else { continue };
        let blocked = blocked_for(change, failure, None);
        if change.action == Action::Delete {
            retained.push(Retained::of(&blocked, change.key.clone()));
        }
        *decision = blocked.into();
    }
    block_successors(&used, decisions);
    retained
}

/// Blocks the updates that would lead packets for these prefixes to another place: their
/// workers may still be where they were.
fn block_successors(used: &BTreeMap<Ipv4Net, Failure>, decisions: &mut ResourceDecisions) {
    for decision in decisions.values_mut().filter(|_| !used.is_empty()) {
        let ResourceDecision::Change(change) = decision else { continue };
        let gained = gained(change);
        let overlaps = |it: &Ipv4Net, other: &Ipv4Net| it.contains(other) || other.contains(it);
        let mut found = used.iter().filter(|(it, _)| gained.iter().any(|new| overlaps(it, new)));
        let Some((_, failure)) = found.next() else { continue };
        *decision = blocked_for(change, failure.clone(), None).into();
    }
}

/// Where a worker is, as its Server says.
struct WorkerPlace {
    site: Option<Site>,
    ip: Option<Ipv4Addr>,
    pod_cidr: Option<Ipv4Net>,
}

/// The Nodes of workers that could not be read.
struct UnreadNodes<'a> {
    /// All of them: the Nodes could not be listed.
    all: Option<&'a Gap>,
    /// Single ones, by name.
    single: BTreeMap<&'a str, (&'a Gap, Option<WorkerPlace>)>,
}

impl<'a> UnreadNodes<'a> {
    fn of(input: Comparison<'a>) -> Self {
        let single = input.inventory.unread_objects(Kind::Worker);
        let single =
            single.map(|(key, gap)| (key.name(), (gap, recorded_place(input, key.name()))));
        Self { all: input.inventory.gap_for(Kind::Worker, None), single: single.collect() }
    }

    fn is_empty(&self) -> bool {
        self.all.is_none() && self.single.is_empty()
    }

    /// The prefix that an update would take from workers that may use it, and why it waits
    /// until the Nodes can be read.
    fn cut_path(&self, change: &Change) -> Option<(Ipv4Net, Failure)> {
        if !matches!(change.action, Action::Update | Action::Adopt) {
            return None;
        }
        let (gap, prefix) = self.of_all(change).or_else(|| self.of_single(change))?;
        let message = format!(
            "it is unknown whether workers use {prefix}, which {} would lose: {} could not be read",
            change.address,
            gap.subject()
        );
        Some((prefix, gap.failure.clone().within(message)))
    }

    fn of_all(&self, change: &Change) -> Option<(&Gap, Ipv4Net)> {
        let gap = self.all?;
        Some((gap, withdrawn(change).into_iter().next()?))
    }

    fn of_single(&self, change: &Change) -> Option<(&Gap, Ipv4Net)> {
        self.single.values().find_map(|(gap, place)| {
            let prefix = match place {
                Some(place) => place.prefixes().find(|it| leads_elsewhere(change, it)),
                None => withdrawn(change).into_iter().next(),
            };
            Some((*gap, prefix?))
        })
    }

    /// Why an object is not deleted until the Nodes can be read.
    fn needed(&self, change: &Change) -> Option<Failure> {
        if change.action != Action::Delete {
            return None;
        }
        let name = change.key.name();
        let (gap, what) = match change.address.kind {
            // The record of a worker holds its protection, too.
            Kind::Server | Kind::CiliumNode => {
                let of_single = self.single.get(name).map(|(gap, _)| *gap);
                (of_single.or(self.all)?, format!("whether worker {name} still runs"))
            }
            _ if is_router(change) => {
                (self.behind(&change.address.site)?, format!("which workers router {name} serves"))
            }
            _ => return None,
        };
        let message = format!("it is unknown {what}: {} could not be read", gap.subject());
        Some(gap.failure.clone().within(message))
    }

    /// Why it is unknown which workers are behind the router of a site.
    fn behind(&self, site: &Site) -> Option<&Gap> {
        let is_at = |place: &Option<WorkerPlace>| {
            place.as_ref().and_then(|it| it.site.as_ref()).is_none_or(|it| it == site)
        };
        let of_single = self.single.values().find(|(_, place)| is_at(place));
        self.all.or_else(|| of_single.map(|(gap, _)| *gap))
    }
}

/// Whether a change is about a machine, host or device that leads to a datacenter's workers.
fn is_router(change: &Change) -> bool {
    change.address.site != Site::Cluster
        && match &change.before {
            Some(Resource::VirtualMachine(machine)) => machine.role == MachineRole::Router,
            _ => matches!(change.address.kind, Kind::TailnetDevice | Kind::RouterHost),
        }
}

impl WorkerPlace {
    fn prefixes(&self) -> impl Iterator<Item = Ipv4Net> {
        self.ip.map(Ipv4Net::from).into_iter().chain(self.pod_cidr)
    }
}

/// The place that the Server of a worker records.
fn recorded_place(input: Comparison<'_>, worker: &str) -> Option<WorkerPlace> {
    let (_, observed) = input
        .inventory
        .iter()
        .find(|(key, it)| it.resource.kind() == Kind::Server && key.name() == worker)?;
    let Resource::Manifest(server) = &observed.resource else { return None };
    let spec = &server.body["spec"];
    let place = WorkerPlace {
        site: observed.site(),
        ip: spec["ipAddress"].as_str().and_then(|text| text.parse().ok()),
        pod_cidr: spec["podCIDR"].as_str().and_then(|text| text.parse().ok()),
    };
    (place.ip.is_some() && place.pod_cidr.is_some()).then_some(place)
}
