//! A command's way to the world: the embedded one, or the real clouds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::arguments::Global;
use super::error::CliError;
use super::sandbox_state::{self, Sandbox};
use super::ui::Ui;
use super::{ssh_access, topology};
use crate::apply::events::Reporter;
use crate::apply::{Now, Run, StopSignal};
use crate::diagnostics::Code;
use crate::provider::azure::ArmClient;
use crate::provider::azure::client::PUBLIC_CLOUD;
use crate::provider::clients::{Clients, KubeconfigConnector};
use crate::provider::credentials::{AzureTokens, TailnetCredentials};
use crate::provider::error::ApiError;
use crate::provider::http::RequestCount;
use crate::provider::limits::Limits;
use crate::provider::reqwest_transport::{ReqwestTransport, install_cryptography};
use crate::provider::secret::Secret;
use crate::provider::tailnet::TailnetClient;
use crate::provider::tailnet::client::PUBLIC_SERVICE;
use crate::refresh::Scope;
use crate::topology::load::Loaded;
use crate::topology::model::{PublicKeySource, Topology};
use crate::topology::names::SubscriptionId;

/// Everything that a command works with.
pub(crate) struct Session {
    /// The topology and what is known of its file.
    pub(crate) loaded: Loaded,
    pub(super) doors: Clients,
    pub(super) subscription: SubscriptionId,
    pub(super) ssh_public_key: String,
    /// The sandbox, where the command uses it instead of the clouds.
    pub(super) sandbox: Option<Sandbox>,
    /// Asks a running apply to stop.
    pub(crate) stop: StopSignal,
}

/// How closely the world is looked at, and whether it is to go.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RefreshOptions {
    /// Look at the workers' hosts too.
    pub(crate) deep: bool,
    /// Everything is to go.
    pub(crate) destroying: bool,
}

impl Session {
    /// Loads the topology and opens the doors.
    pub(crate) async fn open(global: &Global, ui: &Ui) -> Result<Self, CliError> {
        Self::of(topology::load_or_report(global, ui)?, global).await
    }

    /// Opens the doors for a topology that was loaded already.
    pub(crate) async fn of(loaded: Loaded, global: &Global) -> Result<Self, CliError> {
        match global.sandbox_folder() {
            Some(folder) => sandbox_state::session(loaded, &folder, &global.command).await,
            None => {
                let folder = global.topology.parent().unwrap_or(Path::new(""));
                Self::open_clouds(loaded, folder)
            }
        }
    }

    fn open_clouds(loaded: Loaded, folder: &Path) -> Result<Self, CliError> {
        let lookup = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let subscription = loaded
            .topology
            .azure
            .subscription
            .clone()
            .or_else(|| lookup("AZURE_SUBSCRIPTION_ID").map(SubscriptionId::new))
            .ok_or_else(|| {
                CliError::coded(Code::AzureCredentialsMissing, "no subscription is named")
                    .hint("set `[azure] subscription`, or AZURE_SUBSCRIPTION_ID")
            })?;
        let tailnet = TailnetCredentials::from_environment(&lookup).map_err(|e| of_api(&e))?;
        let azure = AzureTokens::from_environment(&lookup).map_err(|error| of_api(&error))?;
        let ssh_public_key = public_key(&loaded.topology)?;
        let requests = RequestCount::default();
        let transport = transport()?;
        let limits = Limits::published();
        let kubeconfig = chosen_kubeconfig(&lookup)?;
        let hosts = ssh_access::hosts(&loaded.topology, folder, &ssh_public_key, &lookup)?;
        let doors = Clients {
            kubeconfig,
            arm: ArmClient::new(
                transport.clone(),
                PUBLIC_CLOUD,
                Arc::new(azure),
                limits.clone(),
                requests.clone(),
            ),
            tailnet: TailnetClient::new(
                transport,
                PUBLIC_SERVICE,
                &loaded.topology.tailnet.name,
                tailnet,
                limits,
                requests.clone(),
            ),
            connector: Arc::new(KubeconfigConnector { requests: requests.clone() }),
            hosts,
            requests,
        };
        Ok(Self {
            loaded,
            doors,
            subscription,
            ssh_public_key,
            sandbox: None,
            stop: StopSignal::default(),
        })
    }

    /// How the world is looked at.
    pub(crate) fn scope(&self, look: RefreshOptions) -> Scope<'_> {
        let mut scope = Scope::new(
            &self.loaded.topology,
            self.subscription.clone(),
            self.ssh_public_key.clone(),
        );
        scope.deep = look.deep;
        scope.destroying = look.destroying;
        scope
    }

    /// What an apply works with.
    pub(crate) fn run<'a>(&'a self, scope: &'a Scope<'a>, reporter: &'a dyn Reporter) -> Run<'a> {
        Run { doors: &self.doors, scope, reporter, now: CLOCK, stop: self.stop.clone() }
    }

    /// Hangs up, keeps the sandbox's world and closes it.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.doors.hosts.close().await;
        match self.sandbox {
            Some(sandbox) => sandbox.close().await,
            None => Ok(()),
        }
    }
}

const CLOCK: &Now = &Timestamp::now;

pub(super) fn transport() -> Result<Arc<ReqwestTransport>, CliError> {
    install_cryptography();
    let made = ReqwestTransport::new(None);
    made.map(Arc::new).map_err(|error| CliError::new(error.to_string()))
}

/// An API's refusal as an error of the command line.
pub(crate) fn of_api(error: &ApiError) -> CliError {
    CliError::coded(error.stable_code(), error.to_string()).hint(error.remedy())
}

/// The file that `KUBECONFIG` names, if it names one.
fn chosen_kubeconfig(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Secret>, CliError> {
    let Some(path) = lookup("KUBECONFIG") else { return Ok(None) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let problem = format!("KUBECONFIG names `{path}`, which cannot be read: {error}");
        CliError::coded(Code::KubeconfigMissing, problem)
            .hint("unset KUBECONFIG to use the credentials that Azure gives, or mend the path")
    })?;
    Ok(Some(Secret::new(text)))
}

pub(super) fn public_key(topology: &Topology) -> Result<String, CliError> {
    let path = match &topology.ssh.public_key {
        PublicKeySource::Inline(key) => return Ok(key.trim().to_owned()),
        PublicKeySource::File(path) => expand_home(path),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        CliError::coded(
            Code::Unreadable,
            format!("the public key `{}` cannot be read: {error}", path.display()),
        )
        .hint("make one with `ssh-keygen -t ed25519`, or write the key into [ssh] public_key")
    })?;
    Ok(text.trim().to_owned())
}

fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}
