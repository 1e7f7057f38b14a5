//! The networks and machines of the sandbox's Azure.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde_json::Value;
use stargate::resource::ArmId;
use stargate::sandbox::SandboxState;

/// A virtual network with the interfaces in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) id: String,
    pub(crate) space: Vec<Ipv4Net>,
    pub(crate) subnets: Vec<Ipv4Net>,
    pub(crate) interfaces: BTreeMap<Ipv4Addr, Interface>,
}

/// An interface, with what its subnet gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) subnet: Ipv4Net,
    pub(crate) forwarding: bool,
    /// The pods of an AKS node: the overlay delivers their packets to its interface.
    pub(crate) pods: Option<Ipv4Net>,
    pub(crate) routes: Vec<(Ipv4Net, Hop)>,
    /// The rules of each security group that applies, by priority.
    pub(crate) groups: Vec<Vec<Value>>,
    /// Its own public address.
    pub(crate) public: Option<Ipv4Addr>,
    /// The public address of its subnet's NAT gateway.
    pub(crate) gateway: Option<Ipv4Addr>,
}

/// The next hop of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    Appliance(Ipv4Addr),
    Network,
    Internet,
    Blackhole,
}

/// A virtual machine that is provisioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VirtualMachine {
    /// The unique id of this machine: another one of the same name has another.
    pub(crate) instance: String,
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) public_keys: Vec<String>,
    pub(crate) user_data: String,
}

/// A node of AKS, of which Azure decides the address and the pod CIDR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AksNode {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
    pub(crate) pods: Ipv4Net,
}

fn parse<T: FromStr>(value: &Value, pointer: &str) -> Option<T> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

/// An object by the id in a field of another one.
fn referred<'a>(state: &'a SandboxState, value: &Value, pointer: &str) -> Option<&'a Value> {
    state.arm.get(&ArmId::new(value.pointer(pointer)?.as_str()?))
}

/// The virtual machines.
pub(crate) fn machines(state: &SandboxState) -> Vec<VirtualMachine> {
    let machine = |(id, body): (&ArmId, &Value)| {
        if body["properties"]["provisioningState"] != "Succeeded" {
            return None;
        }
        let interface = referred(state, body, "/properties/networkProfile/networkInterfaces/0/id")?;
        let keys = items(body, "/properties/osProfile/linuxConfiguration/ssh/publicKeys");
        Some(VirtualMachine {
            instance: parse(body, "/properties/vmId")?,
            name: id.name().to_owned(),
            address: parse(
                interface,
                "/properties/ipConfigurations/0/properties/privateIPAddress",
            )?,
            public_keys: keys
                .filter_map(|key| key["keyData"].as_str().map(str::to_owned))
                .collect(),
            user_data: state.arm.custom_data(id).unwrap_or_default().to_owned(),
        })
    };
    state.arm.list("Microsoft.Compute/virtualMachines").filter_map(machine).collect()
}

/// The nodes of AKS.
pub(crate) fn aks_nodes(state: &SandboxState) -> Vec<AksNode> {
    let store = state.kubernetes.as_ref();
    let configs = store.map(|store| store.list("acn.azure.com/v1alpha", "NodeNetworkConfig", None));
    let node = |config: &Value| {
        let container = config.pointer("/status/networkContainers/0")?;
        Some(AksNode {
            name: parse(config, "/metadata/name")?,
            address: parse(container, "/nodeIP")?,
            pods: parse(container, "/primaryIP")?,
        })
    };
    configs.into_iter().flatten().filter_map(node).collect()
}

/// The virtual networks.
pub(crate) fn networks(state: &SandboxState) -> Vec<Network> {
    let networks = state.arm.list("Microsoft.Network/virtualNetworks");
    networks.map(|(id, body)| network(state, id, body)).collect()
}

fn network(state: &SandboxState, id: &ArmId, body: &Value) -> Network {
    let space = items(body, "/properties/addressSpace/addressPrefixes");
    let mut network = Network {
        id: id.as_str().to_owned(),
        space: space.filter_map(|prefix| prefix.as_str()?.parse().ok()).collect(),
        subnets: Vec::new(),
        interfaces: BTreeMap::new(),
    };
    for subnet in items(body, "/properties/subnets") {
        let Some(range) = parse(subnet, "/properties/addressPrefix") else { continue };
        network.subnets.push(range);
        let id = id.child("subnets", subnet["name"].as_str().unwrap());
        let in_subnet = interface_of(state, subnet, range);
        for (_, nic) in state.arm.list("Microsoft.Network/networkInterfaces") {
            let place = &nic["properties"]["ipConfigurations"][0]["properties"];
            if place["subnet"]["id"].as_str().map(ArmId::new).as_ref() != Some(&id) {
                continue;
            }
            let mut interface = in_subnet.clone();
            interface.forwarding = nic["properties"]["enableIPForwarding"] == true;
            interface.groups.extend(group(state, nic));
            interface.public = referred(state, place, "/publicIPAddress/id")
                .and_then(|address| parse(address, "/properties/ipAddress"));
            network.interfaces.insert(parse(place, "/privateIPAddress").unwrap(), interface);
        }
        for node in aks_nodes(state).into_iter().filter(|node| range.contains(&node.address)) {
            // AKS manages the group of its nodes, which allows the traffic of pods.
            let interface =
                Interface { pods: Some(node.pods), groups: Vec::new(), ..in_subnet.clone() };
            network.interfaces.insert(node.address, interface);
        }
    }
    network
}

fn interface_of(state: &SandboxState, subnet: &Value, range: Ipv4Net) -> Interface {
    let table = referred(state, subnet, "/properties/routeTable/id");
    let routes = table.into_iter().flat_map(|table| items(table, "/properties/routes"));
    let route = |route: &Value| {
        let hop = match route["properties"]["nextHopType"].as_str()? {
            "VirtualAppliance" => Hop::Appliance(parse(route, "/properties/nextHopIpAddress")?),
            "VnetLocal" => Hop::Network,
            "Internet" => Hop::Internet,
            _ => Hop::Blackhole,
        };
        Some((parse(route, "/properties/addressPrefix")?, hop))
    };
    let gateway = referred(state, subnet, "/properties/natGateway/id");
    let address = |it| referred(state, it, "/properties/publicIpAddresses/0/id");
    Interface {
        subnet: range,
        forwarding: false,
        pods: None,
        routes: routes.filter_map(route).collect(),
        groups: group(state, subnet).into_iter().collect(),
        public: None,
        gateway: gateway.and_then(address).and_then(|it| parse(it, "/properties/ipAddress")),
    }
}

/// The rules of the security group of a subnet or an interface.
fn group(state: &SandboxState, body: &Value) -> Option<Vec<Value>> {
    let group = referred(state, body, "/properties/networkSecurityGroup/id")?;
    let mut rules: Vec<Value> = items(group, "/properties/securityRules").cloned().collect();
    rules.sort_by_key(|rule| rule["properties"]["priority"].as_u64());
    Some(rules)
}
