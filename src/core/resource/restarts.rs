//! The restarts by which services apply updates. The row of a kind lists the fields
//! whose update needs one; the disruptions of a plan are derived from it.

/// The part that restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Restart {
    /// The virtual machine: nothing on it is reachable during the restart.
    Machine,
    /// The API server, whose replicas are replaced one after another.
    ControlPlane,
    /// The nodes of a pool, one after another: each is cordoned, drained and
    /// reimaged.
    PoolNodes,
    /// The kubelet, with another version. The worker is cordoned and drained first.
    KubeletUpgrade,
    /// The kubelet and, where its configuration changes, containerd. Containers
    /// keep running and keep their addresses.
    NodeAgents,
}

impl Restart {
    /// Whether packets to and through it are dropped during the restart.
    pub fn stops_packets(self) -> bool {
        match self {
            Self::Machine => true,
            Self::ControlPlane | Self::PoolNodes | Self::KubeletUpgrade | Self::NodeAgents => false,
        }
    }

    /// Whether the pods on it are evicted or unreachable during the restart.
    pub fn interrupts_pods(self) -> bool {
        matches!(self, Self::KubeletUpgrade) || self.stops_packets()
    }

    /// The interruption in words, for an object of that name.
    pub fn interruption(self, name: &str) -> String {
        match self {
            Self::Machine => format!("{name} restarts"),
            Self::ControlPlane => {
                "the API server of the cluster may not answer for short times; pods keep running"
                    .to_owned()
            }
            Self::PoolNodes => format!(
                "the nodes of pool {name} are upgraded one after another; pods on each are evicted"
            ),
            Self::KubeletUpgrade => format!(
                "the pods on {name} are evicted, and no pods are scheduled on it until its kubelet \
                 is upgraded"
            ),
            Self::NodeAgents => format!(
                "the kubelet and containerd of {name} restart; its pods keep running, so it is not \
                 drained"
            ),
        }
    }
}
