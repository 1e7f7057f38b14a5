//! Remedies have the names in Azure's errors, and no other text of them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::diagnostics::Failure;
use crate::provider::error::RequestError;
use crate::provider::http::Api;

const GROUP: &str = "/subscriptions/0000/resourceGroups/net(1)";

fn failure(status: u16, error: &Value) -> Failure {
    let body = json!({ "error": error }).to_string();
    RequestError::from_response(Api::Azure, "PUT subnet s", status, body.as_bytes()).into()
}

fn refused(status: u16, code: &str, message: &str) -> Failure {
    failure(status, &json!({"code": code, "message": message}))
}

fn policy_info(assignment: &str) -> Value {
    json!([{"type": "PolicyViolation", "info": {
        "policyDefinitionDisplayName": "Network interfaces should not have public IPs",
        "policyDefinitionName": "83a86a26",
        "policyAssignmentDisplayName": "Deny public IPs",
        "policyAssignmentName": "deny-pip",
        "policyAssignmentId": assignment,
    }}])
}

#[test]
fn each_error_names_what_it_is_about() {
    let lacking = format!(
        "The client 'a@b' with object id '11-22' does not have authorization to perform action \
         'Microsoft.Network/routeTables/write' over scope '{GROUP}/providers/x' or the scope is \
         invalid. If access was recently granted, please refresh your credentials."
    );
    let linked = format!(
        "The client '3' with object id '33-44' has permission to perform action \
         'Microsoft.ContainerService/managedClusters/write' on scope '{GROUP}'; however, it does \
         not have permission to perform action(s) \
         'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) \
         '{GROUP}/identity,{GROUP}/other' (respectively) or the linked scope(s) are invalid."
    );
    let locked = format!(
        "The scope '{GROUP}/providers/x' cannot perform delete operation because following \
         scope(s) are locked: '{GROUP}'. Please remove the lock and try again."
    );
    let denied = format!(
        "The client 'c' with object id '5' has permission to perform action 'A/write' on scope \
         '{GROUP}'; however, the access is denied because of the deny assignment with name 'N' and \
         Id '99' at scope '{GROUP}'."
    );
    let quota = "Operation could not be completed as it results in exceeding approved \
                 standardDSv3Family Cores quota. Additional details - Deployment Model: Resource \
                 Manager, Location: eastus, Current Limit: 10, Current Usage: 8, Additional \
                 Required: 4, (Minimum) New Limit Required: 12. Submit a request";
    let capacity = "The requested VM size for resource 'Following SKUs have failed for Capacity \
                    Restrictions: Standard_D2s_v3' is currently not available in location \
                    'westeurope'. Please try another size";
    let namespace =
        "The subscription is not registered to use namespace 'Microsoft.ContainerService'. See";
    let table: [(u16, &str, &str, &[&str]); 8] = [
        (
            403,
            "AuthorizationFailed",
            &lacking,
            &[
                "Microsoft.Network/routeTables/write",
                "--assignee 11-22",
                "--role 'Network Contributor'",
                "--scope '/subscriptions/0000/resourceGroups/net(1)/providers/x'",
            ],
        ),
        (
            403,
            "LinkedAuthorizationFailed",
            &linked,
            &[
                "lacks Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
                "--assignee 33-44",
                "--role 'Managed Identity Operator'",
                "--scope '/subscriptions/0000/resourceGroups/net(1)/identity'",
            ],
        ),
        (
            409,
            "ScopeLocked",
            &locked,
            &["lock of /subscriptions/0000", "--resource-group 'net(1)'"],
        ),
        (
            403,
            "DenyAssignmentAuthorizationFailed",
            &denied,
            &["deny assignment 99 of /subscriptions"],
        ),
        (
            409,
            "OperationNotAllowed",
            quota,
            &["quota of at least 12 for standardDSv3Family Cores in eastus", "--location eastus"],
        ),
        (409, "SkuNotAvailable", capacity, &["--location westeurope --size Standard_D2s_v3 --all"]),
        (
            409,
            "MissingSubscriptionRegistration",
            namespace,
            &["az provider register --namespace Microsoft.ContainerService --wait"],
        ),
        (409, "SubscriptionNotRegistered", namespace, &["--namespace Microsoft.ContainerService"]),
    ];
    for (status, code, message, parts) in table {
        let remedy = refused(status, code, message).remedy;
        for part in parts {
            assert!(remedy.contains(part), "{code}: {part} is not in: {remedy}");
        }
    }
}

#[test]
fn the_policy_is_named_wherever_the_error_has_it() {
    let id = format!("{GROUP}/providers/Microsoft.Authorization/policyAssignments/deny-pip");
    let identifiers = json!([{"policyAssignment": {"name": "Deny public IPs", "id": id},
        "policyDefinition": {"name": "No public IPs", "id": "/providers/p"}}]);
    let message =
        format!("Resource 'r' was disallowed by policy. Policy identifiers: '{identifiers}'.");
    let denied = json!({"code": "RequestDisallowedByPolicy", "message": "disallowed",
        "additionalInfo": policy_info(&id)});
    let errors = [
        denied.clone(),
        json!({"code": "RequestDisallowedByPolicy", "message": message}),
        json!({"code": "InvalidTemplateDeployment", "message": "see details", "details": [denied]}),
    ];
    for error in errors {
        let failure = failure(403, &error);
        assert_eq!(failure.code, Code::PolicyDenied, "{error}");
        for part in ["assignment `Deny public IPs`", &format!("--policy-assignment '{id}'")] {
            assert!(failure.remedy.contains(part), "{part} is not in: {}", failure.remedy);
        }
    }
}

#[test]
fn an_error_that_names_nothing_has_the_general_remedy() {
    for (status, code) in [
        (403, "RequestDisallowedByPolicy"),
        (403, "AuthorizationFailed"),
        (409, "ScopeLocked"),
        (409, "QuotaExceeded"),
        (409, "SkuNotAvailable"),
        (409, "MissingSubscriptionRegistration"),
        (403, "DenyAssignmentAuthorizationFailed"),
    ] {
        for message in ["", "no", "perform action 'x", "namespace '", "location ''"] {
            let failure = refused(status, code, message);
            assert!(!failure.remedy.is_empty() && !failure.remedy.contains("''"), "{failure:?}");
        }
    }
}

#[test]
fn the_role_is_the_smallest_that_has_the_action() {
    for (action, role) in [
        ("Microsoft.Network/virtualNetworks/subnets/join/action", "Network Contributor"),
        ("Microsoft.Network/networkInterfaces/read", "Reader"),
        ("Microsoft.Compute/virtualMachines/write", "Virtual Machine Contributor"),
        ("Microsoft.Compute/disks/delete", "Contributor"),
        (
            "Microsoft.ContainerService/managedClusters/write",
            "Azure Kubernetes Service Contributor Role",
        ),
        (
            "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
            "Azure Kubernetes Service Cluster User Role",
        ),
        (
            "Microsoft.Authorization/roleAssignments/write",
            "Role Based Access Control Administrator",
        ),
        ("Microsoft.Resources/subscriptions/resourceGroups/write", "Contributor"),
    ] {
        assert_eq!(role_with(action), role, "{action}");
    }
}

proptest! {
    /// A command of a remedy is copied into a shell.
    #[test]
    fn no_text_of_an_error_leaves_its_quotes(text in "['`$;&|<>\"\\\\\n (){}*~a-zA-Z0-9/._-]{0,40}") {
        let messages = [
            (Code::AzureRefused, format!("object id '{text}' perform action '{text}' over scope '{text}'")),
            (Code::ManagementLock, format!("scope(s) are locked: '/x/resourceGroups/{text}'.")),
            (Code::QuotaExceeded, format!("exceeding approved {text} quota, Location: {text}, New Limit Required: {text}.")),
            (Code::ProviderNotRegistered, format!("namespace '{text}'")),
            (Code::SkuUnavailable, format!("Standard_{text} in location '{text}'")),
            (Code::DenyAssignment, format!("deny assignment with name '{text}' and Id '{text}' at scope '{text}'")),
            (Code::QuotaExceeded, format!("Insufficient vcpu quota for family {text} for region {text}")),
            (Code::QuotaExceeded, format!("Insufficient regional vcpu quota left for location {text}")),
            (Code::QuotaExceeded, format!("Cannot create more than {text} public IP addresses")),
            (Code::SubscriptionUnusable, format!("It must match the tenant 'https://sts.windows.net/{text}/'")),
            (Code::SubscriptionUnusable, format!("The subscription '{text}' is disabled")),
            (Code::VersionUnsupported, format!("Version {text}.1 is not supported")),
            (Code::Throttled, json!({"operationGroup": text}).to_string()),
            (Code::Throttled, format!("Number of '{text}' requests, try again after '{text}'")),
            (Code::ObjectInUse, format!("in use by /subscriptions/{text}")),
            (Code::OperationInProgress, format!("The resource group '{text}' is")),
            (Code::OperationInProgress, format!("Another operation ({text} - {text}) is")),
        ];
        let violation = PolicyViolation {
            assignment: text.clone(),
            assignment_id: format!("/{text}"),
            definition: text.clone(),
        };
        let activity = format!("PUT subnet s in resource group {text}");
        let context = Context { activity: &activity, policy: Some(&violation) };
        let policies = remedy(Code::PolicyDenied, "", context);
        let others = messages.iter().filter_map(|(code, message)| {
            remedy(*code, message, Context { activity: "", policy: None })
        });
        for remedy in others.chain(policies) {
            prop_assert!(!remedy.contains('\n'), "{}", remedy);
            prop_assert_eq!(remedy.matches('`').count() % 2, 0, "{}", remedy);
            for command in remedy.split('`').skip(1).step_by(2).filter(|it| it.starts_with("az ")) {
                let bare: String = command.split('\'').step_by(2).collect();
                prop_assert!(!bare.contains(['$', ';', '&', '|', '<', '>', '"', '\\', '\n', '*', '~', '(', '{']), "{}", command);
                prop_assert_eq!(command.matches('\'').count() % 2, 0, "{}", command);
            }
        }
    }
}
