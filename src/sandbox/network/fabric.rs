//! The world as packets find it, put in order once for many of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde_json::Value;

use crate::resource::ArmId;
use crate::sandbox::controllers::cluster::{NETWORK_CONFIG, NODE, POOL_LABEL, label, name};
use crate::sandbox::controllers::nodes::{internal_ip, network_config_range};
use crate::sandbox::hosts::{Host, HostKind};
use crate::sandbox::tailnet::Device;
use crate::sandbox::world::World;

const CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";
const NETWORKS: &str = "Microsoft.Network/virtualNetworks";
const INTERFACES: &str = "Microsoft.Network/networkInterfaces";

/// Everything that carries packets.
pub(super) struct Fabric<'a> {
    pub(super) machines: BTreeMap<&'a str, &'a Host>,
    pub(super) aks: BTreeMap<&'a str, AksNode>,
    pub(super) networks: Vec<Network>,
    pub(super) devices: Vec<(&'a Device, Vec<Ipv4Net>)>,
    pub(super) now: Timestamp,
}

/// One of AKS's own nodes: nobody looks into it, and the fabric carries its pods.
pub(super) struct AksNode {
    pub(super) address: Ipv4Addr,
    pub(super) pods: Option<Ipv4Net>,
}

/// A virtual network.
pub(super) struct Network {
    pub(super) space: Vec<Ipv4Net>,
    pub(super) interfaces: BTreeMap<Ipv4Addr, Interface>,
}

/// An interface with what its subnet does to it.
#[derive(Default)]
pub(super) struct Interface {
    /// The machine or node that it is of.
    pub(super) owner: String,
    pub(super) forwarding: bool,
    pub(super) routes: Vec<(Ipv4Net, Hop)>,
    /// The rules of each security group before it.
    pub(super) groups: Vec<Vec<Value>>,
}

/// Where a route of the fabric leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    Appliance(Ipv4Addr),
    Within,
    Out,
    Nowhere,
}

impl<'a> Fabric<'a> {
    pub(super) fn of(world: &'a World, now: Timestamp) -> Self {
        let machines = world.hosts.values().map(|host| (host.name.as_str(), host)).collect();
        let offered = |device: &'a Device| {
            let both = device.enabled_routes.intersection(&device.advertised_routes);
            let four = both.filter_map(|route| match route {
                IpNet::V4(route) => Some(*route),
                IpNet::V6(_) => None,
            });
            (device, four.collect())
        };
        let mut fabric = Self {
            machines,
            aks: aks_nodes(world),
            networks: Vec::new(),
            devices: world.tailnet.devices().map(offered).collect(),
            now,
        };
        for (id, network) in world.arm.list(NETWORKS) {
            let network = fabric.network(world, id, network);
            fabric.networks.push(network);
        }
        fabric
    }

    fn network(&self, world: &World, id: &ArmId, body: &Value) -> Network {
        let prefixes = body.pointer("/properties/addressSpace/addressPrefixes");
        let mut network = Network { space: prefixes_of(prefixes), interfaces: BTreeMap::new() };
        let subnets = body.pointer("/properties/subnets").and_then(Value::as_array);
        for subnet in subnets.into_iter().flatten() {
            let Some(subnet_id) = subnet["name"].as_str().map(|name| id.child("subnets", name))
            else {
                continue;
            };
            for machine in world.arm.list(INTERFACES).map(|(_, body)| body) {
                let place = "/properties/ipConfigurations/0/properties";
                let at = |field: &str| machine.pointer(&format!("{place}/{field}"))?.as_str();
                if at("subnet/id").map(ArmId::new).as_ref() != Some(&subnet_id) {
                    continue;
                }
                let Some(address) = at("privateIPAddress").and_then(|it| it.parse().ok()) else {
                    continue;
                };
                let mut interface = behind(world, subnet);
                interface.owner = self.owner_of(world, machine);
                interface.forwarding = machine["properties"]["enableIPForwarding"] == true;
                interface.groups.extend(group(world, machine));
                network.interfaces.insert(address, interface);
            }
            let range: Option<Ipv4Net> = text(subnet, "/properties/addressPrefix");
            for (name, node) in self.aks.iter().filter(|_| holds_nodes(world, id)) {
                if range.is_some_and(|range| range.contains(&node.address)) {
                    let mut interface = behind(world, subnet);
                    // AKS's own group is not the user's, and lets pods pass.
                    interface.groups.clear();
                    interface.owner = (*name).to_owned();
                    network.interfaces.insert(node.address, interface);
                }
            }
        }
        network
    }

    /// The machine whose VM has the interface.
    fn owner_of(&self, world: &World, interface: &Value) -> String {
        let id = interface["id"].as_str().map(ArmId::new);
        let has = |vm: &ArmId| {
            let interfaces = world.arm.get(vm)?.pointer("/properties/networkProfile")?;
            let first = interfaces.pointer("/networkInterfaces/0/id")?.as_str()?;
            Some(Some(ArmId::new(first)) == id)
        };
        let owner = self.machines.values().find(|host| match &host.kind {
            HostKind::Vm { id, .. } => has(id).unwrap_or(false),
            HostKind::Existing { .. } => false,
        });
        owner.map(|host| host.name.clone()).unwrap_or_default()
    }
}

fn aks_nodes(world: &World) -> BTreeMap<&str, AksNode> {
    let Some(store) = &world.kubernetes else { return BTreeMap::new() };
    let nodes = store.list(NODE.0, NODE.1, None).into_iter();
    let own = nodes.filter(|node| label(node, POOL_LABEL).is_some());
    own.filter_map(|node| {
        let config = store.get(NETWORK_CONFIG.0, NETWORK_CONFIG.1, Some("kube-system"), name(node));
        let pods = config.and_then(network_config_range);
        Some((name(node), AksNode { address: internal_ip(node)?, pods }))
    })
    .collect()
}

/// Whether AKS's nodes stand in a network: the one of their pools, or else the
/// one that AKS made beside them.
fn holds_nodes(world: &World, network: &ArmId) -> bool {
    world.arm.list(CLUSTERS).any(|(_, cluster)| {
        let subnet: Option<String> = text(cluster, "/properties/agentPoolProfiles/0/vnetSubnetID");
        let group: Option<String> = text(cluster, "/properties/nodeResourceGroup");
        match subnet {
            Some(subnet) => ArmId::new(subnet).parent().as_ref() == Some(network),
            None => group.is_some_and(|group| {
                network.resource_group_name().is_some_and(|it| it.eq_ignore_ascii_case(&group))
            }),
        }
    })
}

/// What a subnet does to an interface on it.
fn behind(world: &World, subnet: &Value) -> Interface {
    let table = text(subnet, "/properties/routeTable/id").map(|id: String| ArmId::new(id));
    let table = table.and_then(|id| world.arm.get(&id));
    let routes = table.and_then(|table| table.pointer("/properties/routes")?.as_array());
    let route = |route: &Value| {
        let hop = match route.pointer("/properties/nextHopType")?.as_str()? {
            "VirtualAppliance" => Hop::Appliance(text(route, "/properties/nextHopIpAddress")?),
            "VnetLocal" => Hop::Within,
            "Internet" | "VirtualNetworkGateway" => Hop::Out,
            _ => Hop::Nowhere,
        };
        Some((text(route, "/properties/addressPrefix")?, hop))
    };
    Interface {
        routes: routes.into_iter().flatten().filter_map(route).collect(),
        groups: group(world, subnet).into_iter().collect(),
        ..Interface::default()
    }
}

/// The rules of the group that a subnet or an interface points at.
fn group(world: &World, body: &Value) -> Option<Vec<Value>> {
    let id: String = text(body, "/properties/networkSecurityGroup/id")?;
    let group = world.arm.get(&ArmId::new(id))?;
    let mut rules = group.pointer("/properties/securityRules")?.as_array()?.clone();
    rules.sort_by_key(|rule| rule.pointer("/properties/priority").and_then(Value::as_u64));
    Some(rules)
}

pub(super) fn prefixes_of(list: Option<&Value>) -> Vec<Ipv4Net> {
    let texts = list.and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(|text| text.as_str()?.parse().ok()).collect()
}

fn text<T: std::str::FromStr>(value: &Value, pointer: &str) -> Option<T> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}
