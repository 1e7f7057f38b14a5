//! Facts that a plan itself makes untrue.

use super::{Action, Change, PlanContents};
use crate::desired::Facts;
use crate::inventory::Inventory;
use crate::resource::Kind;

/// Removes the facts that a plan invalidates: the tailnet address of a router that rejoins;
/// the network and the node resource group of a replaced cluster; the nodes of a deleted
/// node pool. `None` if all facts stay valid.
///
/// Values derived from the removed facts wait for the new ones, instead of being written
/// twice.
pub(super) fn surviving(
    facts: &Facts,
    inventory: &Inventory,
    plan: &PlanContents,
) -> Option<(Facts, Inventory)> {
    let ends_facts = |change: &&Change| match change.address.kind {
        Kind::TailnetDevice | Kind::ManagedCluster => change.action == Action::Replace,
        Kind::NodePool => change.action == Action::Delete,
        _ => false,
    };
    let mut replaced = plan.changes.iter().filter(ends_facts).peekable();
    replaced.peek()?;
    let (mut facts, mut inventory) = (facts.clone(), inventory.clone());
    let mut all_stays = true;
    for change in replaced {
        match change.address.kind {
            Kind::TailnetDevice => {
                let name = &*change.address.name;
                let known = facts.router_addresses.remove(name);
                let unauthorized = facts.unauthorized_routers.remove(name);
                all_stays &= known.or(unauthorized).is_none();
            }
            Kind::ManagedCluster => {
                facts.nodes.clear();
                // Its workers leave their ranges with it: nothing leads to them from then on.
                facts.joined.clear();
                if let Some(cluster) = facts.cluster.take() {
                    inventory.retain(|key| !cluster.is_deleted_with(key));
                    all_stays = false;
                }
            }
            Kind::NodePool => {
                let before = facts.nodes.len();
                let is_of_pool = |pool: &String| pool.eq_ignore_ascii_case(change.key.name());
                facts.nodes.retain(|node| !node.pool.as_ref().is_some_and(is_of_pool));
                all_stays &= facts.nodes.len() == before;
            }
            _ => {}
        }
    }
    (!all_stays).then_some((facts, inventory))
}
