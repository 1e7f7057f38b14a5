//! A watch with the account of `stargate manifests`: the API server forbids nothing that it does,
//! and something without each rule of its roles.

use std::time::Duration;

use serde_json::{Value, json};
use stargate::plan::{WorkerOperation, WorkerRequest};
use stargate::sandbox::faults::{self, Fault};
use stargate::topology::names::WorkerName;
use stargate::watch::{ReconcileResult, Trigger};
use tokio::time::sleep;

use super::operations::{FIRST, OPERATIONS, SECOND, request, succeeds};
use super::replica::Replica;
use super::requests::{Requests, Sent};
use super::stage::{Stage, text};
use super::{manifests, requests};
use crate::api_server::Caller;
use crate::api_use::Use;
use crate::harness::{EXAMPLE, failures};
use crate::refresh_options::RefreshOptions;

const NAMESPACE: &str = "stargate-system";
const ACCOUNT: &str = "stargate-stargate-aks-e2e-2";
/// How often the authorizer is asked until it knows a changed role.
const ATTEMPTS: usize = 50;

pub(super) async fn check(stage: &Stage) {
    let objects = manifests::printed();
    manifests::apply(&stage.admin, &objects).await;
    let account = stage.with_token(&token(&stage.admin).await);
    let seen = Requests::default();
    run(stage, &account, &seen).await;
    let forbidden = seen.forbidden();
    let lists_contents =
        |it: &&String| it.starts_with("403 GET ") && it.contains("/namespaces/goldpinger/");
    assert_eq!(forbidden.iter().find(|it| !lists_contents(it)), None);
    assert!(!forbidden.is_empty(), "the contents of a namespace may not be listed");
    println!(
        "{} requests of the account, none forbidden but lists of the contents of a namespace",
        seen.total()
    );
    let caller = stage.caller(&account).await;
    let (mut troubles, mut denied) = (Vec::new(), 0);
    for role in objects.iter().filter(|it| it["rules"].is_array()) {
        let (found, count) = without_each_rule(stage, &caller, role, &seen).await;
        troubles.extend(found);
        denied += count;
    }
    assert!(troubles.is_empty(), "{}", troubles.join("\n"));
    println!("{denied} verbs of rules, each needed");
}

/// A token as the kubelet gives it to the pod.
async fn token(admin: &Caller) -> String {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{ACCOUNT}/token");
    let request = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": { "expirationSeconds": 3600 } });
    let made = admin.post(&path, &request).await;
    assert_eq!(made.code, 201, "{made:?}");
    made.body["status"]["token"].as_str().unwrap().to_owned()
}

/// Everything that a watch does: objects come and go, nodes, drift, Operations, an approval.
async fn run(stage: &Stage, account: &str, seen: &Requests) {
    let all = text("apply = \"all\"");
    let watched = [
        all.clone(),
        all.replace("[network]", "[network]\nroute_manager = true"),
        all.replace("azure-k8s-worker", "worker"),
        all.clone(),
    ];
    for text in &watched {
        let deployment = stage.deployment_of(text, account.to_owned(), Some(seen.clone()));
        let replica = Replica::start("replica-a", deployment, text);
        settles(stage, &replica).await;
        replica.end().await;
    }
    remove_goldpinger(stage, account, seen).await;
    let deployment = stage.deployment_of(&all, account.to_owned(), Some(seen.clone()));
    let replica = Replica::start("replica-a", deployment, &all);
    settles(stage, &replica).await;
    for fault in [Fault::AksScaleOut, Fault::CiliumNodeEmpty] {
        stage.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now)).unwrap();
        settles(stage, &replica).await;
    }
    create_pod(stage).await;
    request(stage, "repave-it", FIRST, "repave").await;
    succeeds(stage, "repave-it").await;
    request(stage, "reboot-it", SECOND, "reboot").await;
    succeeds(stage, "reboot-it").await;
    expire(stage, &replica, "repave-it").await;
    replica.is_idle().await;
    replica.end().await;
    repave(stage, account, seen).await;
    remove_worker(stage, account, seen).await;
    approve(stage, account, seen).await;
}

/// The objects in a namespace are deleted, and the namespace is not: to delete it, everything in it
/// must be listed, which the account may not do.
async fn remove_goldpinger(stage: &Stage, account: &str, seen: &Requests) {
    let text = text("apply = \"all\"").replace("[network]", "[network]\ngoldpinger = false");
    let deployment = stage.deployment_of(&text, account.to_owned(), Some(seen.clone()));
    let replica = Replica::start("replica-a", deployment, &text);
    replica.results_in(ReconcileResult::Blocked).await;
    replica.end().await;
    let path = "/apis/apps/v1/namespaces/goldpinger/daemonsets/goldpinger";
    assert_eq!(stage.admin.get(path).await.code, 404);
    assert_eq!(stage.admin.get("/api/v1/namespaces/goldpinger").await.code, 200);
}

/// A finished Operation is deleted after a week.
async fn expire(stage: &Stage, replica: &Replica, name: &str) {
    let path = format!("{OPERATIONS}/{name}");
    let long_ago = json!({ "status": { "completionTime": "2026-01-02T03:04:05Z" } });
    assert_eq!(stage.admin.merge(&format!("{path}/status"), &long_ago).await.code, 200);
    replica.triggers.add(Trigger::Request);
    assert_eq!(stage.admin.until(&path, |it| it.code == 404).await.code, 404);
}

/// A repave of the command line, which records it.
async fn repave(stage: &Stage, account: &str, seen: &Requests) {
    let deployment = stage.deployment_of(&text(""), account.to_owned(), Some(seen.clone()));
    let request = WorkerRequest::new(WorkerOperation::Repave, [WorkerName::new(FIRST)].into());
    let options = RefreshOptions { worker_request: Some(request), ..RefreshOptions::default() };
    let applied = deployment.apply(&options).await;
    assert_eq!(failures(&applied), Vec::<String>::new());
}

/// A worker is removed by the command line, and joins again.
async fn remove_worker(stage: &Stage, account: &str, seen: &Requests) {
    let (without_last, _) = EXAMPLE.rsplit_once("[[datacenters.dc1.workers]]").unwrap();
    for text in [without_last, EXAMPLE] {
        let deployment = stage.deployment_of(text, account.to_owned(), Some(seen.clone()));
        let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
        let applied = deployment.apply(&options).await;
        assert_eq!(failures(&applied), Vec::<String>::new());
    }
}

/// Waits until nothing is left to do; what waits for the worker's drain is repeated.
async fn settles(stage: &Stage, replica: &Replica) {
    stage.mirror.send().await;
    replica.triggers.add(Trigger::Request);
    replica.results_in(ReconcileResult::Matches).await;
    replica.is_idle().await;
    replica.results_in(ReconcileResult::Matches).await;
}

/// A pod to evict.
async fn create_pod(stage: &Stage) {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "shop-1", "namespace": "default" },
        "spec": {
            "nodeName": FIRST, "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "main", "image": "registry.example/none" }],
            "tolerations": [{ "operator": "Exists" }],
        },
    });
    let created = stage.admin.post("/api/v1/namespaces/default/pods", &pod).await;
    assert_eq!(created.code, 201, "{created:?}");
}

/// A change waits, and a person approves it.
async fn approve(stage: &Stage, account: &str, seen: &Requests) {
    let text = text("apply = \"none\"");
    let deployment = stage.deployment_of(&text, account.to_owned(), Some(seen.clone()));
    let replica = Replica::start("replica-a", deployment, &text);
    replica.results_in(ReconcileResult::Matches).await;
    let fault = Fault::RouteMissing;
    stage.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now)).unwrap();
    replica.triggers.add(Trigger::Request);
    replica.results_in(ReconcileResult::AwaitsApproval).await;
    replica.is_idle().await;
    let path = super::status::TOPOLOGY;
    let digest = stage.object(path).await["status"]["pendingApproval"]["digest"].clone();
    let approval = json!({ "metadata": { "annotations": { "stargate.io/approve": digest } } });
    assert_eq!(stage.admin.merge(path, &approval).await.code, 200);
    replica.results_in(ReconcileResult::Matches).await;
    replica.end().await;
}

/// Removes one verb of one rule after another: a request that was made is then forbidden. Returns
/// the verbs for which that is not so, and how many there are.
async fn without_each_rule(
    stage: &Stage,
    account: &Caller,
    role: &Value,
    seen: &Requests,
) -> (Vec<String>, usize) {
    let (mut troubles, mut count) = (Vec::new(), 0);
    let path = manifests::path(role);
    let namespace = role["metadata"]["namespace"].as_str();
    for (at, verb, group, resource) in verbs(role) {
        count += 1;
        let what = format!("{verb} {group}/{resource} in {namespace:?}");
        let Some(sent) = request_for(seen, (group, resource, verb, namespace)) else {
            troubles.push(format!("no request needs {what}"));
            continue;
        };
        set_rules(stage, &path, &without(&role["rules"], at, verb)).await;
        if !answers(account, &sent, |code| code == 403).await {
            troubles.push(format!("allowed without the rule: {what}: {sent:?}"));
        }
        set_rules(stage, &path, &role["rules"]).await;
        if !answers(account, &sent, |code| code != 403).await {
            troubles.push(format!("forbidden with the rule: {what}: {sent:?}"));
        }
    }
    (troubles, count)
}

/// Each verb of each rule: the position of the rule, the verb, the group and the resource.
fn verbs(role: &Value) -> Vec<(usize, &str, &str, &str)> {
    let mut found = Vec::new();
    for (at, rule) in role["rules"].as_array().unwrap().iter().enumerate() {
        let group = rule["apiGroups"][0].as_str().unwrap();
        for verb in rule["verbs"].as_array().unwrap() {
            for resource in rule["resources"].as_array().unwrap() {
                found.push((at, verb.as_str().unwrap(), group, resource.as_str().unwrap()));
            }
        }
    }
    found
}

/// The rules without a verb of one of them.
fn without(rules: &Value, at: usize, verb: &str) -> Value {
    let mut less = rules.clone();
    let verbs = less[at]["verbs"].as_array_mut().unwrap();
    verbs.retain(|it| it != verb);
    if verbs.is_empty() {
        less.as_array_mut().unwrap().remove(at);
    }
    less
}

/// A request that this verb allows.
fn request_for(
    seen: &Requests,
    (group, resource, verb, namespace): (&str, &str, &str, Option<&str>),
) -> Option<Sent> {
    let all = seen.sent();
    let fits = |used: &Use, resource: &str, verb: &str| {
        let is_within = namespace.is_none() || used.namespace.as_deref() == namespace;
        used.group == group && used.resource == resource && used.verb == verb && is_within
    };
    let find = |resource: &str, verb: &str| {
        all.iter().find(|(used, _)| fits(used, resource, verb)).map(|(_, sent)| sent.clone())
    };
    match verb {
        // The account holds the permissions of the other role that it binds itself.
        "bind" => all
            .iter()
            .filter(|(used, _)| fits(used, "clusterrolebindings", "patch"))
            .find(|(_, sent)| String::from_utf8_lossy(&sent.body).contains("node-bootstrapper"))
            .map(|(_, sent)| sent.of_another_object()),
        "approve" => find("certificatesigningrequests/approval", "patch"),
        "create" => find(resource, "create").or_else(|| {
            let patches = all.iter().filter(|(used, _)| fits(used, resource, "patch"));
            { patches }.find(|(_, sent)| sent.is_apply()).map(|(_, sent)| sent.of_another_object())
        }),
        _ => find(resource, verb),
    }
}

async fn set_rules(stage: &Stage, path: &str, rules: &Value) {
    let changed = stage.admin.merge(path, &json!({ "rules": rules })).await;
    assert_eq!(changed.code, 200, "{changed:?}");
}

/// Whether the answer becomes so: the authorizer sees a changed role with a short delay.
async fn answers(account: &Caller, sent: &requests::Sent, is_so: impl Fn(u16) -> bool) -> bool {
    for _ in 0..ATTEMPTS {
        if is_so(sent.repeat(account).await) {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}
