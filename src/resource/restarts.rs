//! Which updates a service applies by a restart.
//!
//! One table for every kind and each of its fields that can be updated in place:
//! a plan's disruptions are derived from it. Fields that force a replacement are not
//! listed here, because the replacement already implies more.

use super::Kind;

/// What restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restart {
    /// The virtual machine: nothing on it is reachable during the restart.
    Machine,
    /// The cluster's nodes, one after another: each is cordoned, drained and
    /// reimaged.
    ClusterNodes,
    /// The kubelet and, where its configuration changes, containerd. Containers
    /// keep running and keep their addresses.
    NodeAgents,
}

impl Restart {
    /// Whether packets to and through it are dropped during the restart.
    pub fn stops_packets(self) -> bool {
        match self {
            Self::Machine => true,
            Self::ClusterNodes | Self::NodeAgents => false,
        }
    }

    /// The interruption in words, for an object of that name.
    pub fn interruption(self, name: &str) -> String {
        match self {
            Self::Machine => format!("{name} restarts"),
            Self::ClusterNodes => {
                "the cluster's nodes are upgraded one after another; pods on each are evicted"
                    .to_owned()
            }
            Self::NodeAgents => {
                format!("the kubelet and containerd of {name} restart; its pods keep running")
            }
        }
    }
}

/// The restart by which a service applies an update of a field, if it needs one.
///
/// Sources, kind by kind:
/// - Virtual machine: "If the virtual machine is currently running, changing its
///   size will cause it to restart" (Azure, *Change the size of a virtual machine*).
/// - AKS: the control plane's version and that of its node pools are written
///   together, and an upgrade of a pool cordons, drains and reimages its nodes one
///   after another (Azure, *Upgrade an Azure Kubernetes Service cluster*). Scaling
///   a pool restarts no node.
/// - Network interface: IP forwarding and the public address change on a running
///   machine. Subnets, route tables, security groups and NAT gateways do, too.
/// - Tailscale: `tailscale set` changes the preferences of a running tailscaled;
///   sysctls, rules, routes and nftables of a router change in its kernel. The
///   units that keep them are written, and started, without a restart of tailscaled.
/// - Worker: a new version or profile is applied by the steps of
///   a join, of which some restart containerd and the kubelet.
///   Containers outlive both: containerd's shims keep them (containerd,
///   *runtime/v2*), and a kubelet takes up what runs.
/// - Other Kubernetes objects hold nothing that restarts on the network's path. A
///   DaemonSet replaces its own pods.
pub fn restarts_on(kind: Kind, field: &str) -> Option<Restart> {
    let restarts = kind.facts().restarts.iter();
    restarts.copied().find_map(|(restarting, restart)| (restarting == field).then_some(restart))
}
