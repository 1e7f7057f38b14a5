//! DELETE.

use bytes::Bytes;
use http::{Response, StatusCode};

use super::errors::ArmError;
use super::index::key;
use super::kind::ChildKind;
use super::operation::{Operation, OperationEffect};
use super::operations::OperationStart;
use super::path::ObjectPath;
use super::request::ArmRequest;
use super::{ArmContext, ArmStore, aks_pools, etags, json, responses, usage};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// DELETE of an object.
pub(super) fn delete(
    store: &mut ArmStore,
    path: &ObjectPath,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.writable_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Ok(responses::empty(StatusCode::NO_CONTENT));
    };
    etags::check(call.headers, &path.id, Some(&stored.body))?;
    if let Some(operation) = store.running(&path.id).filter(|running| is_delete(running, &path.id))
    {
        return Ok(accepted(&operation.clone(), context));
    }
    usage::refuse_in_use(store, path.kind, &path.id)?;
    store.refuse_while_busy(path.kind, &path.id, context)?;
    begin(store, path, &path.id, call, context)
}

/// DELETE of a child.
pub(super) fn delete_child(
    store: &mut ArmStore,
    path: &ObjectPath,
    id: &ArmId,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.writable_group(&path.group)?;
    let Some(child) = store.get(id) else {
        return Ok(responses::empty(StatusCode::NO_CONTENT));
    };
    etags::check(call.headers, id, Some(child))?;
    if let Some(operation) = store.running(&path.id).filter(|running| is_delete(running, id)) {
        return Ok(accepted(&operation.clone(), context));
    }
    match store.child_of(id) {
        Some((_, ChildKind::Subnet)) => usage::refuse_subnet(store, id)?,
        Some((cluster, ChildKind::AgentPool)) => {
            aks_pools::refuse_last_pool(&cluster.body, id.name())?;
        }
        _ => {}
    }
    store.refuse_while_busy(path.kind, &path.id, context)?;
    begin(store, path, id, call, context)
}

fn is_delete(operation: &Operation, target: &ArmId) -> bool {
    operation.effect == OperationEffect::Delete && operation.target == *target
}

fn begin(
    store: &mut ArmStore,
    path: &ObjectPath,
    target: &ArmId,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let location = store.location(&path.id);
    if let Some(stored) = store.objects.get_mut(&key(&path.id)) {
        let only = (*target != path.id).then(|| target.name());
        etags::set_state(stored.kind, &mut stored.body, "Deleting", only);
        if only.is_some() {
            json::set(
                &mut stored.body,
                &["properties", "provisioningState"],
                serde_json::json!("Updating"),
            );
        }
        store.touch(key(&path.id));
    }
    let start = OperationStart {
        kind: path.kind,
        subscription: &path.subscription,
        location: &location,
        api_version: &call.api_version,
        owner: &path.id,
        target,
        effect: OperationEffect::Delete,
    };
    let operation = store.begin(start, context);
    Ok(accepted(&operation, context))
}

fn accepted(operation: &Operation, context: &ArmContext<'_>) -> Response<Bytes> {
    let mut response = responses::empty(StatusCode::ACCEPTED);
    responses::header(
        &mut response,
        "azure-asyncoperation",
        &operation.status_url(context.base_url),
    );
    responses::header(&mut response, "location", &operation.result_url(context.base_url));
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, network};

    #[test]
    fn deleting_an_object_in_use_is_refused() {
        let mut client = TestClient::new();
        let path = client.make_network();
        let [security, address, gateway] =
            ["networkSecurityGroups/s", "publicIPAddresses/p", "natGateways/g"].map(network);
        client.make(&security, json!({"location": "westeurope"}));
        let made = client.make(
            &address,
            json!({"location": "westeurope", "sku": {"name": "Standard"},
                "properties": {"publicIPAllocationMethod": "Static"}}),
        );
        assert!(made["properties"]["ipAddress"].as_str().unwrap().starts_with("20."));
        let addresses = json!({"publicIpAddresses": [{"id": address}]});
        client.make(&gateway, json!({"location": "westeurope", "properties": addresses}));
        client.make(
            &format!("{path}/subnets/n"),
            json!({"properties": {
                "addressPrefix": "10.1.1.0/24",
                "natGateway": {"id": gateway}, "networkSecurityGroup": {"id": security},
            }}),
        );
        for (path, code) in [
            (&security, "InUseNetworkSecurityGroupCannotBeDeleted"),
            (&address, "PublicIPAddressCannotBeDeleted"),
            (&gateway, "InUseNatGatewayCannotBeDeleted"),
        ] {
            assert_eq!(client.delete(path).refusal(), (400, code));
        }
        let mut interface = TestClient::interface(None);
        interface["properties"]["ipConfigurations"][0]["properties"]["publicIPAddress"] =
            json!({"id": address});
        let refused = client.put(&network("networkInterfaces/i"), interface);
        assert_eq!(refused.refusal(), (400, "PublicIPAddressInUse"));
        client.destroy(&path);
        for path in [&security, &gateway, &address] {
            client.destroy(path);
        }
    }
}
