//! Facts that a plan itself makes untrue.

use super::{Action, Change, PlanContents};
use crate::desired::Facts;
use crate::inventory::Inventory;
use crate::resource::Kind;

/// Facts and inventory without what the plan ends: the tailnet
/// address of a router that joins again; with a cluster that is replaced, its
/// network, its node resource group and everything in it; with a node pool that is
/// deleted, its nodes. `None` if all of it stays.
///
/// Values that are computed from the rest wait for the new facts, instead of being
/// written twice.
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
                all_stays &= facts.router_addresses.remove(&*change.address.name).is_none();
            }
            Kind::ManagedCluster => {
                facts.nodes.clear();
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
