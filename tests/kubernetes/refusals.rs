//! Requests that stargate must not approve: another name, another requester,
//! extra usages, another signer, and what else a stolen token could ask for.

use jiff::Timestamp;
use rcgen::KeyPair;
use serde_json::json;
use stargate::provider::cluster::{Approval, BootstrapToken};
use stargate::topology::names::WorkerName;

use crate::api_server::{ApiServer, Caller};
use crate::certificates::{REQUESTS, Wish, certificate_of, conditions, kubelets_wish, request};
use crate::verdicts::Verdicts;

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    let refused = |wish: Wish<'static>, what, reason| Case { what, wish, reason };
    let of = kubelets_wish;
    let cases = [
        refused(
            of("attic-b"),
            "another name",
            "it asks for the subject O=system:nodes, CN=system:node:attic-b",
        ),
        refused(
            Wish { groups: &["admins"], ..of("refused") },
            "another group",
            "it asks for the subject O=admins, CN=system:node:refused",
        ),
        refused(
            Wish { usages: &["digital signature", "client auth", "server auth"], ..of("refused") },
            "extra usages",
            "it asks for the usages digital signature, client auth, server auth",
        ),
        refused(
            Wish { alternative_names: &["kubernetes.default"], ..of("refused") },
            "alternative names",
            "it asks for subject alternative names",
        ),
        refused(
            Wish { signer: "kubernetes.io/kube-apiserver-client", ..of("refused") },
            "another signer",
            "it asks the signer kubernetes.io/kube-apiserver-client",
        ),
        refused(
            Wish {
                signer: "kubernetes.io/kubelet-serving",
                usages: &["digital signature", "server auth"],
                alternative_names: &["refused"],
                ..of("refused")
            },
            "a serving certificate",
            "it asks the signer kubernetes.io/kubelet-serving",
        ),
    ];
    for (number, case) in cases.iter().enumerate() {
        check_case(server, verdicts, case, &format!("refused-{number}")).await;
    }
    another_requester(server, verdicts).await;
}

struct Case {
    what: &'static str,
    wish: Wish<'static>,
    reason: &'static str,
}

async fn token_of(
    server: &ApiServer,
    verdicts: &mut Verdicts,
    worker: &WorkerName,
) -> Option<(BootstrapToken, Caller)> {
    let made = server.door.create_bootstrap_token(worker, Timestamp::now()).await;
    let token = verdicts.well("a worker gets a token", made)?;
    let caller = server.with_token(&token.secret).await;
    Some((token, caller))
}

async fn check_case(server: &ApiServer, verdicts: &mut Verdicts, case: &Case, name: &str) {
    let worker = WorkerName::new("refused");
    let what = case.what;
    let Some((token, caller)) = token_of(server, verdicts, &worker).await else { return };
    let key = KeyPair::generate().unwrap();
    let asked = caller.post(REQUESTS, &request(name, &case.wish, &key)).await;
    verdicts.same(&format!("{what}: it is asked for"), asked.verdict(), "201".into());
    let told = match server.door.approve_csr_for(&worker, &token.id).await {
        Ok(Approval::Refused(refusal)) => refusal.to_string(),
        other => format!("{other:?}"),
    };
    let expected = format!("the certificate request {name} is not approved: {}", case.reason);
    verdicts.same(&format!("{what}: stargate refuses"), told, expected);
    let request = server.admin.get(&format!("{REQUESTS}/{name}")).await.body;
    verdicts.same(&format!("{what}: it is not approved"), conditions(&request), vec![]);
    verdicts.same(&format!("{what}: nothing is issued"), certificate_of(&request), None);
    let deleted = server.admin.delete(&format!("{REQUESTS}/{name}")).await;
    verdicts.same(&format!("{what}: it goes"), deleted.code, 200);
    let _gone = server.door.delete_bootstrap_token(&token.id).await;
}

/// The right name, asked for by another token, by the administrator, and with a
/// requester that was made up: none is this worker's.
async fn another_requester(server: &ApiServer, verdicts: &mut Verdicts) {
    let (worker, other) = (WorkerName::new("refused"), WorkerName::new("other"));
    let Some((token, _)) = token_of(server, verdicts, &worker).await else { return };
    let Some((other_token, caller)) = token_of(server, verdicts, &other).await else { return };
    let key = KeyPair::generate().unwrap();
    let wish = kubelets_wish("refused");
    let asked = caller.post(REQUESTS, &request("by-another", &wish, &key)).await;
    verdicts.same("another token asks for the name", asked.verdict(), "201".into());
    let mut forged = request("by-admin", &wish, &key);
    forged["spec"]["username"] = json!(format!("system:bootstrap:{}", token.id));
    forged["spec"]["groups"] = json!(["system:bootstrappers:stargate"]);
    let asked = server.admin.post(REQUESTS, &forged).await;
    verdicts.same("the administrator asks, too", asked.verdict(), "201".into());
    let requester = asked.body["spec"]["username"].clone();
    let is_forged = requester == forged["spec"]["username"];
    verdicts.holds("nobody asks in another's name", !is_forged, &requester);
    let answer = server.door.approve_csr_for(&worker, &token.id).await;
    verdicts.same("neither is the worker's", answer, Ok(Approval::NotThereYet));
    let told = match server.door.approve_csr_for(&other, &other_token.id).await {
        Ok(Approval::Refused(refusal)) => refusal.reason.to_string(),
        answer => format!("{answer:?}"),
    };
    let expected = "it asks for the subject O=system:nodes, CN=system:node:refused".to_owned();
    verdicts.same("and whose token it was is told", told, expected);
    let request = server.admin.get(&format!("{REQUESTS}/by-another")).await.body;
    verdicts.same("it is not approved", conditions(&request), vec![]);
    verdicts.same("and gets nothing", certificate_of(&request), None);
    // An administrator may do all, so the cluster approves that one by itself.
    let by_admin = format!("{REQUESTS}/by-admin");
    let request = server.admin.until(&by_admin, |it| !conditions(&it.body).is_empty()).await.body;
    let expected = vec!["Approved AutoApproved".to_owned()];
    verdicts.same("the administrator's is not stargate's doing", conditions(&request), expected);
    for worker in [&worker, &other] {
        let deleted =
            server.door.delete_stale_bootstrap_tokens(Some(worker), Timestamp::now()).await;
        verdicts.same("the tokens go", deleted, Ok(1));
    }
}
