//! Permissions, quotas and rules of a subscription, as Azure reports them.
//!
//! Only `stargate doctor` reads these facts: a plan needs none of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::Failure;
use crate::resource::ArmId;

/// The answer to one read, or why it failed: a missing permission hides this answer alone. In a
/// list, an entry that cannot be decoded hides this entry alone.
pub type Answer<T> = Result<T, Failure>;

/// Quotas by name.
pub type Quotas = BTreeMap<String, Answer<Quota>>;

/// The facts of a subscription.
#[derive(Debug, Clone)]
pub struct SubscriptionFacts {
    /// The permissions of the credential on the subscription.
    pub permissions: Answer<Vec<PermissionSet>>,
    /// The permissions on each resource group of the topology that exists, by its id: that of
    /// the cluster's VNet may be in another subscription.
    pub group_permissions: BTreeMap<ArmId, Answer<Vec<PermissionSet>>>,
    /// The state of each resource provider, such as `Registered`, by its namespace.
    pub registrations: BTreeMap<String, Answer<String>>,
    /// The facts of each region of the topology.
    pub regions: BTreeMap<Region, RegionFacts>,
    /// The policy assignments that apply to the subscription or to objects in it.
    pub policies: Answer<Vec<Answer<PolicyAssignment>>>,
    /// The exemptions from policy assignments that are in force.
    pub exemptions: Answer<Vec<Answer<PolicyExemption>>>,
    /// The management locks.
    pub locks: Answer<Vec<Answer<ManagementLock>>>,
}

/// A region of a subscription: quotas are counted in each by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    /// The id of the subscription in lower case, as in `/subscriptions/s`.
    pub subscription: String,
    /// The name.
    pub name: String,
}

impl Region {
    /// The region of that name in a subscription, which is given by its id.
    pub fn new(subscription: &str, name: &str) -> Self {
        Self { subscription: subscription.to_ascii_lowercase(), name: name.to_owned() }
    }
}

/// The facts of a region.
#[derive(Debug, Clone)]
pub struct RegionFacts {
    /// Quotas of `Microsoft.Compute`, by name, such as `standardDSv5Family`.
    pub compute: Answer<Quotas>,
    /// Quotas of `Microsoft.Network`, by name, such as `StandardSkuPublicIpAddresses`.
    pub network: Answer<Quotas>,
    /// The VM sizes, by their names in lower case.
    pub sizes: Answer<BTreeMap<String, VmSizeFacts>>,
}

/// Actions that a role grants: those that match `actions` and no entry of `not_actions`. `*`
/// stands for any characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PermissionSet {
    /// The granted actions.
    pub actions: Vec<String>,
    /// The actions that are left out.
    pub not_actions: Vec<String>,
}

impl PermissionSet {
    /// Whether the role grants an action. The letter case does not count.
    pub fn grants(&self, action: &str) -> bool {
        let among = |patterns: &[String]| patterns.iter().any(|it| matches_action(it, action));
        among(&self.actions) && !among(&self.not_actions)
    }
}

/// Whether a pattern with `*` matches an action.
fn matches_action(pattern: &str, action: &str) -> bool {
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| action.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

/// A quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The name for people, such as `Standard DSv5 Family vCPUs`.
    pub title: String,
    /// How much is in use.
    pub used: u64,
    /// How much may be in use.
    pub limit: u64,
}

/// A VM size in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VmSizeFacts {
    /// The family whose quota it counts against; `None` if Azure did not say.
    pub family: Option<String>,
    /// The number of virtual CPUs; `None` if Azure did not say.
    pub cpus: Option<u64>,
    /// The availability zones that offer it.
    pub zones: BTreeSet<String>,
    /// Why the subscription may not use it in the region, such as
    /// `NotAvailableForSubscription`.
    pub restriction: Option<String>,
    /// The zones in which the subscription may not use it.
    pub restricted_zones: BTreeSet<String>,
}

/// A policy assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyAssignment {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub title: String,
    /// The id of the policy or initiative.
    pub definition: String,
    /// Where it applies: an id, such as that of a resource group.
    pub scope: String,
    /// Where it does not apply, though its scope covers it.
    pub not_scopes: Vec<String>,
    /// Whether it denies; assignments with `DoNotEnforce` only report.
    pub is_enforced: bool,
    /// Parameters with a text or a list of texts, by name.
    pub parameters: BTreeMap<String, Vec<String>>,
}

/// An exemption from a policy assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExemption {
    /// The id of the assignment.
    pub assignment: String,
    /// The exempt scope: an id, such as that of a resource group.
    pub scope: String,
    /// Conditions of which a resource meets one, with all of its parts; without any, every
    /// resource in the scope is exempt.
    pub selectors: Vec<Vec<ResourceSelector>>,
}

impl PolicyExemption {
    /// Whether the exemption selects resources of a type and, if they have one, a region.
    pub fn selects(&self, arm_type: &str, region: Option<&str>) -> bool {
        let meets =
            |parts: &Vec<ResourceSelector>| parts.iter().all(|part| part.selects(arm_type, region));
        self.selectors.is_empty() || self.selectors.iter().any(meets)
    }
}

/// A condition of an exemption
/// (<https://learn.microsoft.com/azure/governance/policy/concepts/exemption-structure>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceSelector {
    /// The property that is compared.
    pub property: SelectedProperty,
    /// The values.
    pub values: Vec<String>,
    /// Whether it selects the resources with other values.
    pub is_excluding: bool,
}

/// The property that a [`ResourceSelector`] compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectedProperty {
    /// The type, as in `Microsoft.Network/publicIPAddresses`.
    Type,
    /// The region. A resource without one is not selected.
    Region,
}

impl ResourceSelector {
    fn selects(&self, arm_type: &str, region: Option<&str>) -> bool {
        // A region may be written as it is displayed, as in `Canada Central`.
        let usual = |text: &str| text.replace(' ', "").to_ascii_lowercase();
        let value = match self.property {
            SelectedProperty::Type => arm_type,
            SelectedProperty::Region => match region {
                Some(region) => region,
                None => return false,
            },
        };
        let is_listed = self.values.iter().any(|listed| usual(listed) == usual(value));
        is_listed != self.is_excluding
    }
}

/// A management lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementLock {
    /// Its name.
    pub name: String,
    /// The locked scope: an id.
    pub scope: String,
    /// Whether it forbids every change, not only deletions.
    pub is_read_only: bool,
}

/// Whether the object of an id is at a scope or below it. The letter case does not count.
pub fn is_in_scope(id: &str, scope: &str) -> bool {
    let (id, scope) = (id.to_ascii_lowercase(), scope.to_ascii_lowercase());
    let scope = scope.trim_end_matches('/');
    id.strip_prefix(scope).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_match_patterns_in_any_letter_case() {
        for (pattern, action, expected) in [
            ("*", "Microsoft.Network/virtualNetworks/write", true),
            ("*/read", "microsoft.network/virtualnetworks/READ", true),
            ("*/read", "Microsoft.Network/virtualNetworks/write", false),
            ("Microsoft.Network/*", "Microsoft.Network/virtualNetworks/write", true),
            ("Microsoft.Network/*/write", "Microsoft.Network/virtualNetworks/read", false),
            ("Microsoft.Network/routeTables/write", "Microsoft.Network/routeTables/write", true),
            ("Microsoft.Network/routeTables", "Microsoft.Network/routeTables/write", false),
        ] {
            assert_eq!(matches_action(pattern, action), expected, "{pattern} {action}");
        }
        let set = PermissionSet {
            actions: vec!["*".to_owned()],
            not_actions: vec!["Microsoft.Authorization/*/Write".to_owned()],
        };
        assert!(set.grants("Microsoft.Compute/virtualMachines/write"));
        assert!(!set.grants("Microsoft.Authorization/roleAssignments/write"));
    }

    #[test]
    fn a_scope_covers_ids_below_it_by_whole_segments() {
        let id = "/subscriptions/s/resourceGroups/Group/providers/A/b/c";
        assert!(is_in_scope(id, "/subscriptions/S"));
        assert!(is_in_scope(id, "/subscriptions/s/resourcegroups/group"));
        assert!(!is_in_scope(id, "/subscriptions/s/resourceGroups/Gro"));
    }
}
