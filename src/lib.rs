//! Stargate plans, applies and checks an AKS cluster whose workers live in other
//! datacenters, joined by Tailscale subnet routers.
//!
//! # Architecture
//!
//! Dependencies point down this list, and the lower half does no I/O:
//!
//! | module | responsibility |
//! | --- | --- |
//! | [`cli`] | arguments, one file a command |
//! | [`render`] | text, JSON, markdown, SARIF, JUnit, annotations, DOT, Mermaid and SVG |
//! | [`watch`] | decides when to reconcile, and which changes need no approval |
//! | [`apply`] | repeats refresh, plan and execute until the plan is empty |
//! | [`lease`] | keeps two appliers of one topology apart |
//! | [`pipeline`] | refresh, desired, refresh by id, plan: for every command |
//! | [`refresh`] | reads live state into an inventory, by lists |
//! | [`bootstrap`] | a worker's life as typed steps |
//! | [`sandbox`] | emulated services behind the same protocols; only `cli` opens it; cargo feature `sandbox` |
//! | [`provider`] | clients of Azure, the tailnet, the cluster and the hosts |
//! | — *the pure half* — | no async, no I/O, no clock: the crate `stargate-core` in `src/core` |
//! | [`plan`] | desired state and inventory in, plan out |
//! | [`connectivity`] | builds the data plane of a state; knows states only, and no plan |
//! | [`desired`] | topology and facts in, resources and their dependencies out |
//! | [`topology`] | the file, its loading with spans, its lints |
//! | [`dataplane`] | forwards a packet through tables; says which hop drops it |
//! | [`inventory`] | objects, facts, gaps and sources: what was observed |
//! | [`resource`] | ids, the table of kinds, typed values, names, ownership |
//! | [`diagnostics`] | codes, spans, remedies |
//! | [`net`] | prefixes and their allocation, URLs of services |
//!
//! The test in `tests/architecture` reads this table and every path that the
//! sources name, and fails when one points up or the pure half reaches out.

pub use stargate_core::{
    connectivity, dataplane, desired, diagnostics, inventory, net, plan, resource, topology,
};

pub mod apply;
pub mod bootstrap;
pub mod cli;
pub mod lease;
pub mod pipeline;
pub mod provider;
pub mod refresh;
pub mod render;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod watch;
