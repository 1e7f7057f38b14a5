//! `stargate sandbox`.

mod identity;
mod log;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use clap::{Args, Subcommand};

use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::cli::{exit, sandbox_state, topology};
use crate::diagnostics::Code;
use crate::render::text::wrap;
use crate::sandbox::SharedSandbox;
use crate::sandbox::arm::TENANT;
use crate::sandbox::faults::{Fault, FaultError, inject as inject_fault};
use crate::sandbox::folder::{Folder, write_private};
use crate::sandbox::log::RequestLog;
use crate::sandbox::serve::Server;

/// Serve, inspect, break or reset the sandbox
#[derive(Debug, Clone, Args)]
pub(crate) struct SandboxArguments {
    #[command(subcommand)]
    pub(crate) command: SandboxCommand,
}

/// The commands on the sandbox.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Serve the emulated APIs to other clients, such as `az` and `kubectl`
    Serve {
        /// Serve without TLS
        #[arg(long)]
        http: bool,
        /// Seconds until access tokens expire; the default is about an hour
        #[arg(long, value_name = "SECONDS")]
        token_lifetime: Option<u32>,
    },
    /// Show the requests of the last command that used the sandbox
    ///
    /// The log has method, path and status of each request; queries, headers and
    /// bodies are not recorded. `sandbox break` sends no requests and is logged
    /// by name.
    Log {
        /// Show the requests of all recorded commands
        #[arg(long)]
        all: bool,
        /// Output format
        #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
        format: Format,
    },
    /// Delete the state of the sandbox
    Reset,
    /// Inject a fault
    Break {
        /// Name of the fault; `stargate sandbox faults` lists them
        #[arg(value_name = "FAULT")]
        fault: String,
        /// Object that the fault affects, if there are several
        #[arg(value_name = "TARGET")]
        target: Option<String>,
    },
    /// Register an identity that can sign in, or change one
    ///
    /// Without identities, the sandbox accepts any credential. With one, Azure accepts only
    /// registered identities and the tokens that they got; the tailnet likewise.
    Identity(identity::IdentityArguments),
    /// List the faults that `break` can inject
    Faults,
}

/// Runs a command on the sandbox.
pub(crate) async fn run(
    arguments: &SandboxArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let beside = || folder_of(global);
    match &arguments.command {
        SandboxCommand::Serve { http, token_lifetime } => {
            serve(global, ui, !http, *token_lifetime).await?;
        }
        SandboxCommand::Identity(arguments) => identity::run(arguments, &beside(), ui).await?,
        SandboxCommand::Log { all, format } => {
            ui.data(&log::text(&read_log(&beside())?, *all, *format))?;
        }
        SandboxCommand::Reset => {
            let folder = Folder::open(beside()).map_err(|e| sandbox_state::of_folder(&e))?;
            folder.reset().map_err(|error| sandbox_state::of_folder(&error))?;
            ui.status("The sandbox was reset.");
        }
        SandboxCommand::Break { fault, target } => {
            inject(&beside(), fault, target.as_deref(), ui).await?;
        }
        SandboxCommand::Faults => {
            let lines = Fault::ALL.iter().flat_map(|fault| {
                wrap(fault.description(), &format!("{:26} ", fault.as_str()), &" ".repeat(27))
            });
            ui.data(&(lines.collect::<Vec<_>>().join("\n") + "\n"))?;
        }
    }
    Ok(exit::DONE)
}

/// The folder of the sandbox, whether or not `--sandbox` is given.
fn folder_of(global: &Global) -> PathBuf {
    global.sandbox_folder().unwrap_or_else(|| global.default_sandbox_folder())
}

/// Serves until SIGINT or SIGTERM.
async fn serve(
    global: &Global,
    ui: &Ui,
    tls: bool,
    token_seconds: Option<u32>,
) -> Result<(), CliError> {
    let folder = folder_of(global);
    let topology = match global.topology.exists() {
        true => Some(topology::load_or_report(global, ui)?.topology),
        false => None,
    };
    let (sandbox, saver) = sandbox_state::open(&folder, topology.as_ref())?;
    sandbox.change(|sandbox, now| {
        sandbox.log.begin(&global.command, now);
        sandbox.pause = 1;
        sandbox.arm.directory.set_token_seconds(token_seconds);
        sandbox.tailnet.credentials.set_token_seconds(token_seconds);
    });
    let server = sandbox_state::serve(&sandbox, tls, &folder).await?;
    let kubeconfig = folder.join("kubeconfig");
    let answer = serde_json::json!({
        "azure": server.endpoints.azure,
        "tailscale": server.endpoints.tailscale,
        "kubernetes": server.endpoints.kubernetes,
        "certificate": server.certificate_path,
        "kubeconfig": kubeconfig,
        "tenant": TENANT,
        "token": SERVED_TOKEN,
    });
    write_kubeconfig(&kubeconfig, &server, &sandbox);
    ui.data(&format!("{answer}\n"))?;
    let mut changes = sandbox.changes();
    let mut signal = std::pin::pin!(wait_for_signal());
    loop {
        tokio::select! {
            () = &mut signal => break,
            changed = changes.changed() => {
                if changed.is_err() { break; }
                write_kubeconfig(&kubeconfig, &server, &sandbox);
            }
        }
    }
    server.stop().await;
    saver.close().await.map_err(|error| sandbox_state::of_folder(&error))
}

/// Waits for SIGINT or SIGTERM; the state is saved after either.
async fn wait_for_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => signal.recv().await,
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            Ok(()) = interrupted => {}
            Some(()) = terminated => {}
            else => std::future::pending().await,
        }
    }
    // Without a signal handler, serve until the process is killed.
    #[cfg(not(unix))]
    if interrupted.await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The emulated ARM and Tailscale APIs accept it whatever identities are registered.
const SERVED_TOKEN: &str = "sandbox";

/// Writes the kubeconfig; the token changes when the cluster is created.
fn write_kubeconfig(path: &Path, server: &Server, sandbox: &SharedSandbox) {
    let token = sandbox.read(|sandbox| sandbox.cluster_access.as_ref().map(|it| it.token.clone()));
    let authority = server
        .endpoints
        .certificate
        .as_deref()
        .map(|pem| base64::engine::general_purpose::STANDARD.encode(pem));
    let mut cluster = serde_json::json!({ "server": server.endpoints.kubernetes });
    if let Some(authority) = authority {
        cluster["certificate-authority-data"] = authority.into();
    }
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "sandbox",
        "clusters": [{ "name": "sandbox", "cluster": cluster }],
        "users": [{ "name": "sandbox", "user": { "token": token.unwrap_or_default() } }],
        "contexts": [{ "name": "sandbox", "context": { "cluster": "sandbox", "user": "sandbox" } }],
    });
    let text = format!("{config:#}\n");
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return;
    }
    if let Err(error) = write_private(path, text.as_bytes()) {
        tracing::warn!(%error, path = %path.display(), "the kubeconfig cannot be written");
    }
}

/// Reads the log without locking the folder.
fn read_log(folder: &Path) -> Result<RequestLog, CliError> {
    let sandbox = Folder::read_saved(folder).map_err(|error| sandbox_state::of_folder(&error))?;
    Ok(sandbox.log)
}

async fn inject(folder: &Path, fault: &str, target: Option<&str>, ui: &Ui) -> Result<(), CliError> {
    let fault: Fault = fault.parse().map_err(|error| {
        CliError::coded(Code::UnknownFault, format!("{error}"))
            .remedy("`stargate sandbox faults` lists all faults")
            .exit(exit::USAGE)
    })?;
    let (sandbox, saver) = sandbox_state::open(folder, None)?;
    let done = sandbox.change(|sandbox, now| {
        let done = inject_fault(sandbox, fault, target, now);
        if done.is_ok() {
            sandbox.log.mark(&format!("sandbox break {fault}"), now);
        }
        done
    });
    saver.close().await.map_err(|error| sandbox_state::of_folder(&error))?;
    let done = done.map_err(|error| {
        let refused = CliError::coded(Code::UnknownTarget, format!("{error}"));
        match error {
            FaultError::UnknownTarget { .. } => {
                refused.remedy("name one of these targets, or none").exit(exit::USAGE)
            }
            _ => refused.remedy("apply the topology to the sandbox first, or name another target"),
        }
    })?;
    ui.status(&done);
    Ok(())
}
