//! POST actions on objects, and the views of objects that have a URL of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::errors::ArmError;
use super::index::key;
use super::kind::ArmKind;
use super::operation::OperationEffect;
use super::operations::OperationStart;
use super::path::{ArmAction, ArmView, ObjectPath};
use super::power_state::PowerChange;
use super::request::ArmRequest;
use super::{ArmContext, ArmStore, aks_kubeconfig, aks_version, etags, network, power, responses};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// Runs an action.
pub(super) fn act(
    store: &mut ArmStore,
    path: &ObjectPath,
    action: ArmAction,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.existing_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    let name = match action {
        ArmAction::UserCredential => "clusterUser",
        ArmAction::AdminCredential => "clusterAdmin",
        ArmAction::EffectiveRoutes => return effective_routes(store, path, call, context),
        ArmAction::Power(change) => return change_power(store, path, change, call, context),
    };
    let Some(kubeconfig) = store.kubeconfigs.get(&key(&path.id)) else {
        let state = etags::state(&stored.body);
        let message = format!("The cluster is in state {state} and has no credentials yet.");
        return Err(ArmError::conflict("OperationNotAllowed", message));
    };
    let value = STANDARD.encode(aks_kubeconfig::answer(&stored.body, action, call, kubeconfig)?);
    let body = json!({"kubeconfigs": [{"name": name, "value": value}]});
    Ok(responses::json(StatusCode::OK, &body))
}

fn effective_routes(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let value = network::effective_routes::table(store, &path.id);
    let location = store.location(&path.id);
    let start = OperationStart {
        kind: ArmKind::NetworkInterface,
        subscription: &path.subscription,
        location: &location,
        api_version: &call.api_version,
        owner: &path.id,
        target: &path.id,
        effect: OperationEffect::Value(value),
    };
    let operation = store.begin(start, context);
    let mut response = responses::json(StatusCode::ACCEPTED, &Value::Null);
    responses::header(&mut response, "location", &operation.result_url(context.base_url));
    Ok(response)
}

/// Starts the operation of a power action.
fn change_power(
    store: &mut ArmStore,
    path: &ObjectPath,
    change: PowerChange,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> Result<Response<Bytes>, ArmError> {
    store.writable_group(&path.group)?;
    store.refuse_while_busy(path.kind, &path.id, context)?;
    let location = store.location(&path.id);
    if let Some(stored) = store.objects.get_mut(&key(&path.id)) {
        etags::set_state(stored.kind, &mut stored.body, "Updating", None);
        store.touch(key(&path.id));
    }
    let start = OperationStart {
        kind: path.kind,
        subscription: &path.subscription,
        location: &location,
        api_version: &call.api_version,
        owner: &path.id,
        target: &path.id,
        effect: OperationEffect::Power(change),
    };
    let operation = store.begin(start, context);
    let mut response = responses::empty(StatusCode::ACCEPTED);
    let status = operation.status_url(context.base_url);
    responses::header(&mut response, "azure-asyncoperation", &status);
    responses::header(&mut response, "location", &operation.result_url(context.base_url));
    Ok(response)
}

/// A view of an object, or of a pool of a cluster.
pub(super) fn view(
    store: &ArmStore,
    path: &ObjectPath,
    pool: Option<&ArmId>,
    view: ArmView,
) -> Result<Value, ArmError> {
    store.existing_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    match (view, pool) {
        (ArmView::Instance, _) => Ok(power::instance_view(store, &stored.id, &stored.body)),
        (ArmView::Upgrades, None) => Ok(aks_version::upgrades(&store.account, &stored.body)),
        (ArmView::Upgrades, Some(pool)) => {
            let body = store.get(pool).ok_or_else(|| ArmError::child_not_found(pool))?;
            Ok(aks_version::pool_upgrades(&store.account, &stored.body, body, pool))
        }
    }
}
