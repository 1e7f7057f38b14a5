//! Network interfaces with one static private address.

use azure_mgmt_network::package_2024_03::models;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{known, merge_onto, reference, set_property};
use super::fields::{address, location, missing, read, read_part, referred};
use super::{DecodeError, EncodeError, Marks};
use crate::resource::azure::NetworkInterface;
use crate::resource::{ArmId, Pending};

const WHAT: &str = "network interface";
/// The name of the one configuration on an interface that stargate makes.
const CONFIGURATION: &str = "primary";

/// A configuration, with the ids alone of the objects that it names: the model
/// has them whole.
#[derive(Deserialize)]
struct Configuration {
    properties: Option<ConfigurationProperties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigurationProperties {
    primary: Option<bool>,
    #[serde(rename = "privateIPAddress")]
    private_ip_address: Option<String>,
    subnet: Option<models::SubResource>,
    #[serde(rename = "publicIPAddress")]
    public_ip_address: Option<models::SubResource>,
}

/// Decodes a response of ARM.
pub fn decode(body: &Value) -> Result<NetworkInterface, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    let forwarding: Option<bool> = read_part(WHAT, body, "properties.enableIPForwarding")?;
    let configurations: Option<Vec<Configuration>> =
        read_part(WHAT, body, "properties.ipConfigurations")?;
    let mut configurations: Vec<_> = configurations
        .into_iter()
        .flatten()
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
    let subnet = configuration.subnet.and_then(|subnet| subnet.id);
    let public_ip = configuration.public_ip_address.and_then(|address| address.id);
    Ok(NetworkInterface {
        location: location(WHAT, resource.location.as_deref())?,
        subnet: Pending::Known(ArmId::new(subnet.ok_or_else(|| missing(WHAT, "subnet"))?)),
        private_ip: address(WHAT, "privateIPAddress", private_ip)?,
        ip_forwarding: forwarding.unwrap_or(false),
        public_ip: public_ip.map(ArmId::new),
        network_security_group: referred(WHAT, body, "networkSecurityGroup")?,
        protected_by: None,
    })
}

/// Encodes the body of a PUT. An existing configuration keeps its name.
pub fn encode(
    interface: &NetworkInterface,
    base: Option<&Value>,
    marks: &Marks<'_>,
) -> Result<Value, EncodeError> {
    let there = base.and_then(|base| base.pointer("/properties/ipConfigurations/0"));
    let configuration = encode_configuration(interface, there)?;
    let ours = json!({
        "location": interface.location,
        "tags": marks.tags(),
        "properties": {
            "enableIPForwarding": interface.ip_forwarding,
            "ipConfigurations": [configuration],
        },
    });
    let mut body = merge_onto(base, ours);
    let group = interface.network_security_group.as_ref().map(reference);
    set_property(&mut body, "networkSecurityGroup", group);
    Ok(body)
}

fn encode_configuration(
    interface: &NetworkInterface,
    there: Option<&Value>,
) -> Result<Value, EncodeError> {
    let name = there.and_then(|there| there.get("name")).and_then(Value::as_str);
    let ours = json!({
        "name": name.unwrap_or(CONFIGURATION),
        "properties": {
            "privateIPAddress": interface.private_ip,
            "privateIPAllocationMethod": models::IpAllocationMethod::Static,
            "subnet": reference(known(&interface.subnet, "subnet")?),
            "primary": true,
        },
    });
    let mut body = merge_onto(there, ours);
    set_property(&mut body, "publicIPAddress", interface.public_ip.as_ref().map(reference));
    Ok(body)
}
