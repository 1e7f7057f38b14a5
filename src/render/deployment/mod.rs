//! The objects that run `stargate watch` in the cluster, for `stargate manifests`.

mod access;
mod monitoring;
mod workload;

use std::time::Duration;

use serde_json::{Value, json};

pub use workload::{CREDENTIALS_SECRET, SSH_SECRET, TAILSCALE_SECRET};

/// The name of the port of probes and metrics.
const METRICS_PORT_NAME: &str = "metrics";

/// The options of the command line.
#[derive(Debug, Clone)]
pub struct DeploymentSettings {
    /// The namespace of the watcher.
    pub namespace: String,
    /// The container image of stargate.
    pub image: String,
    /// How many watchers there are; one of them works.
    pub replicas: u16,
    /// The client id of the managed identity for workload identity. Without it, the
    /// credentials of Azure come from the Secret.
    pub client_id: Option<String>,
    /// Whether a tailscaled in userspace mode reaches the routers, for clusters whose nodes
    /// have no route to them.
    pub tailscale_sidecar: bool,
    /// The time between two reconciles, if the Prometheus Operator is to scrape the
    /// watchers and to alert.
    pub prometheus_operator: Option<Duration>,
}

/// The topologies that are watched.
#[derive(Debug, Clone, Copy)]
pub struct WatchedTopologies<'a> {
    /// The name of the only one, or of the folder.
    pub name: &'a str,
    /// The name and the text of each file.
    pub files: &'a [(String, String)],
    /// Whether the files are watched as a folder.
    pub is_folder: bool,
}

/// The name of the file of a single topology.
pub const FILE_NAME: &str = "stargate.toml";

/// The name of the account, the roles and the workload. Several topologies can be watched
/// in one namespace.
fn name_of(topology: &WatchedTopologies<'_>) -> String {
    format!("stargate-{}", topology.name)
}

fn labels(topology: &WatchedTopologies<'_>) -> Value {
    json!({
        "app.kubernetes.io/name": "stargate",
        "app.kubernetes.io/instance": topology.name,
        "app.kubernetes.io/component": "watch",
    })
}

fn metadata(topology: &WatchedTopologies<'_>, namespace: Option<&str>) -> Value {
    let mut metadata = json!({ "name": name_of(topology), "labels": labels(topology) });
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

/// The objects in the order in which they can be created.
pub fn objects(topology: &WatchedTopologies<'_>, settings: &DeploymentSettings) -> Vec<Value> {
    let mut objects = vec![json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": settings.namespace,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        },
    })];
    objects.extend(access::objects(topology, settings));
    objects.extend(workload::objects(topology, settings));
    if let Some(interval) = settings.prometheus_operator {
        objects.extend(monitoring::objects(topology, settings, interval));
    }
    objects
}

/// The objects as YAML documents.
///
/// # Errors
///
/// A value cannot be written as YAML.
pub fn to_yaml(objects: &[Value]) -> Result<String, serde_saphyr::ser::Error> {
    let mut text = String::new();
    for object in objects {
        text.push_str("---\n");
        serde_saphyr::to_fmt_writer(&mut text, object)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
