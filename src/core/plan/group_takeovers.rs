//! Resource groups that the topology gives to another site than the one whose machines are in
//! them.
//!
//! The objects of a site have the same names in each group, so that a group with another site in
//! it looks as if only the ranges of its network had been edited.

use std::collections::BTreeSet;

use super::{Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Site};

/// An error for each site that would move into such a group.
pub(super) fn findings(desired: &DesiredSet, inventory: &Inventory) -> Vec<Finding> {
    let groups = desired.iter().filter(|it| it.address.kind == Kind::ResourceGroup);
    let taken: Vec<(&DesiredResource, &ArmId, Site)> =
        groups.filter_map(|group| taken_over(group, inventory)).collect();
    if taken.is_empty() {
        return Vec::new();
    }
    let live = LiveGroups::of(desired, inventory);
    let listed: BTreeSet<&Site> = desired.iter().map(|it| &it.address.site).collect();
    let refused = taken.iter().filter(|(group, id, owner)| {
        let moves = live.sites.contains(&group.address.site);
        live.occupied.contains(*id) && (moves || listed.contains(owner))
    });
    refused.map(|(group, _, owner)| refusal(&group.address, owner)).collect()
}

/// A group that exists as another site's, with that site.
fn taken_over<'a>(
    group: &'a DesiredResource,
    inventory: &Inventory,
) -> Option<(&'a DesiredResource, &'a ArmId, Site)> {
    let key = group.key.as_ref()?;
    let ObjectKey::Azure(id) = key else { return None };
    let owner = inventory.get(key)?.site()?;
    (owner != group.address.site).then_some((group, id, owner))
}

/// The live resource groups of the topology.
struct LiveGroups<'a> {
    /// Groups whose machines or cluster the topology no longer describes there.
    occupied: BTreeSet<&'a ArmId>,
    /// The sites of live groups.
    sites: BTreeSet<Site>,
}

impl<'a> LiveGroups<'a> {
    fn of(desired: &DesiredSet, inventory: &'a Inventory) -> Self {
        let claimed: BTreeSet<&ObjectKey> =
            desired.iter().filter_map(|it| it.key.as_ref()).collect();
        let mut groups: Vec<&'a ArmId> = Vec::new();
        let mut sites = BTreeSet::new();
        let mut machines: Vec<(&'a ArmId, bool)> = Vec::new();
        for (key, observed) in inventory.iter() {
            let (ObjectKey::Azure(id), Some(site)) = (key, observed.site()) else { continue };
            match observed.resource.kind() {
                Kind::ResourceGroup => {
                    groups.push(id);
                    sites.insert(site);
                }
                Kind::VirtualMachine | Kind::ManagedCluster => {
                    machines.push((id, claimed.contains(key)));
                }
                _ => {}
            }
        }
        // Machines that could not be listed may be in any group.
        let is_unread = inventory.gap_among(Kind::VirtualMachine).is_some();
        let is_occupied = |group: &&ArmId| {
            let mut inside = machines.iter().filter(|(id, _)| id.is_inside(group)).peekable();
            match inside.peek() {
                Some(_) => inside.all(|(_, is_claimed)| !is_claimed),
                None => is_unread,
            }
        };
        Self { occupied: groups.into_iter().filter(is_occupied).collect(), sites }
    }
}

fn refusal(group: &Address, owner: &Site) -> Finding {
    let (name, site) = (&group.name, table_of(&group.site));
    let taken = Address::new(Kind::ResourceGroup, owner.clone(), name.as_str());
    let owner = table_of(owner);
    let message = format!(
        "{site} would move into the resource group {name}, in which the machines of {owner} are"
    );
    let remedy = format!(
        "undo the edit of `resource_group`; or give {owner} a resource group with a new name and \
         run `stargate apply --replace {taken} --allow-loss`, then move {site} in the same way"
    );
    Finding::new(FindingSeverity::Error, Failure::new(Code::GroupTakeover, message, remedy))
}

/// The table of the topology that describes a site.
fn table_of(site: &Site) -> String {
    match site {
        Site::Cluster => "[cluster]".to_owned(),
        Site::Datacenter(name) => format!("[datacenters.{name}]"),
    }
}
