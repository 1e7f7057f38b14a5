//! Opens and serves the state of the sandbox.

use std::path::Path;
use std::sync::Arc;

use crate::apply::StopSignal;
use crate::diagnostics::Code;
use crate::provider::azure::ArmClient;
use crate::provider::clients::{Clients, KubeconfigConnector, KubeconfigSource};
use crate::provider::credentials::{StaticToken, TailnetCredentials};
use crate::provider::http::RequestCount;
use crate::provider::limits::Limits;
use crate::provider::retry::RetryingHosts;
use crate::provider::secret::Secret;
use crate::provider::tailnet::TailnetClient;
use crate::sandbox::SharedSandbox;
use crate::sandbox::folder::{Folder, FolderError, Saver};
use crate::sandbox::serve::{ServeOptions, Server};
use crate::sandbox::state::SandboxEndpoints;
use crate::topology::load::Loaded;
use crate::topology::model::Topology;
use crate::topology::names::SubscriptionId;

use super::arguments::Global;
use super::error::CliError;
use super::session::{ReadSession, WriteSession, public_key, transport};

/// The public key of the sandbox's machines, where there is no key file.
const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlU2FuZGJveEtleU5vdEZvclVzZUFueVdo sandbox";

/// The sandbox's servers, and the task that saves its state, while a command uses it.
pub(crate) struct Sandbox {
    server: Server,
    saver: Saver,
}

impl Sandbox {
    /// Stops the servers and saves the state.
    pub(crate) async fn close(self) -> Result<(), CliError> {
        self.server.stop().await;
        self.saver.close().await.map_err(|error| of_folder(&error))
    }
}

/// Accepts `--sandbox` for every command: this build contains the sandbox.
pub(crate) fn check(_: &Global) -> Result<(), CliError> {
    Ok(())
}

/// Opens the sandbox for a topology, with the real clients pointed at it.
pub(crate) async fn session(
    loaded: Loaded,
    folder: &Path,
    command: &str,
    stop: StopSignal,
) -> Result<WriteSession, CliError> {
    let (sandbox, saver) = open(folder, Some(&loaded.topology))?;
    sandbox.change(|sandbox, now| sandbox.log.begin(command, now));
    let server = serve(&sandbox, false, folder).await?;
    let clients = clients(&loaded.topology, &server.endpoints, sandbox)?;
    let written = loaded.topology.azure.subscription.clone();
    let reads = ReadSession {
        clients: clients.read_only(),
        subscription: written
            .unwrap_or_else(|| SubscriptionId::new(crate::sandbox::arm::SUBSCRIPTION)),
        ssh_public_key: public_key(&loaded.topology).unwrap_or_else(|_| PUBLIC_KEY.to_owned()),
        loaded,
        sandbox: Some(Sandbox { server, saver }),
        stop,
    };
    Ok(WriteSession { reads, clients })
}

/// The real clients, pointed at the sandbox's endpoints. The sandbox has no rate
/// limits, so neither have they.
fn clients(
    topology: &Topology,
    endpoints: &SandboxEndpoints,
    sandbox: SharedSandbox,
) -> Result<Clients, CliError> {
    let requests = RequestCount::default();
    let transport = transport()?;
    let token = Arc::new(StaticToken(Secret::new("sandbox")));
    let connector = KubeconfigConnector {
        limits: Limits::unlimited(),
        requests: requests.clone(),
        ..KubeconfigConnector::default()
    };
    Ok(Clients {
        kubeconfig: KubeconfigSource::Azure,
        azure: Arc::new(ArmClient::new(
            transport.clone(),
            &endpoints.azure,
            token.clone(),
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
        cluster: Arc::new(connector.with_azure_tokens(token)),
        hosts: Arc::new(RetryingHosts::new(Arc::new(sandbox)).noted_in(requests.clone())),
        requests,
    })
}

/// Opens the sandbox. With a topology, the sandbox gets the objects that the topology
/// presumes: an owner for its device tag and its existing machines.
pub(crate) fn open(
    folder: &Path,
    topology: Option<&Topology>,
) -> Result<(SharedSandbox, Saver), CliError> {
    let folder = Folder::open(folder).map_err(|error| of_folder(&error))?;
    let mut sandbox = folder.load().map_err(|error| of_folder(&error))?;
    if let Some(topology) = topology {
        sandbox.seed(topology);
    }
    let sandbox = SharedSandbox::new(sandbox);
    let saver = folder.save_in_background(sandbox.clone());
    Ok((sandbox, saver))
}

/// Serves the emulated APIs on loopback.
pub(crate) async fn serve(
    sandbox: &SharedSandbox,
    tls: bool,
    folder: &Path,
) -> Result<Server, CliError> {
    let certificate_path = tls.then(|| folder.join("certificate.pem"));
    let options = ServeOptions { tls, certificate_path, ports: [0; 3] };
    let started = Server::start(sandbox.clone(), options).await;
    started.map_err(|error| {
        CliError::new(format!("could not serve the sandbox: {error}"))
            .remedy("the sandbox listens on 127.0.0.1; check that the loopback interface is up")
    })
}

/// Converts an error of the sandbox folder.
pub(crate) fn of_folder(error: &FolderError) -> CliError {
    let (code, remedy) = match error {
        FolderError::Damaged { .. } => {
            (Code::SandboxDamaged, "`stargate sandbox reset` deletes the state in this folder")
        }
        FolderError::InUse { .. } => (
            Code::SandboxInUse,
            "stop the other process, or use another folder with `--sandbox=DIR`",
        ),
        FolderError::NotShared { .. } | FolderError::Io { .. } => {
            (Code::Unreadable, "check the owner of the folder and the free space")
        }
    };
    CliError::coded(code, error.to_string()).remedy(remedy)
}
