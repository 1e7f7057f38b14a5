//! A client of the API server that a kubeconfig names.

use kube::client::ClientBuilder;
use kube::config::{Cluster, Config, KubeConfigOptions, Kubeconfig};

use super::error::{ClusterCause, ClusterError};
use super::kubeconfig::{about, parse};
use super::request_layer::RequestLayer;
use super::token_layer::TokenLayer;
use crate::provider::proxy::{self, Proxies};
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

/// A client whose requests have tokens, or else the credential in the kubeconfig.
pub(super) async fn build(
    kubeconfig: Kubeconfig,
    tokens: Option<TokenLayer>,
    policy: RequestPolicy,
    proxies: &Proxies,
) -> Result<kube::Client, ClusterError> {
    let about = about();
    let other = |error: &dyn std::fmt::Display| about.malformed(error.to_string());
    install_cryptography();
    let proxy = proxy_of_cluster(&kubeconfig);
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(|error| other(&error))?;
    // The policy repeats requests; kube's own way can take half an hour. It
    // also ends reads: kube's timeout would count the idle time of connections
    // that are kept for later.
    config.default_retry = false;
    config.proxy_url = match proxy {
        Some(url) => proxy::of_text(&url).map(Some),
        None => proxies.for_server(&config.cluster_url),
    }
    .map_err(|error| other(&error))?;
    config.read_timeout = None;
    config.connect_timeout = Some(policy.settings().connect_timeout);
    config.write_timeout = Some(policy.settings().attempt_timeout);
    let builder = ClientBuilder::try_from(config).map_err(|error| about.failed(error))?;
    let builder = builder.with_layer(&RequestLayer::new(policy));
    Ok(match tokens {
        Some(tokens) => builder.with_layer(&tokens).build(),
        None => builder.build(),
    })
}

/// The API server of a kubeconfig's current context, for the check that it is
/// the cluster's own.
///
/// # Errors
///
/// The text is no kubeconfig, or names no server.
pub fn server_of_kubeconfig(text: &str) -> Result<KubeconfigServer, ClusterError> {
    let about = about();
    let missing = |what: &str| about.error(ClusterCause::Other, format!("it names no {what}"));
    let config = parse(text)?;
    let cluster = current_cluster(&config).map_err(missing)?;
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

/// The cluster of the current context, or the part that the kubeconfig lacks.
fn current_cluster(config: &Kubeconfig) -> Result<&Cluster, &'static str> {
    let current = config.current_context.as_deref().ok_or("current context")?;
    let named = config.contexts.iter().find(|context| context.name == current);
    let context = named
        .and_then(|context| context.context.as_ref())
        .ok_or("context of the current context's name")?;
    let named = config.clusters.iter().find(|cluster| cluster.name == context.cluster);
    named.and_then(|cluster| cluster.cluster.as_ref()).ok_or("cluster of the context's")
}

/// The proxy that the kubeconfig itself names, which `NO_PROXY` does not override in
/// kubectl either.
fn proxy_of_cluster(config: &Kubeconfig) -> Option<String> {
    let cluster = current_cluster(config).ok()?;
    cluster.proxy_url.clone().filter(|url| !url.is_empty())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;
    use crate::provider::cluster::login::client_from_kubeconfig;
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

    fn policy() -> RequestPolicy {
        let (count, settings) = (RequestCount::default(), ClientSettings::default());
        RequestPolicy::new(Api::Kubernetes, Limits::published(), count, settings)
    }

    #[tokio::test]
    async fn a_kubeconfig_makes_a_client() {
        assert!(client_from_kubeconfig(KUBECONFIG, policy()).await.is_ok());
    }

    /// The first bytes that a proxy receives from a client of the server.
    async fn first_bytes(kubeconfig: &str, scheme: &str, exceptions: &str) -> Vec<u8> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("{scheme}://u:p@{}", listener.local_addr().unwrap());
        let kubeconfig = kubeconfig.replace("PROXY", &proxy);
        let proxies = Proxies::through(&proxy, exceptions);
        let kubeconfig = parse(&kubeconfig).unwrap();
        let client = build(kubeconfig, None, policy(), &proxies).await.unwrap();
        let request = tokio::spawn(async move { client.apiserver_version().await });
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut received = vec![0; 512];
        let length = connection.read(&mut received).await.unwrap();
        request.abort();
        received.truncate(length);
        received
    }

    #[tokio::test]
    async fn the_server_is_reached_through_the_proxy() {
        let tunnel = String::from_utf8(first_bytes(KUBECONFIG, "http", "one.example").await);
        let tunnel = tunnel.unwrap().to_ascii_lowercase();
        assert!(tunnel.starts_with("connect two.example:443 http/1.1\r\n"), "{tunnel}");
        assert!(tunnel.contains("proxy-authorization: basic dtpw"), "{tunnel}");
        for scheme in ["socks5", "socks5h"] {
            let greeting = first_bytes(KUBECONFIG, scheme, "").await;
            assert_eq!(greeting.first(), Some(&5), "{greeting:?}");
        }
    }

    #[tokio::test]
    async fn the_proxy_of_the_kubeconfig_comes_first() {
        let named = "{ server: 'https://two.example:443', proxy-url: 'PROXY',";
        let text = KUBECONFIG.replace("{ server: 'https://two.example:443',", named);
        assert_ne!(text, KUBECONFIG);
        let tunnel = first_bytes(&text, "http", "*").await;
        assert!(tunnel.starts_with(b"CONNECT two.example:443"), "{tunnel:?}");
        assert_eq!(first_bytes(&text, "socks5h", "*").await.first(), Some(&5));
    }
}
