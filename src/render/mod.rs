//! Renders plans, reports and events as text, JSON, markdown and graphs.

pub mod annotations;
pub mod apply_events;
pub mod connectivity;
mod cost_json;
mod deferred;
pub mod deployment;
pub mod diagnostic;
pub mod doctor;
pub mod drift_json;
#[cfg(test)]
mod fixture;
pub mod graph;
mod ignored_json;
mod markdown;
pub mod plan_json;
pub mod plan_markdown;
pub mod plan_text;
mod purpose;
pub mod rollout_json;
pub mod style;
pub mod table;
mod target;
pub mod text;
mod value;
pub mod watch_events;
pub mod watcher_status;

pub use purpose::{Purpose, matches_topology};
pub use style::{Role, Style};
pub use target::{PlanTarget, PlanTargetCloud};
