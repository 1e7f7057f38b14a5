//! DELETE, and the resources that are deleted with an object.

use std::ops::Bound;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::errors::{ArmError, OperationFailure};
use super::index::key;
use super::kind::{ChildKind, Kind};
use super::operations::{Operation, OperationEffect, OperationStart};
use super::path::ObjectPath;
use super::request::ArmRequest;
use super::{
    ArmContext, ArmStore, aks_pools, compute, etags, find_child, is_named, json, responses,
    type_of, write,
};
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
    refuse_in_use(store, path.kind, &path.id)?;
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
        Some((_, ChildKind::Subnet)) => refuse_subnet(store, id)?,
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
    let location = write::location(store, &path.id);
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

/// Returns an error if other objects still refer to the object.
fn refuse_in_use(store: &ArmStore, kind: Kind, id: &ArmId) -> Result<(), ArmError> {
    if kind == Kind::VirtualNetwork {
        let subnets =
            store.get(id).map_or(&[][..], |body| json::items(body, "/properties/subnets"));
        return subnets
            .iter()
            .filter_map(|subnet| json::text(subnet, "/name"))
            .try_for_each(|name| refuse_subnet(store, &id.child("subnets", name)));
    }
    let Some(user) = store.index.users(id).next() else { return Ok(()) };
    let name = id.name();
    let (code, message) = match kind {
        Kind::NetworkInterface => (
            "NicInUse",
            format!(
                "Network Interface {id} is used by existing resource {user}. In order to delete \
                 the network interface, it must be dissociated from the resource. To learn more, \
                 see aka.ms/deletenic."
            ),
        ),
        Kind::RouteTable => (
            "InUseRouteTableCannotBeDeleted",
            format!("Route table {name} is in use and cannot be deleted."),
        ),
        Kind::NetworkSecurityGroup => (
            "InUseNetworkSecurityGroupCannotBeDeleted",
            format!(
                "Network security group {id} cannot be deleted because it is in use by the \
                 following resources: {user}. In order to delete the Network security group, \
                 remove the association with the resource(s)."
            ),
        ),
        Kind::PublicIpAddress => (
            "PublicIPAddressCannotBeDeleted",
            format!(
                "Public IP address {id} can not be deleted since it is still allocated to \
                 resource {user}. In order to delete the public IP, disassociate/detach the \
                 Public IP address from the resource."
            ),
        ),
        Kind::NatGateway => (
            "InUseNatGatewayCannotBeDeleted",
            format!("Nat Gateway {name} is in use by {user} and cannot be deleted."),
        ),
        _ => return Ok(()),
    };
    Err(ArmError::bad(code, message))
}

/// Returns an error if interfaces or other objects use the subnet.
pub(super) fn refuse_subnet(store: &ArmStore, id: &ArmId) -> Result<(), ArmError> {
    let Some(user) = store.index.users(id).next() else { return Ok(()) };
    let message = format!(
        "Subnet {} is in use by {user} and cannot be deleted. In order to delete the subnet, \
         delete all the resources within the subnet. See aka.ms/deletesubnet.",
        id.name(),
    );
    Err(ArmError::bad("InUseSubnetCannotBeDeleted", message))
}

impl ArmStore {
    /// Completes a deletion: the object exists until now.
    pub(super) fn end_delete(&mut self, operation: &Operation, context: &mut ArmContext<'_>) {
        let target = &operation.target;
        let blocked = self.blocked_by(target);
        if operation.failure.is_some() || blocked.is_some() {
            if let (Some(failure), Some(operation)) =
                (blocked, self.operations.get_mut(&operation.id))
            {
                operation.failure = Some(failure);
            }
            self.modify(
                target,
                |body| json::set(body, &["properties", "provisioningState"], "Failed".into()),
                context.guid,
            );
            return;
        }
        if self.objects.contains_key(&key(target)) {
            compute::delete_with_vm(self, target, context.guid);
            self.drop_tree(target);
            return;
        }
        self.drop_child(target);
        if let Some(stored) = self.objects.get_mut(&key(&operation.owner)) {
            etags::set_state(stored.kind, &mut stored.body, "Succeeded", None);
            etags::stamp_end(stored.kind, &mut stored.body, context.guid);
        }
    }

    /// The failure that blocks the deletion of a group while objects outside it use its contents.
    fn blocked_by(&self, target: &ArmId) -> Option<OperationFailure> {
        if self.stored(target)?.kind != Kind::ResourceGroup {
            return None;
        }
        let inside = format!("{}/", key(target));
        let node_groups: Vec<String> =
            self.keys_below(target).filter_map(|cluster| self.node_group_of(cluster)).collect();
        let outside = |user: &ArmId| {
            let user = key(user);
            !user.starts_with(&inside) && !node_groups.iter().any(|group| user.starts_with(group))
        };
        let (used, user) = self.keys_below(target).find_map(|used| {
            let stored = self.objects.get(used)?;
            let subnets = json::items(&stored.body, "/properties/subnets").iter();
            let subnets = subnets.filter_map(|subnet| json::text(subnet, "/id")).map(ArmId::new);
            std::iter::once(stored.id.clone())
                .chain(subnets)
                .find_map(|id| self.index.users(&id).find(|user| outside(user)).cloned())
                .map(|user| (stored.id.clone(), user))
        })?;
        Some(OperationFailure {
            code: "ResourceGroupDeletionBlocked".to_owned(),
            message: format!(
                "Deletion of resource group '{}' failed as resource {used} is still used by \
                 {user}.",
                target.name()
            ),
        })
    }

    /// The keys of all objects below an id.
    pub(super) fn keys_below(&self, id: &ArmId) -> impl Iterator<Item = &String> {
        let front = format!("{}/", key(id));
        let from = Bound::Excluded(front.clone());
        self.objects
            .range((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(&front))
    }

    /// The key prefix of the objects in a cluster's node resource group.
    fn node_group_of(&self, cluster: &str) -> Option<String> {
        let stored = self.objects.get(cluster)?;
        if stored.kind != Kind::ManagedCluster {
            return None;
        }
        let name = json::text(&stored.body, "/properties/nodeResourceGroup")?;
        let group = ArmId::resource_group(stored.id.subscription()?, name);
        Some(format!("{}/", key(&group)))
    }

    /// Deletes an object with everything below it and the resources that AKS created for it.
    pub(super) fn drop_tree(&mut self, id: &ArmId) {
        let mut keys: Vec<String> = self.keys_below(id).cloned().collect();
        keys.push(key(id));
        let node_groups: Vec<String> =
            keys.iter().filter_map(|cluster| self.node_group_of(cluster)).collect();
        for owner in keys {
            self.drop_one(&owner);
        }
        for front in node_groups {
            self.drop_tree(&ArmId::new(front.trim_end_matches('/')));
        }
    }

    fn drop_one(&mut self, owner: &str) {
        let Some(stored) = self.objects.remove(owner) else { return };
        self.index.remove(owner, &type_of(stored.kind, &stored.id));
        self.running.remove(owner);
        self.custom_data.remove(owner);
        self.kubeconfigs.remove(owner);
        self.touch(owner.to_owned());
        if stored.kind == Kind::VirtualMachine {
            compute::detach(self, &stored);
        }
    }

    /// Removes a child from the body of its parent.
    pub(super) fn drop_child(&mut self, id: &ArmId) {
        let Some((parent, child)) = self.child_of(id) else { return };
        let (parent, kind, mut body) = (parent.id.clone(), parent.kind, parent.body.clone());
        if find_child(&body, child, id.name()).is_none() {
            return;
        }
        if let Some(serde_json::Value::Array(values)) = body.pointer_mut(&child.pointer()) {
            values.retain(|value| !is_named(value, id.name()));
        }
        self.insert_object(parent, kind, body);
    }
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
