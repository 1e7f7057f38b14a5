//! What a plan does not do while a part of it is blocked: nothing that costs money or
//! cannot work without the blocked part.

use std::collections::BTreeMap;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::{Action, Blocked, Change};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, DataPlaneRole, Kind, ObjectKey, Site};

/// Blocks the changes that wait for a blocked cluster, for a blocked replacement on
/// their site, or, in a plan that destroys, for a protected resource.
pub(super) fn block_costly_changes(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let destroys = input.desired.is_empty();
    let causes = Causes::of(decisions, destroys);
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        // The user asked for it by name; it needs nothing else of the plan.
        if change.requested {
            continue;
        }
        if let Some(cause) = causes.holding(change) {
            *decision = waiting(change, cause, destroys).into();
        }
    }
}

/// A blocked change that others wait for.
struct Cause {
    address: Address,
    code: Code,
}

/// Blocked changes by what waits for them.
struct Causes {
    /// Everything waits.
    of_everything: Option<Cause>,
    /// New objects in Azure wait.
    of_new_objects: Option<Cause>,
    /// What packets depend on waits, and what is new.
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
}

/// Whether an update could send packets to where the blocked change would have put
/// something, or records where it is. A cluster is updated by itself, and deletions
/// leave nothing to reach.
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
            "write `protect = false` into its block and run `stargate apply`, which removes the \
             recorded protection, then run the same command again; or remove single blocks from \
             the topology and apply",
        )
    } else {
        Failure::new(
            *code,
            format!("it waits for {address}, which is blocked"),
            format!("settle {address} first"),
        )
    };
    blocked_for(change, failure, Some(address.clone()))
}
