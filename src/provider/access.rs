//! From the cluster object in Azure to clients of its API server.

use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

use super::clients::{Clients, KubeconfigSource, ReadClients};
use super::cluster::{ClusterError, KubeconfigServer, server_of_kubeconfig, with_entra_user};
use super::error::RequestError;
use super::read_write::{ClusterRead, ClusterWrite};
use super::secret::Secret;
use crate::diagnostics::{Code, Failure};
use crate::resource::{ArmId, Owner};

/// A client that reads the cluster, and the credentials that it was made with.
#[derive(Debug, Clone)]
pub struct ClusterAccess {
    /// The client.
    pub client: Arc<dyn ClusterRead>,
    /// The credentials of a client that writes; see [`ClusterCredentials::connect`].
    pub credentials: ClusterCredentials,
}

/// Credentials of the cluster that were checked against the cluster's own name, and the
/// facts of the cluster that a joining worker uses.
#[derive(Debug, Clone)]
pub struct ClusterCredentials {
    kubeconfig: Secret,
    owner: Owner,
    /// The API server's URL.
    pub api_server: String,
    /// The cluster's CA in PEM.
    pub certificate_authority: String,
}

impl ClusterCredentials {
    /// Makes a client that writes; no request is sent yet.
    ///
    /// # Errors
    ///
    /// The kubeconfig cannot be used.
    pub async fn connect(&self, clients: &Clients) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        clients.cluster.connect(self.kubeconfig.expose(), self.owner.clone()).await
    }
}

/// The cluster's API server cannot be used. `Failure::from` gives the code and
/// the remedy of its cause.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Azure did not return credentials.
    #[error("cannot get the credentials of the cluster from Azure")]
    Credentials(#[source] Box<RequestError>),
    /// The credentials cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// Azure's answer has no kubeconfig.
    #[error("cannot get the credentials of the cluster: Azure's response has no kubeconfig")]
    NoKubeconfig,
    /// The cluster could not be distinguished from another server with its name.
    #[error("the kubeconfig sets `insecure-skip-tls-verify`")]
    NotVerified,
    /// Workers verify the API server by the CA of the kubeconfig.
    #[error("the kubeconfig has no `certificate-authority-data` in base64")]
    NoCertificateAuthority,
    /// The kubeconfig is of another cluster.
    #[error("the server of the kubeconfig is {found}, and the cluster's is {expected}")]
    OtherCluster {
        /// The server in the kubeconfig.
        found: String,
        /// The cluster's own name.
        expected: String,
    },
}

impl From<&AccessError> for Failure {
    fn from(error: &AccessError) -> Self {
        match error {
            AccessError::Credentials(cause) => {
                let answered = cause.status().map(|status| format!("status {status}"));
                let code = cause.code().filter(|code| !code.is_empty()).map(str::to_owned);
                let summary: Vec<String> = answered.into_iter().chain(code).collect();
                let message = match summary.is_empty() {
                    true => format!("{error}: {cause}"),
                    false => format!("{error}: {}", summary.join(" ")),
                };
                Self::from(&**cause).within(message)
            }
            AccessError::Cluster(error) => Self::from(error),
            AccessError::NoKubeconfig => Self::new(
                Code::KubeconfigMissing,
                error.to_string(),
                "assign the identity the role `Azure Kubernetes Service Cluster User`, or set \
                 KUBECONFIG",
            ),
            AccessError::NotVerified => Self::new(
                Code::KubeconfigServer,
                error.to_string(),
                "remove `insecure-skip-tls-verify` and set `certificate-authority-data`, or unset \
                 KUBECONFIG to use the credentials that Azure returns",
            ),
            AccessError::NoCertificateAuthority => Self::new(
                Code::KubeconfigMissing,
                error.to_string(),
                "run `kubectl config view --raw --flatten`, which writes the CA into the \
                 kubeconfig, or unset KUBECONFIG to use the credentials that Azure returns",
            ),
            AccessError::OtherCluster { .. } => Self::new(
                Code::KubeconfigServer,
                error.to_string(),
                "unset KUBECONFIG to use the credentials that Azure returns, or run `az aks \
                 get-credentials` for the cluster of the topology",
            ),
        }
    }
}

/// The name of a cluster's API server, by which it is reached and distinguished from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// The DNS name.
    pub fqdn: String,
    /// Whether it is the public name of an API server with a private address.
    pub is_public_of_private: bool,
}

/// Gets the cluster's credentials from Azure and makes a client that reads.
///
/// # Errors
///
/// Azure refused, or the kubeconfig names another server than the cluster's.
pub async fn open(
    clients: &ReadClients,
    cluster: &ArmId,
    name: &ServerName,
    owner: Owner,
) -> Result<ClusterAccess, AccessError> {
    let fqdn = name.fqdn.as_str();
    let kubeconfig = match &clients.kubeconfig {
        KubeconfigSource::Given(text) => text.expose().to_owned(),
        KubeconfigSource::Pod(account) if account.is_of(fqdn) => account.kubeconfig(),
        KubeconfigSource::Azure | KubeconfigSource::Pod(_) => {
            from_azure(clients, cluster, name.is_public_of_private).await?
        }
    };
    let server = server_of_kubeconfig(&kubeconfig)?;
    check_server(&server, fqdn)?;
    if server.insecure {
        return Err(AccessError::NotVerified);
    }
    let certificate_authority = server
        .certificate_authority_data
        .as_deref()
        .and_then(decode)
        .ok_or(AccessError::NoCertificateAuthority)?;
    let client = clients.cluster.connect(&kubeconfig, owner.clone()).await?;
    let kubeconfig = Secret::new(kubeconfig);
    let api_server = server.url;
    let credentials = ClusterCredentials { kubeconfig, owner, api_server, certificate_authority };
    Ok(ClusterAccess { client, credentials })
}

async fn from_azure(
    clients: &ReadClients,
    cluster: &ArmId,
    with_public_name: bool,
) -> Result<String, AccessError> {
    let response = clients.azure.cluster_user_credential(cluster, with_public_name).await;
    let response = response.map_err(|error| AccessError::Credentials(Box::new(error)))?;
    let text = response
        .pointer("/kubeconfigs/0/value")
        .and_then(Value::as_str)
        .and_then(decode)
        .ok_or(AccessError::NoKubeconfig)?;
    Ok(with_entra_user(&text, cluster)?.unwrap_or(text))
}

fn decode(text: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// With a kubeconfig of another cluster, stargate would change that one.
fn check_server(server: &KubeconfigServer, fqdn: &str) -> Result<(), AccessError> {
    let name = server.tls_server_name.as_deref().unwrap_or(&server.host);
    if name.eq_ignore_ascii_case(fqdn) {
        return Ok(());
    }
    Err(AccessError::OtherCluster { found: name.to_owned(), expected: fqdn.to_owned() })
}
