//! The cluster's client behind the traits. Each method is the client's own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use async_trait::async_trait;
use ipnet::Ipv4Net;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::Value;

use crate::inventory::{GoldpingerPod, KubernetesService, Measurement};
use crate::provider::cluster::{
    Approval, BootstrapToken, ClusterClient, ClusterError, DrainReport, LeaseClaim, LeaseRecord,
    LeaseRequest, LiveManifest, MeasureError, NodeFacts, OperationEvent, OperationObject,
    OperationRecord, OperationStart, OperationUpdate, PastOperation, ServerStatus, TopologyObject,
    WatchStream, WatchedKind,
};
use crate::resource::Site;
use crate::resource::kubernetes::{Manifest, ManifestKind, ObjectName};
use crate::resource::names::WorkerName;
use crate::resource::work_request::RequestedOperation;

use super::cluster::{ClusterRead, ClusterWrite};

#[async_trait]
impl ClusterRead for ClusterClient {
    async fn server_version(&self) -> Result<Info, ClusterError> {
        Self::server_version(self).await
    }

    async fn nodes(&self) -> Result<Vec<NodeFacts>, ClusterError> {
        Self::nodes(self).await
    }

    async fn node(&self, name: &str) -> Result<Option<NodeFacts>, ClusterError> {
        Self::node(self, name).await
    }

    async fn node_network_configs(&self) -> Result<BTreeMap<String, Ipv4Net>, ClusterError> {
        Self::node_network_configs(self).await
    }

    async fn cilium_nodes(&self) -> Result<BTreeMap<String, Vec<Ipv4Net>>, ClusterError> {
        Self::cilium_nodes(self).await
    }

    async fn cilium_node(&self, name: &str) -> Result<Option<Vec<Ipv4Net>>, ClusterError> {
        Self::cilium_node(self, name).await
    }

    async fn cilium_node_uid(&self, name: &str) -> Result<Option<String>, ClusterError> {
        Self::cilium_node_uid(self, name).await
    }

    async fn list_all(&self, kind: ManifestKind) -> Result<Vec<LiveManifest>, ClusterError> {
        Self::list_all(self, kind).await
    }

    async fn list_ours(&self, kind: ManifestKind) -> Result<Vec<LiveManifest>, ClusterError> {
        Self::list_ours(self, kind).await
    }

    async fn get(
        &self,
        kind: ManifestKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<LiveManifest>, ClusterError> {
        Self::get(self, kind, namespace, name).await
    }

    async fn foreign_contents(&self, container: &ObjectName) -> Result<Vec<String>, ClusterError> {
        Self::foreign_contents(self, container).await
    }

    async fn review_bootstrap_auto_approval(&self) -> Result<bool, ClusterError> {
        Self::review_bootstrap_auto_approval(self).await
    }

    fn watch(&self, kind: WatchedKind) -> WatchStream {
        Self::watch(self, kind)
    }

    async fn pingers(&self, namespace: Option<&str>) -> Result<Vec<GoldpingerPod>, MeasureError> {
        Self::pingers(self, namespace).await
    }

    async fn check_all(
        &self,
        pinger: &GoldpingerPod,
        pods: &[GoldpingerPod],
    ) -> Result<Measurement, MeasureError> {
        Self::check_all(self, pinger, pods).await
    }

    async fn operations(&self) -> Result<Vec<OperationObject>, ClusterError> {
        Self::operations(self).await
    }

    async fn past_operations(&self) -> Result<Vec<PastOperation>, ClusterError> {
        Self::past_operations(self).await
    }

    async fn last_operations(&self) -> Result<BTreeMap<String, PastOperation>, ClusterError> {
        Self::last_operations(self).await
    }

    async fn lease(&self, name: &str) -> Result<Option<LeaseRecord>, ClusterError> {
        Self::lease(self, name).await
    }

    async fn topology_object(&self) -> Result<Option<TopologyObject>, ClusterError> {
        Self::topology_object(self).await
    }

    async fn service_at(
        &self,
        address: Ipv4Addr,
    ) -> Result<Option<KubernetesService>, ClusterError> {
        Self::service_at(self, address).await
    }
}

#[async_trait]
impl ClusterWrite for ClusterClient {
    async fn apply(
        &self,
        manifest: &Manifest,
        site: &Site,
        force: bool,
    ) -> Result<LiveManifest, ClusterError> {
        Self::apply(self, manifest, site, force).await
    }

    async fn delete(
        &self,
        kind: ManifestKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), ClusterError> {
        Self::delete(self, kind, namespace, name).await
    }

    async fn set_cilium_pod_cidrs(
        &self,
        name: &str,
        pod_cidrs: &[Ipv4Net],
    ) -> Result<(), ClusterError> {
        Self::set_cilium_pod_cidrs(self, name, pod_cidrs).await
    }

    async fn delete_cilium_node(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        Self::delete_cilium_node(self, name, uid).await
    }

    async fn set_node_pod_cidr(&self, name: &str, pod_cidr: Ipv4Net) -> Result<(), ClusterError> {
        Self::set_node_pod_cidr(self, name, pod_cidr).await
    }

    async fn set_node_provider_id(
        &self,
        name: &str,
        provider_id: &str,
    ) -> Result<(), ClusterError> {
        Self::set_node_provider_id(self, name, provider_id).await
    }

    async fn set_node_labels_and_taints(
        &self,
        node: &NodeFacts,
        labels: &BTreeMap<String, String>,
        taints: &BTreeSet<String>,
    ) -> Result<NodeFacts, ClusterError> {
        Self::set_node_labels_and_taints(self, node, labels, taints).await
    }

    async fn patch_node_annotations(
        &self,
        name: &str,
        annotations: &BTreeMap<&str, Option<&str>>,
    ) -> Result<(), ClusterError> {
        Self::patch_node_annotations(self, name, annotations).await
    }

    async fn cordon_for_work(&self, node: &NodeFacts) -> Result<(), ClusterError> {
        Self::cordon_for_work(self, node).await
    }

    async fn uncordon_after_work(&self, name: &str) -> Result<(), ClusterError> {
        Self::uncordon_after_work(self, name).await
    }

    async fn delete_node(&self, name: &str, uid: Option<&str>) -> Result<(), ClusterError> {
        Self::delete_node(self, name, uid).await
    }

    async fn drain(&self, node: &str, within: Duration) -> Result<DrainReport, ClusterError> {
        Self::drain(self, node, within).await
    }

    async fn approve_csr_for(
        &self,
        worker: &WorkerName,
        token_id: &str,
    ) -> Result<Approval, ClusterError> {
        Self::approve_csr_for(self, worker, token_id).await
    }

    async fn write_lease(&self, claim: LeaseClaim<'_>) -> Result<LeaseRecord, ClusterError> {
        Self::write_lease(self, claim).await
    }

    async fn request_lease(
        &self,
        name: &str,
        read: &LeaseRecord,
        request: &LeaseRequest,
    ) -> Result<LeaseRecord, ClusterError> {
        Self::request_lease(self, name, read, request).await
    }

    async fn delete_lease(&self, name: &str, read: &LeaseRecord) -> Result<(), ClusterError> {
        Self::delete_lease(self, name, read).await
    }

    async fn create_topology_object(&self) -> Result<TopologyObject, ClusterError> {
        Self::create_topology_object(self).await
    }

    async fn update_topology_status(&self, status: &Value) -> Result<(), ClusterError> {
        Self::update_topology_status(self, status).await
    }

    async fn take_approval(&self, read: &TopologyObject) -> Result<(), ClusterError> {
        Self::take_approval(self, read).await
    }

    async fn create_bootstrap_token(
        &self,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<BootstrapToken, ClusterError> {
        Self::create_bootstrap_token(self, worker, now).await
    }

    async fn delete_bootstrap_token(&self, id: &str) -> Result<(), ClusterError> {
        Self::delete_bootstrap_token(self, id).await
    }

    async fn delete_stale_bootstrap_tokens(
        &self,
        worker: Option<&WorkerName>,
        now: Timestamp,
    ) -> Result<usize, ClusterError> {
        Self::delete_stale_bootstrap_tokens(self, worker, now).await
    }

    async fn claim_operation(
        &self,
        operation: &OperationObject,
        worker: Option<&WorkerName>,
    ) -> Result<(), ClusterError> {
        Self::claim_operation(self, operation, worker).await
    }

    async fn start_operation(
        &self,
        requested: &RequestedOperation,
    ) -> Result<OperationStart, ClusterError> {
        Self::start_operation(self, requested).await
    }

    async fn release_operation(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        Self::release_operation(self, name, uid).await
    }

    async fn delete_operation(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        Self::delete_operation(self, name, uid).await
    }

    async fn write_operation_status(
        &self,
        name: &str,
        status: &OperationUpdate,
    ) -> Result<(), ClusterError> {
        Self::write_operation_status(self, name, status).await
    }

    async fn record_operation_event(&self, event: &OperationEvent) -> Result<(), ClusterError> {
        Self::record_operation_event(self, event).await
    }

    async fn create_operation(&self, record: &OperationRecord) -> Result<(), ClusterError> {
        Self::create_operation(self, record).await
    }

    async fn update_operation(&self, record: &OperationRecord) -> Result<(), ClusterError> {
        Self::update_operation(self, record).await
    }

    async fn update_server_status(
        &self,
        worker: &WorkerName,
        status: &ServerStatus,
    ) -> Result<(), ClusterError> {
        Self::update_server_status(self, worker, status).await
    }

    async fn tidy_operations(
        &self,
        begins: &OperationRecord,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        Self::tidy_operations(self, begins, now).await
    }

    async fn take_over_operations(&self, worker: &WorkerName) -> Result<(), ClusterError> {
        Self::take_over_operations(self, worker).await
    }

    async fn forget_operations(
        &self,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<(), ClusterError> {
        Self::forget_operations(self, worker, now).await
    }
}
