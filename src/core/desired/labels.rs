//! The name, labels and limits of a worker's Node.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use crate::resource::ownership::TOPOLOGY_LABEL;
use crate::topology::model::Profile;
use crate::topology::names::{DatacenterName, ResourceGroupName, TopologyName, WorkerName};

/// Keeps Azure's cloud controllers away from the Node.
pub const MANAGED_LABEL: &str = "kubernetes.azure.com/managed";
/// Keeps the Node out of the backends of Azure's load balancers.
pub const EXCLUDE_LABEL: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// Brings AKS's managed Cilium, by its mere presence.
pub const CLUSTER_LABEL: &str = "kubernetes.azure.com/cluster";
/// Says that the Node's data plane is Cilium.
pub const DATAPLANE_LABEL: &str = "kubernetes.azure.com/ebpf-dataplane";
/// Names the datacenter of a Node.
pub const DATACENTER_LABEL: &str = "stargate.io/datacenter";

/// The names of all labels that stargate itself sets.
pub fn all_names() -> impl Iterator<Item = String> {
    [MANAGED_LABEL, EXCLUDE_LABEL, CLUSTER_LABEL, DATAPLANE_LABEL, DATACENTER_LABEL, TOPOLOGY_LABEL]
        .into_iter()
        .map(str::to_owned)
}

/// The maximum number of pods on a Node, however large its range; the limit of AKS.
const MAX_PODS: u32 = 250;

/// The longest value that a label may have.
const MAX_LABEL_VALUE: usize = 63;

/// The labels of a worker's Node, from its first registration on.
///
/// A profile's labels cannot take the place of ours: without them Azure's
/// controllers would delete the Node.
pub fn node_labels(
    topology: &TopologyName,
    datacenter: &DatacenterName,
    node_resource_group: &ResourceGroupName,
    profile: &Profile,
) -> BTreeMap<String, String> {
    let mut labels = profile.labels.clone();
    let mut set = |name: &str, value: &str| labels.insert(name.to_owned(), value.to_owned());
    set(MANAGED_LABEL, "false");
    set(EXCLUDE_LABEL, "true");
    set(DATACENTER_LABEL, datacenter.as_str());
    set(TOPOLOGY_LABEL, topology.as_str());
    if profile.managed_cilium {
        set(CLUSTER_LABEL, &label_value(node_resource_group.as_str()));
        set(DATAPLANE_LABEL, "cilium");
    }
    labels
}

/// Truncates a name to a valid label value, which must end in a letter or a digit.
fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(MAX_LABEL_VALUE).collect();
    cut.trim_end_matches(|character: char| !character.is_ascii_alphanumeric()).to_owned()
}

/// The provider id of a worker: not Azure's form, so that Azure's controllers
/// take the Node for one that always exists.
pub fn provider_id(datacenter: &DatacenterName, worker: &WorkerName) -> String {
    format!("stargate:///{datacenter}/{worker}")
}

/// The maximum number of pods on a worker: the profile's value, or 250, but never more than
/// there are addresses.
///
/// host-local assigns neither the addresses of the network and the gateway nor the
/// broadcast address.
pub fn max_pods(profile: &Profile, pod_cidr: Ipv4Net) -> u32 {
    let addresses = 1_u64 << (32 - u32::from(pod_cidr.prefix_len()));
    let room = u32::try_from(addresses.saturating_sub(3)).unwrap_or(u32::MAX);
    profile.max_pods.unwrap_or(MAX_PODS).min(room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::model::{ContainerRuntime, PackageSource};

    fn profile() -> Profile {
        Profile {
            kubernetes_version: "1.33.5".parse().unwrap(),
            container_runtime: ContainerRuntime::Containerd,
            packages: PackageSource::Upstream,
            managed_cilium: true,
            labels: BTreeMap::from([(MANAGED_LABEL.to_owned(), "true".to_owned())]),
            taints: Vec::new(),
            max_pods: None,
        }
    }

    fn labels(profile: &Profile, group: &str) -> BTreeMap<String, String> {
        let group = ResourceGroupName::new(group);
        node_labels(&TopologyName::new("demo"), &DatacenterName::new("dc1"), &group, profile)
    }

    #[test]
    fn azure_controllers_ignore_workers() {
        let labels = labels(&profile(), "MC_group_cluster_canadacentral");
        assert_eq!(labels[MANAGED_LABEL], "false");
        assert_eq!(labels[EXCLUDE_LABEL], "true");
        assert_eq!(labels[CLUSTER_LABEL], "MC_group_cluster_canadacentral");
    }

    #[test]
    fn a_long_group_name_is_cut_to_a_legal_value() {
        let group = format!("{}_{}", "x".repeat(62), "y".repeat(10));
        assert_eq!(labels(&profile(), &group)[CLUSTER_LABEL], "x".repeat(62));
    }

    #[test]
    fn without_managed_cilium_its_labels_are_absent() {
        let profile = Profile { managed_cilium: false, ..profile() };
        let labels = labels(&profile, "group");
        assert!(!labels.contains_key(CLUSTER_LABEL));
        assert!(!labels.contains_key(DATAPLANE_LABEL));
    }

    #[test]
    fn max_pods_fits_the_pod_cidr() {
        for (requested, cidr, expected) in [
            (None, "10.244.1.0/24", 250),
            (Some(300), "10.244.1.0/24", 253),
            (None, "10.244.1.0/26", 61),
            (Some(30), "10.244.1.0/26", 30),
            (None, "10.244.1.0/32", 0),
        ] {
            let profile = Profile { max_pods: requested, ..profile() };
            assert_eq!(max_pods(&profile, cidr.parse().unwrap()), expected, "{cidr}");
        }
    }
}
