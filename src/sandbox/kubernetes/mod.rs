//! An in-memory Kubernetes API server for real clients.
//!
//! [`KubernetesStore`] is data and a function from request to response, without clock and sockets.
//! Its caller provides the time and the user, and streams the lines of a watch for as long as the
//! client stays connected.
//!
//! It implements the behaviour that clients observe: versions and conflicts, server-side apply with
//! field ownership, finalizers and garbage collection, structural schemas, watches, discovery,
//! tables. The sandbox's controllers act through [`KubernetesStore::put`] and its siblings.

mod access;
mod admission;
mod apply;
mod collect;
mod collection;
mod compare;
mod definition;
mod deltas;
mod discovery;
mod eviction;
mod fields;
mod handle;
mod initial;
mod managers;
mod objects;
mod openapi;
mod owner_index;
mod patch;
mod patching;
mod path;
mod prepare;
mod protobuf;
mod rbac;
mod representation;
mod review;
mod schema;
mod selector;
mod status;
mod store;
mod structure;
mod table;
mod transitions;
mod validate;
mod value;
mod watch;
mod write;

#[cfg(test)]
mod tests;

pub(in crate::sandbox) use deltas::ObjectDelta;
pub use handle::{KubernetesResponse, Proxied};
pub use objects::{CustomResource, ObjectIdentity};
pub use rbac::{Attributes, UserInfo};
pub use status::{StatusCause, StatusError, StatusReason};
pub use store::KubernetesStore;
pub use watch::{ChangeKind, ObjectChange, WatchRequest};
