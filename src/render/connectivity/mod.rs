//! Renders traces, connectivity checks and reachability reports as text and JSON.

mod annotations;
pub mod check;
pub mod live;
pub mod reachability;
pub mod reachability_report;
pub mod service;
pub mod trace;
mod wording;
