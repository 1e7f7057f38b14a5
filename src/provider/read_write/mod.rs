//! The permissions of a client, by type: for each service one trait that reads and one
//! that writes.
//!
//! A command that changes nothing works with [`ReadClients`], which hold the
//! `…Read` traits only: a call that writes does not compile in it. A command that
//! applies a plan works with [`Clients`]; [`Clients::read_only`] gives the
//! clients that its plan is made with.
//!
//! [`ReadClients`]: crate::provider::clients::ReadClients
//! [`Clients`]: crate::provider::clients::Clients
//! [`Clients::read_only`]: crate::provider::clients::Clients::read_only
//!
//! # The read-only clients cannot write
//!
//! Each call compiles with [`Clients`] and not with [`ReadClients`]; nothing else
//! differs between the two snippets.
//!
//! Azure:
//!
//! ```
//! # use stargate::provider::clients::Clients as Given;
//! # use stargate::provider::azure::Precondition;
//! # use stargate::resource::ArmId;
//! async fn call(clients: &Given, id: &ArmId) {
//!     let _ = clients.azure.delete(id, Precondition::None).await;
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::clients::ReadClients as Given;
//! # use stargate::provider::azure::Precondition;
//! # use stargate::resource::ArmId;
//! async fn call(clients: &Given, id: &ArmId) {
//!     let _ = clients.azure.delete(id, Precondition::None).await;
//! }
//! ```
//!
//! The tailnet:
//!
//! ```
//! # use stargate::provider::clients::Clients as Given;
//! async fn call(clients: &Given) {
//!     let _ = clients.tailnet.delete_device("n1").await;
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::clients::ReadClients as Given;
//! async fn call(clients: &Given) {
//!     let _ = clients.tailnet.delete_device("n1").await;
//! }
//! ```
//!
//! The cluster:
//!
//! ```
//! # use stargate::provider::clients::Clients as Given;
//! # use stargate::resource::Owner;
//! async fn call(clients: &Given, owner: Owner) {
//!     if let Ok(cluster) = clients.cluster.connect("kubeconfig", owner).await {
//!         let _ = cluster.delete_node("worker-1", None).await;
//!     }
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::clients::ReadClients as Given;
//! # use stargate::resource::Owner;
//! async fn call(clients: &Given, owner: Owner) {
//!     if let Ok(cluster) = clients.cluster.connect("kubeconfig", owner).await {
//!         let _ = cluster.delete_node("worker-1", None).await;
//!     }
//! }
//! ```
//!
//! Hosts:
//!
//! ```
//! # use stargate::provider::clients::Clients as Given;
//! # use stargate::provider::host::{HostTarget, RouterChange};
//! async fn call(clients: &Given, target: &HostTarget) {
//!     let _ = clients.hosts.change_router(target, &RouterChange::Remove).await;
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::clients::ReadClients as Given;
//! # use stargate::provider::host::{HostTarget, RouterChange};
//! async fn call(clients: &Given, target: &HostTarget) {
//!     let _ = clients.hosts.change_router(target, &RouterChange::Remove).await;
//! }
//! ```

mod azure;
mod cluster;
mod cluster_client;
mod hosts;
mod tailnet;

pub use azure::{AzureRead, AzureWrite};
pub use cluster::{ClusterRead, ClusterWrite};
pub use hosts::{HostRead, HostWrite};
pub use tailnet::{TailnetRead, TailnetWrite};
