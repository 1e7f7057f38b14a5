//! Workers that exchange addresses or pod CIDRs: all of them must be deleted before one of
//! them can be recreated, so they are disturbed at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::diff;
use super::exclusive_claims::Claims;
use super::protection::blocked_for;
use super::rollout::lasting_workers;
use super::succession::{Takeovers, cycles, takeovers, worker_of};
use super::{Action, Change, PlanContents};
use crate::desired::{DesiredResource, LaterIteration};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// Why each worker does not change.
pub(super) type Refused = BTreeMap<Address, Failure>;

/// Blocks the workers of each exchange that is wider than the rollout permits.
pub(super) fn refuse(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let replaced = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Change(change) if change.action == Action::Replace => Some(&**change),
        _ => None,
    });
    let staying: Vec<&Change> = replaced.filter(|change| can_stay(change)).collect();
    let refused = too_wide(input, exchanges(&staying));
    block(&refused, decisions);
}

/// The workers of exchanges in a later iteration that are wider than the rollout permits.
pub(super) fn refused_later(input: Comparison<'_>, iteration: &LaterIteration) -> Refused {
    let replaced = iteration.changed.iter().filter_map(|(before, after)| {
        let key = after.key.clone()?;
        let reason = &after.planned_because_of;
        let mut change = Change::new(after.address.clone(), key, Action::Replace, reason);
        change.before = Some(value_before(input.inventory, before.as_ref(), after)?.clone());
        change.after = Some(after.resource.clone());
        Some(change)
    });
    let replaced: Vec<Change> = replaced.filter(is_replaced).collect();
    let replaced: Vec<&Change> = replaced.iter().collect();
    // Nothing orders or refuses the rest of an exchange before its iteration comes.
    let staying: BTreeSet<Address> = staying(&replaced).collect();
    let exchanges = exchanges(&replaced).into_iter();
    let exchanges = exchanges.map(|workers| workers.intersection(&staying).cloned().collect());
    too_wide(input, exchanges.collect())
}

/// Whether a change of a worker or of its interface needs a replacement.
fn is_replaced(change: &Change) -> bool {
    let fields = change.before.as_ref().zip(change.after.as_ref());
    let fields = fields.map(|(before, after)| diff::between(before, after));
    worker_of(&change.address).is_some()
        && fields.is_some_and(|fields| fields.iter().any(|field| field.forces_replacement))
}

/// The workers that could stay in their places.
fn staying(replaced: &[&Change]) -> impl Iterator<Item = Address> {
    replaced.iter().filter(|change| can_stay(change)).filter_map(|it| worker_of(&it.address))
}

/// The value of an object before a later iteration. Objects of a worker that joins then may exist
/// already: they stay until then.
pub(super) fn value_before<'a>(
    inventory: &'a Inventory,
    before: Option<&'a Arc<DesiredResource>>,
    after: &DesiredResource,
) -> Option<&'a Resource> {
    let observed = || inventory.get(after.key.as_ref()?).map(|observed| &observed.resource);
    before.map(|before| &before.resource).or_else(observed)
}

/// Why a plan is refused in which more workers of a site wait for each other to leave than the
/// rollout permits: one takes the range of another one, which takes its address, or the routes to
/// their ranges are changed by one update.
pub(super) fn in_plan(input: Comparison<'_>, plan: &PlanContents) -> Option<Failure> {
    let cycles = cycles(&takeovers(&plan.changes));
    if cycles.is_empty() {
        return None;
    }
    let replaced = || plan.changes.iter().filter(|it| it.action == Action::Replace);
    let is_subnet = |change: &&Change| change.address.kind == Kind::Subnet;
    let subnets: BTreeSet<&ObjectKey> = replaced().filter(is_subnet).map(|it| &it.key).collect();
    let has_subnet = |change: &&Change| !subnet(change).is_some_and(|it| subnets.contains(&it));
    let staying = replaced().filter(|change| can_stay(change)).filter(has_subnet);
    let staying: BTreeSet<Address> = staying.filter_map(|it| worker_of(&it.address)).collect();
    let mut exchanges = cycles.iter().map(|cycle| cycle.intersection(&staying).cloned().collect());
    let sizes = lasting_workers(input);
    exchanges.find_map(|workers| wide(input, &sizes, &workers))
}

/// The subnet of an interface.
fn subnet(change: &Change) -> Option<ObjectKey> {
    let Some(Resource::NetworkInterface(interface)) = &change.before else { return None };
    interface.subnet.known().cloned().map(ObjectKey::Azure)
}

fn too_wide(input: Comparison<'_>, exchanges: Vec<BTreeSet<Address>>) -> Refused {
    let mut refused = Refused::new();
    if exchanges.is_empty() {
        return refused;
    }
    let sizes = lasting_workers(input);
    for workers in exchanges {
        let Some(failure) = wide(input, &sizes, &workers) else { continue };
        refused.extend(workers.into_iter().map(|worker| (worker, failure.clone())));
    }
    refused
}

/// Why workers do not exchange places, if more of a site would than the rollout permits.
fn wide(
    input: Comparison<'_>,
    sizes: &BTreeMap<Site, usize>,
    workers: &BTreeSet<Address>,
) -> Option<Failure> {
    workers.iter().find_map(|worker| {
        let on_site = workers.iter().filter(|other| other.site == worker.site).count();
        let size = sizes.get(&worker.site).copied().unwrap_or_default();
        let width = input.rollout.width.of(size).max(1);
        (on_site > width as usize).then(|| failure(worker, workers, width))
    })
}

/// Blocks every change of these workers and of their machines.
fn block(refused: &Refused, decisions: &mut ResourceDecisions) {
    for (address, decision) in decisions.iter_mut().filter(|_| !refused.is_empty()) {
        let Some((worker, failure)) = refusal(refused, address) else { continue };
        let ResourceDecision::Change(change) = decision else { continue };
        let cause = (address != worker).then(|| worker.clone());
        *decision = blocked_for(change, failure.clone(), cause).into();
    }
}

/// The refused worker that a resource is a part of, with the reason.
pub(super) fn refusal<'a>(
    refused: &'a Refused,
    address: &Address,
) -> Option<(&'a Address, &'a Failure)> {
    let is_part = matches!(
        address.kind,
        Kind::Worker
            | Kind::CiliumNode
            | Kind::Server
            | Kind::VirtualMachine
            | Kind::NetworkInterface
    );
    let worker =
        worker_of(address).unwrap_or_else(|| Address { kind: Kind::Worker, ..address.clone() });
    refused.get_key_value(&worker).filter(|_| is_part)
}

/// The workers of each exchange among replacements.
fn exchanges(replaced: &[&Change]) -> Vec<BTreeSet<Address>> {
    if replaced.len() < 2 {
        return Vec::new();
    }
    let claims = Claims::of(replaced);
    let mut takeovers = Takeovers::new();
    for change in replaced {
        let (_, moving) = claims.released_for(change);
        let alike = moving.into_iter().filter(|other| other.kind == change.address.kind);
        let others: BTreeSet<Address> = alike.filter_map(worker_of).collect();
        if let Some(worker) = worker_of(&change.address).filter(|_| !others.is_empty()) {
            takeovers.entry(worker).or_default().extend(others);
        }
    }
    cycles(&takeovers)
}

/// Whether the object could stay: an interface with another address in its subnet, or a
/// worker with another pod CIDR on its machine. A machine to which its operator gave
/// another address is at its destination already.
fn can_stay(change: &Change) -> bool {
    match (&change.before, &change.after) {
        (Some(Resource::NetworkInterface(before)), Some(Resource::NetworkInterface(after))) => {
            before.subnet == after.subnet && before.private_ip != after.private_ip
        }
        (Some(Resource::Worker(before)), Some(Resource::Worker(after))) => {
            change.moves_from().is_none()
                && before.ip == after.ip
                && before.pod_cidr != after.pod_cidr
        }
        _ => false,
    }
}

fn failure(worker: &Address, workers: &BTreeSet<Address>, width: u32) -> Failure {
    let names: Vec<&str> = workers.iter().map(|it| it.name.as_str()).collect();
    let count = names.len();
    let name = &worker.name;
    Failure::new(
        Code::AddressExchange,
        format!(
            "{} exchange their addresses or pod CIDRs: all {count} would be deleted before one of \
             them can be created again, and `[rollout] width` permits {width} at a time",
            names.join(", ")
        ),
        format!(
            "give {name} an address and a pod CIDR that no worker has and apply, then its \
             intended ones and apply again; or set `width = {count}` under `[rollout]`"
        ),
    )
}
