//! Routers of existing machines whose `ip` in the topology is not an address of the host.
//!
//! The topology alone says where such a router is in its network; in Azure the network
//! interface does. Workers send their packets to that address, while SSH reaches the router
//! through the tailnet and does not depend on it.

use std::collections::BTreeMap;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::site_kind::blocked_deferred;
use super::{Action, Blocked};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::resource::{Address, Kind, Site};
use crate::topology::model::{Datacenter, Topology};

/// The routers that do not have their address, with the reason.
pub(super) fn misplaced(topology: &Topology, inventory: &Inventory) -> BTreeMap<Address, Failure> {
    let existing = topology.datacenters.iter().filter(|it| it.is_existing());
    existing.filter_map(|datacenter| refusal(datacenter, inventory)).collect()
}

fn refusal(datacenter: &Datacenter, inventory: &Inventory) -> Option<(Address, Failure)> {
    let router = &datacenter.router;
    let name = router.name.as_str();
    let found = inventory.router_interfaces.get(name)?;
    if found.contains(&router.ip) {
        return None;
    }
    let site = Site::Datacenter(datacenter.name.clone());
    let all: Vec<String> = found.iter().map(ToString::to_string).collect();
    let actual = match &all[..] {
        [] => "no address".to_owned(),
        [one] => one.clone(),
        all => all.join(", "),
    };
    let message = format!(
        "{name} has {actual}, and not {}, to which the workers of {} send their packets: they \
         would be dropped before {name}",
        router.ip, datacenter.name
    );
    let network = datacenter.network();
    let remedy = match found.iter().find(|address| network.contains(*address)) {
        Some(address) => format!(
            "set `ip = \"{address}\"` in [datacenters.{}.router]; or give the machine the address \
             {}, and run the same command again",
            datacenter.name, router.ip
        ),
        None => format!("give the machine the address {} in {network}", router.ip),
    };
    let failure = Failure::new(Code::RouterAddress, message, remedy);
    Some((Address::new(Kind::RouterHost, site, name), failure))
}

/// Blocks these routers; what depends on them waits.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    for (address, failure) in input.misplaced_routers {
        let (Some(decision), Some(desired)) =
            (decisions.get_mut(address), input.desired.get(address))
        else {
            continue;
        };
        let failure = failure.clone();
        let blocked = match decision {
            ResourceDecision::Unchanged => Blocked {
                address: address.clone(),
                action: Action::Update,
                fields: Vec::new(),
                failure,
                caused_by: None,
                planned_because_of: desired.planned_because_of.clone(),
            },
            ResourceDecision::Change(change) => blocked_for(change, failure, None),
            ResourceDecision::Deferred(deferred) => blocked_deferred(deferred, failure, None),
            ResourceDecision::Unreadable(_) | ResourceDecision::Blocked(_) => continue,
        };
        *decision = blocked.into();
    }
}
