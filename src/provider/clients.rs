//! The clients of a run, for writing and for reading only.

use std::sync::Arc;

use async_trait::async_trait;

use super::cluster::{ClusterClient, ClusterError, ClusterLogin};
use super::credentials::TokenSource;
use super::http::{Api, RequestCount};
use super::limits::Limits;
use super::read_write::{
    AzureRead, AzureWrite, ClusterRead, ClusterWrite, HostRead, HostWrite, TailnetRead,
    TailnetWrite,
};
use super::request_policy::RequestPolicy;
use super::secret::Secret;
use super::service_account::ServiceAccount;
use super::settings::ClientSettings;
use crate::resource::Owner;

/// Where the credentials of the cluster come from. All are checked against the cluster's
/// own name.
#[derive(Debug, Clone, Default)]
pub enum KubeconfigSource {
    /// Azure returns them to an identity that may use the cluster.
    #[default]
    Azure,
    /// A kubeconfig that the user chose.
    Given(Secret),
    /// The account of the pod that stargate runs in, if it is a pod of the cluster; Azure
    /// otherwise.
    Pod(ServiceAccount),
}

/// The clients that a plan is applied with.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Azure Resource Manager.
    pub azure: Arc<dyn AzureWrite>,
    /// The Tailscale API.
    pub tailnet: Arc<dyn TailnetWrite>,
    /// Connects to the cluster once its credentials are known.
    pub cluster: Arc<dyn ClusterConnector>,
    /// Where the credentials of the cluster come from.
    pub kubeconfig: KubeconfigSource,
    /// Hosts.
    pub hosts: Arc<dyn HostWrite>,
    /// How many requests were sent.
    pub requests: RequestCount,
}

impl Clients {
    /// The same clients, by types that cannot write. They share connections,
    /// limits and the count of requests with these.
    pub fn read_only(&self) -> ReadClients {
        ReadClients {
            azure: self.azure.clone(),
            tailnet: self.tailnet.clone(),
            cluster: ReadConnector(self.cluster.clone()),
            kubeconfig: self.kubeconfig.clone(),
            hosts: self.hosts.clone(),
            requests: self.requests.clone(),
        }
    }
}

/// The clients that live state is read with; see [`super::read_write`].
#[derive(Debug, Clone)]
pub struct ReadClients {
    /// Azure Resource Manager.
    pub azure: Arc<dyn AzureRead>,
    /// The Tailscale API.
    pub tailnet: Arc<dyn TailnetRead>,
    /// Connects to the cluster once its credentials are known.
    pub cluster: ReadConnector,
    /// Where the credentials of the cluster come from.
    pub kubeconfig: KubeconfigSource,
    /// Hosts.
    pub hosts: Arc<dyn HostRead>,
    /// How many requests were sent.
    pub requests: RequestCount,
}

/// Connects to the cluster that a kubeconfig leads to.
#[async_trait]
pub trait ClusterConnector: Send + Sync + std::fmt::Debug {
    /// Makes a client; no request is sent yet.
    ///
    /// # Errors
    ///
    /// The kubeconfig cannot be used.
    async fn connect(
        &self,
        kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError>;
}

/// Connects to the cluster, and gives no client that writes.
#[derive(Debug, Clone)]
pub struct ReadConnector(Arc<dyn ClusterConnector>);

impl ReadConnector {
    /// Makes a client; no request is sent yet.
    ///
    /// # Errors
    ///
    /// The kubeconfig cannot be used.
    pub async fn connect(
        &self,
        kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterRead>, ClusterError> {
        let client: Arc<dyn ClusterRead> = self.0.connect(kubeconfig, owner).await?;
        Ok(client)
    }
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
    /// How clusters are signed in to.
    pub login: ClusterLogin,
}

impl KubeconfigConnector {
    /// The connector with tokens of the Azure credential for AKS clusters that accept
    /// identities of Microsoft Entra ID.
    #[must_use]
    pub fn with_azure_tokens(mut self, tokens: Arc<dyn TokenSource>) -> Self {
        self.login = ClusterLogin::with_azure_tokens(tokens);
        self
    }
}

#[async_trait]
impl ClusterConnector for KubeconfigConnector {
    async fn connect(
        &self,
        kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let (limits, count) = (self.limits.clone(), self.requests.clone());
        let policy = RequestPolicy::new(Api::Kubernetes, limits, count, self.settings);
        let client = self.login.client(kubeconfig, policy).await?;
        let client = ClusterClient::new(client, owner, self.requests.clone());
        Ok(Arc::new(client.with_settings(self.settings)))
    }
}
