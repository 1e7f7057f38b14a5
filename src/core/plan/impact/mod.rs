//! The effect of a plan on reachability, while it is applied and afterwards.

mod assessment;
mod departures;
mod disruption;
mod disruption_search;
mod examiner;
mod intermediate_states;
mod known_state;
mod later_moves;
mod live_nodes;
mod make_before_break;
mod pair_counts;
mod passed_elements;
mod pool_upgrades;
mod projection;
mod reachability;
mod reachability_report;
mod relevance;
mod relocation;
mod remedy_search;
mod retained_pairs;
mod shrink;

pub use assessment::{Assessment, assess};
pub(super) use assessment::{Current, current};
#[cfg(test)]
pub(crate) use assessment::{assess_in_order, check_every_state};
pub(crate) use departures::Departures;
pub use disruption::{Between, Disruption, WaveRange};
pub(crate) use intermediate_states::restart_of;
pub(super) use later_moves::add_to as add_later_moves;
pub(super) use pool_upgrades::add_to as add_pool_upgrades;
pub use projection::{IntermediateState, Projection, path_model, violations};
pub use reachability::{Loss, Reachability, Unexamined, Wait};
pub use reachability_report::{ReachabilityReport, UnreadNodes};
#[cfg(test)]
pub(crate) use remedy_search::fewest_changes;
pub use remedy_search::{FactOwner, PathQuery, Remedy, find_remedy};
