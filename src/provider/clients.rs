//! All clients of a run.

use std::sync::Arc;

use async_trait::async_trait;

use super::azure::ArmClient;
use super::cluster::{ClusterClient, ClusterError, client_from_kubeconfig};
use super::host::HostClient;
use super::http::{Api, RequestCount};
use super::limits::Limits;
use super::request_policy::RequestPolicy;
use super::secret::Secret;
use super::settings::ClientSettings;
use super::tailnet::TailnetClient;
use crate::resource::Owner;

/// The clients of a run.
#[derive(Debug)]
pub struct Clients {
    /// Azure Resource Manager.
    pub arm: ArmClient,
    /// The Tailscale API.
    pub tailnet: TailnetClient,
    /// Connects to the cluster, once Azure gave its credentials.
    pub connector: Arc<dyn ClusterConnector>,
    /// A kubeconfig that the user chose; without one, Azure is asked for it.
    pub kubeconfig: Option<Secret>,
    /// Hosts.
    pub hosts: Arc<dyn HostClient>,
    /// How many requests were sent.
    pub requests: RequestCount,
}

/// Makes a client of the cluster that a kubeconfig names.
#[async_trait]
pub trait ClusterConnector: Send + Sync + std::fmt::Debug {
    /// Makes the client; no request is sent yet.
    async fn connect(&self, kubeconfig: &str, owner: Owner) -> Result<ClusterClient, ClusterError>;
}

/// Connects to the server that the kubeconfig names.
#[derive(Debug, Clone, Default)]
pub struct KubeconfigConnector {
    /// The budget of requests.
    pub limits: Limits,
    /// Where requests are counted.
    pub requests: RequestCount,
    /// Timeouts and limits.
    pub settings: ClientSettings,
}

#[async_trait]
impl ClusterConnector for KubeconfigConnector {
    async fn connect(&self, kubeconfig: &str, owner: Owner) -> Result<ClusterClient, ClusterError> {
        let (limits, count) = (self.limits.clone(), self.requests.clone());
        let policy = RequestPolicy::new(Api::Kubernetes, limits, count, self.settings);
        let client = client_from_kubeconfig(kubeconfig, policy).await?;
        let client = ClusterClient::new(client, owner, self.requests.clone());
        Ok(client.with_settings(self.settings))
    }
}
