//! Stargate sends the API server no request that its role does not allow, and the role
//! has no verb that no request needs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::plan::{WorkerOperation, WorkerRequest};
use stargate::provider::cluster::{PERMISSIONS, Permission};
use stargate::provider::http::Api;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;
use stargate::topology::names::WorkerName;

use crate::api_use::{Use, use_of};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, summary};
use crate::watch::operations::reboot_by_operation;
use crate::watch::reports_and_takes_an_approval;

/// Collects the requests to the API server, and refuses those that the role does not allow.
#[derive(Debug, Default)]
struct Authorizer(Mutex<BTreeSet<Use>>);

impl FaultInjector for Authorizer {
    fn before(&self, call: &Call) -> Disposition {
        let Call::Request { api: Api::Kubernetes, method, path } = call else {
            return Disposition::Pass;
        };
        let Some(used) = use_of(method, path, false) else { return Disposition::Pass };
        let is_allowed = is_allowed(&used);
        self.0.lock().unwrap().insert(used);
        match is_allowed {
            true => Disposition::Pass,
            false => Disposition::Refuse { status: 403, retry_after: None },
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

fn allows(permission: &Permission, used: &Use) -> bool {
    let place = |namespace: &str| used.namespace.as_deref() == Some(namespace);
    permission.group == used.group
        && permission.resource == used.resource
        && permission.verbs.contains(&used.verb)
        && permission.names.is_empty()
        && permission.namespace.is_none_or(place)
}

fn is_allowed(used: &Use) -> bool {
    PERMISSIONS.iter().any(|permission| allows(permission, used))
}

/// Verbs that no request names: a watch is a list, server-side apply may create, and RBAC
/// itself asks for the others.
fn is_implied(permission: &Permission, verb: &str) -> bool {
    match verb {
        "watch" | "bind" | "approve" => true,
        "create" => permission.verbs.contains(&"patch"),
        _ => false,
    }
}

/// First apply, drift, repave, an Operation, an object more and less.
async fn run_lifecycle(deployment: &Deployment) {
    // An apply that takes its time renews its Lease.
    deployment.sandbox.simulate_host_delays();
    deployment.iterate().await;
    for fault in [Fault::CiliumNodeEmpty, Fault::RouteMissing] {
        deployment.inject(fault, None);
    }
    deployment.iterate().await;
    let workers = [WorkerName::new("stargate-aks-e2e-2-worker-1")].into();
    let request = WorkerRequest::new(WorkerOperation::Repave, workers);
    let options = RefreshOptions { worker_request: Some(request), ..RefreshOptions::default() };
    deployment.apply(&options).await;
    reboot_by_operation(deployment).await;
    let routed = EXAMPLE.replace("[network]", "[network]\nroute_manager = true");
    deployment.edited(&routed).iterate().await;
    deployment.edited(&EXAMPLE.replace("azure-k8s-worker", "worker")).iterate().await;
    deployment.edited(EXAMPLE).iterate().await;
    reports_and_takes_an_approval(deployment).await;
    deployment.iterate().await;
    add_pod(deployment);
    let (without_last, _) = EXAMPLE.rsplit_once("[[datacenters.dc1.workers]]").unwrap();
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    deployment.edited(without_last).apply(&options).await;
    deployment.edited(EXAMPLE).iterate().await;
}

/// A pod to evict from the worker that leaves.
fn add_pod(deployment: &Deployment) {
    let owner = json!([{ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "shop",
        "uid": "1", "controller": true }]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "shop-1", "namespace": "default", "ownerReferences": owner },
        "spec": { "nodeName": "stargate-aks-e2e-2-worker-2",
                  "containers": [{ "name": "main", "image": "x" }] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    deployment.sandbox.change(|sandbox, now| {
        let store = sandbox.kubernetes.as_mut().unwrap();
        store.put(pod, "test", &now.to_string()).map(drop).unwrap();
    });
}

/// Every verb of the role that a request can name, with its place in the role.
fn verbs() -> impl Iterator<Item = (&'static Permission, &'static str)> {
    let verbs = |permission: &'static Permission| {
        permission.verbs.iter().map(move |verb| (permission, *verb))
    };
    PERMISSIONS.iter().flat_map(verbs).filter(|(permission, verb)| !is_implied(permission, verb))
}

#[tokio::test(start_paused = true)]
async fn every_request_is_allowed_and_every_verb_is_used() {
    let deployment = Deployment::example();
    let authorizer = Arc::new(Authorizer::default());
    deployment.sandbox.set_fault_injector(Some(authorizer.clone()));
    run_lifecycle(&deployment).await;
    let used = authorizer.0.lock().unwrap().clone();
    let refused: Vec<&Use> = used.iter().filter(|one| !is_allowed(one)).collect();
    assert!(refused.is_empty(), "not allowed: {refused:#?}");
    // A namespace is deleted last, and its contents may not be listed.
    let without = EXAMPLE.replace("[network]", "[network]\ngoldpinger = false");
    let edited = deployment.edited(&without);
    assert_eq!(edited.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    let plan = edited.plan().await;
    assert!(plan.gaps.is_empty(), "{}", summary(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.address.to_string(), "namespace/cluster/goldpinger");
    assert!(blocked.failure.message.contains("could not be listed"), "{}", blocked.failure.message);
    deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        assert!(store.get("v1", "DaemonSet", Some("goldpinger"), "goldpinger").is_none());
        assert!(store.get("v1", "Namespace", None, "goldpinger").is_some());
    });
    let used = authorizer.0.lock().unwrap().clone();
    let is_used = |(permission, verb): &(&Permission, &str)| {
        used.iter().any(|one| one.verb == *verb && allows(permission, one))
    };
    let unused: Vec<_> = verbs().filter(|verb| !is_used(verb)).collect();
    assert!(unused.is_empty(), "not used: {unused:#?}");
}

#[test]
fn requests_are_uses_of_resources() {
    let used = |method: http::Method, path: &str| {
        let used = use_of(&method, path, false).unwrap();
        format!("{} {}/{} {:?}", used.verb, used.group, used.resource, used.namespace)
    };
    let evict = "/api/v1/namespaces/a/pods/b/eviction";
    assert_eq!(used(http::Method::POST, evict), "create /pods/eviction Some(\"a\")");
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/x";
    let expected = "get rbac.authorization.k8s.io/clusterroles None";
    assert_eq!(used(http::Method::GET, role), expected);
    assert_eq!(used(http::Method::DELETE, "/api/v1/namespaces/a"), "delete /namespaces None");
    assert_eq!(use_of(&http::Method::GET, "/version", false), None);
    assert_eq!(use_of(&http::Method::GET, "/apis", false), None);
}
