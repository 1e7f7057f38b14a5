//! A client of the API server that a kubeconfig names.

use kube::client::ClientBuilder;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

use super::error::{About, ClusterCause, ClusterError};
use super::request_layer::RequestLayer;
use crate::provider::request_policy::RequestPolicy;
use crate::provider::reqwest_transport::install_cryptography;

/// The API server that a kubeconfig points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeconfigServer {
    /// The host, without scheme and port.
    pub host: String,
    /// The URL as written.
    pub url: String,
    /// The name that its certificate is checked against, where it is another one.
    pub tls_server_name: Option<String>,
    /// Whether the server's certificate is not checked at all.
    pub insecure: bool,
    /// The cluster's CA in base64, where the kubeconfig holds it.
    pub certificate_authority_data: Option<String>,
}

/// Builds a client for the current context of a kubeconfig, with a policy for its requests.
///
/// # Errors
///
/// The text is no kubeconfig, or refers to a missing entry.
pub async fn client_from_kubeconfig(
    text: &str,
    policy: RequestPolicy,
) -> Result<kube::Client, ClusterError> {
    let about = About::new("read", "kubeconfig", "for the cluster");
    let other = |error: &dyn std::fmt::Display| about.malformed(error.to_string());
    install_cryptography();
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|error| other(&error))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| other(&error))?;
    // The policy repeats requests; kube's own way can take half an hour. It
    // also ends reads: kube's timeout would count the idle time of connections
    // that are kept for later.
    config.default_retry = false;
    config.read_timeout = None;
    config.connect_timeout = Some(policy.settings().connect_timeout);
    config.write_timeout = Some(policy.settings().attempt_timeout);
    let builder = ClientBuilder::try_from(config).map_err(|error| about.failed(error))?;
    Ok(builder.with_layer(&RequestLayer::new(policy)).build())
}

/// The API server of a kubeconfig's current context, for the check that it is
/// the cluster's own.
///
/// # Errors
///
/// The text is no kubeconfig, or names no server.
pub fn server_of_kubeconfig(text: &str) -> Result<KubeconfigServer, ClusterError> {
    let about = About::new("read", "kubeconfig", "for the cluster");
    let missing = |what: &str| about.error(ClusterCause::Other, format!("it names no {what}"));
    let config = Kubeconfig::from_yaml(text).map_err(|error| about.malformed(error.to_string()))?;
    let current = config.current_context.as_deref().ok_or_else(|| missing("current context"))?;
    let context = config
        .contexts
        .iter()
        .find(|context| context.name == current)
        .and_then(|context| context.context.as_ref())
        .ok_or_else(|| missing("context of the current context's name"))?;
    let cluster = config
        .clusters
        .iter()
        .find(|cluster| cluster.name == context.cluster)
        .and_then(|cluster| cluster.cluster.as_ref())
        .ok_or_else(|| missing("cluster of the context's"))?;
    let server = cluster.server.clone().ok_or_else(|| missing("server"))?;
    let url = url::Url::parse(&server).map_err(|error| about.malformed(error.to_string()))?;
    Ok(KubeconfigServer {
        host: url.host_str().unwrap_or_default().to_owned(),
        url: server,
        tls_server_name: cluster.tls_server_name.clone(),
        insecure: cluster.insecure_skip_tls_verify.unwrap_or(false),
        certificate_authority_data: cluster.certificate_authority_data.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::http::{Api, RequestCount};
    use crate::provider::limits::Limits;
    use crate::provider::settings::ClientSettings;

    const KUBECONFIG: &str = "
apiVersion: v1
kind: Config
current-context: b
contexts:
- name: a
  context: { cluster: one, user: u }
- name: b
  context: { cluster: two, user: u }
clusters:
- name: one
  cluster: { server: 'https://one.example:443' }
- name: two
  cluster: { server: 'https://two.example:443', tls-server-name: inner.example }
users:
- name: u
  user: { token: t }
";

    #[test]
    fn the_current_context_names_the_server() {
        let server = server_of_kubeconfig(KUBECONFIG).unwrap();
        assert_eq!(server.host, "two.example");
        assert_eq!(server.tls_server_name.as_deref(), Some("inner.example"));
        assert!(!server.insecure);
    }

    #[test]
    fn a_kubeconfig_without_a_context_is_refused() {
        let text = KUBECONFIG.replace("current-context: b", "current-context: c");
        assert!(server_of_kubeconfig(&text).is_err());
        assert!(server_of_kubeconfig("apiVersion: v1\nkind: Config\n").is_err());
    }

    #[tokio::test]
    async fn a_kubeconfig_makes_a_client() {
        let (count, settings) = (RequestCount::default(), ClientSettings::default());
        let policy = RequestPolicy::new(Api::Kubernetes, Limits::published(), count, settings);
        assert!(client_from_kubeconfig(KUBECONFIG, policy).await.is_ok());
    }
}
