//! Network interfaces with one static private address.

use azure_mgmt_network::package_2024_03::models;
use serde_json::{Value, json};

use super::base::{address, lay_over, location, missing, read, reference, set_property, write};
use super::{DecodeError, EncodeError, Marks, known};
use crate::resource::azure::NetworkInterface;
use crate::resource::{ArmId, Pending};

const WHAT: &str = "network interface";
/// The name of the one configuration on an interface that stargate makes.
const CONFIGURATION: &str = "primary";

/// Reads what ARM answered.
pub fn decode(body: &Value) -> Result<NetworkInterface, DecodeError> {
    let model: models::NetworkInterface = read(WHAT, body)?;
    let properties = model.properties.unwrap_or_default();
    let mut configurations: Vec<_> = properties
        .ip_configurations
        .into_iter()
        .filter_map(|configuration| configuration.properties)
        .collect();
    // Stable: the first one counts where none calls itself primary.
    configurations.sort_by_key(|configuration| configuration.primary != Some(true));
    let configuration = configurations
        .into_iter()
        .next()
        .ok_or_else(|| missing(WHAT, "properties.ipConfigurations"))?;
    let private_ip = configuration.private_ip_address.as_deref();
    let private_ip = private_ip.ok_or_else(|| missing(WHAT, "privateIPAddress"))?;
    let subnet = configuration.subnet.and_then(|subnet| subnet.sub_resource.id);
    let public_ip = configuration.public_ip_address.and_then(|address| address.resource.id);
    Ok(NetworkInterface {
        location: location(WHAT, model.resource.location.as_deref())?,
        subnet: Pending::Known(ArmId::new(subnet.ok_or_else(|| missing(WHAT, "subnet"))?)),
        private_ip: address(WHAT, "privateIPAddress", private_ip)?,
        ip_forwarding: properties.enable_ip_forwarding.unwrap_or(false),
        public_ip: public_ip.map(ArmId::new),
    })
}

/// Writes what ARM takes. The configuration that is there keeps its name.
pub fn encode(
    interface: &NetworkInterface,
    base: Option<&Value>,
    marks: &Marks<'_>,
) -> Result<Value, EncodeError> {
    let there = base.and_then(|base| base.pointer("/properties/ipConfigurations/0"));
    let model = models::NetworkInterface {
        resource: models::Resource {
            location: Some(interface.location.clone()),
            tags: Some(marks.tags()),
            ..Default::default()
        },
        properties: Some(models::NetworkInterfacePropertiesFormat {
            enable_ip_forwarding: Some(interface.ip_forwarding),
            ..Default::default()
        }),
        ..Default::default()
    };
    let configuration = encode_configuration(interface, there)?;
    let mut ours = write(&model);
    ours["properties"]["ipConfigurations"] = json!([configuration]);
    Ok(lay_over(base, ours))
}

fn encode_configuration(
    interface: &NetworkInterface,
    there: Option<&Value>,
) -> Result<Value, EncodeError> {
    let subnet = models::Subnet {
        sub_resource: models::SubResource {
            id: Some(known(&interface.subnet, "subnet")?.as_str().to_owned()),
        },
        ..Default::default()
    };
    let name = there.and_then(|there| there.get("name")).and_then(Value::as_str);
    let model = models::NetworkInterfaceIpConfiguration {
        name: Some(name.unwrap_or(CONFIGURATION).to_owned()),
        properties: Some(models::NetworkInterfaceIpConfigurationPropertiesFormat {
            private_ip_address: Some(interface.private_ip.to_string()),
            private_ip_allocation_method: Some(models::IpAllocationMethod::Static),
            subnet: Some(subnet),
            primary: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut body = lay_over(there, write(&model));
    set_property(&mut body, "publicIPAddress", interface.public_ip.as_ref().map(reference));
    Ok(body)
}
