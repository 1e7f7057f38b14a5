//! The network as packets see it, in a state of its resources.
//!
//! Builds the elements of [`crate::dataplane`] from resources: what a table holds,
//! what an interface may do, how a router's kernel is configured. A resource that
//! could not be read becomes an unknown fact, and every result that depends on
//! it is unknown.
//!
//! It knows states only: [`ProjectedState`] is the inventory with some objects'
//! values replaced. Which values a change replaces is the plan's to say.
//!
//! What no source tells is taken as Azure and AKS have it by default: where the
//! security group on AKS's nodes has no rule that fits, packets pass, and the
//! tailnet's policy lets routers pass.

mod builder;
mod cluster_site;
mod datacenter_site;
mod foreign_peers;
mod in_force;
mod incremental;
mod invariants;
mod kernel;
mod matrix;
mod measured;
mod path_model;
mod projected_state;
mod provenance;
mod router;
mod security;
mod segments;
mod service;
pub mod snapshot;

pub use builder::path_model;
pub use in_force::InForce;
pub(crate) use incremental::{IncrementalModel, Watched};
pub use invariants::{Invariant, NOT_CHECKED, Unchecked, Violation, Why, unchecked, violations};
pub use matrix::{Broken, Matrix, PROTOCOL, Pairs, node_ends, pod_ends, usual};
pub use measured::{Difference, MeasurementComparison, UnknownPod, by_nearness};
pub use path_model::{PathModel, SiteHosts, Sources};
pub use projected_state::{ObjectValue, ProjectedState};
pub use provenance::{Provenance, ProvenanceTable, addresses, provenance};
pub use service::{NoPort, Target, is_pod, is_service, translates};
