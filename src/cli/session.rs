//! A command's way to the world: the embedded one, or the real clouds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::arguments::Global;
use super::error::CliError;
use super::ui::Ui;
use super::{sandbox_state, ssh_access, topology};
use crate::apply::events::Reporter;
use crate::apply::{Now, Run, StopSignal};
use crate::diagnostics::{Code, Failure};
use crate::provider::azure::ArmClient;
use crate::provider::azure::client::PUBLIC_CLOUD;
use crate::provider::clients::{Clients, KubeconfigConnector};
use crate::provider::credentials::{AzureTokens, StaticToken, TailnetCredentials};
use crate::provider::error::ApiError;
use crate::provider::http::RequestCount;
use crate::provider::limits::Limits;
use crate::provider::reqwest_transport::{ReqwestTransport, install_cryptography};
use crate::provider::retry::RetryingHosts;
use crate::provider::secret::Secret;
use crate::provider::tailnet::TailnetClient;
use crate::provider::tailnet::client::PUBLIC_SERVICE;
use crate::refresh::Scope;
use crate::sandbox::serve::Server;
use crate::sandbox::world::Endpoints;
use crate::topology::load::Loaded;
use crate::topology::model::{PublicKeySource, Topology};
use crate::topology::names::SubscriptionId;

/// The subscription of the sandbox, where the topology names none.
const SANDBOX_SUBSCRIPTION: &str = crate::sandbox::arm::SUBSCRIPTION;
/// The public key of the sandbox's machines, where there is no key file.
const SANDBOX_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlU2FuZGJveEtleU5vdEZvclVzZUFueVdo sandbox";

/// Everything that a command works with.
pub(crate) struct Session {
    /// The topology and what is known of its file.
    pub(crate) loaded: Loaded,
    doors: Clients,
    subscription: SubscriptionId,
    ssh_public_key: String,
    sandbox: Option<(Server, crate::sandbox::folder::Saver)>,
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
            Some(folder) => Self::open_sandbox(loaded, &folder, &global.command).await,
            None => {
                let folder = global.topology.parent().unwrap_or(Path::new(""));
                Self::open_clouds(loaded, folder)
            }
        }
    }

    async fn open_sandbox(loaded: Loaded, folder: &Path, command: &str) -> Result<Self, CliError> {
        let (world, saver) = sandbox_state::open(folder, Some(&loaded.topology))?;
        world.change(|world, now| world.log.begin(command, now));
        let server = sandbox_state::serve(&world, false, folder).await?;
        let doors = sandbox_doors(&loaded.topology, &server.endpoints, world)?;
        let subscription = loaded
            .topology
            .azure
            .subscription
            .clone()
            .unwrap_or_else(|| SubscriptionId::new(SANDBOX_SUBSCRIPTION));
        let ssh_public_key =
            public_key(&loaded.topology).unwrap_or_else(|_| SANDBOX_KEY.to_owned());
        let sandbox = Some((server, saver));
        Ok(Self {
            loaded,
            doors,
            subscription,
            ssh_public_key,
            sandbox,
            stop: StopSignal::default(),
        })
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
        let Some((server, saver)) = self.sandbox else { return Ok(()) };
        server.stop().await;
        saver.close().await.map_err(|error| sandbox_state::of_folder(&error))
    }
}

const CLOCK: &Now = &Timestamp::now;

fn transport() -> Result<Arc<ReqwestTransport>, CliError> {
    install_cryptography();
    let made = ReqwestTransport::new(None);
    made.map(Arc::new).map_err(|error| CliError::new(error.to_string()))
}

/// The real clients, pointed at the sandbox's faces. It has no limits of its
/// own to be held to.
fn sandbox_doors(
    topology: &Topology,
    endpoints: &Endpoints,
    world: crate::sandbox::SharedWorld,
) -> Result<Clients, CliError> {
    let requests = RequestCount::default();
    let transport = transport()?;
    let token = Arc::new(StaticToken(Secret::new("sandbox")));
    Ok(Clients {
        kubeconfig: None,
        arm: ArmClient::new(
            transport.clone(),
            &endpoints.azure,
            token,
            Limits::unlimited(),
            requests.clone(),
        ),
        tailnet: TailnetClient::new(
            transport,
            &endpoints.tailscale,
            &topology.tailnet.name,
            TailnetCredentials::ApiKey(Secret::new("sandbox")),
            Limits::unlimited(),
            requests.clone(),
        ),
        connector: Arc::new(KubeconfigConnector { requests: requests.clone() }),
        hosts: Arc::new(RetryingHosts::new(Arc::new(world))),
        requests,
    })
}

/// A failed request as an error of the command line.
pub(crate) fn of_api(error: &ApiError) -> CliError {
    Failure::from(error).into()
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

fn public_key(topology: &Topology) -> Result<String, CliError> {
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
