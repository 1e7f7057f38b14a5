//! Decodes the answers about a subscription.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::Value;

use crate::diagnostics::{Code, Failure};
use crate::inventory::subscription::{
    Answer, ManagementLock, PermissionSet, PolicyAssignment, PolicyExemption, Quota, Quotas,
    ResourceSelector, SelectedProperty, VmSizeFacts,
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

/// An entry of an answer that does not follow the documented API.
fn undecodable(what: &str, value: &Value) -> Failure {
    let id = text(value, "/id").or(text(value, "/name")).or(text(value, "/name/value"));
    let of = id.map(|id| format!(" {id}")).unwrap_or_default();
    Failure::new(
        Code::SourceGap,
        format!("cannot decode the {what}{of}: a documented field is missing"),
        "run the command again; if the answer stays the same, compare it with `az rest`",
    )
}

/// *Permissions - List For Resource Group*.
pub(super) fn permission_set(value: &Value) -> Answer<PermissionSet> {
    let actions = value.get("actions").filter(|it| it.is_array());
    let actions = actions.ok_or_else(|| undecodable("permissions of the credential", value))?;
    Ok(PermissionSet { actions: texts(actions), not_actions: texts(&value["notActions"]) })
}

/// *Providers - Get*. A provider that the subscription does not know is not registered.
pub(super) fn registration(body: Option<&Value>) -> Answer<String> {
    let Some(body) = body else { return Ok("NotRegistered".to_owned()) };
    let state = text(body, "/registrationState");
    state.map(str::to_owned).ok_or_else(|| undecodable("resource provider", body))
}

/// *Usage - List* of `Microsoft.Compute` and *Usages - List* of `Microsoft.Network`. An entry
/// without a name could be that of any quota.
pub(super) fn quotas(list: &[Value]) -> Answer<Quotas> {
    let entry = |value: &Value| {
        let name = text(value, "/name/value").ok_or_else(|| undecodable("quota", value))?;
        let quota = quota(value, name).ok_or_else(|| undecodable("quota", value));
        Ok((name.to_owned(), quota))
    };
    list.iter().map(entry).collect()
}

fn quota(value: &Value, name: &str) -> Option<Quota> {
    let title = text(value, "/name/localizedValue").unwrap_or(name).to_owned();
    let number = |field: &str| value.get(field).and_then(Value::as_i64);
    // A limit of -1 stands for no limit.
    let limit = u64::try_from(number("limit")?).unwrap_or(u64::MAX);
    let used = u64::try_from(number("currentValue")?).unwrap_or_default();
    Some(Quota { title, used, limit })
}

/// *Resource Skus - List*. An entry without a name could be that of any size.
pub(super) fn sizes(list: &[Value], region: &str) -> Answer<BTreeMap<String, VmSizeFacts>> {
    let machines = list.iter().filter(|value| value["resourceType"] == "virtualMachines");
    let entry = |value: &Value| {
        let name = text(value, "/name").ok_or_else(|| undecodable("VM size", value))?;
        Ok((name.to_ascii_lowercase(), size(value, region)))
    };
    machines.map(entry).collect()
}

fn size(value: &Value, region: &str) -> VmSizeFacts {
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
    VmSizeFacts {
        family: text(value, "/family").map(str::to_owned),
        cpus: capability("vCPUsAvailable").or_else(|| capability("vCPUs")).map(whole),
        zones,
        restriction: of_kind("Location").next().map(reason),
        restricted_zones: of_kind("Zone").flat_map(zones_of).collect::<BTreeSet<_>>(),
    }
}

/// *Policy Assignments - List*.
pub(super) fn policy(value: &Value) -> Answer<PolicyAssignment> {
    let decoded = policy_of(value);
    decoded.ok_or_else(|| undecodable("policy assignment", value))
}

fn policy_of(value: &Value) -> Option<PolicyAssignment> {
    let id = text(value, "/id")?.to_owned();
    let properties = value.get("properties")?;
    let parameters = properties.get("parameters").and_then(Value::as_object);
    let parameters = parameters.into_iter().flatten();
    let mode = text(properties, "/enforcementMode").unwrap_or("Default");
    Some(PolicyAssignment {
        title: text(properties, "/displayName").or(text(value, "/name")).unwrap_or(&id).to_owned(),
        definition: text(properties, "/policyDefinitionId")?.to_owned(),
        scope: text(properties, "/scope")?.to_owned(),
        not_scopes: texts(&properties["notScopes"]),
        is_enforced: mode.eq_ignore_ascii_case("Default"),
        parameters: parameters.map(|(name, it)| (name.clone(), texts(&it["value"]))).collect(),
        id,
    })
}

/// *Policy Exemptions - List*. `None` for one that has expired, or that is from some policies
/// of an initiative only: those of an initiative are not evaluated.
pub(super) fn exemption(value: &Value, now: Timestamp) -> Answer<Option<PolicyExemption>> {
    const MARK: &str = "/providers/microsoft.authorization/policyexemptions/";
    let decoded = || {
        let id = text(value, "/id")?;
        // The letter case of ids differs between answers.
        let at = id.to_ascii_lowercase().rfind(MARK)?;
        Some(PolicyExemption {
            assignment: text(value, "/properties/policyAssignmentId")?.to_owned(),
            scope: id.get(..at)?.to_owned(),
            selectors: selectors(&value["properties"]["resourceSelectors"])?,
        })
    };
    let exemption = decoded().ok_or_else(|| undecodable("policy exemption", value))?;
    let expires = text(value, "/properties/expiresOn");
    let expires = expires.map(str::parse::<Timestamp>).transpose();
    let expires = expires.map_err(|_| undecodable("policy exemption", value))?;
    let of_initiative = value["properties"]["policyDefinitionReferenceIds"].as_array();
    let is_partial = of_initiative.is_some_and(|entries| !entries.is_empty());
    let has_expired = expires.is_some_and(|expires| expires <= now);
    Ok(Some(exemption).filter(|_| !is_partial && !has_expired))
}

/// The conditions of an exemption; `None` if one compares something that is not known.
fn selectors(value: &Value) -> Option<Vec<Vec<ResourceSelector>>> {
    let entries = match value {
        Value::Null => return Some(Vec::new()),
        value => value.as_array()?,
    };
    let parts = |entry: &Value| entry["selectors"].as_array()?.iter().map(selector).collect();
    entries.iter().map(parts).collect()
}

fn selector(value: &Value) -> Option<ResourceSelector> {
    let property = match text(value, "/kind")?.to_ascii_lowercase().as_str() {
        "resourcetype" => SelectedProperty::Type,
        "resourcelocation" => SelectedProperty::Region,
        _ => return None,
    };
    let (is_excluding, listed) = match (&value["in"], &value["notIn"]) {
        (listed @ Value::Array(_), Value::Null) => (false, listed),
        (Value::Null, listed @ Value::Array(_)) => (true, listed),
        _ => return None,
    };
    Some(ResourceSelector { property, values: texts(listed), is_excluding })
}

/// *Management Locks - List At Subscription Level*.
pub(super) fn lock(value: &Value) -> Answer<ManagementLock> {
    lock_of(value).ok_or_else(|| undecodable("management lock", value))
}

fn lock_of(value: &Value) -> Option<ManagementLock> {
    const MARK: &str = "/providers/microsoft.authorization/locks/";
    let id = text(value, "/id")?;
    // The letter case of ids differs between answers.
    let at = id.to_ascii_lowercase().rfind(MARK)?;
    Some(ManagementLock {
        name: id.get(at + MARK.len()..)?.to_owned(),
        scope: id.get(..at)?.to_owned(),
        is_read_only: text(value, "/properties/level")?.eq_ignore_ascii_case("ReadOnly"),
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
        let sizes = sizes(&listed, "canadacentral").unwrap();
        let size = &sizes["standard_d2s_v5"];
        assert_eq!((sizes.len(), size.cpus, size.family.as_deref()), (1, Some(2), Some("f")));
        assert_eq!(size.zones.iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(size.restricted_zones.iter().collect::<Vec<_>>(), ["2"]);
        assert_eq!(size.restriction.as_deref(), Some("QuotaId"));
    }

    #[test]
    fn an_exemption_holds_until_it_expires_and_for_its_scope() {
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        let with = |name: &str, entry: Value| {
            let mut value = json!({
                "id": "/subscriptions/s/resourceGroups/G/providers/microsoft.Authorization/policyExemptions/e",
                "properties": { "policyAssignmentId": "a", "exemptionCategory": "Waiver" },
            });
            value["properties"][name] = entry;
            exemption(&value, now)
        };
        let found = with("metadata", json!({})).unwrap().unwrap();
        assert_eq!(
            (found.assignment.as_str(), found.scope.as_str()),
            ("a", "/subscriptions/s/resourceGroups/G")
        );
        assert!(with("expiresOn", json!("2026-01-02T00:00:01Z")).unwrap().is_some());
        assert!(with("expiresOn", json!("2026-01-02T00:00:00Z")).unwrap().is_none());
        assert!(with("policyDefinitionReferenceIds", json!(["r"])).unwrap().is_none());
        assert!(with("policyAssignmentId", json!(1)).is_err());
        assert!(with("expiresOn", json!("soon")).is_err());
    }

    #[test]
    fn an_exemption_of_some_types_and_regions_selects_those_only() {
        let with = |selectors: Value| {
            let value = json!({
                "id": "/subscriptions/s/providers/Microsoft.Authorization/policyExemptions/e",
                "properties": { "policyAssignmentId": "a", "resourceSelectors": selectors },
            });
            exemption(&value, "2026-01-02T00:00:00Z".parse().unwrap()).map(Option::unwrap)
        };
        let of_types =
            json!({"kind": "resourceType", "in": ["microsoft.network/publicIPAddresses"]});
        let elsewhere = json!({"kind": "resourceLocation", "notIn": ["Canada Central"]});
        let found = with(json!([{"name": "n", "selectors": [of_types, elsewhere]}])).unwrap();
        let address = "Microsoft.Network/publicIPAddresses";
        assert!(found.selects(address, Some("westeurope")));
        assert!(!found.selects(address, Some("canadacentral")));
        assert!(!found.selects("Microsoft.Network/networkInterfaces", Some("westeurope")));
        assert!(!found.selects(address, None));
        let either = with(json!([{"selectors": [of_types]}, {"selectors": [elsewhere]}])).unwrap();
        assert!(either.selects(address, Some("canadacentral")));
        assert!(with(json!([])).unwrap().selects("a/b", None));
        for unknown in
            [json!([{}]), json!([{"selectors": [{"kind": "userPrincipalId", "in": ["x"]}]}])]
        {
            assert_eq!(with(unknown).unwrap_err().code, Code::SourceGap);
        }
    }

    #[test]
    fn a_lock_is_at_the_scope_of_its_id_in_any_letter_case() {
        for provider in ["Microsoft.Authorization", "microsoft.authorization"] {
            let id = format!("/subscriptions/s/resourceGroups/G/providers/{provider}/locks/L");
            let value = json!({"id": id, "name": "L", "properties": {"level": "readOnly"}});
            let lock = lock(&value).unwrap();
            assert_eq!(
                (lock.scope.as_str(), lock.name.as_str()),
                ("/subscriptions/s/resourceGroups/G", "L")
            );
            assert!(lock.is_read_only);
        }
    }

    /// An entry that is left out would look like one that does not exist.
    #[test]
    fn undecodable_entries_are_not_left_out() {
        let id = "/subscriptions/s/providers/Microsoft.Authorization/locks/l";
        for value in [json!({"name": "l"}), json!({"id": id}), json!({"id": "other"})] {
            assert_eq!(lock(&value).unwrap_err().code, Code::SourceGap, "{value}");
        }
        for value in [json!({"id": "i"}), json!({"id": "i", "properties": {"scope": "s"}})] {
            assert_eq!(policy(&value).unwrap_err().code, Code::SourceGap, "{value}");
        }
        let listed = quotas(&[json!({"name": {"value": "cores"}, "limit": 3})]).unwrap();
        assert!(listed["cores"].is_err());
        assert!(quotas(&[json!({"limit": 3, "currentValue": 1})]).is_err());
        let size = json!({"resourceType": "virtualMachines", "name": "Standard_A1"});
        let listed = sizes(&[size], "here").unwrap();
        assert_eq!((&listed["standard_a1"].family, listed["standard_a1"].cpus), (&None, None));
        assert!(sizes(&[json!({"resourceType": "virtualMachines"})], "here").is_err());
        assert!(permission_set(&json!({"notActions": []})).is_err());
        assert!(registration(Some(&json!({}))).is_err());
        assert_eq!(registration(None).as_deref(), Ok("NotRegistered"));
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
