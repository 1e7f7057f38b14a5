//! What a plan does to the network while it is carried out and afterwards.

mod disruption;
mod intermediate_states;
mod make_before_break;
mod reachability;
mod reachability_report;
mod remedy_search;

pub use disruption::{Between, Disruption};
pub use make_before_break::{Wait, make_before_break};
pub use reachability::{Loss, Reachability, reachability};
pub use reachability_report::{ReachabilityReport, UnreadNodes};
pub use remedy_search::{Question, Remedy, find_remedy};
