//! From the cluster object in Azure to a door onto its API server.

use base64::Engine as _;
use serde_json::Value;

use super::clients::Clients;
use super::cluster::{ClusterClient, ClusterError, KubeconfigServer, server_of_kubeconfig};
use super::error::ApiError;
use crate::diagnostics::Code;
use crate::resource::{ArmId, Owner};

/// An open door to the cluster, and what a joining worker needs to know of it.
#[derive(Debug, Clone)]
pub struct ClusterAccess {
    /// The door.
    pub door: ClusterClient,
    /// The API server's URL.
    pub api_server: String,
    /// The cluster's CA in PEM.
    pub certificate_authority: String,
}

/// The cluster's API server cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// Azure did not give credentials.
    #[error("Azure gave no credentials for the cluster: {0}")]
    Credentials(Box<ApiError>),
    /// What it gave cannot be used.
    #[error("{0}")]
    Cluster(#[from] ClusterError),
    /// What it gave is no kubeconfig.
    #[error("Azure's answer holds no kubeconfig")]
    NoKubeconfig,
    /// The kubeconfig leads to another cluster.
    #[error("the kubeconfig leads to {found}, and the cluster is {expected}")]
    OtherCluster {
        /// The server in the kubeconfig.
        found: String,
        /// The cluster's own name.
        expected: String,
    },
}

impl AccessError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Credentials(error) => match error.stable_code() {
                Code::ApiError => Code::SourceGap,
                code => code,
            },
            Self::Cluster(_) => Code::SourceGap,
            Self::NoKubeconfig => Code::KubeconfigMissing,
            Self::OtherCluster { .. } => Code::KubeconfigServer,
        }
    }

    /// What to do.
    pub fn remedy(&self) -> String {
        match self {
            Self::Credentials(error) => error.remedy(),
            Self::Cluster(_) => {
                "check that this machine reaches the cluster's API server".to_owned()
            }
            Self::NoKubeconfig => {
                "the identity needs the role `Azure Kubernetes Service Cluster User`".to_owned()
            }
            Self::OtherCluster { .. } => {
                "unset KUBECONFIG to use the credentials that Azure gives, or run \
                 `az aks get-credentials` for the cluster of the topology"
                    .to_owned()
            }
        }
    }
}

/// Asks Azure for the cluster's credentials and opens the door.
///
/// # Errors
///
/// Azure refused, or its answer leads elsewhere than to the cluster's own name.
pub async fn open(
    doors: &Clients,
    cluster: &ArmId,
    fqdn: &str,
    owner: Owner,
) -> Result<ClusterAccess, AccessError> {
    let kubeconfig = match &doors.kubeconfig {
        Some(text) => text.expose().to_owned(),
        None => from_azure(doors, cluster).await?,
    };
    let server = server_of_kubeconfig(&kubeconfig)?;
    check_server(&server, fqdn)?;
    let certificate_authority =
        server.certificate_authority_data.as_deref().and_then(decode).unwrap_or_default();
    let door = doors.connector.connect(&kubeconfig, owner).await?;
    Ok(ClusterAccess { door, api_server: server.url, certificate_authority })
}

async fn from_azure(doors: &Clients, cluster: &ArmId) -> Result<String, AccessError> {
    let answer = doors.arm.post(cluster, "listClusterUserCredential", &Value::Null).await;
    let answer = answer.map_err(|error| AccessError::Credentials(Box::new(error)))?;
    answer
        .pointer("/kubeconfigs/0/value")
        .and_then(Value::as_str)
        .and_then(decode)
        .ok_or(AccessError::NoKubeconfig)
}

fn decode(text: &str) -> Option<String> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok()
}

/// A kubeconfig that was copied from elsewhere would have us work on another
/// cluster.
fn check_server(server: &KubeconfigServer, fqdn: &str) -> Result<(), AccessError> {
    let name = server.tls_server_name.as_deref().unwrap_or(&server.host);
    if name.eq_ignore_ascii_case(fqdn) {
        return Ok(());
    }
    Err(AccessError::OtherCluster { found: name.to_owned(), expected: fqdn.to_owned() })
}
