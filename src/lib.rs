//! Stargate plans, applies and checks an AKS cluster whose workers live in other
//! datacenters, joined by Tailscale subnet routers.
//!
//! # The house
//!
//! Dependencies point down this list, and the lower half knows no I/O:
//!
//! | part | knows |
//! | --- | --- |
//! | [`cli`] | arguments, one file a command |
//! | [`render`] | how a plan, a report or an event is shown |
//! | [`execute`] | runs the steps of a plan under budgets, emits events |
//! | [`observe`] | reads the world into an inventory, by lists |
//! | [`bootstrap`] | a worker's life as typed steps |
//! | [`sandbox`] | the doors onto a world in memory; only `cli` opens it |
//! | [`provider`] | the doors: Azure, tailnet, cluster, hosts |
//! | — *the pure half* — | no async, no I/O, no clock |
//! | [`plan`] | desired × inventory → plan |
//! | [`desired`] | topology × facts → resources and their edges |
//! | [`resource`] | what can exist, and how it is told apart |
//! | [`reach`] | a packet's way through tables; says which hop drops it |
//! | [`topology`] | the file, its loading with spans, its lints |
//! | [`net`] | prefixes and their allocation |
//!
//! The test in `tests/architecture` reads this table and every path that the
//! sources name, and fails when one points up or the pure half reaches out.

pub mod bootstrap;
pub mod cli;
pub mod desired;
pub mod execute;
pub mod net;
pub mod observe;
pub mod plan;
pub mod provider;
pub mod reach;
pub mod render;
pub mod resource;
pub mod sandbox;
pub mod topology;
