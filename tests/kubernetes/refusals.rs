//! Requests that stargate must not approve: another name, another requester, additional usages,
//! another signer, and other requests that a stolen token allows.

use jiff::Timestamp;
use rcgen::KeyPair;
use serde_json::json;
use stargate::provider::cluster::{Approval, BootstrapToken};
use stargate::topology::names::WorkerName;

use crate::api_server::{ApiServer, Caller};
use crate::certificates::{
    REQUESTS, RequestSpec, certificate_of, conditions, kubelet_request_spec, request,
};
use crate::check_log::CheckLog;

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let refused = |spec: RequestSpec<'static>, what, reason| Case { what, spec, reason };
    let of = kubelet_request_spec;
    let cases = [
        refused(
            of("attic-b"),
            "another name",
            "it asks for the subject O=system:nodes, CN=system:node:attic-b",
        ),
        refused(
            RequestSpec { groups: &["admins"], ..of("refused") },
            "another group",
            "it asks for the subject O=admins, CN=system:node:refused",
        ),
        refused(
            RequestSpec {
                usages: &["digital signature", "client auth", "server auth"],
                ..of("refused")
            },
            "extra usages",
            "it asks for the usages digital signature, client auth, server auth",
        ),
        refused(
            RequestSpec { alternative_names: &["kubernetes.default"], ..of("refused") },
            "alternative names",
            "it asks for subject alternative names",
        ),
        refused(
            RequestSpec { signer: "kubernetes.io/kube-apiserver-client", ..of("refused") },
            "another signer",
            "it asks the signer kubernetes.io/kube-apiserver-client",
        ),
        refused(
            RequestSpec {
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
        check_case(server, check_log, case, &format!("refused-{number}")).await;
    }
    check_other_requester(server, check_log).await;
}

struct Case {
    what: &'static str,
    spec: RequestSpec<'static>,
    reason: &'static str,
}

async fn token_of(
    server: &ApiServer,
    check_log: &mut CheckLog,
    worker: &WorkerName,
) -> Option<(BootstrapToken, Caller)> {
    let made = server.stargate_client.create_bootstrap_token(worker, Timestamp::now()).await;
    let token = check_log.succeeds("a worker gets a token", made)?;
    let caller = server.with_token(&token.secret).await;
    Some((token, caller))
}

async fn check_case(server: &ApiServer, check_log: &mut CheckLog, case: &Case, name: &str) {
    let worker = WorkerName::new("refused");
    let what = case.what;
    let Some((token, caller)) = token_of(server, check_log, &worker).await else { return };
    let key = KeyPair::generate().unwrap();
    let requested = caller.post(REQUESTS, &request(name, &case.spec, &key)).await;
    check_log.equals(&format!("{what}: the request is created"), requested.summary(), "201".into());
    let detail = match server.stargate_client.approve_csr_for(&worker, &token.id).await {
        Ok(Approval::Refused(refusal)) => refusal.to_string(),
        other => format!("{other:?}"),
    };
    let expected = format!("the certificate request {name} is not approved: {}", case.reason);
    check_log.equals(&format!("{what}: stargate refuses"), detail, expected);
    let request = server.admin.get(&format!("{REQUESTS}/{name}")).await.body;
    check_log.equals(&format!("{what}: it is not approved"), conditions(&request), vec![]);
    check_log.equals(&format!("{what}: nothing is issued"), certificate_of(&request), None);
    let deleted = server.admin.delete(&format!("{REQUESTS}/{name}")).await;
    check_log.equals(&format!("{what}: it is deleted"), deleted.code, 200);
    let _gone = server.stargate_client.delete_bootstrap_token(&token.id).await;
}

/// The correct name, requested with another token, by the administrator, and with a forged
/// requester: none is this worker's request.
async fn check_other_requester(server: &ApiServer, check_log: &mut CheckLog) {
    let (worker, other) = (WorkerName::new("refused"), WorkerName::new("other"));
    let Some((token, _)) = token_of(server, check_log, &worker).await else { return };
    let Some((other_token, caller)) = token_of(server, check_log, &other).await else { return };
    let key = KeyPair::generate().unwrap();
    let spec = kubelet_request_spec("refused");
    let requested = caller.post(REQUESTS, &request("by-another", &spec, &key)).await;
    check_log.equals("another token asks for the name", requested.summary(), "201".into());
    let mut forged = request("by-admin", &spec, &key);
    forged["spec"]["username"] = json!(format!("system:bootstrap:{}", token.id));
    forged["spec"]["groups"] = json!(["system:bootstrappers:stargate"]);
    let requested = server.admin.post(REQUESTS, &forged).await;
    check_log.equals("the administrator asks, too", requested.summary(), "201".into());
    let requester = requested.body["spec"]["username"].clone();
    let is_forged = requester == forged["spec"]["username"];
    check_log.is_true("no client can forge the requester", !is_forged, &requester);
    let response = server.stargate_client.approve_csr_for(&worker, &token.id).await;
    check_log.equals("neither request is the worker's", response, Ok(Approval::NotThereYet));
    let detail = match server.stargate_client.approve_csr_for(&other, &other_token.id).await {
        Ok(Approval::Refused(refusal)) => refusal.reason.to_string(),
        response => format!("{response:?}"),
    };
    let expected = "it asks for the subject O=system:nodes, CN=system:node:refused".to_owned();
    check_log.equals("and the token of the requester is reported", detail, expected);
    let request = server.admin.get(&format!("{REQUESTS}/by-another")).await.body;
    check_log.equals("it is not approved", conditions(&request), vec![]);
    check_log.equals("and no certificate is issued", certificate_of(&request), None);
    // An administrator has all permissions, so the cluster approves this request by itself.
    let by_admin = format!("{REQUESTS}/by-admin");
    let request = server.admin.until(&by_admin, |it| !conditions(&it.body).is_empty()).await.body;
    let expected = vec!["Approved AutoApproved".to_owned()];
    check_log.equals(
        "stargate does not approve the administrator's request",
        conditions(&request),
        expected,
    );
    for worker in [&worker, &other] {
        let deleted = server
            .stargate_client
            .delete_stale_bootstrap_tokens(Some(worker), Timestamp::now())
            .await;
        check_log.equals("the tokens are deleted", deleted, Ok(1));
    }
}
