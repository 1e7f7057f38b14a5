//! A Kubernetes API server in memory, for real clients.
//!
//! [`KubernetesStore`] is data and a function from request to answer: no clock, no
//! sockets. Whoever serves it brings the time and the user, and streams the lines of
//! a watch for as long as the client stays.
//!
//! It does what the real server does where clients can tell: versions and conflicts,
//! server-side apply with field ownership, finalizers and garbage collection,
//! structural schemas, watches, discovery, tables. What controllers would do is left
//! to the world around it, which reaches in through [`KubernetesStore::put`] and its
//! neighbours.

mod access;
mod admission;
mod apply;
mod collect;
mod collection;
mod compare;
mod definition;
mod discovery;
mod eviction;
mod fields;
mod handle;
mod initial;
mod managers;
mod news;
mod openapi;
mod owned;
mod patch;
mod patching;
mod path;
mod prepare;
mod protobuf;
mod rbac;
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
mod view;
mod watch;
mod world;
mod write;

#[cfg(test)]
mod tests;

pub use handle::Reply;
pub(in crate::sandbox) use news::ObjectNews;
pub use rbac::{Attributes, UserInfo};
pub use status::{ApiError, Cause, Reason};
pub use store::KubernetesStore;
pub use watch::{ChangeKind, ObjectChange, WatchRequest};
pub use world::{CustomResource, ObjectName};
