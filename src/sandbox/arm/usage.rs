//! Objects in use: Azure refuses to delete an object that others refer to.

use super::errors::ArmError;
use super::kind::ArmKind;
use super::{ArmStore, json};
use crate::resource::ArmId;

/// Returns an error if other objects still refer to the object.
pub(super) fn refuse_in_use(store: &ArmStore, kind: ArmKind, id: &ArmId) -> Result<(), ArmError> {
    if kind == ArmKind::VirtualNetwork {
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
        ArmKind::NetworkInterface => (
            "NicInUse",
            format!(
                "Network Interface {id} is used by existing resource {user}. In order to delete \
                 the network interface, it must be dissociated from the resource. To learn more, \
                 see aka.ms/deletenic."
            ),
        ),
        ArmKind::RouteTable => (
            "InUseRouteTableCannotBeDeleted",
            format!("Route table {name} is in use and cannot be deleted."),
        ),
        ArmKind::NetworkSecurityGroup => (
            "InUseNetworkSecurityGroupCannotBeDeleted",
            format!(
                "Network security group {id} cannot be deleted because it is in use by the \
                 following resources: {user}. In order to delete the Network security group, \
                 remove the association with the resource(s)."
            ),
        ),
        ArmKind::PublicIpAddress => (
            "PublicIPAddressCannotBeDeleted",
            format!(
                "Public IP address {id} can not be deleted since it is still allocated to \
                 resource {user}. In order to delete the public IP, disassociate/detach the \
                 Public IP address from the resource."
            ),
        ),
        ArmKind::NatGateway => (
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
