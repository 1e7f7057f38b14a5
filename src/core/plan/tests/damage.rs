//! Changes of live state that other programs make.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::Index;

use super::live_state::LiveState;
use crate::resource::azure::{NextHop, Provisioning};
use crate::resource::{ObjectKey, Pending, Resource};

/// A change of an object by another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// It is deleted, with everything that is deleted with it.
    Gone,
    /// A field that can be changed in place has another value.
    Changed,
    /// A field that cannot be changed in place has another value.
    Moved,
}

pub(super) fn damages() -> impl Strategy<Value = Vec<(Index, Damage)>> {
    let damage = prop_oneof![Just(Damage::Gone), Just(Damage::Changed), Just(Damage::Moved)];
    prop::collection::vec((any::<Index>(), damage), 0..6)
}

pub(super) fn strike(live_state: &mut LiveState, damages: &[(Index, Damage)]) {
    for (index, damage) in damages {
        let Some(key) = nth(live_state, *index, |_| true) else { return };
        match damage {
            Damage::Gone => live_state.take_away(&key),
            Damage::Changed => change(live_state, &key),
            Damage::Moved => relocate(live_state, &key),
        }
    }
}

/// One of the objects that the topology owns.
pub(super) fn nth(
    live_state: &LiveState,
    index: Index,
    fits: impl Fn(&Resource) -> bool,
) -> Option<ObjectKey> {
    let keys: Vec<&ObjectKey> = live_state
        .ours()
        .into_iter()
        .filter(|key| fits(&live_state.objects[*key].resource))
        .collect();
    (!keys.is_empty()).then(|| keys[index.index(keys.len())].clone())
}

fn change(live_state: &mut LiveState, key: &ObjectKey) {
    let Some(observed) = live_state.objects.get_mut(key) else { return };
    match &mut observed.resource {
        Resource::RouteTable(table) => {
            let wrong = ("192.0.2.0/24".parse().unwrap(), NextHop::Internet);
            table.routes = Pending::Known(BTreeMap::from([wrong]));
        }
        Resource::NetworkInterface(interface) => interface.ip_forwarding = false,
        Resource::VirtualMachine(machine) => machine.provisioning = Provisioning::Failed,
        Resource::Subnet(subnet) => subnet.route_table = None,
        Resource::NetworkSecurityGroup(group) => group.rules.clear(),
        Resource::ApprovedRoutes(routes) | Resource::AdvertisedRoutes(routes) => {
            routes.prefixes = Pending::Known(BTreeSet::new());
        }
        Resource::Worker(worker) => worker.ready = false,
        Resource::RouterHost(host) => host.masquerade = !host.masquerade,
        Resource::Manifest(manifest) => {
            manifest.body = serde_json::json!({"spec": {"odd": 1}}).into();
        }
        Resource::TailnetDevice(device) => device.authorized = false,
        _ => {}
    }
}

fn relocate(live_state: &mut LiveState, key: &ObjectKey) {
    let Some(observed) = live_state.objects.get_mut(key) else { return };
    let elsewhere = || "elsewhere".to_owned();
    match &mut observed.resource {
        Resource::ResourceGroup(it) => it.location = elsewhere(),
        Resource::ManagedCluster(it) => it.network_plugin = elsewhere(),
        Resource::VirtualNetwork(it) => it.location = elsewhere(),
        Resource::RouteTable(it) => it.location = elsewhere(),
        Resource::NetworkSecurityGroup(it) => it.location = elsewhere(),
        Resource::PublicIpAddress(it) => it.location = elsewhere(),
        Resource::NatGateway(it) => it.location = elsewhere(),
        Resource::NetworkInterface(it) => it.location = elsewhere(),
        Resource::VirtualMachine(it) => it.location = elsewhere(),
        Resource::Subnet(it) => it.address_prefix = "10.99.0.0/24".parse().unwrap(),
        Resource::Worker(it) => it.provider_id = elsewhere(),
        _ => {}
    }
}
