//! The commands, one file each.

pub(crate) mod apply;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod destroy;
pub(crate) mod drift;
pub(crate) mod explain;
pub(crate) mod graph;
pub(crate) mod init;
pub(crate) mod plan;
pub(crate) mod reboot;
pub(crate) mod repave;
pub(crate) mod routes;
pub(crate) mod sandbox;
mod sandbox_log;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod trace;
pub(crate) mod validate;
