//! Decodes the answers about a subscription.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::inventory::subscription::{
    ManagementLock, PermissionSet, PolicyAssignment, Quota, VmSizeFacts,
};

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(text) => vec![text.clone()],
        _ => Vec::new(),
    }
}

/// *Permissions - List For Resource Group*.
pub(super) fn permission_set(value: &Value) -> PermissionSet {
    PermissionSet { actions: texts(&value["actions"]), not_actions: texts(&value["notActions"]) }
}

/// *Providers - Get*. A provider that the subscription does not know is not registered.
pub(super) fn registration(body: Option<&Value>) -> String {
    let state = body.and_then(|body| text(body, "/registrationState"));
    state.unwrap_or("NotRegistered").to_owned()
}

/// *Usage - List* of `Microsoft.Compute` and *Usages - List* of `Microsoft.Network`.
pub(super) fn quotas(list: &[Value]) -> BTreeMap<String, Quota> {
    let quota = |value: &Value| {
        let name = text(value, "/name/value")?.to_owned();
        let title = text(value, "/name/localizedValue").unwrap_or(&name).to_owned();
        let number = |field: &str| value.get(field).and_then(Value::as_i64);
        // A limit of -1 stands for no limit.
        let limit = u64::try_from(number("limit")?).unwrap_or(u64::MAX);
        let used = u64::try_from(number("currentValue")?).unwrap_or_default();
        Some((name, Quota { title, used, limit }))
    };
    list.iter().filter_map(quota).collect()
}

/// *Resource Skus - List*.
pub(super) fn sizes(list: &[Value], region: &str) -> BTreeMap<String, VmSizeFacts> {
    let machines = list.iter().filter(|value| value["resourceType"] == "virtualMachines");
    let size = |value: &Value| {
        let name = text(value, "/name")?.to_ascii_lowercase();
        Some((name, size(value, region)?))
    };
    machines.filter_map(size).collect()
}

fn size(value: &Value, region: &str) -> Option<VmSizeFacts> {
    let items = |pointer: &str| {
        value.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
    };
    let capability = |name: &str| {
        let found = items("/capabilities").iter().find(|it| it["name"] == name)?;
        text(found, "/value")?.parse::<f64>().ok()
    };
    let is_here = |it: &&Value| {
        text(it, "/location").is_some_and(|location| location.eq_ignore_ascii_case(region))
    };
    let locations = items("/locationInfo").iter().filter(is_here);
    let zones = locations.flat_map(|it| texts(&it["zones"])).collect();
    let restrictions = items("/restrictions");
    let of_kind = |kind: &'static str| restrictions.iter().filter(move |it| it["type"] == kind);
    let reason = |it: &Value| text(it, "/reasonCode").unwrap_or("restricted").to_owned();
    let zones_of = |it: &Value| texts(&it["restrictionInfo"]["zones"]);
    // Numbers of CPUs and GiB are far below the limits of the conversion.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small numbers")]
    let whole = |number: f64| number as u64;
    Some(VmSizeFacts {
        family: text(value, "/family")?.to_owned(),
        cpus: capability("vCPUsAvailable").or_else(|| capability("vCPUs")).map(whole)?,
        zones,
        restriction: of_kind("Location").next().map(reason),
        restricted_zones: of_kind("Zone").flat_map(zones_of).collect::<BTreeSet<_>>(),
    })
}

/// *Policy Assignments - List*.
pub(super) fn policy(value: &Value) -> Option<PolicyAssignment> {
    let id = text(value, "/id")?.to_owned();
    let properties = value.get("properties")?;
    let parameters = properties.get("parameters").and_then(Value::as_object);
    let parameters = parameters.into_iter().flatten();
    let mode = text(properties, "/enforcementMode").unwrap_or("Default");
    Some(PolicyAssignment {
        title: text(properties, "/displayName").or(text(value, "/name"))?.to_owned(),
        definition: text(properties, "/policyDefinitionId")?.to_owned(),
        scope: text(properties, "/scope")?.to_owned(),
        not_scopes: texts(&properties["notScopes"]),
        is_enforced: mode.eq_ignore_ascii_case("Default"),
        parameters: parameters.map(|(name, it)| (name.clone(), texts(&it["value"]))).collect(),
        id,
    })
}

/// *Management Locks - List At Subscription Level*.
pub(super) fn lock(value: &Value) -> Option<ManagementLock> {
    let id = text(value, "/id")?;
    let (scope, _) = id.rsplit_once("/providers/Microsoft.Authorization/locks/")?;
    Some(ManagementLock {
        name: text(value, "/name")?.to_owned(),
        scope: scope.to_owned(),
        is_read_only: text(value, "/properties/level") == Some("ReadOnly"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_size_has_the_zones_and_restrictions_of_its_region() {
        let listed = [
            json!({
                "resourceType": "virtualMachines", "name": "Standard_D2s_v5", "family": "f",
                "locationInfo": [{"location": "CanadaCentral", "zones": ["1", "2"]}],
                "capabilities": [{"name": "vCPUs", "value": "2"}],
                "restrictions": [
                    {"type": "Zone", "reasonCode": "NotAvailableForSubscription",
                     "restrictionInfo": {"zones": ["2"]}},
                    {"type": "Location", "reasonCode": "QuotaId"},
                ],
            }),
            json!({"resourceType": "disks", "name": "Premium_LRS"}),
        ];
        let sizes = sizes(&listed, "canadacentral");
        let size = &sizes["standard_d2s_v5"];
        assert_eq!((sizes.len(), size.cpus, size.family.as_str()), (1, 2, "f"));
        assert_eq!(size.zones.iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(size.restricted_zones.iter().collect::<Vec<_>>(), ["2"]);
        assert_eq!(size.restriction.as_deref(), Some("QuotaId"));
    }

    #[test]
    fn a_lock_is_at_the_scope_of_its_id() {
        let id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Authorization/locks/l";
        let value = json!({"id": id, "name": "l", "properties": {"level": "ReadOnly"}});
        let lock = lock(&value).unwrap();
        assert_eq!(lock.scope, "/subscriptions/s/resourceGroups/g");
        assert!(lock.is_read_only);
    }

    #[test]
    fn assignments_have_texts_as_parameters() {
        let value = json!({"id": "i", "name": "n", "properties": {
            "policyDefinitionId": "d", "scope": "s", "enforcementMode": "DoNotEnforce",
            "parameters": {"one": {"value": "a"}, "more": {"value": ["b", "c"]}}}});
        let policy = policy(&value).unwrap();
        assert_eq!(policy.title, "n");
        assert!(!policy.is_enforced);
        assert_eq!(policy.parameters["more"], ["b", "c"]);
        assert_eq!(policy.parameters["one"], ["a"]);
    }
}
