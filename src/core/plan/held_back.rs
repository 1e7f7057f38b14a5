//! Holds back changes while a part of the plan is blocked: nothing is created that costs
//! money or cannot work without the blocked part.

use std::collections::BTreeMap;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::site_kind::blocked_deferred;
use super::{Action, Blocked, Change, Deferred, versions};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, DataPlaneRole, Kind, ObjectKey, Site};

/// Blocks the changes that wait for a blocked cluster, for a blocked replacement on
/// their site, or, in a plan that destroys, for a protected resource.
pub(super) fn block_costly_changes(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let destroys = input.desired.is_empty();
    let causes = Causes::of(decisions, destroys);
    // Without a cause nothing waits: no change is looked at.
    for decision in decisions.values_mut().filter(|_| !causes.is_empty()) {
        match decision {
            // The user named it; it depends on nothing else in the plan.
            ResourceDecision::Change(change) if change.requested => {}
            ResourceDecision::Change(change) => {
                if let Some(cause) = causes.holding(change) {
                    *decision = waiting(change, cause, destroys).into();
                }
            }
            ResourceDecision::Deferred(deferred) if !destroys => {
                if let Some(cause) = causes.holding_deferred(deferred) {
                    *decision = deferred_waiting(deferred, &cause.address, cause.code);
                }
            }
            _ => {}
        }
    }
    while block_deferred(decisions) {}
}

/// Blocks deferred resources that wait for the value of a blocked one. Returns whether any
/// was blocked.
fn block_deferred(decisions: &mut ResourceDecisions) -> bool {
    let cause = |deferred: &Deferred| {
        deferred.waits_for.iter().find_map(|awaited| match decisions.get(awaited) {
            Some(ResourceDecision::Blocked(held)) if is_unavailable(held) => {
                let cause = held.caused_by.as_ref().unwrap_or(&held.address);
                Some((cause.clone(), held.failure.code))
            }
            _ => None,
        })
    };
    let blocked: Vec<(Address, ResourceDecision)> = decisions
        .values()
        .filter_map(|decision| match decision {
            ResourceDecision::Deferred(deferred) => {
                let (cause, code) = cause(deferred)?;
                Some((deferred.address.clone(), deferred_waiting(deferred, &cause, code)))
            }
            _ => None,
        })
        .collect();
    let any = !blocked.is_empty();
    decisions.extend(blocked);
    any
}

/// Whether the value that others wait for cannot come: the resource is neither there nor
/// does it only keep its version.
fn is_unavailable(held: &Blocked) -> bool {
    matches!(held.action, Action::Create | Action::Replace)
        && !versions::keeps_version(held.failure.code)
}

/// A change that only adds entries to a resource stays deferred, and the resource stays as
/// it is.
fn deferred_waiting(deferred: &Deferred, cause: &Address, code: Code) -> ResourceDecision {
    if deferred.is_follow_up() {
        return ResourceDecision::Unchanged;
    }
    blocked_deferred(deferred, until_resolved(cause, code), Some(cause.clone())).into()
}

/// A change that waits until a blocked resource is resolved.
pub(super) fn held_back_until(change: &Change, cause: &Address, code: Code) -> Blocked {
    blocked_for(change, until_resolved(cause, code), Some(cause.clone()))
}

/// The same for a deferred change.
pub(super) fn blocked_until(deferred: &Deferred, cause: &Address, code: Code) -> Blocked {
    blocked_deferred(deferred, until_resolved(cause, code), Some(cause.clone()))
}

fn until_resolved(cause: &Address, code: Code) -> Failure {
    Failure::new(
        code,
        format!("it waits for {cause}, which is blocked"),
        format!("follow the help for {cause} first"),
    )
}

/// A blocked change that others wait for.
struct Cause {
    address: Address,
    code: Code,
}

/// Blocked changes, indexed by the changes that wait for them.
struct Causes {
    /// Everything waits.
    of_everything: Option<Cause>,
    /// New objects in Azure wait.
    of_new_objects: Option<Cause>,
    /// Sites where new resources, and resources on the path of packets, wait.
    of_site: BTreeMap<Site, Cause>,
}

impl Causes {
    fn of(decisions: &ResourceDecisions, destroys: bool) -> Self {
        let mut causes =
            Self { of_everything: None, of_new_objects: None, of_site: BTreeMap::new() };
        for decision in decisions.values() {
            let ResourceDecision::Blocked(blocked) = decision else { continue };
            let (address, code) = (blocked.address.clone(), blocked.failure.code);
            let cause = || Cause { address: address.clone(), code };
            if destroys {
                // The protected resource itself is the better reason.
                let is_better = causes.of_everything.is_none() || blocked.caused_by.is_none();
                if code == Code::Protected && is_better {
                    causes.of_everything = Some(cause());
                }
                continue;
            }
            let is_kept = matches!(code, Code::Protected | Code::ReplacementNotRequested)
                && matches!(blocked.action, Action::Replace | Action::Delete);
            match (address.kind, blocked.action) {
                _ if code == Code::OwnedByOtherTopology && address.site == Site::Cluster => {
                    causes.of_everything.get_or_insert_with(cause);
                }
                _ if code == Code::OwnedByOtherTopology => {
                    causes.of_site.entry(address.site.clone()).or_insert_with(cause);
                }
                (Kind::ManagedCluster, Action::Create) => causes.of_everything = Some(cause()),
                (Kind::ManagedCluster, Action::Adopt) => causes.of_new_objects = Some(cause()),
                (Kind::ManagedCluster, _) if is_kept => causes.of_everything = Some(cause()),
                _ if is_kept && blocked.caused_by.is_none() => {
                    causes.of_site.insert(address.site.clone(), cause());
                }
                _ if is_kept => {
                    causes.of_site.entry(address.site.clone()).or_insert_with(cause);
                }
                _ => {}
            }
        }
        causes
    }

    fn is_empty(&self) -> bool {
        self.of_everything.is_none() && self.of_new_objects.is_none() && self.of_site.is_empty()
    }

    fn holding(&self, change: &Change) -> Option<&Cause> {
        if self.of_everything.is_some() {
            return self.of_everything.as_ref();
        }
        let is_new = matches!(change.action, Action::Create | Action::Replace | Action::Adopt);
        if let (Some(cause), true, ObjectKey::Azure(_)) =
            (&self.of_new_objects, is_new, &change.key)
        {
            return Some(cause);
        }
        let cause = self.of_site.get(&change.address.site)?;
        (is_new || is_on_path(change)).then_some(cause)
    }

    /// The cause that a deferred change waits for. A resource created on the site of a
    /// blocked replacement could not work.
    fn holding_deferred(&self, deferred: &Deferred) -> Option<&Cause> {
        let is_new = matches!(deferred.action, Action::Create | Action::Replace);
        let of_site = || self.of_site.get(&deferred.address.site).filter(|_| is_new);
        self.of_everything.as_ref().or_else(of_site)
    }
}

/// Whether an update could send packets to the destination of the blocked change, or
/// records that destination. A cluster is updated independently, and deletions leave
/// nothing to reach.
fn is_on_path(change: &Change) -> bool {
    let kind = change.address.kind;
    let is_part = kind.facts().role != DataPlaneRole::None || kind == Kind::Server;
    let is_update = change.action == Action::Update && !change.records_protection_only();
    is_update && kind != Kind::ManagedCluster && is_part
}

fn waiting(change: &Change, cause: &Cause, destroys: bool) -> Blocked {
    let Cause { address, code } = cause;
    let failure = if destroys {
        Failure::new(
            *code,
            format!("nothing is deleted while {address} is protected"),
            "set `protect = false` in its block and run `stargate apply`, which removes the \
             recorded protection, then run the same command again; or remove single blocks from \
             the topology and apply",
        )
    } else {
        until_resolved(address, *code)
    };
    blocked_for(change, failure, Some(address.clone()))
}
