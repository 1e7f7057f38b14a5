//! Rules of the subscription: the role of the credential, registrations, quotas, sizes,
//! policies and locks. Faults change them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kind::Provider;
use crate::resource::ArmId;

/// The state of the account behind every subscription of the sandbox.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmAccount {
    /// The actions that the role of the credential leaves out.
    pub not_actions: BTreeSet<String>,
    /// The namespaces of resource providers that are not registered.
    pub unregistered: BTreeSet<String>,
    /// Limits other than the default, by the names of quotas.
    pub limits: BTreeMap<String, u64>,
    /// VM sizes that the subscription may not use.
    pub restricted_sizes: BTreeSet<String>,
    /// Minor versions of Kubernetes that are no longer offered, or only with long-term support.
    pub versions: BTreeMap<u16, VersionSupport>,
    /// Policy assignments, by name.
    pub policies: BTreeMap<String, AccountPolicy>,
    /// Exemptions from the policy assignments, by name.
    pub exemptions: BTreeMap<String, AccountExemption>,
    /// Management locks, by name.
    pub locks: BTreeMap<String, AccountLock>,
}

/// How a minor version is offered that is not offered to all clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSupport {
    /// To no cluster.
    Ended,
    /// To clusters with long-term support.
    LongTermOnly,
}

/// A policy assignment of a built-in policy, on the whole subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPolicy {
    /// The policy.
    pub rule: PolicyRule,
    /// The allowed regions or sizes.
    pub allowed: Vec<String>,
}

/// A built-in policy that denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyRule {
    /// *Network interfaces should not have public IPs*.
    NoPublicIps,
    /// *Network interfaces should disable IP forwarding*.
    NoIpForwarding,
    /// *Allowed locations*.
    AllowedLocations,
    /// *Allowed virtual machine size SKUs*.
    AllowedSizes,
}

impl PolicyRule {
    /// The name of the definition, its title and the parameter with the allowed values.
    /// Source: the definitions in Azure/azure-policy, `built-in-policies/policyDefinitions`.
    pub(super) fn definition(self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::NoPublicIps => (
                "83a86a26-fd1f-447c-b59d-e51f44264114",
                "Network interfaces should not have public IPs",
                None,
            ),
            Self::NoIpForwarding => (
                "88c0b9da-ce96-4b03-9635-f29a937e2900",
                "Network interfaces should disable IP forwarding",
                None,
            ),
            Self::AllowedLocations => (
                "e56962a6-4747-49cd-b67b-bf8b01975c4c",
                "Allowed locations",
                Some("listOfAllowedLocations"),
            ),
            Self::AllowedSizes => (
                "cccc23c7-8427-4f53-ad12-b6a63eb452b3",
                "Allowed virtual machine size SKUs",
                Some("listOfAllowedSKUs"),
            ),
        }
    }
}

/// An exemption from a policy assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountExemption {
    /// The name of the assignment.
    pub assignment: String,
    /// The exempt resource group; `None` for the subscription.
    pub group: Option<String>,
}

impl AccountExemption {
    fn scope(&self, subscription: &str) -> String {
        scope(subscription, self.group.as_deref())
    }
}

fn scope(subscription: &str, group: Option<&str>) -> String {
    match group {
        Some(group) => format!("/subscriptions/{subscription}/resourceGroups/{group}"),
        None => format!("/subscriptions/{subscription}"),
    }
}

/// A management lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLock {
    /// The locked resource group; `None` for the subscription.
    pub group: Option<String>,
    /// Whether it forbids every write.
    pub is_read_only: bool,
}

impl AccountLock {
    /// The id of what it locks.
    pub(super) fn scope(&self, subscription: &str) -> String {
        scope(subscription, self.group.as_deref())
    }
}

impl ArmAccount {
    /// Whether an object is exempt from a policy assignment.
    pub(super) fn is_exempt(&self, assignment: &str, id: &ArmId) -> bool {
        let subscription = id.subscription().unwrap_or_default();
        self.exemptions.values().any(|exemption| {
            let scope = ArmId::new(exemption.scope(subscription));
            exemption.assignment == assignment && (*id == scope || id.is_inside(&scope))
        })
    }

    /// The list of exemptions.
    pub(super) fn policy_exemptions(&self, subscription: &str) -> Value {
        let exemptions = self.exemptions.iter().map(|(name, exemption)| {
            let scope = exemption.scope(subscription);
            let of_subscription = format!("/subscriptions/{subscription}");
            json!({
                "id": format!("{scope}/providers/Microsoft.Authorization/policyExemptions/{name}"),
                "name": name,
                "type": "Microsoft.Authorization/policyExemptions",
                "properties": {
                    "policyAssignmentId": assignment_id(&of_subscription, &exemption.assignment),
                    "policyDefinitionReferenceIds": [],
                    "exemptionCategory": "Waiver",
                },
            })
        });
        json!({ "value": exemptions.collect::<Vec<_>>() })
    }

    /// Whether the role of the credential has an action.
    pub(super) fn grants(&self, action: &str) -> bool {
        !self.not_actions.iter().any(|it| it.eq_ignore_ascii_case(action))
    }

    /// Whether a resource provider is registered.
    pub(super) fn is_registered(&self, provider: Provider) -> bool {
        !self.unregistered.iter().any(|it| it.eq_ignore_ascii_case(provider.namespace()))
    }

    /// The list of the credential's permissions.
    pub(super) fn permissions(&self) -> Value {
        json!({ "value": [{
            "actions": ["*"],
            "notActions": self.not_actions,
            "dataActions": [],
            "notDataActions": [],
        }]})
    }

    /// The list of policy assignments.
    pub(super) fn policy_assignments(&self, subscription: &str) -> Value {
        let scope = format!("/subscriptions/{subscription}");
        let policies = self.policies.iter().map(|(name, policy)| {
            let (definition, title, parameter) = policy.rule.definition();
            let parameters = parameter.map(|name| json!({ name: { "value": policy.allowed } }));
            json!({
                "id": assignment_id(&scope, name),
                "name": name,
                "type": "Microsoft.Authorization/policyAssignments",
                "properties": {
                    "displayName": title,
                    "policyDefinitionId":
                        format!("/providers/Microsoft.Authorization/policyDefinitions/{definition}"),
                    "scope": scope,
                    "notScopes": [],
                    "parameters": parameters.unwrap_or_else(|| json!({})),
                    "enforcementMode": "Default",
                },
            })
        });
        json!({ "value": policies.collect::<Vec<_>>() })
    }

    /// The list of management locks.
    pub(super) fn management_locks(&self, subscription: &str) -> Value {
        let locks = self.locks.iter().map(|(name, lock)| {
            let scope = lock.scope(subscription);
            let level = if lock.is_read_only { "ReadOnly" } else { "CanNotDelete" };
            json!({
                "id": format!("{scope}/providers/Microsoft.Authorization/locks/{name}"),
                "name": name,
                "type": "Microsoft.Authorization/locks",
                "properties": { "level": level, "notes": "" },
            })
        });
        json!({ "value": locks.collect::<Vec<_>>() })
    }
}

/// The id of a policy assignment.
pub(super) fn assignment_id(scope: &str, name: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/policyAssignments/{name}")
}
