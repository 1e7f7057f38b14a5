//! The kubelet's configuration, unit and credentials.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::files;
use super::super::quote::quote;
use super::super::script::HostScript;
use super::script_base::{FOLDER, begin};
use crate::provider::host::KubeletConfiguration;
use crate::provider::secret::Secret;
use crate::resource::digest::text_digest;

/// Kubernetes' own label keys that a kubelet may set on its Node
/// (`k8s.io/kubelet/pkg/apis/well_known_labels.go`).
const KUBELET_LABELS: [&str; 10] = [
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "kubernetes.io/arch",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/arch",
];

const UNIT: &str = "[Unit]
Description=The kubelet of a stargate worker
Wants=network-online.target
After=network-online.target containerd.service stargate-worker.service
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh /etc/stargate/worker/kubelet
Restart=always
RestartSec=5
SuccessExitStatus=143
KillMode=process

[Install]
WantedBy=multi-user.target
";

/// Takes precedence over the drop-in of another package, such as kubeadm's.
const DROP_IN: &str = "[Service]
ExecStart=
ExecStart=/bin/sh /etc/stargate/worker/kubelet
";

/// The script that writes all of the configuration.
pub(super) fn configure(topology: &str, desired: &KubeletConfiguration) -> HostScript {
    let (configuration, command) = (configuration(desired), command(desired));
    let header = files::header(topology);
    let written: String =
        [&configuration, &command, UNIT, DROP_IN].map(|body| format!("{header}\n{body}")).concat();
    // The digests of the specification and of the written files: together they detect an edited
    // file.
    let digest = format!("{} {}", desired.digest, text_digest(&written));
    begin("configure the kubelet", topology)
        .value("configuration", &configuration)
        .value("command", &command)
        .value("unit", UNIT)
        .value("drop_in", DROP_IN)
        .value("digest", &digest)
        .build(include_str!("../sh/worker_configuration.sh"))
}

/// JSON is valid YAML, and serialisation escapes every value.
fn configuration(desired: &KubeletConfiguration) -> String {
    let taints: Vec<Value> = desired.taints.iter().map(|taint| taint_of(taint)).collect();
    let value = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": { "enabled": false },
            "webhook": { "enabled": true },
            "x509": { "clientCAFile": format!("{FOLDER}/ca.crt") },
        },
        "authorization": { "mode": "Webhook" },
        "cgroupDriver": "systemd",
        "clusterDNS": [desired.cluster_dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "failSwapOn": true,
        "maxPods": desired.max_pods,
        "protectKernelDefaults": true,
        "providerID": desired.provider_id,
        "readOnlyPort": 0,
        "registerWithTaints": taints,
        "resolvConf": format!("{FOLDER}/resolv.conf"),
        "rotateCertificates": true,
        "serverTLSBootstrap": false,
    });
    format!("{value:#}\n")
}

/// Parses `key=value:Effect`. The value is optional.
fn taint_of(taint: &str) -> Value {
    let (rest, effect) = taint.rsplit_once(':').unwrap_or((taint, ""));
    let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
    json!({ "key": key, "value": value, "effect": effect })
}

/// The program that the unit runs. It is a shell script because systemd's quoting differs from a
/// shell's.
fn command(desired: &KubeletConfiguration) -> String {
    let labels: Vec<String> =
        own_labels(&desired.labels).map(|(name, value)| format!("{name}={value}")).collect();
    format!(
        "# The stub that systemd-resolved puts into /etc/resolv.conf answers no pod.\n\
         resolver=/run/systemd/resolve/resolv.conf\n\
         [ -e \"$resolver\" ] || resolver=/etc/resolv.conf\n\
         ln -sfn \"$resolver\" {FOLDER}/resolv.conf\n\
         exec kubelet \\\n    \
         --config={FOLDER}/kubelet.yaml \\\n    \
         --kubeconfig=/var/lib/kubelet/kubeconfig \\\n    \
         --bootstrap-kubeconfig={FOLDER}/bootstrap-kubeconfig \\\n    \
         --hostname-override={} \\\n    \
         --node-ip={} \\\n    \
         --node-labels={}\n",
        quote(&desired.node_name),
        quote(&desired.node_ip.to_string()),
        quote(&labels.join(",")),
    )
}

/// The labels that a kubelet may set on its own Node. It does not start with any other label.
/// Stargate sets the others through the API once the Node exists.
fn own_labels(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    labels.iter().filter(|(name, _)| {
        let domain = name.split_once('/').map_or("", |(domain, _)| domain);
        let below = |zone: &str| domain == zone || domain.ends_with(&format!(".{zone}"));
        let reserved = below("kubernetes.io") || below("k8s.io");
        let allowed = below("kubelet.kubernetes.io") || below("node.kubernetes.io");
        !reserved || allowed || KUBELET_LABELS.contains(&name.as_str())
    })
}

/// The kubeconfig with which the kubelet requests its certificate. The kubeconfig that it then
/// writes has the same server and CA.
pub(super) fn bootstrap_kubeconfig(server: &str, token: &Secret) -> Secret {
    let value = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "stargate",
            "cluster": { "server": server, "certificate-authority": format!("{FOLDER}/ca.crt") },
        }],
        "users": [{ "name": "bootstrap", "user": { "token": token.expose() } }],
        "contexts": [{
            "name": "bootstrap",
            "context": { "cluster": "stargate", "user": "bootstrap" },
        }],
        "current-context": "bootstrap",
    });
    Secret::new(format!("{value:#}\n"))
}

/// The digest of the specification, if the files on disk are unchanged.
pub(super) fn digest_on_disk(noted: &str, sum: &str) -> Option<String> {
    let (digest, written) = noted.trim_end().split_once(' ')?;
    let sum = sum.split_whitespace().next()?;
    (written == sum).then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_sets_only_allowed_labels() {
        let names = [
            ("kubernetes.azure.com/managed", true),
            ("stargate.io/topology", true),
            ("node.kubernetes.io/exclude-from-external-load-balancers", true),
            ("kubernetes.io/arch", true),
            ("plain", true),
            ("node-role.kubernetes.io/worker", false),
            ("kubernetes.io/role", false),
            ("x.node-restriction.kubernetes.io/a", false),
        ];
        for (name, allowed) in names {
            let labels = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            assert_eq!(own_labels(&labels).count() == 1, allowed, "{name}");
        }
    }

    #[test]
    fn a_taint_has_three_parts() {
        assert_eq!(
            taint_of("a.b/c=d:NoSchedule"),
            json!({ "key": "a.b/c", "value": "d", "effect": "NoSchedule" })
        );
        assert_eq!(
            taint_of("a:NoExecute"),
            json!({ "key": "a", "value": "", "effect": "NoExecute" })
        );
    }

    #[test]
    fn an_edited_file_has_no_digest() {
        assert_eq!(digest_on_disk("abc 123\n", "123  -\n"), Some("abc".to_owned()));
        assert_eq!(digest_on_disk("abc 123\n", "124  -\n"), None);
        assert_eq!(digest_on_disk("abc\n", "123"), None);
        assert_eq!(digest_on_disk("abc 123\n", ""), None);
    }
}
