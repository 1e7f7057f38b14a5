//! Routers that come back into the tailnet with the plan: their hosts could not be read, and work
//! behind them follows in a later iteration of the same apply.

use std::collections::BTreeMap;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::{Action, Blocked, Change, Deferred};
use crate::resource::{Address, Kind};

/// The device of an unread router that the plan brings back into the tailnet.
pub(super) fn device_of(
    router: &Address,
    reason: &ResourceDecision,
    decisions: &ResourceDecisions,
) -> Option<Address> {
    let is_unread = matches!(reason, ResourceDecision::Unreadable(_));
    if !is_unread || router.kind != Kind::RouterHost {
        return None;
    }
    let device = Address { kind: Kind::TailnetDevice, ..router.clone() };
    let Some(ResourceDecision::Change(change)) = decisions.get(&device) else { return None };
    let returns = |path: &str| matches!(path, "authorized" | "key_expiry_disabled" | "online");
    let returns = change.fields().iter().any(|field| returns(&field.path.to_string()));
    (change.action == Action::Update && returns).then_some(device)
}

/// Work on a worker's host that follows once its router is back. A worker that leaves its place
/// is not drained before its machine without the router, so that it stays for now.
pub(super) fn until_restored(device: Address, change: &Change) -> Option<ResourceDecision> {
    let is_work = change.address.kind == Kind::Worker
        && matches!(change.action, Action::Create | Action::Update);
    is_work.then(|| {
        let reason = &change.planned_because_of;
        let deferred = Deferred::new(change.address.clone(), change.action, reason);
        let fields = change.fields().into_owned();
        ResourceDecision::from(Deferred { waits_for: vec![device], fields, ..deferred })
    })
}

/// Defers what is blocked only because such a router could not be read: nothing of it is done
/// before the router is back.
pub(super) fn defer_blocked(decisions: &mut ResourceDecisions) {
    let unread = decisions.iter().filter_map(|(address, decision)| {
        Some((address.clone(), device_of(address, decision, decisions)?))
    });
    let mut awaited: BTreeMap<Address, Address> = unread.collect();
    loop {
        let waiting = decisions.iter().filter_map(|(address, decision)| match decision {
            ResourceDecision::Blocked(blocked) => {
                let device = awaited.get(blocked.caused_by.as_ref()?)?;
                Some((address.clone(), device.clone(), (**blocked).clone()))
            }
            _ => None,
        });
        let waiting: Vec<(Address, Address, Blocked)> = waiting.collect();
        if waiting.is_empty() {
            break;
        }
        for (address, device, blocked) in waiting {
            let deferred = Deferred {
                waits_for: vec![device.clone()],
                fields: blocked.fields,
                ..Deferred::new(address.clone(), blocked.action, blocked.planned_because_of)
            };
            awaited.insert(address.clone(), device);
            decisions.insert(address, deferred.into());
        }
    }
}

/// Defers the changes of such a router's host if the plan changes paths or workers: it cannot be
/// compared before, and may lack routes.
pub(super) fn defer_hosts(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let is_path = |address: &Address| {
        matches!(
            address.kind,
            Kind::RouterHost
                | Kind::RouteTable
                | Kind::AdvertisedRoutes
                | Kind::Worker
                | Kind::ManagedCluster
        )
    };
    let changes = |(address, decision): (&Address, &ResourceDecision)| {
        is_path(address)
            && matches!(decision, ResourceDecision::Change(_) | ResourceDecision::Deferred(_))
    };
    if !decisions.iter().any(changes) {
        return;
    }
    let unread = decisions.iter().filter_map(|(address, decision)| {
        Some((address.clone(), device_of(address, decision, decisions)?))
    });
    let unread: Vec<(Address, Address)> = unread.collect();
    for (router, device) in unread {
        let Some(desired) = input.desired.get(&router) else { continue };
        let reason = &desired.planned_because_of;
        let later = Deferred::new(router.clone(), Action::Update, reason);
        let later = Deferred { waits_for: vec![device], is_conditional: true, ..later };
        decisions.insert(router, later.into());
    }
}
