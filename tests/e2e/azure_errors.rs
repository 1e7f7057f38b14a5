//! Each error of Azure that a first deployment meets, as the answer to a write and as the end
//! of its operation: the code, the service's text with the scope, and a remedy that names the
//! policy, the quota, the lock or the permission.

use std::sync::Arc;

use serde_json::{Value, json};
use stargate::apply::events::Outcome;
use stargate::diagnostics::{Code, Failure};
use stargate::provider::http::Api;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, failures};

/// The resource group of the written object.
const GROUP: &str = "MC_stargate-aks-e2e-2_stargate-aks-e2e-2_canadacentral";
const SCOPE: &str = "/subscriptions/0000/resourceGroups/net";

/// How an error arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    /// The write is refused.
    Response,
    /// The write is accepted, and its operation fails.
    Operation,
}

/// Lets every write of a route table fail.
#[derive(Debug)]
struct Fails {
    arrival: Arrival,
    with: Disposition,
}

impl FaultInjector for Fails {
    fn before(&self, call: &Call) -> Disposition {
        let Call::Request { api: Api::Azure, path, .. } = call else { return Disposition::Pass };
        let path = path.to_ascii_lowercase();
        let fails = match self.arrival {
            Arrival::Response => call.writes() && path.contains("/routetables/"),
            Arrival::Operation => path.contains("/operations/"),
        };
        if fails { self.with.clone() } else { Disposition::Pass }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

struct Row {
    status: u16,
    error: Value,
    code: Code,
    /// Parts of the remedy.
    names: Vec<String>,
}

fn row(status: u16, code: &str, message: &str, expected: Code, names: &[&str]) -> Row {
    with(status, json!({ "code": code, "message": message }), expected, names)
}

fn with(status: u16, error: Value, code: Code, names: &[&str]) -> Row {
    Row { status, error, code, names: names.iter().map(|it| (*it).to_owned()).collect() }
}

/// Policies, deny assignments, locks and permissions.
fn denials() -> Vec<Row> {
    let assignment = format!("{SCOPE}/providers/Microsoft.Authorization/policyAssignments/deny");
    let policy = json!({
        "code": "RequestDisallowedByPolicy", "target": "t",
        "message": "Resource 't' was disallowed by policy. Reasons: 'no routes'.",
        "additionalInfo": [{ "type": "PolicyViolation", "info": {
            "policyDefinitionDisplayName": "No routes", "policyDefinitionName": "83a8",
            "policyAssignmentDisplayName": "Landing zone", "policyAssignmentId": assignment,
        }}],
    });
    let exemption = format!("--policy-assignment '{assignment}' --resource-group '{GROUP}'");
    let policy_names = ["`Landing zone`", "(policy `No routes`)", &exemption];
    let nested = json!({ "code": "InvalidTemplateDeployment", "message": "See the details.",
        "details": [{ "code": "PreflightFailed", "message": "m", "details": [policy] }] });
    let lacking = format!(
        "The client 'a@b' with object id '11-22' does not have authorization to perform action \
         'Microsoft.Network/routeTables/write' over scope '{SCOPE}' or the scope is invalid."
    );
    let linked = format!(
        "The client '3' with object id '33-44' has permission to perform action \
         'Microsoft.Network/routeTables/write' on scope '{SCOPE}/t'; however, it does not have \
         permission to perform action(s) 'Microsoft.Network/virtualNetworks/subnets/join/action' \
         on the linked scope(s) '{SCOPE}' (respectively) or the linked scope(s) are invalid."
    );
    let denied = format!(
        "The client 'c' with object id '5' has permission to perform action 'A/write' on scope \
         '{SCOPE}'; however, the access is denied because of the deny assignment with name 'N' \
         and Id '99' at scope '{SCOPE}'."
    );
    let locked = format!(
        "The scope '{SCOPE}/t' cannot perform write operation because following scope(s) are \
         locked: '{SCOPE}'. Please remove the lock and try again."
    );
    vec![
        with(403, policy, Code::PolicyDenied, &policy_names),
        with(400, nested, Code::PolicyDenied, &policy_names),
        row(403, "RequestDisallowedByAzure", "disallowed", Code::PolicyDenied, &["region"]),
        row(
            403,
            "AuthorizationFailed",
            &lacking,
            Code::AzureRefused,
            &[
                "--assignee 11-22 --role 'Network Contributor'",
                &format!("lacks Microsoft.Network/routeTables/write on {SCOPE}"),
            ],
        ),
        row(
            403,
            "LinkedAuthorizationFailed",
            &linked,
            Code::AzureRefused,
            &[&format!("virtualNetworks/subnets/join/action on {SCOPE}:")],
        ),
        row(
            403,
            "DenyAssignmentAuthorizationFailed",
            &denied,
            Code::DenyAssignment,
            &[&format!("deny assignment 99 of {SCOPE}")],
        ),
        row(
            409,
            "ScopeLocked",
            &locked,
            Code::ManagementLock,
            &[&format!("the lock of {SCOPE}"), "--resource-group 'net'"],
        ),
    ]
}

/// Quotas, sizes, capacity, versions and registrations.
fn limits() -> Vec<Row> {
    let cores = "Operation could not be completed as it results in exceeding approved \
                 standardDSv5Family Cores quota. Additional details - Deployment Model: Resource \
                 Manager, Location: eastus, Current Limit: 10, Current Usage: 8, Additional \
                 Required: 4, (Minimum) New Limit Required: 12. Submit a request.";
    let through_aks = format!("Status=409 Code=\"OperationNotAllowed\" Message=\"{cores}\"");
    let family = "Insufficient vcpu quota requested 6, remaining 0 for family standardDSv4Family \
                  for region canadacentral. If you want to increase the quota";
    let region = "Insufficient regional vcpu quota left for location eastus. left regional vcpu \
                  quota 2, requested quota 6.";
    let addresses = "Cannot create more than 10 public IP addresses for this subscription in \
                     this region.";
    let sku = "The requested VM size for resource 'Following SKUs have failed for Capacity \
               Restrictions: Standard_D2s_v3' is currently not available in location 'westeurope'.";
    let aks_size = "The VM size of Standard_D2s_v9 is not allowed in your subscription in \
                    location 'westeurope'.";
    let version = "Version 1.30.4 is not supported in this region. Please use [az aks \
                   get-versions] command";
    let long_term = "Managed cluster k is on version 1.31.2, which is not supported, or only \
                     available with long-term support.";
    let registration = "The subscription is not registered to use namespace \
                        'Microsoft.ContainerService'. See https://aka.ms/rps-not-found";
    let quota = ["quota of at least 12 for standardDSv5Family Cores in eastus"];
    let capacity = ["no capacity", "again later"];
    let exceeded = Code::QuotaExceeded;
    let unregistered = ["--namespace Microsoft.ContainerService --wait"];
    vec![
        row(409, "OperationNotAllowed", cores, exceeded, &quota),
        row(400, "CreateVMSSAgentPoolFailed", &through_aks, exceeded, &quota),
        row(
            400,
            "ErrCode_InsufficientVCPUQuota",
            family,
            exceeded,
            &["standardDSv4Family cores in canadacentral"],
        ),
        row(400, "InsufficientVCPUQuota", region, exceeded, &["regional cores in eastus"]),
        row(
            400,
            "PublicIPCountLimitReached",
            addresses,
            exceeded,
            &["above 10 for public IP addresses", "az network list-usages"],
        ),
        row(
            409,
            "SkuNotAvailable",
            sku,
            Code::SkuUnavailable,
            &["--location westeurope --size Standard_D2s_v3 --all"],
        ),
        row(
            400,
            "VMSizeNotSupported",
            aks_size,
            Code::SkuUnavailable,
            &["--location westeurope --size Standard_D2s_v9 --all"],
        ),
        row(409, "AllocationFailed", "Allocation failed.", Code::SkuUnavailable, &capacity),
        row(409, "ZonalAllocationFailed", "Allocation failed.", Code::SkuUnavailable, &capacity),
        row(409, "OverconstrainedAllocationRequest", "no", Code::SkuUnavailable, &capacity),
        row(400, "K8sVersionNotSupported", version, Code::VersionUnsupported, &["1.30.4 there"]),
        row(
            400,
            "AgentPoolK8sVersionNotSupported",
            long_term,
            Code::VersionUnsupported,
            &["Kubernetes 1.31.2 there"],
        ),
        row(
            409,
            "MissingSubscriptionRegistration",
            registration,
            Code::ProviderNotRegistered,
            &unregistered,
        ),
        row(
            409,
            "SubscriptionNotRegistered",
            registration,
            Code::ProviderNotRegistered,
            &unregistered,
        ),
    ]
}

/// The subscription, its budgets of requests, and the state of objects.
fn states() -> Vec<Row> {
    let disabled = "The subscription '12-34' is disabled and therefore marked as read only.";
    let tenant = "The access token is from the wrong issuer 'https://sts.windows.net/aa/'. It \
                  must match the tenant 'https://sts.windows.net/bb-cc/' associated with this \
                  subscription.";
    let throttled = "Number of 'write' requests for subscription '12-34' actor '5' exceeded. \
                     Please try again after '23' seconds after additional tokens are available.";
    let compute = json!({ "code": "OperationNotAllowed",
        "message": "The server rejected the request because too many requests have been received.",
        "details": [{ "code": "TooManyRequests", "target": "PutVM3Min",
            "message": "{\"operationGroup\":\"PutVM3Min\",\"allowedRequestCount\":740}" }] });
    let referenced = format!(
        "Cannot proceed with operation because resource {SCOPE}/subnets/x used by resource \
         {SCOPE}/networkInterfaces/y is not in Succeeded state. Resource is in Updating state."
    );
    let retryable = json!({ "code": "RetryableError", "message": "A retryable error occured.",
        "details": [{ "code": "ReferencedResourceNotProvisioned", "message": referenced }] });
    let pool = "Operation is not allowed: Another operation (nodepool1 - Updating) is in \
                progress, please wait for it to finish before starting a new operation.";
    let group = "The resource group 'net' is in deprovisioning state and cannot perform this \
                 operation.";
    let subnet = format!(
        "Subnet x is in use by {SCOPE}/networkInterfaces/n/ipConfigurations/c and cannot be deleted."
    );
    let interface = format!(
        "Network Interface n is used by existing resource {SCOPE}/virtualMachines/vm. In order to"
    );
    let in_use = Code::ObjectInUse;
    let busy = Code::OperationInProgress;
    vec![
        row(
            409,
            "ReadOnlyDisabledSubscription",
            disabled,
            Code::SubscriptionUnusable,
            &["enable the subscription 12-34 again"],
        ),
        row(
            401,
            "InvalidAuthenticationTokenTenant",
            tenant,
            Code::SubscriptionUnusable,
            &["az login --tenant bb-cc"],
        ),
        row(
            404,
            "SubscriptionNotFound",
            "The subscription '12-34' could not be found.",
            Code::SubscriptionUnusable,
            &["subscription 12-34:"],
        ),
        row(
            429,
            "SubscriptionRequestsThrottled",
            throttled,
            Code::Throttled,
            &["wait 23 seconds", "write requests"],
        ),
        with(429, compute, Code::Throttled, &["the limit PutVM3Min of Compute"]),
        with(429, retryable, busy, &[&format!("{SCOPE}/subnets/x has ended")]),
        row(409, "OperationNotAllowed", pool, busy, &["nodepool1 - Updating"]),
        row(409, "AnotherOperationInProgress", "Another operation", busy, &["other operation"]),
        row(409, "ResourceGroupBeingDeleted", group, busy, &["--deleted --name 'net'"]),
        row(400, "InUseSubnetCannotBeDeleted", &subnet, in_use, &["n/ipConfigurations/c, which"]),
        row(400, "NicInUse", &interface, in_use, &["virtualMachines/vm, which uses"]),
        row(400, "InUseRouteTableCannotBeDeleted", "in use", in_use, &["delete or detach"]),
        row(400, "InUseNetworkSecurityGroupCannotBeDeleted", "in use", in_use, &["detach"]),
    ]
}

/// The failure of the step that writes the route table.
async fn failure(sandbox: &SandboxState, arrival: Arrival, row: &Row) -> Failure {
    let deployment = Deployment::of(EXAMPLE, sandbox.clone()).without_lease();
    deployment.inject(Fault::RouteMissing, None);
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    let (status, body) = match arrival {
        Arrival::Response => (row.status, json!({ "error": row.error })),
        Arrival::Operation => (200, json!({ "status": "Failed", "error": row.error })),
    };
    let with = Disposition::Respond { status, body: body.to_string() };
    deployment.sandbox.set_fault_injector(Some(Arc::new(Fails { arrival, with })));
    let applied = deployment.apply_planned(&options, planned, &IgnoreProgress).await;
    let failed = applied.outcomes.values().find_map(|outcome| match outcome {
        Outcome::Failed(failure) => Some(failure.clone()),
        _ => None,
    });
    failed.unwrap_or_else(|| panic!("{} {:?}", row.error, failures(&applied)))
}

#[tokio::test(start_paused = true)]
async fn an_error_of_azure_names_what_it_is_about() {
    let sandbox = Deployment::example_applied().await.copy_of_state();
    for row in denials().into_iter().chain(limits()).chain(states()) {
        for arrival in [Arrival::Response, Arrival::Operation] {
            let failure = failure(&sandbox, arrival, &row).await;
            assert_eq!(failure.code, row.code, "{arrival:?} {}", row.error);
            for name in &row.names {
                assert!(failure.remedy.contains(name), "{name} is not in: {}", failure.remedy);
            }
            let request = format!("PUT route table stargate-workers-rt in resource group {GROUP}:");
            assert!(failure.message.starts_with(&request), "{}", failure.message);
            let text = row.error["code"].as_str().unwrap();
            assert!(failure.message.contains(text), "{}", failure.message);
        }
    }
}

/// A code that stargate does not know: the code, the text and the scope, and what the status
/// says about it.
#[tokio::test(start_paused = true)]
async fn an_unknown_error_of_azure_is_shown_as_it_is() {
    let sandbox = Deployment::example_applied().await.copy_of_state();
    for (status, code) in [
        (400, Code::InvalidRequest),
        (403, Code::AzureRefused),
        (409, Code::Conflict),
        (418, Code::RequestError),
    ] {
        let error = json!({ "code": "SomethingNew", "message": "The moon is full.",
            "details": [{ "code": "Inner", "message": "Wait for the new one." }] });
        let row = with(status, error, code, &[]);
        for (arrival, code) in
            [(Arrival::Response, code), (Arrival::Operation, Code::OperationFailed)]
        {
            let failure = failure(&sandbox, arrival, &row).await;
            assert_eq!(failure.code, code, "{failure:?}");
            for part in ["SomethingNew: The moon is full.", "Inner: Wait for the new one.", GROUP] {
                assert!(failure.message.contains(part), "{part} is not in: {}", failure.message);
            }
            assert!(!failure.remedy.is_empty());
        }
    }
}
