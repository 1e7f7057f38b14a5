//! An index of everything that forwards packets, built once for many of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::ArmId;
use crate::sandbox::controllers::cluster::{NETWORK_CONFIG, NODE, is_of_aks, name};
use crate::sandbox::controllers::nodes::{internal_ip, network_config_range};
use crate::sandbox::hosts::{EmulatedHost, HostKind};
use crate::sandbox::state::SandboxState;
use crate::sandbox::tailnet::EmulatedDevice;

const CLUSTERS: &str = "Microsoft.ContainerService/managedClusters";
const NETWORKS: &str = "Microsoft.Network/virtualNetworks";
const INTERFACES: &str = "Microsoft.Network/networkInterfaces";

/// Everything that forwards packets.
pub(super) struct EmulatedFabric<'a> {
    /// By label.
    pub(super) machines: BTreeMap<&'a str, &'a EmulatedHost>,
    /// The labels of the machines by the name of the Node that each serves.
    labels: BTreeMap<&'a str, &'a str>,
    pub(super) aks: BTreeMap<&'a str, EmulatedNode>,
    pub(super) networks: Vec<EmulatedNetwork>,
    pub(super) devices: Vec<(&'a EmulatedDevice, Vec<Ipv4Net>)>,
    pub(super) now: Timestamp,
}

/// One of AKS's own nodes. Its inside is not modelled, and the fabric routes to its pods.
pub(super) struct EmulatedNode {
    pub(super) address: Ipv4Addr,
    pub(super) pods: Option<Ipv4Net>,
}

/// A virtual network.
pub(super) struct EmulatedNetwork {
    pub(super) space: Vec<Ipv4Net>,
    pub(super) interfaces: BTreeMap<Ipv4Addr, EmulatedInterface>,
}

/// An interface, with the routes and rules of its subnet.
#[derive(Default)]
pub(super) struct EmulatedInterface {
    /// The host or AKS node that the interface belongs to.
    pub(super) owner: String,
    pub(super) forwarding: bool,
    pub(super) routes: Vec<(Ipv4Net, EmulatedHop)>,
    /// The rules of each security group that applies to the interface.
    pub(super) groups: Vec<Vec<Value>>,
}

/// The next hop of a route in the fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EmulatedHop {
    Appliance(Ipv4Addr),
    VnetLocal,
    Internet,
    Blackhole,
}

impl<'a> EmulatedFabric<'a> {
    pub(super) fn of(sandbox: &'a SandboxState, now: Timestamp) -> Self {
        let machines: BTreeMap<&str, &EmulatedHost> =
            sandbox.hosts.iter().map(|(label, host)| (label.as_str(), host)).collect();
        let advertised = |device: &'a EmulatedDevice| {
            let both = device.enabled_routes.intersection(&device.advertised_routes);
            let four = both.filter_map(|route| match route {
                IpNet::V4(route) => Some(*route),
                IpNet::V6(_) => None,
            });
            (device, four.collect())
        };
        let mut fabric = Self {
            labels: serving_machines(&machines),
            machines,
            aks: aks_nodes(sandbox),
            networks: Vec::new(),
            devices: sandbox.tailnet.devices().map(advertised).collect(),
            now,
        };
        for (id, network) in sandbox.arm.list(NETWORKS) {
            let network = fabric.network(sandbox, id, network);
            fabric.networks.push(network);
        }
        fabric
    }

    /// The label of the machine that serves a Node, or the Node's own name.
    pub(super) fn label_of(&self, node: &'a str) -> &'a str {
        self.labels.get(node).copied().unwrap_or(node)
    }

    /// The machine that serves a Node.
    pub(super) fn machine_of(&self, node: &str) -> Option<&'a EmulatedHost> {
        self.machines.get(self.labels.get(node)?).copied()
    }

    fn network(&self, sandbox: &SandboxState, id: &ArmId, body: &Value) -> EmulatedNetwork {
        let prefixes = body.pointer("/properties/addressSpace/addressPrefixes");
        let mut network =
            EmulatedNetwork { space: prefixes_of(prefixes), interfaces: BTreeMap::new() };
        let subnets = body.pointer("/properties/subnets").and_then(Value::as_array);
        for subnet in subnets.into_iter().flatten() {
            let Some(subnet_id) = subnet["name"].as_str().map(|name| id.child("subnets", name))
            else {
                continue;
            };
            for machine in sandbox.arm.list(INTERFACES).map(|(_, body)| body) {
                let place = "/properties/ipConfigurations/0/properties";
                let at = |field: &str| machine.pointer(&format!("{place}/{field}"))?.as_str();
                if at("subnet/id").map(ArmId::new).as_ref() != Some(&subnet_id) {
                    continue;
                }
                let Some(address) = at("privateIPAddress").and_then(|it| it.parse().ok()) else {
                    continue;
                };
                let mut interface = subnet_interface(sandbox, subnet);
                interface.owner = self.owner_of(sandbox, machine);
                interface.forwarding = machine["properties"]["enableIPForwarding"] == true;
                interface.groups.extend(group(sandbox, machine));
                network.interfaces.insert(address, interface);
            }
            let range: Option<Ipv4Net> = text(subnet, "/properties/addressPrefix");
            for (name, node) in self.aks.iter().filter(|_| holds_nodes(sandbox, id)) {
                if range.is_some_and(|range| range.contains(&node.address)) {
                    let mut interface = subnet_interface(sandbox, subnet);
                    // Azure's default rules do not apply to the overlay: what no rule of the
                    // group denies may pass.
                    interface.groups.iter_mut().for_each(|rules| rules.extend(allow_rest()));
                    interface.owner = (*name).to_owned();
                    network.interfaces.insert(node.address, interface);
                }
            }
        }
        network
    }

    /// The host whose VM has the interface.
    fn owner_of(&self, sandbox: &SandboxState, interface: &Value) -> String {
        let id = interface["id"].as_str().map(ArmId::new);
        let has = |vm: &ArmId| {
            let interfaces = sandbox.arm.get(vm)?.pointer("/properties/networkProfile")?;
            let first = interfaces.pointer("/networkInterfaces/0/id")?.as_str()?;
            Some(Some(ArmId::new(first)) == id)
        };
        let owner = self.machines.iter().find(|(_, host)| match &host.kind {
            HostKind::Vm { id, .. } => has(id).unwrap_or(false),
            HostKind::Existing { .. } => false,
        });
        owner.map(|(label, _)| (*label).to_owned()).unwrap_or_default()
    }
}

/// Of machines with the same name, one serves the Node.
fn serving_machines<'a>(
    machines: &BTreeMap<&'a str, &'a EmulatedHost>,
) -> BTreeMap<&'a str, &'a str> {
    let mut found: BTreeMap<&str, (&str, &EmulatedHost)> = BTreeMap::new();
    for (label, host) in machines {
        let best = found.entry(host.name.as_str()).or_insert((label, host));
        if host.node_precedence() > best.1.node_precedence() {
            *best = (label, host);
        }
    }
    found.into_iter().map(|(name, (label, _))| (name, label)).collect()
}

fn aks_nodes(sandbox: &SandboxState) -> BTreeMap<&str, EmulatedNode> {
    let Some(store) = &sandbox.kubernetes else { return BTreeMap::new() };
    let nodes = store.list(NODE.0, NODE.1, None).into_iter();
    let own = nodes.filter(|node| is_of_aks(node));
    own.filter_map(|node| {
        let config = store.get(NETWORK_CONFIG.0, NETWORK_CONFIG.1, Some("kube-system"), name(node));
        let pods = config.and_then(network_config_range);
        Some((name(node), EmulatedNode { address: internal_ip(node)?, pods }))
    })
    .collect()
}

/// Whether a network contains AKS's nodes: the pools' own network, or else the one that AKS
/// created.
fn holds_nodes(sandbox: &SandboxState, network: &ArmId) -> bool {
    sandbox.arm.list(CLUSTERS).any(|(_, cluster)| {
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

/// The routes and rules that a subnet gives to its interfaces.
fn subnet_interface(sandbox: &SandboxState, subnet: &Value) -> EmulatedInterface {
    let table = text(subnet, "/properties/routeTable/id").map(|id: String| ArmId::new(id));
    let table = table.and_then(|id| sandbox.arm.get(&id));
    let routes = table.and_then(|table| table.pointer("/properties/routes")?.as_array());
    let route = |route: &Value| {
        let hop = match route.pointer("/properties/nextHopType")?.as_str()? {
            "VirtualAppliance" => {
                EmulatedHop::Appliance(text(route, "/properties/nextHopIpAddress")?)
            }
            "VnetLocal" => EmulatedHop::VnetLocal,
            "Internet" | "VirtualNetworkGateway" => EmulatedHop::Internet,
            _ => EmulatedHop::Blackhole,
        };
        Some((text(route, "/properties/addressPrefix")?, hop))
    };
    EmulatedInterface {
        routes: routes.into_iter().flatten().filter_map(route).collect(),
        groups: group(sandbox, subnet).into_iter().collect(),
        ..EmulatedInterface::default()
    }
}

/// Rules that allow what no other rule matches.
fn allow_rest() -> impl Iterator<Item = Value> {
    ["Inbound", "Outbound"].into_iter().map(|direction| {
        json!({ "properties": {
            "direction": direction, "access": "Allow", "protocol": "*",
            "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
            "destinationPortRange": "*",
        }})
    })
}

/// The rules of the security group that a subnet or an interface refers to.
fn group(sandbox: &SandboxState, body: &Value) -> Option<Vec<Value>> {
    let id: String = text(body, "/properties/networkSecurityGroup/id")?;
    let group = sandbox.arm.get(&ArmId::new(id))?;
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
