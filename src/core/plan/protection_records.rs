//! Protection that is recorded on objects: it holds after its block left the topology,
//! until an apply removes the record.

use std::collections::BTreeMap;

use super::decision::Comparison;
use super::protection::{blocked, blocked_for};
use super::{Action, Blocked, Change};
use crate::desired::names::machine_of;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Observed;
use crate::resource::protection::{PROTECT_ANNOTATION, PROTECT_TAG, protected_site};
use crate::resource::{Address, Kind, ObjectKey, Site};

/// The protection records on the objects of a topology, and the objects that share them.
pub(super) struct ProtectionRecords<'a> {
    /// The block by the site of which it protects everything.
    sites: BTreeMap<Site, &'a str>,
    /// The carrier by the name of its machine.
    machines: BTreeMap<&'a str, Carrier<'a>>,
    input: Comparison<'a>,
}

/// An object with a record.
#[derive(Clone, Copy)]
struct Carrier<'a> {
    key: &'a ObjectKey,
    observed: &'a Observed,
    block: &'a str,
}

impl<'a> ProtectionRecords<'a> {
    pub(super) fn of(input: Comparison<'a>) -> Self {
        let carriers = input.inventory.iter().filter_map(|(key, observed)| {
            let block = observed.resource.protected_by()?;
            (!observed.ownership.is_foreign()).then_some(Carrier { key, observed, block })
        });
        let mut records = Self { sites: BTreeMap::new(), machines: BTreeMap::new(), input };
        for carrier in carriers {
            if let Some(site) = protected_site(carrier.block).filter(|_| !records.lifts(carrier)) {
                records.sites.insert(site, carrier.block);
            }
            if let Some(machine) = machine(carrier.observed.resource.kind(), carrier.key.name())
                && !(records.lifts(carrier) && records.machines.contains_key(machine))
            {
                records.machines.insert(machine, carrier);
            }
        }
        records
    }

    /// Whether the topology has the block without `protect = true`. A destroy lifts
    /// nothing: an apply must have removed the record before.
    fn lifts(&self, carrier: Carrier<'_>) -> bool {
        !self.input.desired.is_empty() && self.input.protected.lifts(carrier.block)
    }

    /// The block that replaces a deletion or replacement, if a record forbids that.
    pub(super) fn refuse(&self, change: &Change) -> Option<Blocked> {
        let observed = self.input.inventory.get(&change.key)?;
        if let Some(block) = observed.resource.protected_by() {
            return self.keep_carrier(change, Carrier { key: &change.key, observed, block });
        }
        self.keep_part_of_site(change).or_else(|| self.keep_part_of_machine(change))
    }

    fn keep_carrier(&self, change: &Change, carrier: Carrier<'_>) -> Option<Blocked> {
        if self.lifts(carrier) && !change.requested {
            return None;
        }
        let reason = format!(
            "its {} is blocked: {} is recorded on it",
            deletion(change),
            protection(carrier.block)
        );
        Some(blocked(change, Failure::new(Code::Protected, reason, self.remedy(carrier))))
    }

    /// Notes on a change that ends an object with a record that the topology lifts it.
    pub(super) fn note_lift(&self, change: &mut Change) {
        let observed = self.input.inventory.get(&change.key);
        let Some(block) = observed.and_then(|it| it.resource.protected_by()) else { return };
        if change.lifts_protection {
            return;
        }
        change.lifts_protection = true;
        let reason = &mut change.planned_because_of;
        *reason = format!("{reason}; [{block}] has no `protect = true` any more");
    }

    /// Blocks the deletion of an object without a record on a protected site. The cluster's
    /// Kubernetes objects can be recreated and may be deleted.
    fn keep_part_of_site(&self, change: &Change) -> Option<Blocked> {
        let Address { kind, site, .. } = &change.address;
        let sites = [change.old_site(), Some(site.clone())];
        let is_part = |site: &Site| *site != Site::Cluster || !kind.is_kubernetes();
        let mut blocks = sites.into_iter().flatten().filter(is_part);
        let block = blocks.find_map(|site| self.sites.get(&site))?;
        let reason = format!(
            "its {} is blocked: it is part of [{block}], whose protection is recorded",
            deletion(change)
        );
        Some(blocked(change, Failure::new(Code::Protected, reason, lift_remedy(block))))
    }

    /// Blocks the deletion of an object without a record that belongs to a machine with
    /// one: the device of a router, the CiliumNode of a worker.
    fn keep_part_of_machine(&self, change: &Change) -> Option<Blocked> {
        let carrier = *self.machines.get(machine(change.address.kind, change.key.name())?)?;
        let (kind, name) = (carrier.observed.resource.kind(), carrier.key.name());
        let site = carrier.observed.site().unwrap_or_else(|| change.address.site.clone());
        let holder = Address::new(kind, site, name);
        if self.lifts(carrier) {
            return None;
        }
        let reason = format!(
            "its {} is blocked: it belongs to {holder}, on which {} is recorded",
            deletion(change),
            protection(carrier.block)
        );
        let failure = Failure::new(Code::Protected, reason, self.remedy(carrier));
        Some(blocked_for(change, failure, Some(holder)))
    }

    fn remedy(&self, carrier: Carrier<'_>) -> String {
        let block = carrier.block;
        if self.input.protected.lifts(block) {
            return format!(
                "run `stargate apply`, which removes the record because [{block}] has no \
                 `protect = true`; then run the same command again"
            );
        }
        if names_block(block) {
            return lift_remedy(block);
        }
        format!(
            "remove the mark from {} yourself (the tag `{PROTECT_TAG}` in Azure, the annotation \
             `{PROTECT_ANNOTATION}` in Kubernetes), then run the same command again",
            carrier.key.name()
        )
    }
}

/// Whether a record names a block of a topology. A mark that another
/// program wrote, such as `true`, protects as well.
fn names_block(record: &str) -> bool {
    record == "cluster" || record.starts_with("cluster.") || record.starts_with("datacenters.")
}

/// How a record is called.
fn protection(record: &str) -> String {
    match names_block(record) {
        true => format!("the protection by [{record}]"),
        false => format!("a protection (`{record}`)"),
    }
}

fn lift_remedy(block: &str) -> String {
    format!(
        "set `protect = false` in [{block}], with the block still in the topology, and run \
         `stargate apply`, which removes the record; then make this change again"
    )
}

fn deletion(change: &Change) -> &'static str {
    match change.action {
        Action::Delete => "deletion",
        _ => "replacement",
    }
}

/// The machine that an object represents, or is part of.
fn machine(kind: Kind, name: &str) -> Option<&str> {
    match kind {
        Kind::NetworkInterface => machine_of(name),
        Kind::VirtualMachine
        | Kind::TailnetDevice
        | Kind::AdvertisedRoutes
        | Kind::ApprovedRoutes
        | Kind::RouterHost
        | Kind::Worker
        | Kind::Server
        | Kind::CiliumNode => Some(name),
        _ => None,
    }
}
