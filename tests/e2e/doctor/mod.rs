//! `stargate doctor`: nothing on a healthy deployment, and each defect before an apply by its
//! check, code and remedy.

mod expected;
mod rights;
mod roles;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use stargate::apply::events::Outcome;
use stargate::pipeline::{Examined, Pipeline};
use stargate::plan::readiness::{Check, ReadinessStatus};
use stargate::provider::clients::Clients;
use stargate::provider::credentials::TailnetCredentials;
use stargate::provider::http::{Api, RequestCount};
use stargate::provider::limits::Limits;
use stargate::provider::secret::Secret;
use stargate::provider::tailnet::TailnetClient;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::Call;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::transport::InMemory;

use crate::delayed;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, clock};
use crate::refused_calls::{RefusedCalls, is_request};
use expected::{EXPECTED, EXPECTED_OF_HOSTS, Expected};

const BARE_METAL: &str = include_str!("../../../examples/bare-metal/stargate.toml");
const TEN_DATACENTERS: &str = include_str!("../../../examples/ten-datacenters/stargate.toml");
const LEASE: &str = "stargate-write-stargate-aks-e2e-2";

async fn examine_with(deployment: &Deployment, clients: &Clients) -> Examined {
    let scope = deployment.scope(&RefreshOptions::default());
    let clock = clock(deployment.sandbox.now());
    let clients = clients.read_only();
    Pipeline { clients: &clients, scope: &scope, now: &clock }.examine(LEASE).await
}

async fn examine(deployment: &Deployment) -> Vec<Check> {
    examine_with(deployment, &deployment.clients).await.checks
}

/// The checks that are neither passed nor skipped, each with its codes.
fn problems(checks: &[Check]) -> Vec<String> {
    let bad = checks.iter().filter(|it| it.status() > ReadinessStatus::Passed);
    bad.map(|it| {
        let codes =
            it.findings.iter().map(|it| it.failure.code).chain(it.gaps.iter().map(|it| it.code));
        let codes: Vec<String> = codes.map(|code| code.to_string()).collect();
        format!("{:?} {}: {}", it.status(), it.name, codes.join(" "))
    })
    .collect()
}

#[tokio::test(start_paused = true)]
async fn a_healthy_deployment_has_no_findings() {
    for text in [EXAMPLE, TWO_DATACENTERS, BARE_METAL] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        let before = examine(&deployment).await;
        assert_eq!(problems(&before), [] as [String; 0], "{before:#?}");
        deployment.iterate().await;
        let after = examine(&deployment).await;
        assert_eq!(problems(&after), [] as [String; 0], "{after:#?}");
        let skipped: Vec<&Check> = after.iter().filter(|it| it.is_skipped).collect();
        assert!(skipped.is_empty(), "{skipped:#?}");
    }
}

/// Nothing of an examination writes, and a first plan is part of it.
#[tokio::test(start_paused = true)]
async fn an_examination_writes_nothing() {
    let deployment = Deployment::example();
    let examined = examine_with(&deployment, &deployment.clients).await;
    assert_eq!(deployment.writes(), 0);
    assert!(!examined.planned.plan.changes.is_empty());
}

fn target(target: &str) -> Option<&str> {
    Some(target).filter(|target| !target.is_empty())
}

async fn assert_named(deployment: &Deployment, expected: &Expected) {
    deployment.inject(expected.fault, target(expected.target));
    let checks = examine(deployment).await;
    let what = format!("{} {}", expected.fault, expected.target);
    let found = checks.iter().filter(|it| it.name == expected.check);
    let failures = found.flat_map(|it| it.findings.iter().map(|it| &it.failure).chain(&it.gaps));
    let named: Vec<_> = failures.filter(|it| it.code == expected.code).collect();
    let [message, remedy] = expected.words;
    let is_named =
        named.iter().any(|it| it.message.contains(message) && it.remedy.contains(remedy));
    assert!(is_named, "{what}: {:#?}\n{named:#?}", problems(&checks));
}

/// Every fault that can precede an apply is named; all others need a deployment.
#[tokio::test(start_paused = true)]
async fn every_fault_that_precedes_an_apply_is_named() {
    let all = EXPECTED.iter().chain(EXPECTED_OF_HOSTS);
    for fault in Fault::ALL {
        let is_expected = all.clone().any(|it| it.fault == *fault);
        let fresh = Deployment::example();
        let injected = fresh
            .sandbox
            .change(|sandbox, now| stargate::sandbox::faults::inject(sandbox, *fault, None, now));
        assert_eq!(injected.is_ok(), is_expected && !of_hosts(*fault), "{fault}: {injected:?}");
    }
    for expected in EXPECTED {
        assert_named(&Deployment::example(), expected).await;
    }
    for expected in EXPECTED_OF_HOSTS {
        assert_named(&Deployment::of(BARE_METAL, SandboxState::new(1)), expected).await;
    }
}

fn of_hosts(fault: Fault) -> bool {
    EXPECTED_OF_HOSTS.iter().any(|it| it.fault == fault)
}

/// An apply meets the defects that were named: the sandbox refuses with the same code.
#[tokio::test(start_paused = true)]
async fn an_apply_meets_what_was_named() {
    let met_by_steps = [
        Fault::AzureActionMissing,
        Fault::ProviderUnregistered,
        Fault::QuotaExhausted,
        Fault::SizeRestricted,
        Fault::PolicyDenies,
        Fault::ManagementLock,
        Fault::TailnetScopeMissing,
    ];
    for expected in EXPECTED.iter().filter(|it| met_by_steps.contains(&it.fault)) {
        // Without its list of devices nothing of the tailnet is planned.
        let deployment = Deployment::example();
        deployment.inject(expected.fault, target(expected.target));
        let applied = deployment.apply(&RefreshOptions::default()).await;
        let mut codes = applied.outcomes.values().filter_map(|outcome| match outcome {
            Outcome::Failed(failure) => Some(failure.code),
            _ => None,
        });
        let gaps = applied.remaining.iter().flat_map(|plan| &plan.gaps);
        let is_met = codes.any(|code| code == expected.code)
            || gaps.clone().any(|gap| gap.failure.code == expected.code);
        assert!(is_met, "{} {}: {:?}", expected.fault, expected.target, applied.outcomes);
    }
}

/// A missing permission hides the facts of one check, which is then unknown.
#[tokio::test(start_paused = true)]
async fn unread_facts_make_one_check_unknown() {
    type Case = (fn(&Call) -> bool, &'static [&'static str]);
    let cases: [Case; 8] = [
        (|call| is_request(call, "/permissions"), &["permissions"]),
        (|call| is_request(call, "/policyAssignments"), &["policies"]),
        (|call| is_request(call, "/locks"), &["locks"]),
        (|call| is_request(call, "/skus"), &["vm-sizes", "cores"]),
        (|call| is_request(call, "Microsoft.Compute/locations"), &["cores"]),
        (|call| is_request(call, "Microsoft.Network/locations"), &["public-ips"]),
        (|call| is_request(call, "/kubernetesVersions"), &["kubernetes-version", "preflight"]),
        (|call| is_request(call, "/acl"), &["tag-owners"]),
    ];
    for (matches, names) in cases {
        let deployment = Deployment::example();
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(403, matches)));
        let checks = examine(&deployment).await;
        let bad = checks.iter().filter(|it| it.status() > ReadinessStatus::Passed);
        let found: Vec<&str> = bad.clone().map(|it| it.name).collect();
        assert_eq!(found, names, "{:#?}", problems(&checks));
        let is_failed = |it: &Check| it.status() == ReadinessStatus::Failed;
        assert!(!bad.clone().any(is_failed), "{:#?}", problems(&checks));
    }
}

/// An examination by a process with an OAuth client, which fetches a token.
async fn examine_by_oauth(deployment: &Deployment) -> Vec<Check> {
    let tailnet = TailnetClient::new(
        Arc::new(InMemory::new(deployment.sandbox.clone())),
        "https://tailscale.sandbox",
        "-",
        TailnetCredentials::OAuthClient { id: "id".to_owned(), secret: Secret::new("secret") },
        Limits::unlimited(),
        RequestCount::default(),
    );
    let clients = Clients { tailnet: Arc::new(tailnet), ..deployment.clients.clone() };
    examine_with(deployment, &clients).await.checks
}

/// An OAuth client reports its scopes: without the one for routes, the policy must approve
/// them.
#[tokio::test(start_paused = true)]
async fn scopes_of_an_oauth_client_are_checked() {
    let deployment = Deployment::example();
    let healthy = examine_by_oauth(&deployment).await;
    assert_eq!(problems(&healthy), [] as [String; 0]);
    deployment.inject(Fault::TailnetScopeMissing, Some("devices:routes"));
    let refused = examine_by_oauth(&deployment).await;
    assert_eq!(problems(&refused), ["Failed route-approval: SG0604"]);
    deployment.sandbox.change(|sandbox, _| {
        let tag = deployment.topology.tailnet.tag.as_str();
        let policy = format!(
            "{{\"tagOwners\": {{\"{tag}\": []}}, \"autoApprovers\": {{\"routes\": \
             {{\"0.0.0.0/0\": [\"{tag}\"]}}}}}}"
        );
        sandbox.tailnet.policy_mut().write(&policy).unwrap();
    });
    let approved = examine_by_oauth(&deployment).await;
    assert_eq!(problems(&approved), [] as [String; 0]);
    deployment.inject(Fault::TailnetScopeMissing, Some("auth_keys"));
    let keys = examine_by_oauth(&deployment).await;
    assert_eq!(problems(&keys), ["Failed scopes: SG0604"]);
}

/// The Lease of a process that makes changes is named.
#[tokio::test(start_paused = true)]
async fn the_holder_of_the_lease_is_named() {
    let deployment = Deployment::example_applied().await;
    let now = deployment.sandbox.now();
    deployment.sandbox.change(|sandbox, _| {
        let store = sandbox.kubernetes.as_mut().unwrap();
        let lease = serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": LEASE, "namespace": "kube-system" },
            "spec": {
                "holderIdentity": "jane@laptop", "leaseDurationSeconds": 60,
                "renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string(),
            },
        });
        store.put(lease, "kubectl", &now.to_string()).map(drop).map_err(drop).unwrap();
    });
    let held = examine(&deployment).await;
    assert_eq!(problems(&held), ["Warned lease: SG0441"]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(problems(&examine(&deployment).await), [] as [String; 0]);
}

#[tokio::test(start_paused = true)]
async fn ten_datacenters_take_less_than_ten_seconds() {
    let deployment = Deployment::of(TEN_DATACENTERS, SandboxState::new(1));
    let clients = delayed::clients(&deployment);
    let start = tokio::time::Instant::now();
    let examined = examine_with(&deployment, &clients).await;
    let taken = start.elapsed();
    assert!(taken < Duration::from_secs(10), "{taken:?}");
    assert_eq!(problems(&examined.checks), [] as [String; 0], "{:#?}", examined.checks);
    let count: u64 = clients.requests.by_api().values().sum();
    assert!(count <= 60, "{:?}", clients.requests.by_api().get(&Api::Azure));
}
