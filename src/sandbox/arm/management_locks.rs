//! Management locks of a subscription or a resource group.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::Value;

use super::account::AccountLock;
use super::errors::ArmError;
use super::request::ArmRequest;
use super::{ArmStore, json, responses};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// Handles a request for the locks of a scope, or for one of them.
pub(super) fn handle(
    store: &mut ArmStore,
    subscription: &str,
    group: Option<&ArmId>,
    name: Option<&str>,
    call: &ArmRequest<'_>,
) -> ArmResult {
    if let Some(group) = group {
        store.existing_group(group)?;
    }
    let is_here = |lock: &AccountLock| match (&lock.group, group) {
        (Some(locked), Some(group)) => locked.eq_ignore_ascii_case(group.name()),
        (None, None) => true,
        _ => false,
    };
    let locks = &mut store.account.locks;
    match (call.method, name) {
        (&Method::GET, None) => {
            let mut here = store.account.clone();
            here.locks.retain(|_, lock| is_here(lock));
            Ok(responses::json(StatusCode::OK, &here.management_locks(subscription)))
        }
        (&Method::PUT, Some(name)) => {
            let lock = lock(group, &call.json()?)?;
            let status =
                if locks.contains_key(name) { StatusCode::OK } else { StatusCode::CREATED };
            locks.insert(name.to_owned(), lock);
            Ok(responses::json(status, &rendered(store, subscription, name)))
        }
        (&Method::GET, Some(name)) => match locks.get(name) {
            Some(lock) if is_here(lock) => {
                Ok(responses::json(StatusCode::OK, &rendered(store, subscription, name)))
            }
            _ => {
                let message = format!("The lock '{name}' could not be found.");
                Err(ArmError::new(StatusCode::NOT_FOUND, "LockNotFound", message))
            }
        },
        (&Method::DELETE, Some(name)) => {
            let found = locks.get(name).is_some_and(is_here);
            if found {
                locks.remove(name);
            }
            let status = if found { StatusCode::OK } else { StatusCode::NO_CONTENT };
            Ok(responses::empty(status))
        }
        _ => Err(ArmError::method_not_allowed()),
    }
}

fn lock(group: Option<&ArmId>, body: &Value) -> Result<AccountLock, ArmError> {
    let level = json::text(body, "/properties/level").unwrap_or_default();
    let is_read_only = match level {
        "ReadOnly" => true,
        "CanNotDelete" => false,
        other => {
            let message = format!("The lock level '{other}' is not valid.");
            return Err(ArmError::bad("InvalidLockLevel", message));
        }
    };
    Ok(AccountLock { group: group.map(|group| group.name().to_owned()), is_read_only })
}

fn rendered(store: &ArmStore, subscription: &str, name: &str) -> Value {
    let all = store.account.management_locks(subscription);
    let found = json::items(&all, "/value").iter().find(|lock| lock["name"] == name);
    found.cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{GROUP, TestClient, network};

    #[test]
    fn a_lock_of_a_group_forbids_until_it_is_deleted() {
        let mut client = TestClient::new();
        let table = network("routeTables/t");
        client.make(&table, json!({"location": "x"}));
        let path = format!("{GROUP}/providers/Microsoft.Authorization/locks/l");
        let wrong = client.put(&path, json!({"properties": {"level": "Sometimes"}}));
        assert_eq!(wrong.refusal(), (400, "InvalidLockLevel"));
        let made = client.put(&path, json!({"properties": {"level": "CanNotDelete"}}));
        assert_eq!((made.status.as_u16(), &made.body["name"]), (201, &json!("l")));
        assert_eq!(client.delete(&table).refusal(), (409, "ScopeLocked"));
        let listed = client.get(&format!("{GROUP}/providers/Microsoft.Authorization/locks")).body;
        assert_eq!(listed["value"][0]["properties"]["level"], "CanNotDelete");
        assert_eq!(client.delete(&path).status, 200);
        assert_eq!(client.get(&path).refusal(), (404, "LockNotFound"));
        client.destroy(&table);
    }
}
