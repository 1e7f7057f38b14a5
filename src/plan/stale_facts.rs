//! What a plan itself makes untrue.

use super::{Action, Change, PlanContents};
use crate::desired::Facts;
use crate::desired::facts::ClusterFacts;
use crate::inventory::Inventory;
use crate::resource::{Kind, ObjectKey};

/// Facts and inventory without what goes with the plan's replacements: the
/// address of a router that joins the tailnet anew, or, with a cluster that is
/// made anew, its network, its node resource group and all that it holds.
/// Nothing where all of it stays.
///
/// What is spelt out from the rest waits for the new values, instead of being
/// written with the old ones and once more.
pub(super) fn surviving(
    facts: &Facts,
    inventory: &Inventory,
    plan: &PlanContents,
) -> Option<(Facts, Inventory)> {
    let ends_facts = |change: &&Change| {
        change.action == Action::Replace
            && matches!(change.address.kind, Kind::TailnetDevice | Kind::ManagedCluster)
    };
    let mut replaced = plan.changes.iter().filter(ends_facts).peekable();
    replaced.peek()?;
    let (mut facts, mut inventory) = (facts.clone(), inventory.clone());
    let mut all_stays = true;
    for change in replaced {
        match change.address.kind {
            Kind::TailnetDevice => {
                all_stays &= facts.router_addresses.remove(&change.address.name).is_none();
            }
            Kind::ManagedCluster => {
                facts.nodes.clear();
                if let Some(cluster) = facts.cluster.take() {
                    inventory.retain(|key| !is_destroyed_with(key, &cluster));
                    all_stays = false;
                }
            }
            _ => {}
        }
    }
    (!all_stays).then_some((facts, inventory))
}

/// AKS takes its node resource group along, whoever made what is in it.
pub(crate) fn is_destroyed_with(key: &ObjectKey, cluster: &ClusterFacts) -> bool {
    match key {
        ObjectKey::Kubernetes(_) => true,
        ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => id
            .resource_group_name()
            .is_some_and(|group| group.eq_ignore_ascii_case(&cluster.node_resource_group)),
        ObjectKey::Device(_)
        | ObjectKey::DeviceAdvertised(_)
        | ObjectKey::DeviceApproved(_)
        | ObjectKey::Host(_) => false,
    }
}
