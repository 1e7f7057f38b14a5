//! Validation and defaults of bodies, by kind.

use serde_json::Value;

use super::draft::Draft;
use super::errors::ArmError;
use super::kind::Kind;
use super::{ArmContext, aks, compute, network, resource_body};

/// Validates a body and adds the fields that the service fills in.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: Value,
    context: &mut ArmContext<'_>,
) -> Result<Value, ArmError> {
    let mut body = resource_body::set_identity(draft.kind, draft.id, body);
    match draft.kind {
        Kind::VirtualNetwork => network::virtual_network::complete(draft, &mut body, context)?,
        Kind::RouteTable => network::route_table::complete(draft, &mut body, context)?,
        Kind::NetworkInterface => network::interface::complete(draft, &mut body, context)?,
        Kind::NetworkSecurityGroup => network::security_group::complete(draft, &mut body, context)?,
        Kind::PublicIpAddress => network::public_ip::complete(draft, &mut body, context)?,
        Kind::NatGateway => network::nat_gateway::complete(draft, &mut body, context)?,
        Kind::VirtualMachine => compute::complete(draft, &mut body, context)?,
        Kind::Disk => compute::complete_disk(draft, &mut body, context),
        Kind::ManagedCluster => aks::complete(draft, &mut body, context)?,
        Kind::ResourceGroup | Kind::Foreign => {}
    }
    Ok(body)
}
