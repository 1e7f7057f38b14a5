//! The watchers: their pods, their configuration, and the permitted connections.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    DeploymentSettings, FILE_NAME, METRICS_PORT_NAME, WatchedTopologies, labels, metadata, name_of,
};

/// The Secret with the credentials of Tailscale, and of Azure without workload identity,
/// as environment variables.
pub const CREDENTIALS_SECRET: &str = "stargate-credentials";
/// The Secret with `id_ed25519`, `id_ed25519.pub` and `known_hosts`.
pub const SSH_SECRET: &str = "stargate-ssh";
/// The Secret with `TS_AUTHKEY` of the sidecar.
pub const TAILSCALE_SECRET: &str = "stargate-tailscale";

const SIDECAR_IMAGE: &str = "docker.io/tailscale/tailscale:v1.86.2";
/// The port of probes and metrics.
const METRICS_PORT: u16 = 9090;
/// The port of the sidecar's SOCKS5 proxy.
const PROXY_PORT: u16 = 1055;
/// A user without a name on the nodes.
const USER: u32 = 65532;
/// The time for running steps to finish, in seconds.
const GRACE_SECONDS: u32 = 60;
/// The time from the end of that until the pod is killed, in seconds.
const EXIT_SECONDS: u32 = 15;
/// Where the files of the topologies are mounted.
const FOLDER: &str = "/etc/stargate";
const HOME: &str = "/home/stargate";

pub(super) fn objects(
    topology: &WatchedTopologies<'_>,
    settings: &DeploymentSettings,
) -> Vec<Value> {
    let within = |body: Value| {
        let mut object = body;
        object["metadata"] = metadata(topology, Some(&settings.namespace));
        object
    };
    vec![
        within(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "data": topology.files.iter().cloned().collect::<BTreeMap<String, String>>(),
        })),
        within(deployment(topology, settings)),
        within(json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "spec": { "maxUnavailable": 1, "selector": { "matchLabels": labels(topology) } },
        })),
        within(network_policy(topology, settings)),
    ]
}

fn deployment(topology: &WatchedTopologies<'_>, settings: &DeploymentSettings) -> Value {
    let mut pod_labels = labels(topology);
    if settings.client_id.is_some() {
        pod_labels["azure.workload.identity/use"] = json!("true");
    }
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "spec": {
            "replicas": settings.replicas,
            "selector": { "matchLabels": labels(topology) },
            "template": {
                "metadata": {
                    "labels": pod_labels,
                    // The API server's address becomes the cluster's own name, which proves
                    // that the pod's account is of the cluster of the topology.
                    "annotations": { "kubernetes.azure.com/set-kube-service-host-fqdn": "true" },
                },
                "spec": pod(topology, settings),
            },
        },
    })
}

fn pod(topology: &WatchedTopologies<'_>, settings: &DeploymentSettings) -> Value {
    let mut containers = vec![watcher(topology, settings)];
    if settings.tailscale_sidecar {
        containers.push(sidecar());
    }
    json!({
        "serviceAccountName": name_of(topology),
        "terminationGracePeriodSeconds": GRACE_SECONDS + EXIT_SECONDS,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        // Workers can be unreachable when the watcher is needed.
        "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "stargate.io/datacenter", "operator": "DoesNotExist" },
            ]}],
        }}},
        "topologySpreadConstraints": [{
            "maxSkew": 1,
            "topologyKey": "kubernetes.io/hostname",
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": { "matchLabels": labels(topology) },
        }],
        "containers": containers,
        "volumes": [
            { "name": "topology", "configMap": { "name": name_of(topology) } },
            { "name": "ssh", "secret": { "secretName": SSH_SECRET, "defaultMode": 0o440 } },
            { "name": "home", "emptyDir": { "sizeLimit": "64Mi" } },
            { "name": "tmp", "emptyDir": { "sizeLimit": "64Mi" } },
        ],
    })
}

fn locked_down() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    })
}

fn watcher(topology: &WatchedTopologies<'_>, settings: &DeploymentSettings) -> Value {
    let probe = |path: &str| json!({ "httpGet": { "path": path, "port": METRICS_PORT_NAME } });
    let mut environment = vec![json!({ "name": "HOME", "value": HOME })];
    if settings.tailscale_sidecar {
        let proxy = format!("socks5://localhost:{PROXY_PORT}");
        environment.push(json!({ "name": "STARGATE_SSH_PROXY", "value": proxy }));
    }
    json!({
        "name": "stargate",
        "image": settings.image,
        "args": arguments(topology),
        "env": environment,
        "envFrom": [{ "secretRef": { "name": CREDENTIALS_SECRET } }],
        "ports": [{ "name": METRICS_PORT_NAME, "containerPort": METRICS_PORT }],
        "livenessProbe": probe("/livez"),
        "readinessProbe": probe("/readyz"),
        "resources": {
            "requests": { "cpu": "50m", "memory": "64Mi" },
            "limits": { "memory": "256Mi" },
        },
        "securityContext": locked_down(),
        "volumeMounts": [
            { "name": "topology", "mountPath": FOLDER, "readOnly": true },
            { "name": "home", "mountPath": HOME },
            { "name": "ssh", "mountPath": format!("{HOME}/.ssh"), "readOnly": true },
            { "name": "tmp", "mountPath": "/tmp" },
        ],
    })
}

fn arguments(topology: &WatchedTopologies<'_>) -> Vec<String> {
    let watched = match topology.is_folder {
        true => vec!["watch".to_owned(), FOLDER.to_owned()],
        false => {
            vec!["watch".to_owned(), "--topology".to_owned(), format!("{FOLDER}/{FILE_NAME}")]
        }
    };
    let others = [
        "--format".to_owned(),
        "json".to_owned(),
        "--listen".to_owned(),
        format!("0.0.0.0:{METRICS_PORT}"),
        "--grace-seconds".to_owned(),
        GRACE_SECONDS.to_string(),
    ];
    watched.into_iter().chain(others).collect()
}

/// A tailscaled without a network device: it needs no capability.
fn sidecar() -> Value {
    let set = |name: &str, value: &str| json!({ "name": name, "value": value });
    json!({
        "name": "tailscaled",
        "image": SIDECAR_IMAGE,
        "env": [
            set("TS_USERSPACE", "true"),
            set("TS_SOCKS5_SERVER", &format!("localhost:{PROXY_PORT}")),
            set("TS_AUTH_ONCE", "true"),
            set("TS_STATE_DIR", "/tmp/tailscale"),
            set("TS_KUBE_SECRET", ""),
        ],
        "envFrom": [{ "secretRef": { "name": TAILSCALE_SECRET } }],
        "resources": {
            "requests": { "cpu": "10m", "memory": "32Mi" },
            "limits": { "memory": "128Mi" },
        },
        "securityContext": locked_down(),
        "volumeMounts": [{ "name": "tmp", "mountPath": "/tmp" }],
    })
}

/// Probes and metrics come in; DNS, HTTPS and SSH go out, and the tailnet's traffic with
/// the sidecar.
fn network_policy(topology: &WatchedTopologies<'_>, settings: &DeploymentSettings) -> Value {
    let port = |protocol: &str, port: u16| json!({ "protocol": protocol, "port": port });
    let mut out = vec![json!({ "ports": [
        port("UDP", 53), port("TCP", 53), port("TCP", 443), port("TCP", 22),
    ]})];
    if settings.tailscale_sidecar {
        // A peer's port can be any.
        out.push(json!({ "ports": [{ "protocol": "UDP" }, port("TCP", 80)] }));
    }
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "spec": {
            "podSelector": { "matchLabels": labels(topology) },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{ "ports": [port("TCP", METRICS_PORT)] }],
            "egress": out,
        },
    })
}
