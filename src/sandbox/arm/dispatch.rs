//! Routes a request to the module that handles it.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::Value;

use super::errors::ArmError;
use super::path::{ArmTarget, ObjectPath, PathError};
use super::request::ArmRequest;
use super::{
    ArmContext, ArmStore, account_facts, actions, aks_version, credentials, deletion, deployments,
    directory, groups, guards, list, management_locks, power, render, responses, subscriptions,
    tags, write,
};

type ArmResult = Result<Response<Bytes>, ArmError>;

impl ArmStore {
    /// Handles one request.
    pub fn handle(
        &mut self,
        request: &Request<Bytes>,
        context: &mut ArmContext<'_>,
    ) -> Response<Bytes> {
        let mut response = match handle_target(self, request, context) {
            Ok(response) => response,
            Err(error) => error.into_response(),
        };
        // Operations advance when they are read. This client need not wait even before its first
        // poll.
        if response.headers().contains_key("azure-asyncoperation")
            || response.status() == StatusCode::ACCEPTED
        {
            responses::header(&mut response, "retry-after", &context.pause.to_string());
        }
        if request.method() == Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        let id = (context.guid)();
        responses::header(&mut response, "x-ms-request-id", &id);
        response
    }
}

/// Handles a request that the service sends to itself, such as one of a deployment.
pub(super) fn handle_own(
    store: &mut ArmStore,
    request: &Request<Bytes>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let call = ArmRequest::new(request);
    let target = ArmTarget::parse(call.path()).map_err(unknown)?;
    route(store, target, &call, context)
}

fn handle_target(
    store: &mut ArmStore,
    request: &Request<Bytes>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let mut call = ArmRequest::new(request);
    let target = ArmTarget::parse(call.path()).map_err(unknown);
    match &target {
        Ok(ArmTarget::Token { tenant }) if call.method == Method::POST => {
            return Ok(directory::token(&mut store.directory, tenant, request.body(), context));
        }
        Ok(ArmTarget::ManagedIdentityToken(endpoint)) if call.method == Method::GET => {
            let directory = &mut store.directory;
            return Ok(directory::managed_identity_token(directory, *endpoint, &call, context));
        }
        Ok(ArmTarget::CloudMetadata) if call.method == Method::GET => {
            return Ok(credentials::cloud(context.base_url, &call.api_version));
        }
        Ok(ArmTarget::OpenIdConfiguration { tenant }) => {
            return Ok(credentials::configuration(context.base_url, tenant));
        }
        _ => {}
    }
    credentials::check(store, &call, context)?;
    if call.api_version.is_empty() {
        let message =
            "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ArmError::bad("MissingApiVersionParameter", message));
    }
    // Operation URLs of the network provider also carry a version, so the check applies to all.
    call.api_version.truncate(32);
    route(store, target?, &call, context)
}

fn unknown(error: PathError) -> ArmError {
    let (code, message) = match error {
        PathError::UnknownPath => {
            ("InvalidRequestUri", "No resource exists at this path.".to_owned())
        }
        PathError::UnknownType(name) => (
            "InvalidResourceType",
            format!(
                "The resource type '{name}' could not be found in the namespace for this api \
                 version."
            ),
        ),
    };
    ArmError::new(StatusCode::NOT_FOUND, code, message)
}

fn route(
    store: &mut ArmStore,
    target: ArmTarget,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    guards::refuse_request(store, &target, call)?;
    match target {
        ArmTarget::Operation { id, url } => store.poll(&id, url, call.query(), context),
        ArmTarget::Group(id) => groups::handle(store, &id, call, context),
        ArmTarget::Object(path) => object(store, &path, call, context),
        ArmTarget::Tags { group, object } => {
            tags::handle(store, &group, object.as_ref(), call, context)
        }
        ArmTarget::Child { object, child, id } => match *call.method {
            Method::PUT if child.writable() => {
                write::put_child(store, &object, child, &id, call, context)
            }
            Method::DELETE if child.writable() => {
                deletion::delete_child(store, &object, &id, call, context)
            }
            _ if reads => read_child(store, &object, &id, context),
            _ => Err(ArmError::method_not_allowed()),
        },
        ArmTarget::Action { object, action } if call.method == Method::POST => {
            actions::act(store, &object, action, call, context)
        }
        ArmTarget::Register { subscription, provider, registers }
            if call.method == Method::POST =>
        {
            let account = &mut store.account;
            Ok(found(&subscriptions::register(account, &subscription, provider, registers)))
        }
        ArmTarget::Deployment { group, name, validates } => {
            deployments::handle(store, &group, &name, validates, call, context)
        }
        ArmTarget::Lock { subscription, group, name } => {
            management_locks::handle(store, &subscription, group.as_ref(), name.as_deref(), call)
        }
        _ if !reads => Err(ArmError::method_not_allowed()),
        ArmTarget::View { object, pool, view } => {
            actions::view(store, &object, pool.as_ref(), view).map(|body| found(&body))
        }
        ArmTarget::Children { object, child } => list::children(store, &object, child, context),
        ArmTarget::Collection { scope, kind } => {
            list::collection(store, &scope, kind, call, context)
        }
        ArmTarget::Resources(scope) => list::resources(store, &scope, call, context),
        ArmTarget::Groups { subscription } => list::groups(store, &subscription, call, context),
        ArmTarget::Tenants => Ok(found(&subscriptions::tenants())),
        ArmTarget::Subscriptions => Ok(found(&subscriptions::list(store))),
        ArmTarget::KubernetesVersions => Ok(found(&aks_version::list(&store.account))),
        ArmTarget::Account { subscription, scope, what } => {
            account_facts::read(store, &subscription, scope.as_ref(), &what, call)
                .map(|body| found(&body))
        }
        ArmTarget::Subscription(id) => Ok(found(&subscriptions::subscription(&id))),
        ArmTarget::Registration { subscription, provider } => {
            Ok(found(&subscriptions::registration(&store.account, &subscription, provider)))
        }
        ArmTarget::Token { .. }
        | ArmTarget::ManagedIdentityToken(_)
        | ArmTarget::CloudMetadata
        | ArmTarget::OpenIdConfiguration { .. }
        | ArmTarget::Register { .. }
        | ArmTarget::Action { .. } => Err(ArmError::method_not_allowed()),
    }
}

fn found(body: &Value) -> Response<Bytes> {
    responses::json(StatusCode::OK, body)
}

fn object(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    match *call.method {
        Method::PUT => write::put(store, path, call, context),
        Method::PATCH => write::patch(store, path, call, context),
        Method::DELETE => deletion::delete(store, path, call, context),
        Method::GET | Method::HEAD => read(store, path, call, context),
        _ => Err(ArmError::method_not_allowed()),
    }
}

fn read(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.existing_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    let mut body = render::object(store, stored);
    if call.parameter("$expand").is_some_and(|it| it.eq_ignore_ascii_case("instanceView")) {
        power::expand(store, &path.id, &mut body);
    }
    let response = with_etag(&body);
    store.step_object(&path.id, context);
    Ok(response)
}

fn read_child(
    store: &mut ArmStore,
    path: &ObjectPath,
    id: &crate::resource::ArmId,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.existing_group(&path.group)?;
    if store.stored(&path.id).is_none() {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    }
    let rendered = render::child(store, id);
    store.step_object(&path.id, context);
    rendered.map(|body| with_etag(&body)).ok_or_else(|| ArmError::child_not_found(id))
}

/// Only the GET of a single object returns its etag in a header.
fn with_etag(body: &Value) -> Response<Bytes> {
    let mut response = found(body);
    if let Some(etag) = super::json::text(body, "/etag") {
        responses::header(&mut response, "etag", etag);
    }
    response
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Method, Request};
    use serde_json::json;

    use crate::sandbox::arm::OperationFailure;
    use crate::sandbox::arm::test_client::{TestClient, id, network};

    #[test]
    fn requests_need_a_token_and_an_api_version() {
        let mut client = TestClient::new();
        let request = |token: &str, query: &str| {
            let mut request = Request::builder().uri(format!("/subscriptions{query}"));
            if !token.is_empty() {
                request = request.header("authorization", token);
            }
            request.body(Bytes::new()).unwrap()
        };
        let none = client.send(request("", "?api-version=1"));
        assert_eq!(none.refusal(), (401, "AuthenticationFailed"));
        assert!(none.header("www-authenticate").is_some());
        let refused = client.send(request("Bearer refused", "?api-version=1"));
        assert_eq!(refused.refusal(), (401, "InvalidAuthenticationToken"));
        let bare = client.send(request("Bearer t", ""));
        assert_eq!(bare.refusal(), (400, "MissingApiVersionParameter"));
        assert_eq!(client.send(request("Bearer t", "?api-version=1")).status, 200);
        let token = Request::post("/tenant/oauth2/v2.0/token").body(Bytes::new()).unwrap();
        assert_eq!(client.send(token).body["token_type"], "Bearer");
    }

    #[test]
    fn the_operation_url_must_be_sent_back_unchanged() {
        let mut client = TestClient::new();
        let reply = client.put(&network("routeTables/t"), json!({"location": "x"}));
        let url = reply.header("azure-asyncoperation").unwrap();
        assert!(url.len() > 3400);
        let bare = url.split("&t=").next().unwrap().to_owned();
        assert_eq!(client.get(&bare).status, 404);
        assert_eq!(client.follow(&reply).body, json!({"status": "Succeeded"}));
    }

    #[test]
    fn an_operation_can_fail_after_its_response() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        let failure = OperationFailure { code: "InternalServerError".into(), message: "m".into() };
        client.store.fail_next(&id(&path), failure);
        let reply = client.put(&path, json!({"location": "x"}));
        let body = client.follow(&reply).body;
        assert_eq!(
            (&body["status"], &body["error"]["code"]),
            (&json!("Failed"), &json!("InternalServerError"))
        );
        assert_eq!(client.get(&path).state(), "Failed");
    }

    #[test]
    fn reading_the_object_ends_its_operation() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        client.put(&path, json!({"location": "x"}));
        assert_eq!(client.get(&path).state(), "Updating");
        assert_eq!(client.get(&path).state(), "Succeeded");
        let deleted = client.delete(&path);
        assert_eq!((deleted.status.as_u16(), &deleted.body), (202, &json!(null)));
        assert!(deleted.header("location").is_some());
        client.get(&path);
        client.get(&path);
        let missing = client.get(&path);
        assert_eq!(missing.refusal(), (404, "ResourceNotFound"));
        assert_eq!(missing.header("x-ms-failure-cause"), Some("gateway"));
        assert_eq!(client.call(Method::DELETE, &path, &[], None).status, 204);
    }

    #[test]
    fn the_store_survives_serialisation() {
        let mut client = TestClient::new();
        client.make_network();
        let path = network("networkInterfaces/i");
        let reply = client.put(&path, TestClient::interface(None));
        let text = serde_json::to_string(&client.store).unwrap();
        client.store = serde_json::from_str(&text).unwrap();
        client.follow(&reply);
        let taken =
            client.put(&network("networkInterfaces/j"), TestClient::interface(Some("10.1.1.4")));
        assert_eq!(taken.refusal(), (400, "PrivateIPAddressIsAllocated"));
    }

    #[test]
    fn direct_changes_are_visible_to_clients() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        let before = client.make(&path, json!({"location": "x"}));
        let mut guid = || "by-hand".to_owned();
        let route = json!({"properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "None"}});
        let child = id(&format!("{path}/routes/r"));
        client.store.upsert(&child, route, &mut guid);
        let after = client.get(&path).body;
        assert_ne!(after["etag"], before["etag"]);
        assert_eq!(after["properties"]["routes"][0]["id"], json!(child));
        let changed = client.store.modify(
            &child,
            |route| route["properties"]["nextHopType"] = json!("Internet"),
            &mut guid,
        );
        assert!(
            changed
                && client.store.remove(&child, &mut String::new)
                && !client.store.remove(&child, &mut String::new)
        );
        assert_eq!(client.store.list("microsoft.network/routetables").count(), 1);
        assert_eq!(client.get(&format!("{path}/routes/r")).refusal(), (404, "NotFound"));
    }
}
