//! The addresses that the workers of datacenters in Azure come from.

use serde_json::Value;

use super::{Observation, Scope};
use crate::desired::names;
use crate::provider::azure::codec;
use crate::resource::{ArmId, Kind};
use crate::topology::model::DatacenterKind;

/// Notes the address of each NAT gateway that Azure has assigned one to.
pub(super) fn note(
    addresses: Option<&Vec<Value>>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    for datacenter in &scope.topology.datacenters {
        let DatacenterKind::Azure(azure) = &datacenter.kind else { continue };
        let group = &azure.resource_group;
        let name = names::public_ip(&names::nat_gateway(group));
        let id = ArmId::resource_group(scope.subscription.as_str(), group.as_str())
            .in_group(Kind::PublicIpAddress.arm_type(), &name);
        let mut listed = addresses.into_iter().flatten();
        let address = listed.find(|value| codec::id(value).as_ref() == Some(&id));
        let text = address.and_then(|value| value.pointer("/properties/ipAddress")?.as_str());
        if let Some(address) = text.and_then(|text| text.parse().ok()) {
            observation.facts.egress_addresses.insert(datacenter.name.clone(), address);
        }
    }
}
