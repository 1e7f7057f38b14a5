//! The tenant, its subscriptions and their registered providers.

use serde_json::{Value, json};

use super::ArmStore;
use super::account::ArmAccount;
use super::kind::{ArmKind, Provider};
use super::regions;

/// The subscription that always exists.
pub const SUBSCRIPTION: &str = "5a6d0c1e-0000-4000-8000-000000000001";
/// The tenant of every subscription.
pub const TENANT: &str = "7e6a0c1e-0000-4000-8000-000000000002";

/// The list of tenants.
pub(super) fn tenants() -> Value {
    let id = format!("/tenants/{TENANT}");
    json!({"value": [{"id": id, "tenantId": TENANT, "displayName": "Sandbox"}]})
}

/// The list of subscriptions: those with a resource group, and the one that always exists.
pub(super) fn list(store: &ArmStore) -> Value {
    let mut known = store.subscriptions.clone();
    known.insert(SUBSCRIPTION.to_owned());
    let value: Vec<Value> = known.iter().map(|id| subscription(id)).collect();
    json!({"value": value, "count": {"type": "Total", "value": value.len()}})
}

/// One subscription.
pub(super) fn subscription(id: &str) -> Value {
    json!({
        "id": format!("/subscriptions/{id}"),
        "authorizationSource": "RoleBased",
        "subscriptionId": id,
        "tenantId": TENANT,
        "displayName": "Sandbox",
        "state": "Enabled",
        "subscriptionPolicies": {"spendingLimit": "Off", "quotaId": "Sandbox"},
    })
}

/// The registration of a provider in a subscription.
pub(super) fn registration(account: &ArmAccount, subscription: &str, provider: Provider) -> Value {
    let state = if account.is_registered(provider) { "Registered" } else { "NotRegistered" };
    registration_in(subscription, provider, state)
}

/// The registrations of all providers.
pub(super) fn registrations(account: &ArmAccount, subscription: &str) -> Value {
    let all = Provider::ALL.into_iter();
    let value = all.map(|provider| registration(account, subscription, provider));
    json!({ "value": value.collect::<Vec<_>>() })
}

/// Registers or unregisters a provider. The answer says that it has begun.
pub(super) fn register(
    account: &mut ArmAccount,
    subscription: &str,
    provider: Provider,
    registers: bool,
) -> Value {
    account.unregistered.retain(|name| !name.eq_ignore_ascii_case(provider.namespace()));
    if !registers {
        account.unregistered.insert(provider.namespace().to_owned());
    }
    let state = if registers { "Registering" } else { "Unregistering" };
    registration_in(subscription, provider, state)
}

fn registration_in(subscription: &str, provider: Provider, state: &str) -> Value {
    let namespace = provider.namespace();
    let regions = regions::names();
    let types = ArmKind::NAMED.into_iter().filter(|kind| kind.provider() == provider).map(|kind| {
        let name = kind.resource_type().rsplit('/').next().unwrap_or_default();
        json!({
            "resourceType": name,
            "locations": regions,
            "apiVersions": provider.api_versions(),
            "capabilities": "SupportsTags, SupportsLocation",
        })
    });
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "registrationPolicy": "RegistrationRequired",
        "registrationState": state,
        "resourceTypes": types.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::sandbox::arm::test_client::{TestClient, network};

    #[test]
    fn a_provider_is_unregistered_and_registered_again() {
        let mut client = TestClient::new();
        let path = "/subscriptions/s/providers/Microsoft.Network";
        let found = client.get(path).body;
        let tables = found["resourceTypes"].as_array().unwrap();
        assert!(tables.iter().any(|it| it["resourceType"] == "routeTables"), "{found}");
        let body = serde_json::json!({"location": "x"});
        for (verb, state, status) in
            [("unregister", "NotRegistered", 409), ("register", "Registered", 201)]
        {
            let reply = client.call(Method::POST, &format!("{path}/{verb}"), &[], None);
            assert_eq!(reply.status, 200);
            assert_eq!(client.get(path).body["registrationState"], state);
            assert_eq!(client.put(&network("routeTables/t"), body.clone()).status, status);
        }
        let listed = client.get("/subscriptions/s/providers").body;
        assert_eq!(listed["value"].as_array().unwrap().len(), 4);
    }
}
