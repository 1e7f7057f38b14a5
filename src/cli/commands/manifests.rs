//! `stargate manifests`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::watch::folder_files::topology_files;

use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::cli::{exit, topology};
use crate::render::deployment::{self, DeploymentSettings, FILE_NAME, WatchedTopologies};

/// The largest ConfigMap that the API server takes, less its metadata.
const MAX_CONFIG_MAP: usize = 1_000_000;
/// The name of the objects for a folder.
const FOLDER_NAME: &str = "topologies";

/// Print the manifests that run `stargate watch` in the cluster
///
/// Prints YAML for `kubectl apply --server-side -f -`: a namespace, a service account with
/// exactly the permissions that are used, the topology as a ConfigMap, a Deployment, a
/// PodDisruptionBudget and a NetworkPolicy. Credentials are read from Secrets that you
/// create in the namespace: `stargate-credentials` (environment variables),
/// `stargate-ssh` (`id_ed25519`, `id_ed25519.pub`, `known_hosts`) and, with
/// `--tailscale-sidecar`, `stargate-tailscale` (`TS_AUTHKEY`).
///
/// With DIR, the pods watch every `*.toml` file of the folder, as `stargate watch DIR` does:
/// all files must be valid, and the objects are named `stargate-topologies`. `-f` is ignored.
///
/// No service is contacted.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManifestsArguments {
    /// Watch all topologies of this folder, instead of one file
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// The container image of stargate
    #[arg(long, value_name = "IMAGE")]
    pub(crate) image: String,
    /// The namespace of the watcher
    #[arg(long, value_name = "NAMESPACE", default_value = "stargate-system")]
    pub(crate) namespace: String,
    /// The number of watchers; one of them reconciles, the others take over from it
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub(crate) replicas: u16,
    /// Sign in to Azure by workload identity, with the client id of this managed identity
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Reach the routers through a tailscaled sidecar, for clusters whose nodes have no
    /// route to them
    #[arg(long)]
    pub(crate) tailscale_sidecar: bool,
    /// Add objects by which the cluster's monitoring scrapes the watcher and alerts
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) monitoring: Option<Monitoring>,
}

/// A monitoring of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Monitoring {
    /// A PodMonitor and a PrometheusRule
    PrometheusOperator,
}

/// Prints the manifests.
pub(crate) fn run(
    arguments: &ManifestsArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    let found = match &arguments.folder {
        Some(folder) => of_folder(folder, global, ui)?,
        None => of_file(global, ui)?,
    };
    let topologies = WatchedTopologies {
        name: &found.name,
        files: &found.files,
        is_folder: arguments.folder.is_some(),
    };
    let settings = DeploymentSettings {
        namespace: arguments.namespace.clone(),
        image: arguments.image.clone(),
        replicas: arguments.replicas,
        client_id: arguments.client_id.clone(),
        tailscale_sidecar: arguments.tailscale_sidecar,
        prometheus_operator: arguments.monitoring.map(|_| found.interval),
    };
    let text = deployment::to_yaml(&deployment::objects(&topologies, &settings))
        .map_err(|error| CliError::new(format!("the manifests cannot be written: {error}")))?;
    ui.data(&text)?;
    Ok(exit::DONE)
}

/// The topologies that are to be watched.
struct Found {
    /// The name of the only one, or of the folder.
    name: String,
    files: Vec<(String, String)>,
    /// The longest time between two reconciles.
    interval: Duration,
}

fn of_file(global: &Global, ui: &Ui) -> Result<Found, CliError> {
    let loaded = topology::load_or_report(global, ui)?;
    Ok(Found {
        name: loaded.topology.name.to_string(),
        files: vec![(FILE_NAME.to_owned(), loaded.text.to_string())],
        interval: loaded.topology.watch.interval,
    })
}

/// Each file of the folder is valid, and has a topology of its own.
fn of_folder(folder: &Path, global: &Global, ui: &Ui) -> Result<Found, CliError> {
    let mut found =
        Found { name: FOLDER_NAME.to_owned(), files: Vec::new(), interval: Duration::ZERO };
    let mut names = BTreeMap::new();
    for path in topology_files(folder)? {
        let global = Global { topology: path.clone(), ..global.clone() };
        let loaded = topology::load_or_report(&global, ui)?;
        let file = file_name(&path)?;
        if let Some(other) = names.insert(loaded.topology.name.clone(), file.clone()) {
            let name = &loaded.topology.name;
            return Err(CliError::new(format!("{file} and {other} have the same topology {name}"))
                .remedy("give one of the two another `[stargate] name`, or remove the file"));
        }
        found.interval = found.interval.max(loaded.topology.watch.interval);
        found.files.push((file, loaded.text.to_string()));
    }
    if found.files.is_empty() {
        return Err(CliError::new(format!("`{}` has no topology files", folder.display()))
            .remedy("pass a folder with `*.toml` files, or one file with `-f FILE`"));
    }
    let size: usize = found.files.iter().map(|(file, text)| file.len() + text.len()).sum();
    if size > MAX_CONFIG_MAP {
        return Err(CliError::new(format!(
            "the files have {size} bytes, too many for a ConfigMap"
        ))
        .remedy("divide the folder, or watch it from a jumpbox with `stargate watch DIR`"));
    }
    Ok(found)
}

/// The name of a file, as a key of a ConfigMap.
fn file_name(path: &Path) -> Result<String, CliError> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > 253 || !name.bytes().all(is_key) {
        return Err(CliError::new(format!("`{}` cannot be a key of a ConfigMap", path.display()))
            .remedy("use only letters, digits, `-`, `_` and `.` in the name of the file"));
    }
    Ok(name.to_owned())
}
