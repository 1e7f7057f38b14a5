//! Machines that existed before and get another address.

use std::net::Ipv4Addr;

use foldhash::HashMap;
use ipnet::Ipv4Net;

use super::change::{Action, Change};
use super::held_prefixes::{sends_packets, texts_of};
use crate::resource::{Address, Kind, Resource};

/// Workers that leave an address for another one of the same datacenter.
///
/// Their new hosts are probed before they leave, and only then may routes to the old
/// addresses be withdrawn: a host that does not answer yet must not be cut off where it is.
#[derive(Debug, Default)]
pub(super) struct Readdressed<'a> {
    /// The workers, with the address that each leaves.
    workers: Vec<(Ipv4Addr, &'a Address)>,
}

impl<'a> Readdressed<'a> {
    pub(super) fn of(changes: &[&'a Change], by_address: &HashMap<&Address, &Change>) -> Self {
        let has_machine = |change: &Change| {
            let Address { site, name, .. } = change.address.clone();
            by_address.contains_key(&Address { kind: Kind::VirtualMachine, site, name })
        };
        let workers = changes.iter().filter_map(|change| {
            let old = old_address(change)?;
            (!has_machine(change)).then_some((old, &change.address))
        });
        Self { workers: workers.collect() }
    }

    /// The workers whose old addresses a change withdraws a route to.
    pub(super) fn cut_by(&self, change: &Change) -> Vec<&'a Address> {
        let carries = change.action == Action::Update && sends_packets(change.address.kind);
        if !carries || self.workers.is_empty() {
            return Vec::new();
        }
        let prefixes: Vec<Ipv4Net> =
            change.differences.iter().flat_map(texts_of).filter_map(|text| prefix(&text)).collect();
        let is_cut = |address: &Ipv4Addr| prefixes.iter().any(|prefix| prefix.contains(address));
        self.workers.iter().filter(|(old, _)| is_cut(old)).map(|(_, worker)| *worker).collect()
    }
}

fn prefix(text: &str) -> Option<Ipv4Net> {
    text.parse().ok().or_else(|| text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from))
}

/// The address that a worker leaves without leaving its datacenter.
fn old_address(change: &Change) -> Option<Ipv4Addr> {
    let (Some(Resource::Worker(before)), Some(Resource::Worker(after))) =
        (&change.before, &change.after)
    else {
        return None;
    };
    let stays = change.action == Action::Replace && change.moves_from().is_none();
    (stays && before.ip != after.ip).then_some(before.ip)
}
