//! The commands, one file each.

pub(crate) mod apply;
mod apply_result;
mod apply_saved;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod destroy;
pub(crate) mod doctor;
pub(crate) mod drift;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod init;
mod live;
pub(crate) mod manifests;
pub(crate) mod plan;
pub(crate) mod reboot;
pub(crate) mod repave;
pub(crate) mod routes;
#[cfg(feature = "sandbox")]
pub(crate) mod sandbox;
mod saved_plan_report;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod trace;
mod trace_service;
pub(crate) mod validate;
pub(crate) mod watch;
