//! Sessions: the clients of a command, of the sandbox or of the real services.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::arguments::Global;
use super::error::CliError;
use super::sandbox_state::{self, Sandbox};
use super::ui::Ui;
use super::{exit, interrupt, process_name, reminder, ssh_access, topology};
use crate::apply::events::Reporter;
use crate::apply::{ApplyContext, StopSignal};
use crate::diagnostics::{Code, Failure};
use crate::lease::{LeaseIdentity, LeaseSlot};
use crate::pipeline::{Pipeline, Planned, PresentCluster};
use crate::plan::{Plan, PlanOptions};
use crate::provider::azure::ArmClient;
use crate::provider::azure::client::PUBLIC_CLOUD;
use crate::provider::clients::{Clients, KubeconfigConnector, KubeconfigSource, ReadClients};
use crate::provider::credentials::{AzureTokens, TailnetCredentials};
use crate::provider::error::RequestError;
use crate::provider::http::RequestCount;
use crate::provider::limits::Limits;
use crate::provider::reqwest_transport::{ReqwestTransport, install_cryptography};
use crate::provider::secret::Secret;
use crate::provider::service_account::{self, ServiceAccount};
use crate::provider::settings::ClientSettings;
use crate::provider::tailnet::TailnetClient;
use crate::provider::tailnet::client::PUBLIC_SERVICE;
use crate::refresh::{Clock, Scope};
use crate::render::annotations::AnnotationReport;
use crate::topology::load::Loaded;
use crate::topology::model::{PublicKeySource, Topology};
use crate::topology::names::SubscriptionId;

/// The session of a read-only command, with clients that cannot write.
pub(crate) struct ReadSession {
    /// The topology with its file's metadata.
    pub(crate) loaded: Loaded,
    pub(super) clients: ReadClients,
    pub(super) subscription: SubscriptionId,
    pub(super) ssh_public_key: String,
    /// The sandbox, where the command uses it instead of the clouds.
    pub(super) sandbox: Option<Sandbox>,
    /// Asks to stop, after a signal.
    pub(crate) stop: StopSignal,
}

impl ReadSession {
    /// An empty report of a command about the topology file.
    pub(crate) fn annotation_report<'a>(&'a self, command: &'a str) -> AnnotationReport<'a> {
        AnnotationReport::new(command, &self.loaded.file_name, &self.loaded.text)
    }
}

/// The session of a command that applies plans.
pub(crate) struct WriteSession {
    /// The session for making plans.
    pub(crate) reads: ReadSession,
    pub(super) clients: Clients,
}

/// Runs a read-only command until it ends or a signal arrives.
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
    /// The result of read-only work, or `None` as soon as a signal arrives.
    pub(crate) async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stop.requested() => None,
            result = work => Some(result),
        }
    }

    /// Reads live state and plans, and names the requests that a long refresh waits for.
    pub(crate) async fn plan(&self, scope: &Scope<'_>, ui: &Ui) -> Planned {
        let pipeline = self.pipeline(scope);
        reminder::reading(pipeline.run(), &self.clients.requests, ui).await
    }

    /// The scope of a refresh and a plan.
    pub(crate) fn scope(&self, options: PlanOptions) -> Scope<'_> {
        let (subscription, key) = (self.subscription.clone(), self.ssh_public_key.clone());
        Scope { options, ..Scope::new(&self.loaded.topology, subscription, key) }
    }

    /// The topology and the live state under the live name of the cluster, for commands that
    /// show the live state.
    pub(crate) fn present<'a>(
        &'a self,
        planned: &'a Planned,
        present: Option<&'a PresentCluster>,
    ) -> (&'a Topology, &'a Planned) {
        match present {
            Some(present) => (&present.topology, &present.planned),
            None => (&self.loaded.topology, planned),
        }
    }

    /// The pipeline that makes plans.
    pub(crate) fn pipeline<'a>(&'a self, scope: &'a Scope<'a>) -> Pipeline<'a> {
        Pipeline { clients: &self.clients, scope, now: CLOCK }
    }

    /// Closes connections and saves the state of the sandbox.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.clients.hosts.close().await;
        match self.sandbox {
            Some(sandbox) => sandbox.close().await,
            None => Ok(()),
        }
    }
}

impl WriteSession {
    /// Loads the topology and creates the clients.
    pub(crate) async fn open(global: &Global, ui: &Ui, stop: StopSignal) -> Result<Self, CliError> {
        Self::of(topology::load_or_report(global, ui)?, global, stop).await
    }

    /// Creates the clients for a loaded topology.
    pub(crate) async fn of(
        loaded: Loaded,
        global: &Global,
        stop: StopSignal,
    ) -> Result<Self, CliError> {
        match global.sandbox_folder() {
            Some(folder) => sandbox_state::session(loaded, &folder, &global.command, stop).await,
            None => {
                let folder = global.topology.parent().unwrap_or(Path::new(""));
                Self::open_clouds(loaded, folder, stop)
            }
        }
    }

    /// The context that applies plans.
    pub(crate) fn apply_context<'a>(
        &'a self,
        scope: &'a Scope<'a>,
        reporter: &'a dyn Reporter,
        saved: Option<&'a Plan>,
        lease: Option<LeaseSlot>,
    ) -> ApplyContext<'a> {
        ApplyContext {
            pipeline: self.reads.pipeline(scope),
            clients: &self.clients,
            reporter,
            stop: self.reads.stop.clone(),
            saved,
            lease,
            leadership: None,
        }
    }

    /// How many requests its clients have sent.
    pub(crate) fn requests(&self) -> &RequestCount {
        &self.clients.requests
    }

    /// The lease of the topology, with this process as its holder.
    pub(crate) fn lease(&self) -> LeaseSlot {
        let holder = process_name::of_this_process();
        LeaseSlot::new(LeaseIdentity::new(&self.reads.loaded.topology.name, holder))
    }

    /// Closes connections and saves the state of the sandbox.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.reads.close().await
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
                CliError::coded(Code::AzureCredentialsMissing, "no Azure subscription is set")
                    .remedy("set `[azure] subscription`, or AZURE_SUBSCRIPTION_ID")
            })?;
        let tailnet = TailnetCredentials::from_environment(&lookup).map_err(|e| of_api(&e))?;
        let azure = AzureTokens::from_environment(&lookup).map_err(|error| of_api(&error))?;
        let ssh_public_key = public_key(&loaded.topology)?;
        let requests = RequestCount::default();
        let transport = transport()?;
        let limits = Limits::published();
        let kubeconfig = kubeconfig_source(&lookup)?;
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
                limits.clone(),
                requests.clone(),
            )),
            cluster: Arc::new(KubeconfigConnector {
                limits,
                requests: requests.clone(),
                settings: ClientSettings::default(),
            }),
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

pub(super) fn transport() -> Result<Arc<ReqwestTransport>, CliError> {
    install_cryptography();
    let made = ReqwestTransport::new(None);
    made.map(Arc::new).map_err(|error| CliError::new(error.to_string()))
}

/// Converts an error of an API.
pub(crate) fn of_api(error: &RequestError) -> CliError {
    Failure::from(error).into()
}

/// The file in `KUBECONFIG` if it is set, the account of the pod within one, and Azure
/// elsewhere.
fn kubeconfig_source(
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<KubeconfigSource, CliError> {
    let Some(path) = lookup("KUBECONFIG") else {
        let account = ServiceAccount::of_pod(lookup, Path::new(service_account::MOUNT));
        return Ok(account.map_or_else(KubeconfigSource::default, KubeconfigSource::Pod));
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        let problem = format!("could not read `{path}` of KUBECONFIG: {error}");
        CliError::coded(Code::KubeconfigMissing, problem).remedy(
            "correct the path, or unset KUBECONFIG to use the cluster credentials from Azure",
        )
    })?;
    Ok(KubeconfigSource::Given(Secret::new(text)))
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
        .remedy("create one with `ssh-keygen -t ed25519`, or set the key in `[ssh] public_key`")
    })?;
    Ok(text.trim().to_owned())
}

fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(path),
    }
}
