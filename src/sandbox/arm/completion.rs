//! Validation and defaults of bodies, by kind.

use serde_json::Value;

use super::draft::Draft;
use super::errors::ArmError;
use super::kind::ArmKind;
use super::{ArmContext, aks, compute, network, resource_body};

/// Validates a body and adds the fields that the service fills in.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: Value,
    context: &mut ArmContext<'_>,
) -> Result<Value, ArmError> {
    let mut body = resource_body::set_identity(draft.kind, draft.id, body);
    match draft.kind {
        ArmKind::VirtualNetwork => network::virtual_network::complete(draft, &mut body, context)?,
        ArmKind::RouteTable => network::route_table::complete(draft, &mut body, context)?,
        ArmKind::NetworkInterface => network::interface::complete(draft, &mut body, context)?,
        ArmKind::NetworkSecurityGroup => {
            network::security_group::complete(draft, &mut body, context)?;
        }
        ArmKind::PublicIpAddress => network::public_ip::complete(draft, &mut body, context)?,
        ArmKind::NatGateway => network::nat_gateway::complete(draft, &mut body, context)?,
        ArmKind::VirtualMachine => compute::complete(draft, &mut body, context)?,
        ArmKind::Disk => compute::complete_disk(draft, &mut body, context),
        ArmKind::ManagedCluster => aks::complete(draft, &mut body, context)?,
        ArmKind::ResourceGroup | ArmKind::Foreign => {}
    }
    Ok(body)
}
