//! Reads of the cluster, and writes to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::Value;

use crate::inventory::{GoldpingerPod, KubernetesService, Measurement};
use crate::provider::cluster::{
    Approval, BootstrapToken, ClusterError, DrainReport, LeaseClaim, LeaseRecord, LeaseRequest,
    LiveManifest, MeasureError, NodeFacts, OperationEvent, OperationObject, OperationRecord,
    OperationStart, OperationUpdate, PastOperation, ServerStatus, TopologyObject, WatchStream,
    WatchedKind,
};
use crate::resource::Site;
use crate::resource::kubernetes::{Manifest, ManifestKind, ObjectName};
use crate::resource::names::WorkerName;
use crate::resource::work_request::RequestedOperation;

/// Reads the cluster.
///
/// Every method fails with [`ClusterError`] if the API server does not answer or
/// refuses the request.
#[async_trait]
pub trait ClusterRead: Debug + Send + Sync {
    /// The API server's version.
    async fn server_version(&self) -> Result<Info, ClusterError>;

    /// Every Node, AKS's and the workers', by one list.
    async fn nodes(&self) -> Result<Vec<NodeFacts>, ClusterError>;

    /// One Node, if there is one of that name.
    async fn node(&self, name: &str) -> Result<Option<NodeFacts>, ClusterError>;

    /// The pod CIDR that Azure gave each AKS node; none where the cluster has no
    /// such API.
    async fn node_network_configs(&self) -> Result<BTreeMap<String, Ipv4Net>, ClusterError>;

    /// `spec.ipam.podCIDRs` of every CiliumNode; none where the cluster has no
    /// such API. On AKS they are normally empty and not reliable: do not plan from them.
    async fn cilium_nodes(&self) -> Result<BTreeMap<String, Vec<Ipv4Net>>, ClusterError>;

    /// `spec.ipam.podCIDRs` of one CiliumNode; nothing where it is not there.
    async fn cilium_node(&self, name: &str) -> Result<Option<Vec<Ipv4Net>>, ClusterError>;

    /// The uid of a CiliumNode; `None` as well in a cluster without Cilium.
    async fn cilium_node_uid(&self, name: &str) -> Result<Option<String>, ClusterError>;

    /// Every object of a kind, regardless of its owner; empty if the cluster
    /// does not know the kind yet.
    async fn list_all(&self, kind: ManifestKind) -> Result<Vec<LiveManifest>, ClusterError>;

    /// Every object of a kind that this topology owns, by one list;
    /// none where the cluster does not know the kind yet.
    async fn list_ours(&self, kind: ManifestKind) -> Result<Vec<LiveManifest>, ClusterError>;

    /// One object, regardless of its owner.
    async fn get(
        &self,
        kind: ManifestKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<LiveManifest>, ClusterError>;

    /// The objects in a namespace, or of a definition of stargate's, that the topology
    /// does not own, as kind and name. Empty for every other object.
    async fn foreign_contents(&self, container: &ObjectName) -> Result<Vec<String>, ClusterError>;

    /// Whether the cluster would approve the requests of our bootstrap tokens by itself,
    /// which stargate does not want.
    async fn review_bootstrap_auto_approval(&self) -> Result<bool, ClusterError>;

    /// Watches every object of a kind, for as long as the stream is read.
    fn watch(&self, kind: WatchedKind) -> WatchStream;

    /// The pods of Goldpinger's, in one namespace or in all.
    async fn pingers(&self, namespace: Option<&str>) -> Result<Vec<GoldpingerPod>, MeasureError>;

    /// Reads the measurements of all pods from one of them.
    async fn check_all(
        &self,
        requested: &GoldpingerPod,
        pods: &[GoldpingerPod],
    ) -> Result<Measurement, MeasureError>;

    /// Every Operation of the topology's workers that is kept, by one list.
    async fn past_operations(&self) -> Result<Vec<PastOperation>, ClusterError>;

    /// The last Operation of each worker, by one list.
    async fn last_operations(&self) -> Result<BTreeMap<String, PastOperation>, ClusterError>;

    /// Every Operation, regardless of its owner and origin; empty if the cluster does not
    /// know the kind yet.
    async fn operations(&self) -> Result<Vec<OperationObject>, ClusterError>;

    /// Reads a Lease in `kube-system`, if there is one of that name.
    async fn lease(&self, name: &str) -> Result<Option<LeaseRecord>, ClusterError>;

    /// The object on which `stargate watch` reports about the topology, if there is one.
    async fn topology_object(&self) -> Result<Option<TopologyObject>, ClusterError>;

    /// The service with an address, and its endpoints; `None` if there is no such service.
    async fn service_at(
        &self,
        address: Ipv4Addr,
    ) -> Result<Option<KubernetesService>, ClusterError>;
}

/// Writes to the cluster; can read it too.
#[async_trait]
pub trait ClusterWrite: ClusterRead {
    /// Applies an object with the marks of ownership, and answers its new state.
    async fn apply(
        &self,
        manifest: &Manifest,
        site: &Site,
        force: bool,
    ) -> Result<LiveManifest, ClusterError>;

    /// Deletes an object and waits until it is deleted. An absent one is no error.
    async fn delete(
        &self,
        kind: ManifestKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), ClusterError>;

    /// Sets only `spec.ipam.podCIDRs` of a CiliumNode.
    async fn set_cilium_pod_cidrs(
        &self,
        name: &str,
        pod_cidrs: &[Ipv4Net],
    ) -> Result<(), ClusterError>;

    /// Deletes a CiliumNode whose Node is deleted. An absent one is no error, nor is a
    /// cluster without Cilium.
    async fn delete_cilium_node(&self, name: &str, uid: &str) -> Result<(), ClusterError>;

    /// Sets a Node's pod CIDR; the API server takes it once and never again.
    async fn set_node_pod_cidr(&self, name: &str, pod_cidr: Ipv4Net) -> Result<(), ClusterError>;

    /// Sets a Node's provider id; the API server takes it once and never again.
    async fn set_node_provider_id(&self, name: &str, provider_id: &str)
    -> Result<(), ClusterError>;

    /// Sets labels and taints, removes those that stargate set before and that are no
    /// longer desired, and records its own.
    async fn set_node_labels_and_taints(
        &self,
        node: &NodeFacts,
        labels: &BTreeMap<String, String>,
        taints: &BTreeSet<String>,
    ) -> Result<NodeFacts, ClusterError>;

    /// Sets or, with `None`, removes annotations of a Node.
    async fn patch_node_annotations(
        &self,
        name: &str,
        annotations: &BTreeMap<&str, Option<&str>>,
    ) -> Result<(), ClusterError>;

    /// Cordons a Node for the duration of an operation and records that stargate
    /// did it; a Node that another client cordoned stays unchanged.
    async fn cordon_for_work(&self, node: &NodeFacts) -> Result<(), ClusterError>;

    /// Lets pods come again to a Node that stargate has cordoned.
    async fn uncordon_after_work(&self, name: &str) -> Result<(), ClusterError>;

    /// Deletes a Node and waits until it is deleted. An absent one is no error. With a uid,
    /// only the Node of that uid is deleted.
    async fn delete_node(&self, name: &str, uid: Option<&str>) -> Result<(), ClusterError>;

    /// Evicts all pods except static pods, completed ones and those of DaemonSets, and
    /// waits until they are deleted.
    async fn drain(&self, node: &str, within: Duration) -> Result<DrainReport, ClusterError>;

    /// Finds the certificate requests with a worker's token and approves exactly those for
    /// its kubelet's client certificate. A restarted kubelet makes a second request, and
    /// waits for that one.
    async fn approve_csr_for(
        &self,
        worker: &WorkerName,
        token_id: &str,
    ) -> Result<Approval, ClusterError>;

    /// Creates or renews a Lease, and answers it as it then is; a conflict if it
    /// changed after it was read.
    async fn write_lease(&self, claim: LeaseClaim<'_>) -> Result<LeaseRecord, ClusterError>;

    /// Requests a Lease from the process that holds it; one that changed after it was read
    /// is a conflict.
    async fn request_lease(
        &self,
        name: &str,
        read: &LeaseRecord,
        request: &LeaseRequest,
    ) -> Result<LeaseRecord, ClusterError>;

    /// Deletes a Lease as it was read; one that is not there is fine, and one
    /// that changed is a conflict.
    async fn delete_lease(&self, name: &str, read: &LeaseRecord) -> Result<(), ClusterError>;

    /// Creates the object on which `stargate watch` reports about the topology.
    async fn create_topology_object(&self) -> Result<TopologyObject, ClusterError>;

    /// Writes the status of that object; a field that is null is removed.
    async fn update_topology_status(&self, status: &Value) -> Result<(), ClusterError>;

    /// Removes the annotation that approves changes from that object; a conflict if the
    /// approval changed after it was read.
    async fn take_approval(&self, read: &TopologyObject) -> Result<(), ClusterError>;

    /// Makes a token for a worker, which lives for an hour and can only be
    /// authenticated with.
    async fn create_bootstrap_token(
        &self,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<BootstrapToken, ClusterError>;

    /// Deletes a token; one that is not there is fine.
    async fn delete_bootstrap_token(&self, id: &str) -> Result<(), ClusterError>;

    /// Deletes this topology's expired tokens and all tokens of one worker;
    /// returns their number.
    async fn delete_stale_bootstrap_tokens(
        &self,
        worker: Option<&WorkerName>,
        now: Timestamp,
    ) -> Result<usize, ClusterError>;

    /// Marks a request as one of the topology. An absent one is no error.
    async fn claim_operation(
        &self,
        operation: &OperationObject,
        worker: Option<&WorkerName>,
    ) -> Result<(), ClusterError>;

    /// Holds an Operation by a finalizer before its work begins.
    async fn start_operation(
        &self,
        requested: &RequestedOperation,
    ) -> Result<OperationStart, ClusterError>;

    /// Releases the Operation of this uid from the finalizer once its work has ended.
    async fn release_operation(&self, name: &str, uid: &str) -> Result<(), ClusterError>;

    /// Deletes the Operation of this uid, held or not; one that is not there is fine.
    async fn delete_operation(&self, name: &str, uid: &str) -> Result<(), ClusterError>;

    /// Writes the status of an Operation.
    async fn write_operation_status(
        &self,
        name: &str,
        status: &OperationUpdate,
    ) -> Result<(), ClusterError>;

    /// Records an Event about an Operation, its Server and its Node. One of the same
    /// reason is recorded once.
    async fn record_operation_event(&self, event: &OperationEvent) -> Result<(), ClusterError>;

    /// Creates the object of a record; its spec is immutable.
    async fn create_operation(&self, record: &OperationRecord) -> Result<(), ClusterError>;

    /// Writes how far the work is.
    async fn update_operation(&self, record: &OperationRecord) -> Result<(), ClusterError>;

    /// Writes the status of a worker's Server.
    async fn update_server_status(
        &self,
        worker: &WorkerName,
        status: &ServerStatus,
    ) -> Result<(), ClusterError>;

    /// Ends the records of a worker that a run which was cut off has left
    /// running, and deletes the oldest, before the record of new work is made.
    async fn tidy_operations(
        &self,
        begins: &OperationRecord,
        now: Timestamp,
    ) -> Result<(), ClusterError>;

    /// Marks the records of a worker, made under the topology's former name, as its own.
    async fn take_over_operations(&self, worker: &WorkerName) -> Result<(), ClusterError>;

    /// Deletes the records of a worker that has left for good. Requests that have not ended
    /// end with it, and stay with the reason.
    async fn forget_operations(
        &self,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<(), ClusterError>;
}
