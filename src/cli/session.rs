//! A command's clients: of the sandbox, or of the real services.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::arguments::Global;
use super::error::CliError;
use super::ui::Ui;
use super::{exit, interrupt, sandbox_state, ssh_access, topology};
use crate::apply::events::Reporter;
use crate::apply::{ApplyContext, StopSignal};
use crate::diagnostics::{Code, Failure};
use crate::pipeline::Pipeline;
use crate::plan::PlanOptions;
use crate::provider::azure::ArmClient;
use crate::provider::azure::client::PUBLIC_CLOUD;
use crate::provider::clients::{Clients, KubeconfigConnector, ReadClients};
use crate::provider::credentials::{AzureTokens, StaticToken, TailnetCredentials};
use crate::provider::error::ApiError;
use crate::provider::http::RequestCount;
use crate::provider::limits::Limits;
use crate::provider::reqwest_transport::{ReqwestTransport, install_cryptography};
use crate::provider::retry::RetryingHosts;
use crate::provider::secret::Secret;
use crate::provider::tailnet::TailnetClient;
use crate::provider::tailnet::client::PUBLIC_SERVICE;
use crate::refresh::{Clock, Scope};
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

/// What a command works with that changes nothing: its clients cannot write.
pub(crate) struct ReadSession {
    /// The topology and what is known of its file.
    pub(crate) loaded: Loaded,
    clients: ReadClients,
    subscription: SubscriptionId,
    ssh_public_key: String,
    sandbox: Option<(Server, crate::sandbox::folder::Saver)>,
    /// Asks to stop, after a signal.
    pub(crate) stop: StopSignal,
}

/// What a command works with that applies plans.
pub(crate) struct WriteSession {
    /// What its plans are made with.
    pub(crate) reads: ReadSession,
    clients: Clients,
}

/// Runs a command that changes nothing. A signal ends it.
pub(crate) async fn reading(
    global: &Global,
    ui: &Ui,
    command: impl AsyncFnOnce(&ReadSession) -> Result<u8, CliError>,
) -> Result<u8, CliError> {
    let stop = interrupt::watch()?;
    let session = WriteSession::open(global, ui, stop).await?.reads;
    let code = session.unless_interrupted(command(&session)).await;
    session.close().await?;
    code.unwrap_or_else(|| {
        ui.status("Interrupted.");
        Ok(exit::INTERRUPTED)
    })
}

impl ReadSession {
    /// The result of work that only reads, or `None` as soon as a signal comes.
    pub(crate) async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.requested() => None,
            result = work => Some(result),
        }
    }

    /// What is read and planned.
    pub(crate) fn scope(&self, options: PlanOptions) -> Scope<'_> {
        let (subscription, key) = (self.subscription.clone(), self.ssh_public_key.clone());
        Scope { options, ..Scope::new(&self.loaded.topology, subscription, key) }
    }

    /// What plans are made with.
    pub(crate) fn pipeline<'a>(&'a self, scope: &'a Scope<'a>) -> Pipeline<'a> {
        Pipeline { clients: &self.clients, scope, now: CLOCK }
    }

    /// Closes connections and keeps the sandbox's state.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.clients.hosts.close().await;
        let Some((server, saver)) = self.sandbox else { return Ok(()) };
        server.stop().await;
        saver.close().await.map_err(|error| sandbox_state::of_folder(&error))
    }
}

impl WriteSession {
    /// Loads the topology and makes the clients.
    pub(crate) async fn open(global: &Global, ui: &Ui, stop: StopSignal) -> Result<Self, CliError> {
        Self::of(topology::load_or_report(global, ui)?, global, stop).await
    }

    /// Makes the clients for a topology that was loaded already.
    pub(crate) async fn of(
        loaded: Loaded,
        global: &Global,
        stop: StopSignal,
    ) -> Result<Self, CliError> {
        match global.sandbox_folder() {
            Some(folder) => Self::open_sandbox(loaded, &folder, &global.command, stop).await,
            None => {
                let folder = global.topology.parent().unwrap_or(Path::new(""));
                Self::open_clouds(loaded, folder, stop)
            }
        }
    }

    /// What plans are applied with.
    pub(crate) fn apply_context<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        reporter: &'a dyn Reporter,
    ) -> ApplyContext<'a> {
        ApplyContext {
            pipeline: self.reads.pipeline(scope),
            clients: &self.clients,
            reporter,
            stop: self.reads.stop.clone(),
        }
    }

    /// Closes connections and keeps the sandbox's state.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.reads.close().await
    }

    async fn open_sandbox(
        loaded: Loaded,
        folder: &Path,
        command: &str,
        stop: StopSignal,
    ) -> Result<Self, CliError> {
        let (world, saver) = sandbox_state::open(folder, Some(&loaded.topology))?;
        world.change(|world, now| world.log.begin(command, now));
        let server = sandbox_state::serve(&world, false, folder).await?;
        let clients = sandbox_clients(&loaded.topology, &server.endpoints, world)?;
        let subscription = loaded
            .topology
            .azure
            .subscription
            .clone()
            .unwrap_or_else(|| SubscriptionId::new(SANDBOX_SUBSCRIPTION));
        let ssh_public_key =
            public_key(&loaded.topology).unwrap_or_else(|_| SANDBOX_KEY.to_owned());
        let sandbox = Some((server, saver));
        let reads = ReadSession {
            loaded,
            clients: clients.read_only(),
            subscription,
            ssh_public_key,
            sandbox,
            stop,
        };
        Ok(Self { reads, clients })
    }

    fn open_clouds(loaded: Loaded, folder: &Path, stop: StopSignal) -> Result<Self, CliError> {
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
        let clients = Clients {
            kubeconfig,
            azure: Arc::new(ArmClient::new(
                transport.clone(),
                PUBLIC_CLOUD,
                Arc::new(azure),
                limits.clone(),
                requests.clone(),
            )),
            tailnet: Arc::new(TailnetClient::new(
                transport,
                PUBLIC_SERVICE,
                &loaded.topology.tailnet.name,
                tailnet,
                limits,
                requests.clone(),
            )),
            cluster: Arc::new(KubeconfigConnector { requests: requests.clone() }),
            hosts,
            requests,
        };
        let reads = ReadSession {
            loaded,
            clients: clients.read_only(),
            subscription,
            ssh_public_key,
            sandbox: None,
            stop,
        };
        Ok(Self { reads, clients })
    }
}

const CLOCK: &Clock = &Timestamp::now;

fn transport() -> Result<Arc<ReqwestTransport>, CliError> {
    install_cryptography();
    let made = ReqwestTransport::new(None);
    made.map(Arc::new).map_err(|error| CliError::new(error.to_string()))
}

/// The real clients, pointed at the sandbox's faces. It has no limits of its
/// own to be held to.
fn sandbox_clients(
    topology: &Topology,
    endpoints: &Endpoints,
    world: crate::sandbox::SharedWorld,
) -> Result<Clients, CliError> {
    let requests = RequestCount::default();
    let transport = transport()?;
    let token = Arc::new(StaticToken(Secret::new("sandbox")));
    Ok(Clients {
        kubeconfig: None,
        azure: Arc::new(ArmClient::new(
            transport.clone(),
            &endpoints.azure,
            token,
            Limits::unlimited(),
            requests.clone(),
        )),
        tailnet: Arc::new(TailnetClient::new(
            transport,
            &endpoints.tailscale,
            &topology.tailnet.name,
            TailnetCredentials::ApiKey(Secret::new("sandbox")),
            Limits::unlimited(),
            requests.clone(),
        )),
        cluster: Arc::new(KubeconfigConnector { requests: requests.clone() }),
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
