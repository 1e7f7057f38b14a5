//! A worker's life as typed steps: probe, apply, verify, remedy.
//!
//! [`join`] brings a host to its profile and into the cluster, beginning at the
//! first step that is not proven; [`leave`] takes it out again. A repave is the
//! one after the other.

pub mod cloud_init;
mod drain;
mod error;
mod join;
mod leave;
mod maintenance;
mod proof;
mod reboot;
mod record;
mod staging;
mod step;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::Timestamp;
use serde_json::json;

use crate::desired::digest::canonical_digest;
use crate::provider::cluster::{OperationKind, OperationRecord};
use crate::provider::host::{HostTarget, KubeletConfiguration};
use crate::provider::read_write::{ClusterWrite, HostWrite};
use crate::resource::host::{JoinedWorker, KernelRoute};
use crate::resource::work_request::WorkRequest;
use crate::topology::model::PackageSource;
use crate::topology::names::ProfileName;

pub use drain::{drain_nodes, uncordon_nodes};
pub use error::{JoinCause, JoinError, LeaveError, RebootError};
pub use join::{JoinReport, join};
pub use leave::{ComesBack, HostRetention, LeaveContext, LeaveReport, leave};
pub use maintenance::{MaintenanceContext, begin_maintenance, cancel_maintenance, end_maintenance};
pub use reboot::{RebootContext, reboot};
pub use staging::stage_packages;
pub use step::{JoinStep, Stage, StepEvent};

/// The name of our CNI configuration: it sorts before the `05-cilium.conflist`
/// that azure-cns may write, and the runtime takes the first.
pub const CNI_CONFIGURATION_NAME: &str = "00-stargate.conflist";

/// Hears of steps as they happen.
pub type Progress<'a> = dyn Fn(StepEvent) + Send + Sync + 'a;

/// A clock.
pub type Now<'a> = dyn Fn() -> Timestamp + Send + Sync + 'a;

/// The parameters of a join.
#[derive(Clone)]
pub struct JoinContext<'a> {
    /// The client of the hosts.
    pub hosts: &'a dyn HostWrite,
    /// The client of the cluster.
    pub cluster: &'a dyn ClusterWrite,
    /// The worker's host and the way to it.
    pub target: HostTarget,
    /// The desired state of the worker.
    pub desired: JoinedWorker,
    /// Facts of the cluster and the network.
    pub settings: WorkerSettings,
    /// The name of its profile, for the records.
    pub profile: ProfileName,
    /// The kind of the recorded Operation.
    pub operation: OperationKind,
    /// The request that the join is a part of, for the records.
    pub request: Option<WorkRequest>,
    /// The time limit of the drain before the first step. `None` if the pods may keep
    /// running, or if the worker has no pods yet.
    pub drain_within: Option<Duration>,
    /// The record to continue: that of the leave, if the worker is reprovisioned.
    pub continues: Option<OperationRecord>,
    /// The current time.
    pub now: &'a Now<'a>,
}

/// Facts of the cluster and the network that provisioning uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSettings {
    /// The cluster's CA, in PEM.
    pub cluster_ca_pem: String,
    /// The URL of the API server.
    pub api_server: String,
    /// The address of the cluster's DNS service.
    pub cluster_dns: Ipv4Addr,
    /// The most pods; see [`crate::desired::labels::max_pods`].
    pub max_pods: u32,
    /// Where its packages come from.
    pub packages: PackageSource,
    /// Routes through the datacenter's router, where no fabric has them.
    pub kernel_routes: BTreeMap<Ipv4Net, KernelRoute>,
}

/// The configuration of a worker's kubelet, with its digest.
pub fn kubelet_configuration(
    desired: &JoinedWorker,
    settings: &WorkerSettings,
) -> KubeletConfiguration {
    let digest = canonical_digest(&json!({
        "nodeName": desired.name,
        "nodeIp": desired.ip,
        "clusterDns": settings.cluster_dns,
        "labels": desired.labels,
        "taints": desired.taints,
        "providerId": desired.provider_id,
        "maxPods": settings.max_pods,
        "apiServer": settings.api_server,
    }));
    KubeletConfiguration {
        node_name: desired.name.clone(),
        node_ip: desired.ip,
        cluster_dns: settings.cluster_dns,
        labels: BTreeMap::clone(&desired.labels),
        taints: BTreeSet::clone(&desired.taints),
        provider_id: desired.provider_id.clone(),
        max_pods: settings.max_pods,
        digest,
    }
}

#[cfg(test)]
mod fake_host;
#[cfg(test)]
mod tests;
