//! The optional DaemonSet that adds kernel routes on AKS nodes.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::namespaced;
use crate::resource::custom_resources::NAMESPACE;
use crate::resource::kubernetes::{Manifest, ManifestKind};
use crate::resource::ownership::ROUTE_PROTOCOL;

/// The name of the DaemonSet.
pub const NAME: &str = "stargate-route-manager";
/// An image with the full iproute2: busybox does not support `onlink`.
const IMAGE: &str = "docker.io/nicolaka/netshoot:v0.13";

/// The DaemonSet that keeps these routes on every AKS node.
///
/// It runs on nodes of AKS's own pools only; workers get their routes from
/// their bootstrap. The routes have stargate's protocol number: the DaemonSet deletes
/// routes with that number that are no longer desired, and never any other route.
pub fn route_manager(routes: &[(Ipv4Net, Ipv4Addr)]) -> Vec<Manifest> {
    let labels = json!({ "app": NAME });
    let body = json!({
        "spec": {
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "hostNetwork": true,
                    "automountServiceAccountToken": false,
                    "priorityClassName": "system-node-critical",
                    "terminationGracePeriodSeconds": 5,
                    "affinity": only_aks_nodes(),
                    "tolerations": [{ "operator": "Exists" }],
                    "containers": [{
                        "name": "routes",
                        "image": IMAGE,
                        "command": ["/bin/sh", "-c", script(routes)],
                        "resources": {
                            "requests": { "cpu": "5m", "memory": "16Mi" },
                            "limits": { "memory": "64Mi" },
                        },
                        "securityContext": {
                            "allowPrivilegeEscalation": false,
                            "capabilities": { "add": ["NET_ADMIN"], "drop": ["ALL"] },
                        },
                    }],
                },
            },
        },
    });
    vec![namespaced(ManifestKind::DaemonSet, NAMESPACE, NAME, body)]
}

fn only_aks_nodes() -> Value {
    json!({
        "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.azure.com/agentpool", "operator": "Exists" },
            ]}],
        }},
    })
}

/// Sets the routes once a minute and removes routes that the list no longer contains.
///
/// A desired route is replaced in place, so that it never disappears.
fn script(routes: &[(Ipv4Net, Ipv4Addr)]) -> String {
    let mut sorted = routes.to_vec();
    sorted.sort();
    let mut desired = String::new();
    let mut replace = String::new();
    for (prefix, next_hop) in sorted {
        let _ = write!(desired, " {prefix}");
        let _ = writeln!(
            replace,
            "  ip route replace {prefix} via {next_hop} onlink dev \"$device\" proto {ROUTE_PROTOCOL} || true"
        );
    }
    // The kernel shows a host route without its length.
    let desired = desired.replace("/32", "");
    format!(
        "desired=\"{desired} \"\n\
         trap 'exit 0' TERM\n\
         while true; do\n  \
         device=$(ip -4 route show default | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n 1)\n\
         {replace}  \
         ip -4 route show proto {ROUTE_PROTOCOL} | while read -r prefix rest; do\n    \
         case \"$desired\" in *\" $prefix \"*) ;; *) ip route del \"$prefix\" proto {ROUTE_PROTOCOL} ;; esac\n  \
         done\n  \
         sleep 60 & wait $!\n\
         done\n"
    )
}
