//! Remedies with what an error of Azure names: the policy's assignment, the quota
//! and its region, the locked scope, the missing action and the identity.
//!
//! The names come from the error's details, and from the fixed phrases of its message
//! where ARM has no field for them. A name becomes part of a command that a person
//! copies, so text that no name in Azure can have is not used: the remedy is then the
//! general one of the code.

use super::PolicyViolation;
use crate::diagnostics::Code;

/// The remedy for an error of Azure, if the error names what it is about.
pub(super) fn remedy(
    code: Code,
    message: &str,
    violation: Option<&PolicyViolation>,
) -> Option<String> {
    match code {
        Code::PolicyDenied => violation.and_then(policy),
        Code::QuotaExceeded => quota(message),
        Code::ManagementLock => lock(message),
        Code::ProviderNotRegistered => registration(message),
        Code::SkuUnavailable => size(message),
        Code::DenyAssignment => deny_assignment(message),
        Code::AzureRefused => permission(message),
        _ => None,
    }
}

/// The fields of a policy violation are documented at
/// <https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-policy-requestdisallowedbypolicy>.
fn policy(violation: &PolicyViolation) -> Option<String> {
    let id = identifier(&violation.assignment_id)?;
    let assignment = title(&violation.assignment).unwrap_or(id);
    let definition = title(&violation.definition);
    let definition = definition.map_or_else(String::new, |name| format!(" (policy `{name}`)"));
    Some(format!(
        "ask the owner of the policy assignment `{assignment}`{definition} for an exemption of the \
         resource group: `az policy exemption create --name stargate --exemption-category Waiver \
         --policy-assignment '{id}' --resource-group GROUP`"
    ))
}

/// Compute's message has the family, the region and four figures
/// (<https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/error-resource-quota>).
fn quota(message: &str) -> Option<String> {
    let family = between(message, "exceeding approved ", " quota").filter(|it| is_title(it))?;
    let region = word(between(message, "Location: ", ",")?)?;
    let required = between(message, "New Limit Required: ", ".").and_then(word);
    let limit = required.map_or_else(String::new, |limit| format!(" of at least {limit}"));
    Some(format!(
        "request a quota{limit} for {family} in {region} (`az vm list-usage --location {region}` \
         shows it), or choose another VM size or region"
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

/// The text between the first `start` and the next `end`.
fn between<'a>(message: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(start)?;
    rest.split_once(end).map(|(text, _)| text)
}

fn quoted<'a>(message: &'a str, start: &str) -> Option<&'a str> {
    between(message, start, "'")
}

/// The text, if it is a region, an identity, a namespace, an action or a number: one word
/// for a shell.
fn word(text: &str) -> Option<&str> {
    identifier(text).filter(|text| !text.contains(['(', ')']))
}

/// The text, if it is an id: one word for a shell between quotes, because names of resource
/// groups may have parentheses.
fn identifier(text: &str) -> Option<&str> {
    const MAX_LENGTH: usize = 512;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "/._-()".contains(c);
    let is_valid = !text.is_empty() && text.len() <= MAX_LENGTH && text.chars().all(is_allowed);
    (is_valid && !text.starts_with('-')).then_some(text)
}

/// A title that can stand in backticks, on one line.
fn title(text: &str) -> Option<&str> {
    const MAX_LENGTH: usize = 128;
    let is_valid = !text.is_empty() && text.len() <= MAX_LENGTH;
    (is_valid && !text.contains(|c: char| c == '`' || c.is_control())).then_some(text)
}

/// Words, as in `standardDSv3Family Cores`.
fn is_title(text: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == ' ';
    !text.is_empty() && text.len() <= 80 && text.chars().all(is_allowed)
}

/// The name that the text begins with.
fn name_at(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
}

/// The segment of an id after the one of that name.
fn segment_after<'a>(id: &'a str, name: &str) -> Option<&'a str> {
    let mut segments = id.split('/');
    segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
    segments.next().filter(|segment| !segment.is_empty())
}

#[cfg(test)]
#[path = "azure_tests.rs"]
mod tests;
