//! Builds the network of a state from its resources.
//!
//! It builds the elements of [`crate::dataplane`]: the entries of tables, the settings of
//! interfaces, the kernels of routers. A resource that could not be read becomes an unknown
//! fact, and every result that depends on it is unknown.
//!
//! It knows states only: [`ProjectedState`] is the inventory with the values of some
//! objects replaced. The plan decides which values a change replaces.
//!
//! Without a source, the defaults of Azure and AKS are assumed: packets pass if no rule of
//! the security group on AKS's nodes matches, and the tailnet's policy permits traffic
//! between routers.

mod builder;
mod cluster_site;
mod datacenter_site;
mod foreign_peers;

mod incremental;
mod invariants;
mod kernel;
mod matrix;
mod measured;
mod path_model;
mod present_topology;
mod projected_state;
mod provenance;
mod router;
mod security;
mod segments;
mod service;
mod single_routes;
pub mod snapshot;

pub use builder::path_model;

pub(crate) use incremental::{IncrementalModel, Watched};
pub use invariants::{Invariant, NOT_CHECKED, Unchecked, Violation, Why, unchecked, violations};
pub use matrix::{Broken, Matrix, PROTOCOL, Pairs, node_ends, pod_ends, usual};
pub use measured::{Difference, MeasurementComparison, UnknownPod, by_nearness};
pub use path_model::{PathModel, SiteHosts, Sources};
pub use present_topology::PresentTopology;
pub use projected_state::{ObjectValue, ProjectedState};
pub use provenance::{Provenance, ProvenanceTable, addresses, provenance};
pub use service::{NoPort, Target, is_pod, is_service, translates};
