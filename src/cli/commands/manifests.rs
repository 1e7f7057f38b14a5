//! `stargate manifests`.

use clap::{Args, ValueEnum};

use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::cli::{exit, topology};
use crate::render::deployment::{self, DeploymentSettings, WatchedTopology};

/// Print the manifests that run `stargate watch` in the cluster
///
/// Prints YAML for `kubectl apply --server-side -f -`: a namespace, a service account with
/// exactly the permissions that are used, the topology as a ConfigMap, a Deployment, a
/// PodDisruptionBudget and a NetworkPolicy. Credentials are read from Secrets that you
/// create in the namespace: `stargate-credentials` (environment variables),
/// `stargate-ssh` (`id_ed25519`, `id_ed25519.pub`, `known_hosts`) and, with
/// `--tailscale-sidecar`, `stargate-tailscale` (`TS_AUTHKEY`).
///
/// No service is contacted.
#[derive(Debug, Clone, Args)]
pub(crate) struct ManifestsArguments {
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
    let loaded = topology::load_or_report(global, ui)?;
    let topology = WatchedTopology { name: loaded.topology.name.as_str(), text: &loaded.text };
    let settings = DeploymentSettings {
        namespace: arguments.namespace.clone(),
        image: arguments.image.clone(),
        replicas: arguments.replicas,
        client_id: arguments.client_id.clone(),
        tailscale_sidecar: arguments.tailscale_sidecar,
        prometheus_operator: arguments.monitoring.map(|_| loaded.topology.watch.interval),
    };
    let text = deployment::to_yaml(&deployment::objects(&topology, &settings))
        .map_err(|error| CliError::new(format!("the manifests cannot be written: {error}")))?;
    ui.data(&text)?;
    Ok(exit::DONE)
}
