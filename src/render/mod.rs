//! How a plan, a report or an event is shown.

pub mod apply_events;
mod deferred;
pub mod diagnostic;
#[cfg(test)]
mod fixture;
pub mod graph;
pub mod paths;
pub mod plan_json;
pub mod plan_markdown;
pub mod plan_text;
mod purpose;
pub mod redact;
pub mod rollout_json;
pub mod style;
pub mod table;
pub mod text;
mod value;

pub use purpose::Purpose;
pub use style::{Role, Style};
