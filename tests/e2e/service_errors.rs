//! The same refused request has the same code in `plan`, `drift` and `apply`.
//!
//! The real clients talk to the sandbox, and every request to one API, or every
//! call to hosts, is answered with a recorded or documented error.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use stargate::apply::events::Outcome;
use stargate::diagnostics::Code;
use stargate::inventory::Source;
use stargate::plan::impact::IntermediateState;
use stargate::plan::impact::ReachabilityReport;
use stargate::provider::host::{HostAddress, HostError};
use stargate::provider::http::Api;
use stargate::render::connectivity::reachability_report::ReachabilityReportText;
use stargate::render::plan_text::{self, Options};
use stargate::render::{Purpose, drift_json, plan_json};
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, failures};

/// The AKS router of the example.
const ROUTER: &str = "stargate-aks-e2e-2-router";

/// Answers every call to one target the same way.
#[derive(Debug)]
struct Refuses {
    target: Target,
    with: Disposition,
    only_writes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Service(Api),
    Hosts,
}

impl FaultInjector for Refuses {
    fn before(&self, call: &Call) -> Disposition {
        let is_meant = match (call, self.target) {
            (Call::Request { api, .. }, Target::Service(meant)) => *api == meant,
            (Call::Host { .. }, Target::Hosts) => true,
            _ => false,
        };
        let passes = !is_meant || (self.only_writes && !call.writes());
        if passes { Disposition::Pass } else { self.with.clone() }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

fn arm(code: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message}})
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": code, "reason": reason, "message": message,
    })
}

/// Errors of ARM that a read can meet, as recorded or documented.
fn azure() -> Vec<(u16, Value, Code)> {
    let aks_lock = "Operation is not allowed: Another operation (nodepool1 - Updating) is in \
                    progress, please wait for it to finish before starting a new operation.";
    let cores = "Operation could not be completed as it results in exceeding approved standardDSv5 \
                 Cores quota.";
    vec![
        (
            403,
            arm("AuthorizationFailed", "The client does not have authorization"),
            Code::AzureRefused,
        ),
        (401, arm("ExpiredAuthenticationToken", "The access token expiry"), Code::AzureRefused),
        (401, arm("InvalidAuthenticationTokenTenant", "wrong issuer"), Code::SubscriptionUnusable),
        (403, arm("RequestDisallowedByPolicy", "disallowed by policy"), Code::PolicyDenied),
        (403, arm("DenyAssignmentAuthorizationFailed", "deny assignment"), Code::DenyAssignment),
        (409, arm("ScopeLocked", "The scope is locked"), Code::ManagementLock),
        (
            409,
            arm("MissingSubscriptionRegistration", "not registered"),
            Code::ProviderNotRegistered,
        ),
        (409, arm("OperationNotAllowed", cores), Code::QuotaExceeded),
        (409, arm("OperationNotAllowed", aks_lock), Code::OperationInProgress),
        (409, arm("SkuNotAvailable", "not available in location"), Code::SkuUnavailable),
        (409, arm("ResourceGroupBeingDeleted", "deprovisioning"), Code::OperationInProgress),
        (409, arm("ReadOnlyDisabledSubscription", "disabled"), Code::SubscriptionUnusable),
        (409, arm("SomethingNew", "an unknown conflict"), Code::Conflict),
        (400, arm("InvalidApiVersionParameter", "api-version"), Code::InvalidRequest),
        (429, arm("SubscriptionRequestsThrottled", "too many reads"), Code::Throttled),
        (503, arm("ServerTimeout", "The request timed out."), Code::ServiceUnavailable),
        (405, arm("MethodNotAllowed", "not supported"), Code::RequestError),
        (404, arm("SubscriptionNotFound", "could not be found"), Code::SubscriptionUnusable),
        (404, json!({"message": "no Route matched"}), Code::UnexpectedResponse),
    ]
}

fn tailscale() -> Vec<(u16, Value, Code)> {
    let message = |text: &str| json!({ "message": text });
    vec![
        (401, message("API token invalid"), Code::TailscaleRefused),
        (403, message("calling actor does not have enough permissions"), Code::TailscaleRefused),
        (
            400,
            message("requested tags [tag:x] are invalid or not permitted"),
            Code::TagOwnersMissing,
        ),
        (404, message("tailnet not found"), Code::ObjectMissing),
        (429, message("rate limited"), Code::Throttled),
        (504, message("took too long, try again"), Code::ServiceUnavailable),
        (404, json!("<html>Not Found</html>"), Code::UnexpectedResponse),
    ]
}

fn kubernetes() -> Vec<(u16, Value, Code)> {
    let webhook = "admission webhook \"validation.gatekeeper.sh\" denied the request";
    vec![
        (401, status(401, "Unauthorized", "Unauthorized"), Code::ClusterRefused),
        (
            403,
            status(403, "Forbidden", "nodes is forbidden: User \"x\" cannot list"),
            Code::ClusterRefused,
        ),
        (403, status(403, "Forbidden", webhook), Code::AdmissionRefused),
        (422, status(422, "Invalid", "is invalid"), Code::InvalidRequest),
        (404, json!("<html>Not Found</html>"), Code::UnexpectedResponse),
        (409, status(409, "Conflict", "the object has been modified"), Code::ChangedSinceRead),
        (429, status(429, "TooManyRequests", "too many requests"), Code::Throttled),
        (503, status(503, "ServiceUnavailable", "etcd has no leader"), Code::ServiceUnavailable),
    ]
}

fn hosts() -> Vec<(HostError, Code)> {
    let hostname = || ROUTER.to_owned();
    let address = || HostAddress::of_text("100.64.0.1");
    let text = || "x".to_owned();
    vec![
        (
            HostError::Unreachable { hostname: hostname(), address: address(), reason: text() },
            Code::HostUnreachable,
        ),
        (HostError::Lost { hostname: hostname(), reason: text() }, Code::ConnectionLost),
        (
            HostError::LoginRefused { hostname: hostname(), user: text(), tried: text() },
            Code::LoginRefused,
        ),
        (
            HostError::WrongHost { hostname: hostname(), address: address(), found: text() },
            Code::WrongHost,
        ),
        (
            HostError::HostKeyChanged {
                hostname: hostname(),
                presented: text(),
                expected: text(),
                place: text(),
            },
            Code::HostKeyChanged,
        ),
        (
            HostError::HostKeyUntrusted { hostname: hostname(), reason: text(), remedy: text() },
            Code::HostKeyUntrusted,
        ),
        (HostError::failed(ROUTER, "probe", "exit status 1"), Code::HostCommandFailed),
    ]
}

/// The codes that users read of one refusal.
#[derive(Debug, PartialEq, Eq)]
struct Reported {
    plan: Option<String>,
    drift: Option<String>,
    apply: BTreeSet<String>,
}

impl Reported {
    fn all(code: Code) -> Self {
        let text = code.to_string();
        Self { plan: Some(text.clone()), drift: Some(text.clone()), apply: [text].into() }
    }
}

/// Breaks `fault`, plans its repair, and then refuses every call: to the step of
/// the apply, and to the reads of a new plan and of `drift`.
async fn refused(
    sandbox: &SandboxState,
    fault: Fault,
    source: &Source,
    refuses: Refuses,
) -> Reported {
    // The refusal of a lease would end the apply before its steps.
    let deployment = Deployment::of(EXAMPLE, sandbox.clone()).without_lease();
    deployment.inject(fault, None);
    let options = RefreshOptions::default();
    let repair = deployment.refresh_and_plan(&options).await;
    assert!(!repair.plan.changes.is_empty(), "{fault}");
    deployment.sandbox.set_fault_injector(Some(Arc::new(refuses)));
    let applied = deployment.apply_planned(&options, repair, &IgnoreProgress).await;
    let failed = applied.outcomes.values().filter(|it| matches!(it, Outcome::Failed(_)));
    let event =
        |outcome| serde_json::to_value(outcome).unwrap()["code"].as_str().map(str::to_owned);
    let apply = failed.filter_map(event).collect();
    let planned = deployment.refresh_and_plan(&options).await;
    let report = ReachabilityReport::of_state(
        planned.paths(&deployment.topology),
        &IntermediateState::Observed,
        1,
    );
    let drift = drift_json::render(
        &planned.plan,
        Purpose::Drift,
        ReachabilityReportText { report: &report },
    );
    Reported {
        plan: code_of_gap(&plan_json::render(&planned.plan, Purpose::Plan), source),
        drift: code_of_gap(&drift, source),
        apply,
    }
}

/// The code of a source's gap, as the JSON output has it.
fn code_of_gap(text: &str, source: &Source) -> Option<String> {
    let output: Value = serde_json::from_str(text).unwrap();
    let gaps = output["gaps"].as_array()?;
    let gap = gaps.iter().find(|gap| gap["source"] == source.to_string())?;
    gap["code"].as_str().map(str::to_owned)
}

async fn service_table(api: Api, fault: Fault, source: Source, rows: Vec<(u16, Value, Code)>) {
    let sandbox = Deployment::example_applied().await.copy_of_state();
    for (status, body, code) in rows {
        let with = Disposition::Respond { status, body: body.to_string() };
        let refuses = Refuses { target: Target::Service(api), with, only_writes: false };
        let rendered = refused(&sandbox, fault, &source, refuses).await;
        assert_eq!(rendered, Reported::all(code), "{status} {body}");
    }
    let refuses =
        Refuses { target: Target::Service(api), with: Disposition::Lose, only_writes: false };
    let rendered = refused(&sandbox, fault, &source, refuses).await;
    assert_eq!(rendered, Reported::all(Code::ServiceUnreachable), "no answer from {api}");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_azure_has_one_code() {
    service_table(Api::Azure, Fault::RouteMissing, Source::Azure, azure()).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_tailscale_has_one_code() {
    let fault = Fault::TailnetRouteUnapproved;
    service_table(Api::Tailscale, fault, Source::Tailscale, tailscale()).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_cluster_has_one_code() {
    let fault = Fault::CiliumNodeEmpty;
    service_table(Api::Kubernetes, fault, Source::Kubernetes, kubernetes()).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_a_host_has_one_code() {
    let sandbox = Deployment::example_applied().await.copy_of_state();
    let source = Source::Host(ROUTER.to_owned());
    for (error, code) in hosts() {
        let text = error.to_string();
        let with = Disposition::Fail(error);
        let refuses = Refuses { target: Target::Hosts, with, only_writes: false };
        let deployment = Deployment::of(EXAMPLE, sandbox.clone());
        deployment.inject(Fault::MasqueradeMissing, Some(ROUTER));
        let sandbox = deployment.copy_of_state();
        let rendered = refused(&sandbox, Fault::ForwardingOff, &source, refuses);
        assert_eq!(rendered.await, Reported::all(code), "{text}");
    }
}

/// Reads pass and the write is refused: the code is that of the same refusal of a read, and
/// the remedy is specific.
#[tokio::test(start_paused = true)]
async fn a_refused_write_has_the_code_of_its_cause() {
    let sandbox = Deployment::example_applied().await.copy_of_state();
    for (name, code, remedy) in [
        ("ScopeLocked", Code::ManagementLock, "az lock list"),
        ("RequestDisallowedByPolicy", Code::PolicyDenied, "az policy exemption create"),
        ("AuthorizationFailed", Code::AzureRefused, "az role assignment create"),
    ] {
        let deployment = Deployment::of(EXAMPLE, sandbox.clone());
        deployment.inject(Fault::RouteMissing, None);
        let body = arm(name, "refused").to_string();
        deployment.sandbox.set_fault_injector(Some(Arc::new(Refuses {
            target: Target::Service(Api::Azure),
            with: Disposition::Respond { status: 403, body },
            only_writes: true,
        })));
        // The credentials of the cluster come by POST: only the step is looked at.
        let deployment_without = Deployment::of(EXAMPLE, deployment.copy_of_state());
        let planned = deployment_without.refresh_and_plan(&RefreshOptions::default()).await;
        let applied =
            deployment.apply_planned(&RefreshOptions::default(), planned, &IgnoreProgress).await;
        let failure = applied.outcomes.values().find_map(|outcome| match outcome {
            Outcome::Failed(failure) => Some(failure),
            _ => None,
        });
        let failure = failure.unwrap_or_else(|| panic!("{:?}", failures(&applied)));
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.remedy.contains(remedy), "{}", failure.remedy);
        assert!(failure.message.contains("PUT route table stargate-workers-rt"), "{failure}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_verbose_plan_shows_the_chain_of_causes() {
    let deployment = Deployment::example_applied().await;
    let body = json!({"error": {
        "code": "AuthorizationFailed", "message": "outer",
        "details": [
            {"code": "LinkedAuthorizationFailed", "message": "middle"},
            {"code": "Unspecified", "message": "innermost Bearer marked-marked-marked"},
        ],
    }});
    deployment.sandbox.set_fault_injector(Some(Arc::new(Refuses {
        target: Target::Service(Api::Azure),
        with: Disposition::Respond { status: 403, body: body.to_string() },
        only_writes: false,
    })));
    let plan = deployment.plan().await;
    let brief = plan_text::render(&plan, Options::default());
    assert!(brief.contains("SG0602") && brief.contains("outer"), "{brief}");
    assert!(!brief.contains("caused by") && !brief.contains("innermost"), "{brief}");
    let verbose = plan_text::render(&plan, Options { verbose: true, ..Options::default() });
    assert!(verbose.contains("caused by: Unspecified: innermost Bearer ****"), "{verbose}");
    assert!(!verbose.contains("marked-marked"), "{verbose}");
}
