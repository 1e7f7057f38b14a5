//! The whole TLS bootstrap: a token, a request, stargate's approval, the
//! signer's certificate, a Node, and a renewal that needs no stargate.

use jiff::Timestamp;
use rcgen::KeyPair;
use serde_json::{Value, json};
use stargate::provider::cluster::Approval;
use stargate::topology::names::WorkerName;

use crate::api_server::{ApiServer, Caller};
use crate::certificates::{
    Issued, REQUESTS, certificate_of, conditions, issued, kubelets_wish, request,
};
use crate::tokens::refused_soon;
use crate::verdicts::Verdicts;

const WORKER: &str = "attic-a";
const NODES: &str = "/api/v1/nodes";

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    let worker = WorkerName::new(WORKER);
    let made = server.door.create_bootstrap_token(&worker, Timestamp::now()).await;
    let Some(token) = verdicts.well("a worker gets a token", made) else { return };
    let bootstrap = server.with_token(&token.secret).await;
    let early = server.door.approve_csr_for(&worker, &token.id).await;
    verdicts.same("its kubelet has not asked yet", early, Ok(Approval::NotThereYet));
    let key = KeyPair::generate().unwrap();
    let asked = bootstrap.post(REQUESTS, &request("join-a", &kubelets_wish(WORKER), &key)).await;
    verdicts.same("its kubelet asks", asked.verdict(), "201".into());
    let name = format!("system:bootstrap:{}", token.id);
    let requester = asked.body["spec"]["username"].clone();
    verdicts.same("the request carries who asked", requester, json!(name));
    nobody_approves_it(server, &bootstrap, verdicts).await;
    approve(server, verdicts, &worker, &token.id).await;
    let certificate = certificate(&bootstrap, verdicts, &key).await;
    let Some(certificate) = certificate else { return };
    let kubelet = server.with_certificate(&certificate, &key.serialize_pem()).await;
    register(server, &kubelet, verdicts).await;
    renew(&kubelet, verdicts).await;
    let deleted = server.door.delete_bootstrap_token(&token.id).await;
    verdicts.same("its token is deleted", deleted, Ok(()));
    verdicts.same("and opens nothing any more", refused_soon(&bootstrap).await, true);
    let node = kubelet.get(&format!("{NODES}/{WORKER}")).await;
    verdicts.same("the kubelet goes on without it", node.code, 200);
}

/// The binding lets tokens ask, and nothing approves but stargate.
async fn nobody_approves_it(server: &ApiServer, bootstrap: &Caller, verdicts: &mut Verdicts) {
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let waiting = server.admin.get(&format!("{REQUESTS}/join-a")).await.body;
    verdicts.same("the cluster does not approve by itself", conditions(&waiting), vec![]);
    let mut own = waiting.clone();
    own["status"]["conditions"] =
        json!([{ "type": "Approved", "status": "True", "reason": "Own" }]);
    let path = format!("{REQUESTS}/join-a/approval");
    let answer = bootstrap.ask("PUT", &path, crate::api_server::JSON, &own).await;
    verdicts.same("nor can the token", answer.verdict(), "403 Forbidden".into());
}

async fn approve(server: &ApiServer, verdicts: &mut Verdicts, worker: &WorkerName, token: &str) {
    let approved = Ok(Approval::Approved { request: "join-a".to_owned() });
    let answer = server.door.approve_csr_for(worker, token).await;
    verdicts.same("stargate approves it", answer, approved.clone());
    let request = server.admin.get(&format!("{REQUESTS}/join-a")).await.body;
    let expected = vec!["Approved StargateJoin".to_owned()];
    verdicts.same("and says who did", conditions(&request), expected);
    let message = request["status"]["conditions"][0]["message"].clone();
    verdicts.same("and why", message, json!("stargate joins the worker attic-a"));
    let again = server.door.approve_csr_for(worker, token).await;
    verdicts.same("twice is once", again, approved);
}

async fn certificate(bootstrap: &Caller, verdicts: &mut Verdicts, key: &KeyPair) -> Option<String> {
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
    let seen = certificate.as_deref().and_then(|pem| issued(pem, key));
    verdicts.same("the signer issues what was asked for", seen, Some(expected));
    certificate
}

fn node(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "spec": { "providerID": format!("stargate:///attic/{name}") },
    })
}

async fn register(server: &ApiServer, kubelet: &Caller, verdicts: &mut Verdicts) {
    let review = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let me = kubelet.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &review).await;
    let name = me.body["status"]["userInfo"]["username"].clone();
    verdicts.same("the certificate names the node", name, json!("system:node:attic-a"));
    let other = kubelet.post(NODES, &node("attic-b", &json!({}))).await;
    verdicts.same("it makes no other Node", other.verdict(), "403 Forbidden".into());
    let sentence = "nodes \"attic-b\" is forbidden: node \"attic-a\" is not allowed to modify node \
                    \"attic-b\"";
    verdicts.same("and is told why", other.message(), sentence);
    let role = json!({ "node-role.kubernetes.io/worker": "" });
    let wrong = kubelet.post(NODES, &node(WORKER, &role)).await;
    verdicts.same("nor one with a role", wrong.verdict(), "403 Forbidden".into());
    let labels = json!({
        "kubernetes.io/hostname": WORKER,
        "kubernetes.azure.com/managed": "false",
        "kubernetes.azure.com/cluster": "MC_lab_lab_westeurope",
    });
    let made = kubelet.post(NODES, &node(WORKER, &labels)).await;
    verdicts.same("it registers its Node", made.verdict(), "201".into());
    let status = json!({ "status": {
        "addresses": [{ "type": "InternalIP", "address": "10.60.1.5" }],
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is",
            "lastHeartbeatTime": "2026-01-02T03:04:05Z", "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
    }});
    let told = kubelet.merge(&format!("{NODES}/{WORKER}/status"), &status).await;
    verdicts.same("and tells how it is", told.code, 200);
    let secrets = kubelet.get("/api/v1/namespaces/kube-system/secrets").await;
    verdicts.same("it reads no Secrets", secrets.verdict(), "403 Forbidden".into());
    let seen = server.door.node(WORKER).await.ok().flatten();
    let managed =
        seen.as_ref().and_then(|it| it.labels.get("kubernetes.azure.com/managed").cloned());
    verdicts.same("stargate sees its label", managed, Some("false".to_owned()));
    let id = seen.as_ref().and_then(|it| it.provider_id.clone());
    verdicts.same("its provider id", id, Some("stargate:///attic/attic-a".to_owned()));
    let ip = seen.and_then(|it| it.internal_ip).map(|it| it.to_string());
    verdicts.same("and its address", ip, Some("10.60.1.5".to_owned()));
}

/// Renewals are the cluster's: the node asks for itself, and stargate is not
/// needed.
async fn renew(kubelet: &Caller, verdicts: &mut Verdicts) {
    let key = KeyPair::generate().unwrap();
    let asked = kubelet.post(REQUESTS, &request("renew-a", &kubelets_wish(WORKER), &key)).await;
    verdicts.same("the kubelet renews", asked.verdict(), "201".into());
    let path = format!("{REQUESTS}/renew-a");
    let signed = kubelet.until(&path, |it| certificate_of(&it.body).is_some()).await.body;
    let expected = vec!["Approved AutoApproved".to_owned()];
    verdicts.same("the cluster approves by itself", conditions(&signed), expected);
    let seen = certificate_of(&signed).and_then(|pem| issued(&pem, &key));
    let mine = seen.is_some_and(|it| it.for_this_key && it.client);
    verdicts.same("and signs", mine, true);
    let wish = kubelets_wish("attic-b");
    let asked = kubelet.post(REQUESTS, &request("renew-b", &wish, &key)).await;
    verdicts.same("it cannot ask for another name", asked.verdict(), "403 Forbidden".into());
}
