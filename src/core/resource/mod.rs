//! Resources: addresses, the table of kinds, typed values, and the marks of ownership.
//!
//! The same struct holds the desired value and the observed one. A decoder fills it from a
//! response and omits fields that stargate does not manage, so that defaults and read-only
//! fields of a service can never look like drift.

pub mod address;
pub mod api;
pub mod arm_id;
pub mod arm_type;
pub mod azure;
pub mod custom_resources;
pub mod digest;
pub mod foreign_rule;
pub mod host;
mod kind;
mod kind_facts;
pub mod kubernetes;
mod kubernetes_api;
pub mod names;
mod object_key;
pub mod ownership;
pub mod pending;
mod place_index;
pub mod protection;
mod reference;
pub mod restarts;
pub mod route_name;
pub mod settings;
mod shared;
pub mod tailnet;
mod value;
pub mod version;
pub mod work_request;

pub use address::{Address, Site};
pub use api::Api;
pub use arm_id::ArmId;
pub use arm_type::ArmType;
pub use kind::Kind;
pub use kind_facts::{
    Calls, DataPlaneRole, FixedFields, KindFacts, Requests, Service, UsualSeconds,
};
pub use object_key::ObjectKey;
pub use ownership::{Owner, Ownership};
pub use pending::{Observable, Pending};
pub(crate) use place_index::PlaceIndex;
pub use reference::Reference;
pub use shared::Shared;
pub use value::Resource;
