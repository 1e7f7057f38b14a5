//! From a request to the part that answers it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::errors::ArmError;
use super::index::key;
use super::kind::{Kind, Provider};
use super::operations::{Start, Work};
use super::path::{Action, ObjectPath, PathError, Target};
use super::request::Call;
use super::{
    ArmContext, ArmStore, SUBSCRIPTION, TENANT, answers, credentials, etags, groups, list, network,
    removal, render, write,
};

type Answer = Result<Response<Bytes>, ArmError>;

/// Answers a request.
pub(super) fn answer(
    store: &mut ArmStore,
    request: &Request<Bytes>,
    context: &mut ArmContext<'_>,
) -> Answer {
    let mut call = Call::new(request);
    let target = Target::parse(call.path()).map_err(unknown);
    match &target {
        Ok(Target::Token) if call.method == Method::POST => {
            return Ok(credentials::token(context.guid));
        }
        Ok(Target::OpenIdConfiguration { tenant }) => {
            return Ok(credentials::configuration(context.base_url, tenant));
        }
        _ => {}
    }
    credentials::check(call.headers)?;
    if call.api_version.is_empty() {
        let message =
            "The api-version query parameter (?api-version=) is required for all requests.";
        return Err(ArmError::bad("MissingApiVersionParameter", message));
    }
    // The signed URLs of the network carry theirs too, so this holds for all.
    call.api_version.truncate(32);
    route(store, target?, &call, context)
}

fn unknown(error: PathError) -> ArmError {
    let (code, message) = match error {
        PathError::UnknownPath => {
            ("InvalidRequestUri", "No resource stands at this path.".to_owned())
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
    target: Target,
    call: &Call<'_>,
    context: &mut ArmContext<'_>,
) -> Answer {
    let reads = call.method == Method::GET || call.method == Method::HEAD;
    match target {
        Target::Operation { id, face } => store.poll(&id, face, call.query(), context),
        Target::Group(id) => groups::answer(store, &id, call, context),
        Target::Object(path) => object(store, &path, call, context),
        Target::Child { object, child, id } => match *call.method {
            Method::PUT if child.writable() => {
                write::put_child(store, &object, child, &id, call, context)
            }
            Method::DELETE if child.writable() => {
                removal::delete_child(store, &object, &id, call, context)
            }
            _ if reads => read_child(store, &object, &id, context),
            _ => Err(ArmError::method_not_allowed()),
        },
        Target::Action { object, action } if call.method == Method::POST => {
            act(store, &object, action, call, context)
        }
        _ if !reads => Err(ArmError::method_not_allowed()),
        Target::Children { object, child } => list::children(store, &object, child, context),
        Target::Collection { scope, kind } => list::collection(store, &scope, kind, call, context),
        Target::Resources(scope) => list::resources(store, &scope, call, context),
        Target::Groups { subscription } => list::groups(store, &subscription, call, context),
        Target::Tenants => Ok(found(&json!({"value": [{
            "id": format!("/tenants/{TENANT}"), "tenantId": TENANT, "displayName": "Sandbox",
        }]}))),
        Target::Subscriptions => Ok(found(&subscriptions(store))),
        Target::Subscription(id) => Ok(found(&subscription(&id))),
        Target::Registration { subscription, provider } => {
            Ok(found(&registration(&subscription, provider)))
        }
        Target::Token | Target::OpenIdConfiguration { .. } | Target::Action { .. } => {
            Err(ArmError::method_not_allowed())
        }
    }
}

fn found(body: &Value) -> Response<Bytes> {
    answers::json(StatusCode::OK, body)
}

fn object(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &Call<'_>,
    context: &mut ArmContext<'_>,
) -> Answer {
    match *call.method {
        Method::PUT => write::put(store, path, call, context),
        Method::PATCH => write::patch(store, path, call, context),
        Method::DELETE => removal::delete(store, path, call, context),
        Method::GET | Method::HEAD => read(store, path, context),
        _ => Err(ArmError::method_not_allowed()),
    }
}

fn read(store: &mut ArmStore, path: &ObjectPath, context: &mut ArmContext<'_>) -> Answer {
    store.existing_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    let response = with_etag(&render::object(store, stored));
    store.step_object(&path.id, context);
    Ok(response)
}

fn read_child(
    store: &mut ArmStore,
    path: &ObjectPath,
    id: &crate::resource::ArmId,
    context: &mut ArmContext<'_>,
) -> Answer {
    store.existing_group(&path.group)?;
    if store.stored(&path.id).is_none() {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    }
    let shown = render::child(store, id);
    store.step_object(&path.id, context);
    shown.map(|body| with_etag(&body)).ok_or_else(|| ArmError::child_not_found(id))
}

/// Only the GET of one object carries its etag in a header.
fn with_etag(body: &Value) -> Response<Bytes> {
    let mut response = found(body);
    if let Some(etag) = super::json::text(body, "/etag") {
        answers::header(&mut response, "etag", etag);
    }
    response
}

fn act(
    store: &mut ArmStore,
    path: &ObjectPath,
    action: Action,
    call: &Call<'_>,
    context: &mut ArmContext<'_>,
) -> Answer {
    store.existing_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    let name = match action {
        Action::UserCredential => "clusterUser",
        Action::AdminCredential => "clusterAdmin",
        Action::EffectiveRoutes => return effective_routes(store, path, call, context),
    };
    let Some(kubeconfig) = store.kubeconfigs.get(&key(&path.id)) else {
        let state = etags::state(&stored.body);
        let message = format!("The cluster is in state {state} and has no credentials yet.");
        return Err(ArmError::conflict("OperationNotAllowed", message));
    };
    let value = STANDARD.encode(kubeconfig);
    Ok(found(&json!({"kubeconfigs": [{"name": name, "value": value}]})))
}

fn effective_routes(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &Call<'_>,
    context: &mut ArmContext<'_>,
) -> Answer {
    let value = network::effective_routes::table(store, &path.id);
    let location = write::location(store, &path.id);
    let start = Start {
        kind: Kind::NetworkInterface,
        subscription: &path.subscription,
        location: &location,
        api_version: &call.api_version,
        owner: &path.id,
        target: &path.id,
        work: Work::Answer(value),
    };
    let operation = store.begin(start, context);
    let mut response = answers::json(StatusCode::ACCEPTED, &Value::Null);
    answers::header(&mut response, "location", &operation.result_url(context.base_url));
    Ok(response)
}

fn subscriptions(store: &ArmStore) -> Value {
    let mut known = store.subscriptions.clone();
    known.insert(SUBSCRIPTION.to_owned());
    let value: Vec<Value> = known.iter().map(|id| subscription(id)).collect();
    json!({"value": value, "count": {"type": "Total", "value": value.len()}})
}

fn subscription(id: &str) -> Value {
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

fn registration(subscription: &str, provider: Provider) -> Value {
    let namespace = provider.namespace();
    json!({
        "id": format!("/subscriptions/{subscription}/providers/{namespace}"),
        "namespace": namespace,
        "registrationState": "Registered",
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{Method, Request};
    use serde_json::json;

    use crate::sandbox::arm::Failure;
    use crate::sandbox::arm::testing::{Driver, id, network};

    #[test]
    fn the_door_asks_for_a_token_and_a_version() {
        let mut driver = Driver::new();
        let request = |token: &str, query: &str| {
            let mut request = Request::builder().uri(format!("/subscriptions{query}"));
            if !token.is_empty() {
                request = request.header("authorization", token);
            }
            request.body(Bytes::new()).unwrap()
        };
        let none = driver.send(request("", "?api-version=1"));
        assert_eq!(none.refusal(), (401, "AuthenticationFailed"));
        assert!(none.header("www-authenticate").is_some());
        let refused = driver.send(request("Bearer refused", "?api-version=1"));
        assert_eq!(refused.refusal(), (401, "InvalidAuthenticationToken"));
        let bare = driver.send(request("Bearer t", ""));
        assert_eq!(bare.refusal(), (400, "MissingApiVersionParameter"));
        assert_eq!(driver.send(request("Bearer t", "?api-version=1")).status, 200);
        let token = Request::post("/tenant/oauth2/v2.0/token").body(Bytes::new()).unwrap();
        assert_eq!(driver.send(token).body["token_type"], "Bearer");
    }

    #[test]
    fn the_url_of_an_operation_must_come_back_as_it_was() {
        let mut driver = Driver::new();
        let reply = driver.put(&network("routeTables/t"), json!({"location": "x"}));
        let url = reply.header("azure-asyncoperation").unwrap();
        assert!(url.len() > 3400);
        let bare = url.split("&t=").next().unwrap().to_owned();
        assert_eq!(driver.get(&bare).status, 404);
        assert_eq!(driver.follow(&reply).body, json!({"status": "Succeeded"}));
    }

    #[test]
    fn an_operation_can_fail_after_its_answer() {
        let mut driver = Driver::new();
        let path = network("routeTables/t");
        let failure = Failure { code: "InternalServerError".into(), message: "m".into() };
        driver.store.fail_next(&id(&path), failure);
        let reply = driver.put(&path, json!({"location": "x"}));
        let body = driver.follow(&reply).body;
        assert_eq!(
            (&body["status"], &body["error"]["code"]),
            (&json!("Failed"), &json!("InternalServerError"))
        );
        assert_eq!(driver.get(&path).state(), "Failed");
    }

    #[test]
    fn a_look_at_the_object_ends_its_operation_too() {
        let mut driver = Driver::new();
        let path = network("routeTables/t");
        driver.put(&path, json!({"location": "x"}));
        assert_eq!(driver.get(&path).state(), "Updating");
        assert_eq!(driver.get(&path).state(), "Succeeded");
        let deleted = driver.delete(&path);
        assert_eq!((deleted.status.as_u16(), &deleted.body), (202, &json!(null)));
        assert!(deleted.header("location").is_some());
        driver.get(&path);
        driver.get(&path);
        let missing = driver.get(&path);
        assert_eq!(missing.refusal(), (404, "ResourceNotFound"));
        assert_eq!(missing.header("x-ms-failure-cause"), Some("gateway"));
        assert_eq!(driver.call(Method::DELETE, &path, &[], None).status, 204);
    }

    #[test]
    fn a_world_is_written_down_and_read_back() {
        let mut driver = Driver::new();
        driver.make_network();
        let path = network("networkInterfaces/i");
        let reply = driver.put(&path, Driver::interface(None));
        let text = serde_json::to_string(&driver.store).unwrap();
        driver.store = serde_json::from_str(&text).unwrap();
        driver.follow(&reply);
        let taken =
            driver.put(&network("networkInterfaces/j"), Driver::interface(Some("10.1.1.4")));
        assert_eq!(taken.refusal(), (400, "PrivateIPAddressIsAllocated"));
    }

    #[test]
    fn what_the_world_changes_by_hand_is_shown_as_the_rest() {
        let mut driver = Driver::new();
        let path = network("routeTables/t");
        let before = driver.make(&path, json!({"location": "x"}));
        let mut guid = || "by-hand".to_owned();
        let route = json!({"properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "None"}});
        let child = id(&format!("{path}/routes/r"));
        driver.store.upsert(&child, route, &mut guid);
        let after = driver.get(&path).body;
        assert_ne!(after["etag"], before["etag"]);
        assert_eq!(after["properties"]["routes"][0]["id"], json!(child));
        let changed = driver.store.modify(
            &child,
            |route| route["properties"]["nextHopType"] = json!("Internet"),
            &mut guid,
        );
        assert!(
            changed
                && driver.store.remove(&child, &mut String::new)
                && !driver.store.remove(&child, &mut String::new)
        );
        assert_eq!(driver.store.list("microsoft.network/routetables").count(), 1);
        assert_eq!(driver.get(&format!("{path}/routes/r")).refusal(), (404, "NotFound"));
    }
}
