//! Resource groups: created synchronously, deleted with everything in them.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::errors::ArmError;
use super::kind::ArmKind;
use super::operation::OperationEffect;
use super::operations::OperationStart;
use super::request::ArmRequest;
use super::{ArmContext, ArmStore, etags, json, resource_body, responses};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// Handles a request for one group.
pub(super) fn handle(
    store: &mut ArmStore,
    id: &ArmId,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    match *call.method {
        Method::PUT => put(store, id, call),
        Method::PATCH => patch(store, id, call, context),
        Method::DELETE => delete(store, id, call, context),
        Method::HEAD => {
            let status = match store.stored(id) {
                Some(_) => StatusCode::NO_CONTENT,
                None => StatusCode::NOT_FOUND,
            };
            Ok(responses::empty(status))
        }
        Method::GET => {
            let body = store.existing_group(id)?.clone();
            store.step_object(id, context);
            Ok(responses::json(StatusCode::OK, &body))
        }
        _ => Err(ArmError::method_not_allowed()),
    }
}

fn put(store: &mut ArmStore, id: &ArmId, call: &ArmRequest<'_>) -> ArmResult {
    let mut body = call.json()?;
    let Some(location) = json::text(&body, "/location").map(resource_body::location_name) else {
        let message = "The location property is required for this definition.";
        return Err(ArmError::bad("LocationRequired", message));
    };
    let old = store.stored(id).map(|stored| (stored.id.clone(), stored.body.clone()));
    if let Some((_, old)) = &old {
        store.writable_group(id)?;
        let present = json::text(old, "/location").unwrap_or_default();
        if present != location {
            let message = format!(
                "Invalid resource group location '{location}'. The Resource group already exists \
                 in location '{present}'."
            );
            return Err(ArmError::conflict("InvalidResourceGroupLocation", message));
        }
    }
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let old_body = old.as_ref().map(|(_, body)| body);
    json::copy_from(&mut body, old_body, &["managedBy"]);
    let id = old.as_ref().map_or_else(|| id.clone(), |(id, _)| id.clone());
    json::set(&mut body, &["properties"], json!({"provisioningState": "Succeeded"}));
    let body = resource_body::set_identity(ArmKind::ResourceGroup, &id, body);
    if let Some(subscription) = id.subscription() {
        store.subscriptions.insert(subscription.to_owned());
    }
    store.insert_object(id, ArmKind::ResourceGroup, body.clone());
    Ok(responses::json(status, &body))
}

fn patch(
    store: &mut ArmStore,
    id: &ArmId,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let mut patch = call.json()?;
    store.writable_group(id)?;
    let tags = json::take(&mut patch, &["tags"]);
    store.modify(
        id,
        |body| {
            if let Some(tags) = tags {
                json::set(body, &["tags"], tags);
            }
        },
        context.guid,
    );
    Ok(responses::json(StatusCode::OK, store.existing_group(id)?))
}

fn delete(
    store: &mut ArmStore,
    id: &ArmId,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let subscription = id.subscription().unwrap_or_default().to_owned();
    store.existing_group(id)?;
    let operation = match store.running(id) {
        Some(running) => running.clone(),
        None => {
            let location = store.location(id);
            store.modify(id, |body| mark(body, "Deleting"), context.guid);
            let start = OperationStart {
                kind: ArmKind::ResourceGroup,
                subscription: &subscription,
                location: &location,
                api_version: &call.api_version,
                owner: id,
                target: id,
                effect: OperationEffect::Delete,
            };
            store.begin(start, context)
        }
    };
    let mut response = responses::empty(StatusCode::ACCEPTED);
    responses::header(&mut response, "location", &operation.result_url(context.base_url));
    Ok(response)
}

fn mark(body: &mut Value, state: &str) {
    json::set(body, &["properties", "provisioningState"], json!(state));
}

impl ArmStore {
    /// The body of a group, or the error that it does not exist.
    pub(super) fn existing_group(&self, id: &ArmId) -> Result<&Value, ArmError> {
        match self.stored(id) {
            Some(stored) => Ok(&stored.body),
            None => Err(ArmError::group_not_found(id.name())),
        }
    }

    /// Returns an error if the group does not exist or is being deleted.
    pub(super) fn writable_group(&self, id: &ArmId) -> Result<(), ArmError> {
        if etags::state(self.existing_group(id)?) != "Deleting" {
            return Ok(());
        }
        let message = format!(
            "The resource group '{}' is in deprovisioning state and cannot perform this operation.",
            id.name()
        );
        Err(ArmError::conflict("ResourceGroupBeingDeleted", message))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::sandbox::arm::test_client::{GROUP, TestClient, network};

    #[test]
    fn deleting_a_group_needs_its_location_and_deletes_its_contents() {
        let mut client = TestClient::new();
        client.make_network();
        assert_eq!(client.put(GROUP, json!({"location": "westeurope"})).status, 200);
        assert_eq!(client.call(Method::HEAD, GROUP, &[], None).status, 204);
        let reply = client.delete(GROUP);
        assert_eq!(reply.status, 202);
        assert!(reply.header("azure-asyncoperation").is_none());
        let url = reply.header("location").unwrap().to_owned();
        assert!(url.contains("/subscriptions/s/operationresults/eyJqb2JJZCI6"));
        let refused = client.put(&network("routeTables/t"), json!({"location": "westeurope"}));
        assert_eq!(refused.refusal(), (409, "ResourceGroupBeingDeleted"));
        let first = client.get(&url);
        assert_eq!((first.status.as_u16(), first.header("location")), (202, Some(url.as_str())));
        assert_eq!(client.get(&url).status, 200);
        assert_eq!(client.call(Method::HEAD, GROUP, &[], None).status, 404);
        let deleted = client.get(&network("virtualNetworks/v"));
        assert_eq!(deleted.refusal(), (404, "ResourceGroupNotFound"));
    }

    #[test]
    fn deleting_a_group_in_use_is_refused() {
        let mut client = TestClient::new();
        client.make_network();
        let other = "/subscriptions/s/resourceGroups/h";
        client.put(other, json!({"location": "westeurope"}));
        let path = format!("{other}/providers/Microsoft.Network/networkInterfaces/i");
        client.make(&path, TestClient::interface(None));
        let url = client.delete(GROUP).header("location").unwrap().to_owned();
        client.get(&url);
        assert_eq!(client.get(&url).refusal(), (409, "ResourceGroupDeletionBlocked"));
        assert_eq!(client.get(&network("virtualNetworks/v")).status, 200);
    }
}
