//! Network interfaces.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::super::children::is_named;
use super::super::draft::Draft;
use super::super::errors::ArmError;
use super::super::{ArmContext, json};
use super::virtual_network;
use crate::resource::ArmId;

/// The number of addresses at the start of a subnet that Azure reserves.
const RESERVED_ADDRESSES: u32 = 4;

/// Validates an interface, assigns its addresses and adds the fields that the service fills in.
pub(in super::super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    super::add_resource_guid(draft, body, context);
    add_defaults(draft, body, context);
    let configurations = json::items_mut(body, "/properties/ipConfigurations");
    if configurations.is_empty() {
        let message =
            format!("Network interface {} must have one or more IP configurations.", draft.id);
        return Err(ArmError::bad("NetworkInterfaceMustHaveOneOrMoreIPConfigurations", message));
    }
    for (index, configuration) in configurations.iter_mut().enumerate() {
        json::fill(configuration, &["properties", "primary"], json!(index == 0));
        json::fill(configuration, &["properties", "privateIPAddressVersion"], json!("IPv4"));
        json::fill(configuration, &["properties", "privateIPAllocationMethod"], json!("Dynamic"));
        let name = json::text(configuration, "/name").unwrap_or_default().to_owned();
        let id = draft.id.child("ipConfigurations", &name);
        check_public_ip(draft, &id, configuration)?;
        let address = address(draft, &id, configuration)?;
        json::set(configuration, &["properties", "privateIPAddress"], json!(address));
    }
    Ok(())
}

fn add_defaults(draft: &Draft<'_>, body: &mut Value, context: &mut ArmContext<'_>) {
    let defaults = [
        ("enableIPForwarding", json!(false)),
        ("enableAcceleratedNetworking", json!(false)),
        ("disableTcpStateTracking", json!(false)),
        ("hostedWorkloads", json!([])),
        ("tapConfigurations", json!([])),
        ("nicType", json!("Standard")),
        ("vnetEncryptionSupported", json!(false)),
    ];
    for (name, value) in defaults {
        json::fill(body, &["properties", name], value);
    }
    json::fill(body, &["properties", "dnsSettings", "dnsServers"], json!([]));
    json::fill(body, &["properties", "dnsSettings", "appliedDnsServers"], json!([]));
    let suffix = ["properties", "dnsSettings", "internalDomainNameSuffix"];
    json::copy_from(body, draft.old, &suffix);
    let guid = (context.guid)().replace('-', "");
    let made = format!("{}.ax.internal.cloudapp.net", guid.get(..26).unwrap_or(&guid));
    json::fill(body, &suffix, json!(made));
    // The service sets these when a VM is attached; clients cannot write them.
    for member in ["macAddress", "virtualMachine", "primary"] {
        json::take(body, &["properties", member]);
        if let Some(kept) = draft.old.and_then(|old| old.pointer(&format!("/properties/{member}")))
        {
            json::set(body, &["properties", member], kept.clone());
        }
    }
}

fn check_public_ip(draft: &Draft<'_>, id: &ArmId, configuration: &Value) -> Result<(), ArmError> {
    let Some(public) = json::text(configuration, "/properties/publicIPAddress/id") else {
        return Ok(());
    };
    match draft.store.index.users(&ArmId::new(public)).find(|user| *user != id) {
        None => Ok(()),
        Some(user) => {
            let message = format!(
                "Resource {id} is referencing public IP address {public} that is already \
                 allocated to resource {user}."
            );
            Err(ArmError::bad("PublicIPAddressInUse", message))
        }
    }
}

/// The address of an IP configuration: the requested one, its previous one, or the first free one.
fn address(draft: &Draft<'_>, id: &ArmId, configuration: &Value) -> Result<Ipv4Addr, ArmError> {
    let Some(subnet) = json::text(configuration, "/properties/subnet/id").map(ArmId::new) else {
        let message = format!("IP configuration {id} does not refer to a subnet.");
        return Err(ArmError::bad("SubnetIdMissing", message));
    };
    let Some(prefix) = draft.store.get(&subnet).and_then(virtual_network::prefix) else {
        return Err(ArmError::invalid_reference(subnet.as_str(), id.as_str()));
    };
    let requested = json::text(configuration, "/properties/privateIPAddress");
    let is_static = json::text(configuration, "/properties/privateIPAllocationMethod")
        .is_some_and(|method| method.eq_ignore_ascii_case("Static"));
    if is_static {
        return check_static(draft, id, &subnet, prefix, requested.unwrap_or_default());
    }
    let present = old_address(draft, id.name()).filter(|address| {
        draft.store.index.holder(&subnet, *address).is_some_and(|holder| holder == id)
    });
    let free = |address: &Ipv4Addr| draft.store.index.holder(&subnet, *address).is_none();
    present.or_else(|| usable(prefix).find(free)).ok_or_else(|| {
        let message = format!("Subnet {subnet} does not have enough capacity for 1 IP addresses.");
        ArmError::bad("SubnetIsFull", message)
    })
}

fn old_address(draft: &Draft<'_>, configuration: &str) -> Option<Ipv4Addr> {
    let old = json::items(draft.old?, "/properties/ipConfigurations");
    let old = old.iter().find(|old| is_named(old, configuration))?;
    json::text(old, "/properties/privateIPAddress")?.parse().ok()
}

fn check_static(
    draft: &Draft<'_>,
    id: &ArmId,
    subnet: &ArmId,
    prefix: Ipv4Net,
    requested: &str,
) -> Result<Ipv4Addr, ArmError> {
    let address = requested.parse::<Ipv4Addr>().ok().filter(|address| prefix.contains(address));
    let Some(address) = address else {
        let message = format!(
            "Private static IP address {requested} does not belong to the range of subnet prefix \
             {prefix} of {subnet}."
        );
        return Err(ArmError::bad("PrivateIPAddressNotInSubnet", message));
    };
    let offset = u32::from(address) - u32::from(prefix.network());
    if offset < RESERVED_ADDRESSES || address == prefix.broadcast() {
        let message = format!(
            "Private static IP address {address} falls within reserved IP range of subnet \
             prefix {prefix}."
        );
        return Err(ArmError::bad("PrivateIPAddressInReservedRange", message));
    }
    match draft.store.index.holder(subnet, address) {
        None => Ok(address),
        Some(holder) if holder == id => Ok(address),
        Some(holder) if draft.store.get(holder).is_some() => {
            let message = format!(
                "IP configuration {id} is using the private IP address {address} which is already \
                 allocated to resource {holder}."
            );
            Err(ArmError::bad("PrivateIPAddressIsAllocated", message))
        }
        Some(holder) => {
            let message = format!("Private IP address {address} is in use by {holder}.");
            Err(ArmError::bad("PrivateIPAddressInUse", message))
        }
    }
}

/// The addresses that Azure assigns, in ascending order. The fourth address of the prefix is the
/// first.
fn usable(prefix: Ipv4Net) -> impl Iterator<Item = Ipv4Addr> {
    let first = u32::from(prefix.network()) + RESERVED_ADDRESSES;
    (first..u32::from(prefix.broadcast())).map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use crate::sandbox::arm::test_client::{TestClient, id, network};

    #[test]
    fn addresses_are_assigned_and_kept() {
        let mut client = TestClient::new();
        client.make_network();
        let first = client.put(&network("networkInterfaces/a"), TestClient::interface(None));
        assert_eq!((first.status.as_u16(), first.state()), (201, "Succeeded"));
        assert!(first.header("azure-asyncoperation").is_some());
        let properties = &first.body["properties"]["ipConfigurations"][0]["properties"];
        assert_eq!(properties["privateIPAddress"], "10.1.1.4");
        client.store.reserve_address(
            &id(&network("virtualNetworks/v/subnets/n")),
            "10.1.1.9".parse().unwrap(),
            &id("/node/0"),
        );
        for (address, code) in [
            ("10.1.1.4", "PrivateIPAddressIsAllocated"),
            ("10.1.1.9", "PrivateIPAddressInUse"),
            ("10.1.1.3", "PrivateIPAddressInReservedRange"),
            ("10.1.1.255", "PrivateIPAddressInReservedRange"),
            ("10.1.2.4", "PrivateIPAddressNotInSubnet"),
        ] {
            let body = TestClient::interface(Some(address));
            let refused = client.put(&network("networkInterfaces/b"), body);
            assert_eq!(refused.refusal(), (400, code), "{address}");
        }
        // A repeated PUT keeps the address, and the etag survives the operation.
        let again =
            client.put(&network("networkInterfaces/a"), TestClient::interface(Some("10.1.1.4")));
        assert_eq!(again.status, 200);
        client.follow(&again);
        let rendered = client.get(&network("networkInterfaces/a"));
        assert_eq!(rendered.body["etag"], again.body["etag"]);
        assert_eq!(rendered.header("etag"), again.body["etag"].as_str());
    }
}
