//! Making a client out of a kubeconfig.

use std::task::{Context, Poll};

use kube::client::ClientBuilder;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tower::{Layer, Service};

use super::error::{About, ClusterCause, ClusterError};
use crate::provider::http::{Api, RequestCount};

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

/// Builds a client for the current context of a kubeconfig, which counts the
/// requests that it sends.
///
/// # Errors
///
/// The text is no kubeconfig, or what it refers to is not there.
pub async fn client_from_kubeconfig(
    text: &str,
    count: RequestCount,
) -> Result<kube::Client, ClusterError> {
    let about = About::new("read", "kubeconfig", "for the cluster");
    let other = |error: &dyn std::fmt::Display| about.malformed(error.to_string());
    // A second installation fails, and means that one is there: all is well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::from_yaml(text).map_err(|error| other(&error))?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| other(&error))?;
    // The door repeats requests itself; kube's own way can take half an hour.
    config.default_retry = false;
    let builder = ClientBuilder::try_from(config).map_err(|error| about.failed(&error))?;
    Ok(builder.with_layer(&CountLayer(count)).build())
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

/// Counts what goes through it.
#[derive(Debug, Clone)]
pub struct CountLayer(pub RequestCount);

impl<S> Layer<S> for CountLayer {
    type Service = CountService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CountService { inner, count: self.0.clone() }
    }
}

/// A service whose requests are counted.
#[derive(Debug, Clone)]
pub struct CountService<S> {
    inner: S,
    count: RequestCount,
}

impl<S, R> Service<R> for CountService<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        self.count.add(Api::Kubernetes);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    async fn a_client_comes_out_of_a_kubeconfig() {
        assert!(client_from_kubeconfig(KUBECONFIG, RequestCount::default()).await.is_ok());
    }
}
