//! Sessions: the clients of a command, of the sandbox or of the real services.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use super::arguments::Global;
use super::error::CliError;
use super::sandbox_state::{self, Sandbox};
use super::ui::Ui;
use super::{cloud_session, exit, interrupt, process_name, reminder, topology};
use crate::apply::events::Reporter;
use crate::apply::{ApplyContext, StopSignal};
use crate::diagnostics::{Code, Failure};
use crate::lease::{LeaseIdentity, LeaseSlot};
use crate::pipeline::{Pipeline, Planned, PresentCluster};
use crate::plan::{Plan, PlanOptions};
use crate::provider::clients::{Clients, ReadClients};
use crate::provider::error::RequestError;
use crate::provider::files::{check_certificates, unreadable};
use crate::provider::http::RequestCount;
use crate::provider::reqwest_transport::{ReqwestTransport, install_cryptography};
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

/// The effect of a sign-in to Azure that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignInRefusal {
    /// The command ends with it.
    EndsCommand,
    /// The command reports it, and reads the other services.
    IsReported,
}

/// Runs a read-only command until it ends or a signal arrives.
pub(crate) async fn reading(
    global: &Global,
    ui: &Ui,
    command: impl AsyncFnOnce(&ReadSession) -> Result<u8, CliError>,
) -> Result<u8, CliError> {
    read(global, ui, SignInRefusal::EndsCommand, command).await
}

/// The same for a command that reports a refused sign-in.
pub(crate) async fn examining(
    global: &Global,
    ui: &Ui,
    command: impl AsyncFnOnce(&ReadSession) -> Result<u8, CliError>,
) -> Result<u8, CliError> {
    read(global, ui, SignInRefusal::IsReported, command).await
}

async fn read(
    global: &Global,
    ui: &Ui,
    refusal: SignInRefusal,
    command: impl AsyncFnOnce(&ReadSession) -> Result<u8, CliError>,
) -> Result<u8, CliError> {
    let stop = interrupt::watch()?;
    let loaded = topology::load_or_report(global, ui)?;
    let session = WriteSession::signed_in(loaded, global, (Some(ui), refusal), stop).await?.reads;
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
        Self::of(topology::load_or_report(global, ui)?, global, Some(ui), stop).await
    }

    /// Creates the clients for a loaded topology, and signs in to Azure. A sign-in that takes
    /// long is shown in `ui`.
    pub(crate) async fn of(
        loaded: Loaded,
        global: &Global,
        ui: Option<&Ui>,
        stop: StopSignal,
    ) -> Result<Self, CliError> {
        Self::signed_in(loaded, global, (ui, SignInRefusal::EndsCommand), stop).await
    }

    async fn signed_in(
        loaded: Loaded,
        global: &Global,
        (ui, refusal): (Option<&Ui>, SignInRefusal),
        stop: StopSignal,
    ) -> Result<Self, CliError> {
        match global.sandbox_folder() {
            Some(folder) => sandbox_state::session(loaded, &folder, &global.command, stop).await,
            None => {
                let folder = global.topology.parent().unwrap_or(Path::new(""));
                cloud_session::open(loaded, folder, (ui, refusal), stop).await
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
}

/// The file with the certificates that are trusted in place of the machine's.
const CERTIFICATES_VARIABLE: &str = "SSL_CERT_FILE";

pub(super) const CLOCK: &Clock = &Timestamp::now;

pub(super) fn transport() -> Result<Arc<ReqwestTransport>, CliError> {
    install_cryptography();
    if let Some(path) = std::env::var_os(CERTIFICATES_VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        check_certificates(&path).map_err(|reason| {
            let problem = format!("`{}` of {CERTIFICATES_VARIABLE} {reason}", path.display());
            CliError::coded(Code::Unreadable, problem).remedy(format!(
                "correct the path, or unset {CERTIFICATES_VARIABLE} to trust the certificates of \
                 this machine"
            ))
        })?;
    }
    let made = ReqwestTransport::new(None);
    made.map(Arc::new).map_err(|error| CliError::new(error.to_string()))
}

/// Converts an error of an API.
pub(crate) fn of_api(error: &RequestError) -> CliError {
    Failure::from(error).into()
}

pub(super) fn public_key(topology: &Topology) -> Result<String, CliError> {
    let path = match &topology.ssh.public_key {
        PublicKeySource::Inline(key) => return Ok(key.trim().to_owned()),
        PublicKeySource::File(path) => expand_home(path),
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        CliError::coded(
            Code::Unreadable,
            format!("the public key `{}` {}", path.display(), unreadable(&error)),
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
