//! A router that stays keeps its parts in the tailnet and the objects that record it.

use std::collections::BTreeMap;

use super::decision::{ResourceDecision, ResourceDecisions};
use super::present_routers::is_router_part;
use super::protection::blocked_for;
use super::{Action, Blocked};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind, Site};

/// Blocks the deletion of the device and of the routes in the tailnet of a router that
/// stays: they have no mark that names the site.
pub(super) fn keep_router_parts(decisions: &mut ResourceDecisions) {
    let machines: BTreeMap<String, (Address, Code)> = blocked_deletions(decisions)
        .filter(|it| it.address.kind == Kind::VirtualMachine)
        .map(|it| (it.address.name.to_string(), (it.address.clone(), it.failure.code)))
        .collect();
    for (address, decision) in decisions.iter_mut().filter(|_| !machines.is_empty()) {
        let ResourceDecision::Change(change) = decision else { continue };
        if !is_router_part(address.kind) || change.action != Action::Delete {
            continue;
        }
        let Some((machine, code)) = machines.get(change.key.name()) else { continue };
        let message = format!("it belongs to {machine}, which is kept");
        let failure = Failure::new(*code, message, format!("follow the help for {machine} first"));
        *decision = blocked_for(change, failure, Some(machine.clone())).into();
    }
}

fn blocked_deletions(decisions: &ResourceDecisions) -> impl Iterator<Item = &Blocked> {
    let blocked = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Blocked(blocked) => Some(&**blocked),
        _ => None,
    });
    blocked.filter(|blocked| blocked.action == Action::Delete)
}

/// Blocks the deletion of the Servers of a datacenter whose router stays although the
/// topology no longer lists it: they are the only record of that router.
pub(super) fn keep_records(decisions: &mut ResourceDecisions) {
    let routers: BTreeMap<Site, (Address, Code)> = blocked_deletions(decisions)
        .filter(|it| it.address.site != Site::Cluster)
        .filter(|it| matches!(it.address.kind, Kind::RouterHost | Kind::TailnetDevice))
        .map(|it| (it.address.site.clone(), (it.address.clone(), it.failure.code)))
        .collect();
    if routers.is_empty() {
        return;
    }
    for (address, decision) in decisions.iter_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        if address.kind != Kind::Server || change.action != Action::Delete {
            continue;
        }
        let Some((router, code)) = routers.get(&address.site) else { continue };
        let message = format!("it records {router}, which is kept");
        let failure = Failure::new(*code, message, format!("follow the help for {router} first"));
        *decision = blocked_for(change, failure, Some(router.clone())).into();
    }
}
