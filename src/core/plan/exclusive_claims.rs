//! Places that only one object can hold at a time: a private address in a
//! subnet, a range in a virtual network, a destination in a route table, a range of pods, the machine of a worker, a router's name in
//! the tailnet.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{Action, Change};
use crate::net::prefix::overlaps;
use crate::net::range_index::RangeIndex;
use crate::resource::azure::MachineRole;
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, ArmId, ObjectKey, Resource};

/// The places that a plan's deletions and replacements give up.
pub(super) struct Claims<'a> {
    /// By subnet and address.
    interfaces: BTreeMap<(&'a ArmId, Ipv4Addr), &'a Change>,
    /// The ranges of subnets, by their network.
    subnets: BTreeMap<ArmId, Vec<(Ipv4Net, &'a Change)>>,
    /// The routes of a table, by their destination.
    routes: BTreeMap<(ArmId, Ipv4Net), &'a Change>,
    /// The ranges of workers' pods.
    pods: RangeIndex<&'a Change>,
    /// Workers that leave their machines, by the machine's address.
    hosts: BTreeMap<Ipv4Addr, &'a Change>,
    /// The machines of routers that leave for good, by their names in the tailnet.
    machines: BTreeMap<&'a str, &'a Change>,
}

impl<'a> Claims<'a> {
    /// Indexes the claims that deletions and replacements release.
    pub(super) fn of(changes: &[&'a Change]) -> Self {
        let mut claims = Self {
            interfaces: BTreeMap::new(),
            subnets: BTreeMap::new(),
            routes: BTreeMap::new(),
            pods: RangeIndex::default(),
            hosts: BTreeMap::new(),
            machines: BTreeMap::new(),
        };
        let goes = |change: &&&Change| matches!(change.action, Action::Delete | Action::Replace);
        for change in changes.iter().filter(goes).copied() {
            match (&change.before, &change.key) {
                (Some(Resource::NetworkInterface(interface)), _) => {
                    if let Some(subnet) = interface.subnet.known() {
                        claims.interfaces.insert((subnet, interface.private_ip), change);
                    }
                }
                (Some(Resource::Subnet(subnet)), ObjectKey::Azure(id)) => {
                    if let Some(network) = id.parent() {
                        let held = claims.subnets.entry(network).or_default();
                        held.push((subnet.address_prefix, change));
                    }
                }
                (Some(Resource::Route(route)), ObjectKey::Azure(id)) => {
                    if let Some(table) = id.parent() {
                        claims.routes.insert((table, route.address_prefix), change);
                    }
                }
                (Some(Resource::Worker(worker)), _) => {
                    claims.hosts.insert(worker.ip, change);
                    if worker.pod_cidr != JoinedWorker::NO_POD_CIDR {
                        claims.pods.insert(worker.pod_cidr, change);
                    }
                }
                (Some(Resource::VirtualMachine(machine)), ObjectKey::Azure(id))
                    if change.action == Action::Delete && machine.role == MachineRole::Router =>
                {
                    claims.machines.insert(id.name(), change);
                }
                _ => {}
            }
        }
        claims
    }

    /// The changes that must release a claim of `change`: deletions first, then
    /// replacements.
    pub(super) fn released_for(&self, change: &Change) -> (Vec<&'a Address>, Vec<&'a Address>) {
        let holders = match (&change.after, &change.key) {
            (Some(Resource::NetworkInterface(interface)), _) => {
                let place = interface.subnet.known().map(|subnet| (subnet, interface.private_ip));
                place.and_then(|place| self.interfaces.get(&place)).copied().into_iter().collect()
            }
            (Some(Resource::Subnet(subnet)), ObjectKey::Azure(id)) => {
                self.subnets_in(id.parent(), |range| overlaps(range, &subnet.address_prefix))
            }
            (Some(Resource::Route(route)), ObjectKey::Azure(id)) => {
                let place = id.parent().map(|table| (table, route.address_prefix));
                place.and_then(|place| self.routes.get(&place)).copied().into_iter().collect()
            }
            (Some(Resource::Worker(worker)), _) => {
                let pods = self.pods.overlapping(&worker.pod_cidr).map(|(_, holder)| *holder);
                pods.chain(self.hosts.get(&worker.ip).copied()).collect()
            }
            (Some(Resource::VirtualMachine(machine)), ObjectKey::Azure(id))
                if machine.role == MachineRole::Router =>
            {
                self.machines.get(id.name()).copied().into_iter().collect()
            }
            // A network can release a range only when it contains no subnet.
            (Some(Resource::VirtualNetwork(network)), ObjectKey::Azure(id)) => {
                let stays =
                    |range: &Ipv4Net| network.address_prefixes.iter().any(|it| it.contains(range));
                self.subnets_in(Some(id.clone()), |range| !stays(range))
            }
            _ => Vec::new(),
        };
        let others = holders.into_iter().filter(|holder| holder.address != change.address);
        let (leaving, moving): (Vec<&'a Change>, Vec<&'a Change>) =
            others.partition(|holder| holder.action == Action::Delete);
        let addresses =
            |changes: Vec<&'a Change>| changes.into_iter().map(|it| &it.address).collect();
        (addresses(leaving), addresses(moving))
    }

    fn subnets_in(
        &self,
        network: Option<ArmId>,
        is_in_the_way: impl Fn(&Ipv4Net) -> bool,
    ) -> Vec<&'a Change> {
        let held = network.and_then(|network| self.subnets.get(&network)).into_iter().flatten();
        held.filter(|(range, _)| is_in_the_way(range)).map(|(_, change)| *change).collect()
    }
}
