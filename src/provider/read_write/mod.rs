//! What a client may do, by type: for each service one trait that reads and one
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
//! differs between the two snippets. Azure:
//!
//! ```
//! # use stargate::provider::{azure::Precondition, clients::Clients as Given, error::ApiError};
//! # use stargate::resource::ArmId;
//! async fn call(clients: &Given, id: &ArmId) -> Result<(), ApiError> {
//!     clients.azure.delete(id, Precondition::None).await
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::{azure::Precondition, clients::ReadClients as Given, error::ApiError};
//! # use stargate::resource::ArmId;
//! async fn call(clients: &Given, id: &ArmId) -> Result<(), ApiError> {
//!     clients.azure.delete(id, Precondition::None).await
//! }
//! ```
//!
//! The tailnet:
//!
//! ```
//! # use stargate::provider::{clients::Clients as Given, error::ApiError};
//! async fn call(clients: &Given) -> Result<(), ApiError> {
//!     clients.tailnet.delete_device("n1").await
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::{clients::ReadClients as Given, error::ApiError};
//! async fn call(clients: &Given) -> Result<(), ApiError> {
//!     clients.tailnet.delete_device("n1").await
//! }
//! ```
//!
//! The cluster:
//!
//! ```
//! # use stargate::provider::{clients::Clients as Given, cluster::ClusterError};
//! # use stargate::resource::Owner;
//! async fn call(clients: &Given, owner: Owner) -> Result<(), ClusterError> {
//!     let cluster = clients.cluster.connect("kubeconfig", owner).await?;
//!     cluster.delete_node("worker-1").await
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::{clients::ReadClients as Given, cluster::ClusterError};
//! # use stargate::resource::Owner;
//! async fn call(clients: &Given, owner: Owner) -> Result<(), ClusterError> {
//!     let cluster = clients.cluster.connect("kubeconfig", owner).await?;
//!     cluster.delete_node("worker-1").await
//! }
//! ```
//!
//! Hosts:
//!
//! ```
//! # use stargate::provider::clients::Clients as Given;
//! # use stargate::provider::host::{HostError, HostTarget, RouterChange};
//! async fn call(clients: &Given, target: &HostTarget) -> Result<(), HostError> {
//!     clients.hosts.change_router(target, &RouterChange::Remove).await
//! }
//! ```
//!
//! ```compile_fail,E0599
//! # use stargate::provider::clients::ReadClients as Given;
//! # use stargate::provider::host::{HostError, HostTarget, RouterChange};
//! async fn call(clients: &Given, target: &HostTarget) -> Result<(), HostError> {
//!     clients.hosts.change_router(target, &RouterChange::Remove).await
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
