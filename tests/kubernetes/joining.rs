//! The complete TLS bootstrap: a token, a request, stargate's approval, the signer's certificate, a
//! Node, and a renewal without stargate.

use jiff::Timestamp;
use rcgen::KeyPair;
use serde_json::{Value, json};
use stargate::provider::cluster::Approval;
use stargate::topology::names::WorkerName;

use crate::api_server::{ApiServer, Caller};
use crate::certificates::{
    Issued, REQUESTS, certificate_of, conditions, issued, kubelet_request_spec, request,
};
use crate::check_log::CheckLog;
use crate::tokens::is_eventually_refused;

const WORKER: &str = "attic-a";
const NODES: &str = "/api/v1/nodes";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let worker = WorkerName::new(WORKER);
    let made = server.stargate_client.create_bootstrap_token(&worker, Timestamp::now()).await;
    let Some(token) = check_log.succeeds("a worker gets a token", made) else { return };
    let bootstrap = server.with_token(&token.secret).await;
    let early = server.stargate_client.approve_csr_for(&worker, &token.id).await;
    check_log.equals("its kubelet has made no request yet", early, Ok(Approval::NotThereYet));
    let key = KeyPair::generate().unwrap();
    let requested =
        bootstrap.post(REQUESTS, &request("join-a", &kubelet_request_spec(WORKER), &key)).await;
    check_log.equals("its kubelet makes a request", requested.summary(), "201".into());
    let name = format!("system:bootstrap:{}", token.id);
    let requester = requested.body["spec"]["username"].clone();
    check_log.equals("the request records its requester", requester, json!(name));
    check_not_approved(server, &bootstrap, check_log).await;
    approve(server, check_log, &worker, &token.id).await;
    let certificate = certificate(&bootstrap, check_log, &key).await;
    let Some(certificate) = certificate else { return };
    let kubelet = server.with_certificate(&certificate, &key.serialize_pem()).await;
    register(server, &kubelet, check_log).await;
    renew(&kubelet, check_log).await;
    let deleted = server.stargate_client.delete_bootstrap_token(&token.id).await;
    check_log.equals("its token is deleted", deleted, Ok(()));
    check_log.equals(
        "and authenticates no more requests",
        is_eventually_refused(&bootstrap).await,
        true,
    );
    let node = kubelet.get(&format!("{NODES}/{WORKER}")).await;
    check_log.equals("the kubelet continues without it", node.code, 200);
}

/// The binding allows tokens to create requests, and only stargate approves them.
async fn check_not_approved(server: &ApiServer, bootstrap: &Caller, check_log: &mut CheckLog) {
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let waiting = server.admin.get(&format!("{REQUESTS}/join-a")).await.body;
    check_log.equals("the cluster does not approve by itself", conditions(&waiting), vec![]);
    let mut own = waiting.clone();
    own["status"]["conditions"] =
        json!([{ "type": "Approved", "status": "True", "reason": "Own" }]);
    let path = format!("{REQUESTS}/join-a/approval");
    let response = bootstrap.send("PUT", &path, crate::api_server::JSON, &own).await;
    check_log.equals("nor can the token", response.summary(), "403 Forbidden".into());
}

async fn approve(server: &ApiServer, check_log: &mut CheckLog, worker: &WorkerName, token: &str) {
    let approved = Ok(Approval::Approved { request: "join-a".to_owned() });
    let response = server.stargate_client.approve_csr_for(worker, token).await;
    check_log.equals("stargate approves it", response, approved.clone());
    let request = server.admin.get(&format!("{REQUESTS}/join-a")).await.body;
    let expected = vec!["Approved StargateJoin".to_owned()];
    check_log.equals("and the approver is recorded", conditions(&request), expected);
    let message = request["status"]["conditions"][0]["message"].clone();
    check_log.equals("and why", message, json!("stargate joins the worker attic-a"));
    let again = server.stargate_client.approve_csr_for(worker, token).await;
    check_log.equals("approving is idempotent", again, approved);
}

async fn certificate(
    bootstrap: &Caller,
    check_log: &mut CheckLog,
    key: &KeyPair,
) -> Option<String> {
    let path = format!("{REQUESTS}/join-a");
    let signed = bootstrap.until(&path, |it| certificate_of(&it.body).is_some()).await;
    let certificate = certificate_of(&signed.body);
    let expected = Issued {
        subject: "O=system:nodes, CN=system:node:attic-a".to_owned(),
        for_this_key: true,
        client: true,
        server: false,
        authority: false,
    };
    let found = certificate.as_deref().and_then(|pem| issued(pem, key));
    check_log.equals("the signer issues the requested certificate", found, Some(expected));
    certificate
}

fn node(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": { "providerID": format!("stargate:///attic/{name}") },
    })
}

async fn register(server: &ApiServer, kubelet: &Caller, check_log: &mut CheckLog) {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let me = kubelet.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await;
    let name = me.body["status"]["userInfo"]["username"].clone();
    check_log.equals("the certificate names the node", name, json!("system:node:attic-a"));
    let other = kubelet.post(NODES, &node("attic-b", &json!({}))).await;
    check_log.equals("it cannot create another Node", other.summary(), "403 Forbidden".into());
    let sentence = "nodes \"attic-b\" is forbidden: node \"attic-a\" is not allowed to modify node \
                    \"attic-b\"";
    check_log.equals("with this message", other.message(), sentence);
    let role = json!({ "node-role.kubernetes.io/worker": "" });
    let wrong = kubelet.post(NODES, &node(WORKER, &role)).await;
    check_log.equals("nor one with a role", wrong.summary(), "403 Forbidden".into());
    let labels = json!({
        "kubernetes.io/hostname": WORKER,
        "kubernetes.azure.com/managed": "false",
        "kubernetes.azure.com/cluster": "MC_lab_lab_westeurope",
    });
    let made = kubelet.post(NODES, &node(WORKER, &labels)).await;
    check_log.equals("it registers its Node", made.summary(), "201".into());
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "10.60.1.5" }],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is",
            "lastHeartbeatTime": "2026-01-02T03:04:05Z", "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    }});
    let detail = kubelet.merge(&format!("{NODES}/{WORKER}/status"), &status).await;
    check_log.equals("and reports its status", detail.code, 200);
    let secrets = kubelet.get("/api/v1/namespaces/kube-system/secrets").await;
    check_log.equals("it reads no Secrets", secrets.summary(), "403 Forbidden".into());
    let found = server.stargate_client.node(WORKER).await.ok().flatten();
    let managed =
        found.as_ref().and_then(|it| it.labels.get("kubernetes.azure.com/managed").cloned());
    check_log.equals("stargate sees its label", managed, Some("false".to_owned()));
    let id = found.as_ref().and_then(|it| it.provider_id.clone());
    check_log.equals("its provider id", id, Some("stargate:///attic/attic-a".to_owned()));
    let ip = found.and_then(|it| it.internal_ip).map(|it| it.to_string());
    check_log.equals("and its address", ip, Some("10.60.1.5".to_owned()));
}

/// Renewals are approved by the cluster: the node requests its own certificate, without stargate.
async fn renew(kubelet: &Caller, check_log: &mut CheckLog) {
    let key = KeyPair::generate().unwrap();
    let requested =
        kubelet.post(REQUESTS, &request("renew-a", &kubelet_request_spec(WORKER), &key)).await;
    check_log.equals("the kubelet renews", requested.summary(), "201".into());
    let path = format!("{REQUESTS}/renew-a");
    let signed = kubelet.until(&path, |it| certificate_of(&it.body).is_some()).await.body;
    let expected = vec!["Approved AutoApproved".to_owned()];
    check_log.equals("the cluster approves by itself", conditions(&signed), expected);
    let found = certificate_of(&signed).and_then(|pem| issued(&pem, &key));
    let mine = found.is_some_and(|it| it.for_this_key && it.client);
    check_log.equals("and signs", mine, true);
    let spec = kubelet_request_spec("attic-b");
    let requested = kubelet.post(REQUESTS, &request("renew-b", &spec, &key)).await;
    check_log.equals("it cannot ask for another name", requested.summary(), "403 Forbidden".into());
}
