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
                "The resource type '{name}' could not be found in the namespace for this api version."
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
