//! Converts between Azure's JSON and typed values, one file for each kind.
//!
//! A decoder reads only the fields that stargate manages. An encoder merges them into the
//! current body (`base`), so that fields of the service or of other tools are written back
//! unchanged.

pub mod association;
mod body;
pub mod cluster_profile;
mod error;
mod fields;
pub mod managed_cluster;
pub mod marks;
pub mod nat_gateway;
pub mod network_interface;
pub mod network_security_group;
pub mod node_pool;
pub mod public_ip_address;
pub mod resource_group;
pub mod route;
pub mod route_table;
pub mod subnet;
pub mod virtual_machine;
pub mod virtual_network;

use serde_json::Value;

pub use error::{DecodeError, EncodeError};
pub use fields::{etag, id};
pub use marks::{Marks, ownership, ownership_without_name};
pub use virtual_machine::MachineCreation;

use crate::resource::protection::PROTECT_TAG;
use crate::resource::{Kind, Resource};

/// Decodes an object of any type that has a typed value; `None` for other types.
pub fn decode_any(resource_type: &str, body: &Value) -> Option<Result<Resource, DecodeError>> {
    let decoded = decode(resource_type, body)?;
    Some(decoded.and_then(|mut resource| {
        if Kind::of_arm_type(resource_type).is_some_and(|kind| kind.facts().marked) {
            resource.record_protection(marks::protected_by(body)?);
        }
        Ok(resource)
    }))
}

fn decode(resource_type: &str, body: &Value) -> Option<Result<Resource, DecodeError>> {
    let decoded = match Kind::of_arm_type(resource_type)? {
        Kind::ResourceGroup => resource_group::decode(body).map(Resource::ResourceGroup),
        Kind::ManagedCluster => {
            managed_cluster::decode(body).map(|it| Resource::ManagedCluster(it.into()))
        }
        Kind::NodePool => node_pool::decode(body).map(|it| Resource::NodePool(it.into())),
        Kind::VirtualNetwork => virtual_network::decode(body).map(Resource::VirtualNetwork),
        Kind::Subnet => subnet::decode(body).map(Resource::Subnet),
        Kind::NatGateway => nat_gateway::decode(body).map(Resource::NatGateway),
        Kind::NetworkSecurityGroup => {
            network_security_group::decode(body).map(Resource::NetworkSecurityGroup)
        }
        Kind::PublicIpAddress => public_ip_address::decode(body).map(Resource::PublicIpAddress),
        Kind::NetworkInterface => {
            network_interface::decode(body).map(|it| Resource::NetworkInterface(it.into()))
        }
        Kind::VirtualMachine => {
            virtual_machine::decode(body).map(|it| Resource::VirtualMachine(it.into()))
        }
        Kind::RouteTable => route_table::decode(body).map(|it| Resource::RouteTable(it.into())),
        Kind::Route => route::decode(body).map(Resource::Route),
        _ => return None,
    };
    Some(decoded)
}

/// Encodes an Azure object; `None` for other kinds.
///
/// `creation` is used only to create a virtual machine.
pub fn encode_any(
    resource: &Resource,
    base: Option<&Value>,
    marks: &Marks<'_>,
    creation: Option<&MachineCreation>,
) -> Option<Result<Value, EncodeError>> {
    let body = match resource {
        Resource::ResourceGroup(group) => Ok(resource_group::encode(group, base, marks)),
        Resource::ManagedCluster(cluster) => Ok(managed_cluster::encode(cluster, base, marks)),
        Resource::NodePool(pool) => Ok(node_pool::encode(pool, base, marks)),
        Resource::VirtualNetwork(network) => Ok(virtual_network::encode(network, base, marks)),
        Resource::Subnet(subnet) => Ok(subnet::encode(subnet, base)),
        Resource::RouteTableAssociation(association) => Ok(association::encode(association, base)),
        Resource::NatGateway(gateway) => Ok(nat_gateway::encode(gateway, base, marks)),
        Resource::NetworkSecurityGroup(group) => {
            Ok(network_security_group::encode(group, base, marks))
        }
        Resource::PublicIpAddress(address) => Ok(public_ip_address::encode(address, base, marks)),
        Resource::NetworkInterface(interface) => network_interface::encode(interface, base, marks),
        Resource::VirtualMachine(machine) => {
            Ok(virtual_machine::encode(machine, base, marks, creation))
        }
        Resource::RouteTable(table) => route_table::encode(table, base, marks),
        Resource::Route(route) => Ok(route::encode(route, base, marks.object)),
        _ => return None,
    };
    Some(body.map(|mut body| {
        // An update of tags changes the record of an existing object.
        if let (None, Some(block)) = (base, resource.protected_by()) {
            body["tags"][PROTECT_TAG] = Value::from(block);
        }
        body
    }))
}

#[cfg(test)]
mod tests;
