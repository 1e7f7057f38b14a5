//! How a client signs in to the API server of a kubeconfig.

use std::sync::Arc;

use kube::config::{ExecConfig, Kubeconfig};
use tokio::sync::Mutex;

use super::client;
use super::entra;
use super::error::{About, ClusterCause, ClusterError};
use super::exec_plugin::ExecPlugin;
use super::kubeconfig::{self, current_user};
use super::token_layer::TokenLayer;
use crate::provider::credentials::TokenSource;
use crate::provider::proxy::Proxies;
use crate::provider::request_policy::RequestPolicy;
use crate::provider::secret::Secret;

/// Signs clients in to clusters, and keeps what it got for later clients.
#[derive(Debug, Clone, Default)]
pub struct ClusterLogin {
    azure: Option<Arc<dyn TokenSource>>,
    /// The plugin that ran last.
    plugin: Arc<Mutex<Option<KeptPlugin>>>,
}

#[derive(Debug)]
struct KeptPlugin {
    /// Its settings in the kubeconfig.
    settings: Secret,
    plugin: Arc<ExecPlugin>,
}

impl ClusterLogin {
    /// A login that has tokens of the Azure credential for the API servers of AKS.
    pub fn with_azure_tokens(tokens: Arc<dyn TokenSource>) -> Self {
        Self { azure: Some(tokens), ..Self::default() }
    }

    /// Builds a client for the current context of a kubeconfig, with a policy for its
    /// requests and the proxy of the environment.
    ///
    /// # Errors
    ///
    /// The text is no kubeconfig, it refers to a missing entry, or its plugin returns no
    /// credentials.
    pub async fn client(
        &self,
        text: &str,
        policy: RequestPolicy,
    ) -> Result<kube::Client, ClusterError> {
        let mut kubeconfig = kubeconfig::parse(text)?;
        let tokens = self.take_tokens(&mut kubeconfig).await?;
        client::build(kubeconfig, tokens, policy, &Proxies::of_environment()).await
    }

    /// Takes the way to sign in from the user of a kubeconfig, if that leads to tokens.
    async fn take_tokens(
        &self,
        kubeconfig: &mut Kubeconfig,
    ) -> Result<Option<TokenLayer>, ClusterError> {
        let about = About::new("use", "kubeconfig", "for the cluster");
        if let Some(cluster) = entra::take_sign_in(kubeconfig) {
            let tokens = self.azure.clone().ok_or_else(|| {
                about.error(ClusterCause::Refused, "there is no Azure credential to sign in with")
            })?;
            return Ok(Some(TokenLayer { tokens, entra: Some(Arc::new(cluster)) }));
        }
        let Some(user) = current_user(kubeconfig) else { return Ok(None) };
        // kube uses them before a plugin.
        if user.token.is_some() || user.token_file.is_some() || user.username.is_some() {
            return Ok(None);
        }
        let Some(exec) = user.exec.take() else { return Ok(None) };
        let plugin = self.plugin(exec).await;
        match plugin.sign_in().await.map_err(|error| about.not_signed_in(&error))? {
            Some(certificate) => {
                *user = entra::read_user(certificate.fields());
                Ok(None)
            }
            None => Ok(Some(TokenLayer { tokens: plugin, entra: None })),
        }
    }

    /// The plugin with these settings, and what it returned before.
    async fn plugin(&self, exec: ExecConfig) -> Arc<ExecPlugin> {
        let settings = Secret::new(serde_json::to_string(&exec).unwrap_or_default());
        let mut kept = self.plugin.lock().await;
        match &*kept {
            Some(it) if it.settings == settings => Arc::clone(&it.plugin),
            _ => {
                let plugin = Arc::new(ExecPlugin::new(exec));
                *kept = Some(KeptPlugin { settings, plugin: Arc::clone(&plugin) });
                plugin
            }
        }
    }
}

/// Builds a client for the current context of a kubeconfig, without a credential of Azure;
/// see [`ClusterLogin::client`].
///
/// # Errors
///
/// As [`ClusterLogin::client`].
pub async fn client_from_kubeconfig(
    text: &str,
    policy: RequestPolicy,
) -> Result<kube::Client, ClusterError> {
    ClusterLogin::default().client(text, policy).await
}
