//! Remedies with what an error of Azure names: the policy's assignment, the quota
//! and its region, the locked scope, the missing action and the identity.
//!
//! The names come from the error's details, and from the fixed phrases of its message
//! where ARM has no field for them. A name becomes part of a command that a person
//! copies, so text that no name in Azure can have is not used: the remedy is then the
//! general one of the code.

use serde_json::Value;

use super::text::{between, identifier, is_title, name_at, quoted, segment_after, title, word};
use super::{Context, PolicyViolation};
use crate::diagnostics::Code;
use crate::provider::azure::api_version::described_group;

/// The remedy for an error of Azure, if the error names what it is about.
pub(super) fn remedy(code: Code, message: &str, context: Context<'_>) -> Option<String> {
    match code {
        Code::PolicyDenied => policy(context.policy?, context.activity),
        Code::QuotaExceeded => {
            quota(message).or_else(|| aks_quota(message)).or_else(|| addresses(message))
        }
        Code::ManagementLock => lock(message),
        Code::ProviderNotRegistered => registration(message),
        Code::SkuUnavailable => size(message),
        Code::DenyAssignment => deny_assignment(message),
        Code::AzureRefused => permission(message),
        Code::SubscriptionUnusable => subscription(message),
        Code::VersionUnsupported => version(message),
        Code::Throttled => limit(message),
        Code::ObjectInUse => user(message),
        Code::OperationInProgress => operation(message),
        _ => None,
    }
}

/// The error of another service that AKS quotes in the text of its own, as in
/// `Code="OperationNotAllowed" Message="…"`.
pub(super) fn embedded(message: &str) -> Option<(&str, &str)> {
    let (_, rest) = message.split_once("Code=\"")?;
    let (code, rest) = rest.split_once('"')?;
    Some((code, rest.split_once("Message=\"").map_or(rest, |it| it.1)))
}

/// The fields of a policy violation are documented at
/// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-policy-requestdisallowedbypolicy>.
fn policy(violation: &PolicyViolation, activity: &str) -> Option<String> {
    let id = identifier(&violation.assignment_id)?;
    let assignment = title(&violation.assignment).unwrap_or(id);
    let definition = title(&violation.definition);
    let definition = definition.map_or_else(String::new, |name| format!(" (policy `{name}`)"));
    // Without a group the exemption is for the subscription.
    let group = described_group(activity).and_then(identifier);
    let (of, option) = group.map_or(("subscription", String::new()), |group| {
        ("resource group", format!(" --resource-group '{group}'"))
    });
    Some(format!(
        "ask the owner of the policy assignment `{assignment}`{definition} for an exemption of the \
         {of}: `az policy exemption create --name stargate --exemption-category Waiver \
         --policy-assignment '{id}'{option}`"
    ))
}

/// Compute's message has the family, the region and four figures
/// (<https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota>).
fn quota(message: &str) -> Option<String> {
    let family = between(message, "exceeding approved ", " quota").filter(|it| is_title(it))?;
    let region = word(between(message, "Location: ", ",")?)?;
    let required = between(message, "New Limit Required: ", ".").and_then(word);
    let limit = required.map_or_else(String::new, |limit| format!(" of at least {limit}"));
    Some(request_quota(&limit, family, region))
}

fn request_quota(limit: &str, family: &str, region: &str) -> String {
    format!(
        "request a quota{limit} for {family} in {region} (`az vm list-usage --location {region}` \
         shows it), or choose another VM size or region"
    )
}

/// AKS checks the quota before Compute does, with texts of its own
/// (<https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-insufficientvcpuquota>).
fn aks_quota(message: &str) -> Option<String> {
    if let Some(rest) = message.split_once("Insufficient regional vcpu quota left for location ") {
        return Some(request_quota("", "regional cores", region_at(rest.1)?));
    }
    let (_, rest) = message.split_once("Insufficient vcpu quota")?;
    let family = word(between(rest, "for family ", " ")?)?;
    let (_, region) = rest.split_once("for region ")?;
    Some(request_quota("", &format!("{family} cores"), region_at(region)?))
}

/// The region that the text begins with.
fn region_at(text: &str) -> Option<&str> {
    Some(name_at(text)).filter(|region| !region.is_empty())
}

/// Public IP addresses have a limit of their own, which the usage of Compute does not show
/// (<https://learn.microsoft.com/azure/networking/check-usage-against-limits>).
fn addresses(message: &str) -> Option<String> {
    let limit = word(between(message, "Cannot create more than ", " public IP addresses")?)?;
    Some(format!(
        "request a limit above {limit} for public IP addresses in the region (`az network \
         list-usages --location REGION` shows it), or delete an address that is not used"
    ))
}

/// <https://learn.microsoft.com/azure/azure-resource-manager/management/lock-resources>
fn lock(message: &str) -> Option<String> {
    let scope = identifier(quoted(message, "scope(s) are locked: '")?)?;
    let list = match segment_after(scope, "resourceGroups") {
        Some(group) => format!("az lock list --resource-group '{group}'"),
        None => "az lock list".to_owned(),
    };
    Some(format!("remove the lock of {scope} (`{list}`), or leave the object to its owner"))
}

/// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-register-resource-provider>
fn registration(message: &str) -> Option<String> {
    let namespace = word(quoted(message, "namespace '")?)?;
    Some(format!(
        "run `az provider register --namespace {namespace} --wait`, then run `stargate apply` again"
    ))
}

/// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-sku-not-available>
fn size(message: &str) -> Option<String> {
    let region = word(quoted(message, "location '")?)?;
    let size = message.find("Standard_").map(|start| name_at(&message[start..]));
    let size = size.map_or_else(String::new, |size| format!(" --size {size}"));
    Some(format!(
        "choose another VM size or region: `az vm list-skus --location {region}{size} --all` shows \
         what is offered"
    ))
}

/// <https://learn.microsoft.com/azure/role-based-access-control/deny-assignments>
fn deny_assignment(message: &str) -> Option<String> {
    let id = identifier(
        quoted(message, "deny assignment with name '")
            .and_then(|_| quoted(message, "and Id '").or_else(|| quoted(message, "and id '")))?,
    )?;
    let scope = quoted(message, "at scope '").and_then(identifier);
    let scope = scope.map_or_else(String::new, |scope| format!(" of {scope}"));
    Some(format!(
        "roles cannot override the deny assignment {id}{scope}; for an AKS node resource group run \
         `az aks update --nrg-lockdown-restriction-level Unrestricted`, else ask its owner"
    ))
}

/// `AuthorizationFailed` names the action and its scope, `LinkedAuthorizationFailed` those
/// that the identity has and then those that it lacks
/// (<https://learn.microsoft.com/azure/role-based-access-control/troubleshooting>).
fn permission(message: &str) -> Option<String> {
    let lacking = message.split_once("however, it does not have").map_or(message, |it| it.1);
    let action = quoted(lacking, "perform action '")
        .or_else(|| quoted(lacking, "perform action(s) '"))
        .and_then(word)?;
    let scope = quoted(lacking, "over scope '")
        .or_else(|| quoted(lacking, "on the linked scope(s) '"))
        .and_then(|scopes| identifier(scopes.split(',').next()?))?;
    let identity = quoted(message, "object id '").and_then(word).unwrap_or("IDENTITY");
    Some(format!(
        "the identity lacks {action} on {scope}: run `az role assignment create --assignee \
         {identity} --role '{}' --scope '{scope}'`, or log in as another identity (`az login`)",
        role_with(action)
    ))
}

/// The smallest built-in role with the action
/// (<https://learn.microsoft.com/azure/role-based-access-control/built-in-roles>).
fn role_with(action: &str) -> &'static str {
    let action = action.to_ascii_lowercase();
    let is_of = |prefix: &str| action.starts_with(prefix);
    if is_of("microsoft.authorization/roleassignments/") && !action.ends_with("/read") {
        "Role Based Access Control Administrator"
    } else if action.ends_with("/read") {
        "Reader"
    } else if action.ends_with("/listclusterusercredential/action") {
        "Azure Kubernetes Service Cluster User Role"
    } else if is_of("microsoft.managedidentity/userassignedidentities/assign/") {
        "Managed Identity Operator"
    } else if is_of("microsoft.network/") {
        "Network Contributor"
    } else if is_of("microsoft.compute/virtualmachines/") {
        "Virtual Machine Contributor"
    } else if is_of("microsoft.containerservice/") {
        "Azure Kubernetes Service Contributor Role"
    } else {
        "Contributor"
    }
}

/// The subscription, or the tenant that it belongs to
/// (<https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors>).
fn subscription(message: &str) -> Option<String> {
    if let Some(tenant) = quoted(message, "It must match the tenant 'https://sts.windows.net/") {
        let tenant = word(tenant.trim_end_matches('/'))?;
        return Some(format!(
            "the credentials are of another tenant than the subscription: `az login --tenant \
             {tenant}`, or set AZURE_TENANT_ID to {tenant}"
        ));
    }
    let id = word(quoted(message, "subscription '")?)?;
    if message.contains("is disabled") {
        return Some(format!(
            "enable the subscription {id} again: its spending limit, credit or payment is used up \
             (`az account show --subscription {id} --query state`)"
        ));
    }
    Some(format!(
        "the credentials do not see the subscription {id}: compare [azure] subscription with `az \
         account list`; for a subscription of another tenant run `az login --tenant TENANT`"
    ))
}

/// <https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/create-upgrade-delete/error-code-k8sversionnotsupported>
fn version(message: &str) -> Option<String> {
    let after = message.match_indices("ersion ").map(|(at, it)| &message[at + it.len()..]);
    let version = after.map(numbers_at).find(|text| text.contains('.'))?;
    Some(format!(
        "AKS does not support Kubernetes {version} there: set [cluster] kubernetes_version to a \
         version of `az aks get-versions --location REGION`"
    ))
}

/// The version that the text begins with, without the end of a sentence.
fn numbers_at(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.'));
    text[..end.unwrap_or(text.len())].trim_end_matches('.')
}

/// ARM names the kind of requests and the seconds, Compute its group of operations
/// (<https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling>,
/// <https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/troubleshooting-throttling-errors>).
fn limit(message: &str) -> Option<String> {
    let of_compute = serde_json::from_str::<Value>(message).ok();
    let group = of_compute.as_ref().and_then(|it| it.get("operationGroup")?.as_str());
    if let Some(group) = group.and_then(word) {
        return Some(format!(
            "wait a few minutes, then run the same command again: the limit {group} of Compute is \
             used up"
        ));
    }
    let kind = word(quoted(message, "Number of '")?)?;
    let seconds = quoted(message, "try again after '").and_then(word);
    let time = seconds.map_or_else(|| "a few minutes".to_owned(), |it| format!("{it} seconds"));
    Some(format!(
        "wait {time}, then run the same command again: the subscription's limit on {kind} requests \
         is used up"
    ))
}

/// The object that uses the one to delete.
fn user(message: &str) -> Option<String> {
    const PHRASES: [&str; 4] =
        ["in use by ", "used by existing resource ", "allocated to resource ", "resources: "];
    let mut after = PHRASES.iter().filter_map(|phrase| Some(message.split_once(phrase)?.1));
    let id = after.find_map(|text| {
        let first = text.split_whitespace().next()?.trim_end_matches(['.', ',', ';']);
        identifier(first).filter(|id| id.starts_with("/subscriptions/"))
    })?;
    Some(format!(
        "delete or detach {id}, which uses the object, then run `stargate apply` again; if \
         stargate does not own it, ask its owner"
    ))
}

/// The object that another operation runs on.
fn operation(message: &str) -> Option<String> {
    if let Some(group) = quoted(message, "resource group '").and_then(identifier) {
        return Some(format!(
            "wait until the resource group is deleted (`az group wait --deleted --name \
             '{group}'`), then run `stargate apply` again"
        ));
    }
    let of_aks = between(message, "Another operation (", ")").filter(|it| is_operation(it));
    let busy = between(message, "because resource ", " used by").and_then(identifier);
    let busy = of_aks.or(busy)?;
    Some(format!("wait until the operation on {busy} has ended, then run `stargate apply` again"))
}

/// A node pool and its state, as in `nodepool1 - Updating`.
fn is_operation(text: &str) -> bool {
    text.split(" - ").all(|part| word(part).is_some())
}

#[cfg(test)]
#[path = "azure_tests.rs"]
mod tests;
