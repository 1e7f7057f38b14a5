//! Machines that existed before and get another address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::change::{Action, Change};
use super::held_prefixes::texts_of;
use super::withdrawal::sends_packets;
use crate::resource::{Kind, Resource};

/// Workers that leave an address for another one of the same datacenter.
///
/// Routes to the old addresses are withdrawn only when the hosts at the new ones were
/// probed: a machine that does not have its new address yet must not be cut off.
pub(super) struct Readdressed {
    /// The address that each leaves, with the place of its change.
    workers: Vec<(Ipv4Addr, usize)>,
}

impl Readdressed {
    pub(super) fn of(changes: &[Change]) -> Self {
        let machines: BTreeSet<_> = changes
            .iter()
            .filter(|change| change.address.kind == Kind::VirtualMachine)
            .map(|change| (&change.address.site, &change.address.name))
            .collect();
        let workers = changes.iter().enumerate().filter_map(|(place, change)| {
            let old = old_address(change)?;
            let has_machine = machines.contains(&(&change.address.site, &change.address.name));
            (!has_machine).then_some((old, place))
        });
        Self { workers: workers.collect() }
    }

    /// The places of the workers whose old addresses lose a route by this change.
    pub(super) fn cut_by(&self, change: &Change) -> Vec<usize> {
        let carries = change.action == Action::Update && sends_packets(change.address.kind);
        if !carries || self.workers.is_empty() {
            return Vec::new();
        }
        let texts = change.differences.iter().flat_map(texts_of);
        let prefixes: Vec<Ipv4Net> = texts.filter_map(|text| prefix(&text)).collect();
        let is_cut = |address: &Ipv4Addr| prefixes.iter().any(|prefix| prefix.contains(address));
        self.workers.iter().filter(|(old, _)| is_cut(old)).map(|(_, place)| *place).collect()
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
