//! A datacenter cannot change between VMs and machines that exist already: the machines
//! of the one kind would go before those of the other serve, under the same names.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::{Blocked, Deferred};
use crate::diagnostics::{Code, Failure};
use crate::resource::kubernetes::ManifestKind;
use crate::resource::{Address, Kind, Resource, Site};

/// Blocks all changes on a site whose datacenter changes its kind.
pub(super) fn refuse(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let changed = changed_sites(input);
    if changed.is_empty() {
        return;
    }
    for (address, decision) in decisions.iter_mut() {
        let old_site = match decision {
            ResourceDecision::Change(change) => change.old_site(),
            _ => None,
        };
        let of_site = |site: &Site| changed.get_key_value(site);
        let found = of_site(&address.site).or_else(|| old_site.as_ref().and_then(of_site));
        let Some((site, cause)) = found else { continue };
        let caused_by = (address != cause).then(|| cause.clone());
        let failure = failure(site);
        match decision {
            ResourceDecision::Change(change) => {
                *decision = blocked_for(change, failure, caused_by).into();
            }
            ResourceDecision::Deferred(deferred) => {
                *decision = blocked_deferred(deferred, failure, caused_by).into();
            }
            _ => {}
        }
    }
}

/// Sites whose datacenter changes its kind, with the resource that the error names.
fn changed_sites(input: Comparison<'_>) -> BTreeMap<Site, Address> {
    let mut changed = BTreeMap::new();
    let mut networks = None;
    for desired in input.desired.iter().filter(|it| it.address.kind == Kind::Server) {
        let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
        let live = observed.filter(|it| it.site().as_ref() == Some(&desired.address.site));
        let was_existing = live.and_then(|it| is_existing(&it.resource));
        let mut is_vnet_left = || {
            let sites = networks.get_or_insert_with(|| sites_with_network(input));
            sites.contains(&desired.address.site)
        };
        let becomes_existing = is_existing(&desired.resource);
        let changes = match (was_existing, becomes_existing) {
            (Some(was), Some(becomes)) => was != becomes,
            // Without a Server, the network of the VMs shows the former kind.
            (None, Some(true)) => is_vnet_left(),
            _ => false,
        };
        if changes {
            changed.entry(desired.address.site.clone()).or_insert(desired.address.clone());
        }
    }
    changed
}

/// Whether a Server describes a machine that existed before.
fn is_existing(resource: &Resource) -> Option<bool> {
    let Resource::Manifest(manifest) = resource else { return None };
    let provider = manifest.body["spec"]["provider"].as_str()?;
    (manifest.kind == ManifestKind::Server).then_some(provider == "existing")
}

/// The sites on which the topology owns a virtual network.
fn sites_with_network(input: Comparison<'_>) -> BTreeSet<Site> {
    let networks = input
        .inventory
        .iter()
        .filter(|(_, observed)| observed.resource.kind() == Kind::VirtualNetwork);
    networks.filter_map(|(_, observed)| observed.site()).collect()
}

fn failure(site: &Site) -> Failure {
    Failure::new(
        Code::ReplacementNotRequested,
        format!(
            "datacenter {site} cannot change between VMs and existing machines in place: its \
             machines would be removed before the new ones are ready"
        ),
        format!(
            "undo the edit; to migrate, add the new machines as another datacenter, apply, then \
             remove [datacenters.{site}] and apply again"
        ),
    )
}

/// A deferred change that cannot be made.
pub(super) fn blocked_deferred(
    deferred: &Deferred,
    failure: Failure,
    caused_by: Option<Address>,
) -> Blocked {
    Blocked {
        address: deferred.address.clone(),
        action: deferred.action,
        fields: deferred.fields.clone(),
        failure,
        caused_by,
        planned_because_of: deferred.planned_because_of.clone(),
    }
}
