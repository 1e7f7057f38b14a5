//! Nodes of the cluster that neither AKS nor the topology made.

use ipnet::Ipv4Net;

/// A Node that neither AKS nor the topology made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignNode {
    /// Its name.
    pub name: String,
    /// The range of its pods, if it has one.
    pub pod_cidr: Option<Ipv4Net>,
    /// The topology that it is a worker of, if its labels name one.
    pub topology: Option<String>,
}
