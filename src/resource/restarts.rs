//! The restarts by which services apply updates. The row of a kind lists the fields
//! whose update needs one; the disruptions of a plan are derived from it.

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
