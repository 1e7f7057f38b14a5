//! The tenant, its subscriptions and their registered providers.

use serde_json::{Value, json};

use super::ArmStore;
use super::account::ArmAccount;
use super::kind::Provider;

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
    let namespace = provider.namespace();
    let state = if account.is_registered(provider) { "Registered" } else { "NotRegistered" };
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "registrationState": state,
    })
}
