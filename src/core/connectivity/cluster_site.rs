//! The cluster's site: AKS's nodes in their VNet, and the router there.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::builder::{ModelBuilder, NodePlace, Part};
use super::kernel::{RouterParts, node_kernel, pod_snat};
use super::path_model::SiteHosts;
use super::projected_state::ProjectedFact;
use super::provenance::Provenance;
use super::segments::unread_subnet;
use crate::dataplane::fabric::{Fabric, FabricSubnet, Interface, OverlayRange};
use crate::dataplane::host::{Pods, SegmentPort};
use crate::dataplane::{Fact, Host, HostId, Origin, PrefixTable, Segment, SegmentId};
use crate::desired::facts::{AksNode, ClusterFacts, NodeSubnet, NodeWithoutPodCidr};
use crate::desired::names;
use crate::inventory::Source;
use crate::net::prefix::router_address;
use crate::resource::{Address, ArmId, Kind, Resource, Site};

/// The name of the virtual network if its real name could not be read.
const UNREAD_NETWORK: &str = "the AKS VNet";

impl ModelBuilder<'_> {
    /// The VNet, the nodes and the router; nothing while there is no cluster.
    pub(super) fn cluster_site(&mut self) {
        let address = self.cluster_address();
        let cluster = self.state.cluster();
        if cluster.is_none() && !matches!(self.state.resource(&address), ProjectedFact::Unread) {
            return;
        }
        // The cluster itself reports AKS's nodes.
        let of_nodes = self.provenance.add(Provenance { address, source: Source::Kubernetes });
        let segment = self.next_segment();
        let mut nodes = Vec::new();
        if let Some(cluster) = cluster {
            for node in &self.sources.facts.nodes {
                nodes.push(self.aks_node(cluster, node, (segment, of_nodes)));
            }
            for node in &self.sources.facts.nodes_without_pod_cidr {
                nodes.extend(self.node_without_pod_cidr(cluster, node, (segment, of_nodes)));
            }
        }
        let parts = self.part(Part::Router(segment), |builder| builder.cluster_router(segment));
        let router = self.add_router(parts);
        let built = self.part(Part::Segment(segment), |it| it.cluster_segment(router));
        self.segments.push(built);
        self.sites.push(SiteHosts { site: Site::Cluster, router, nodes });
    }

    fn cluster_address(&self) -> Address {
        let name = self.sources.topology.cluster.name.as_str();
        Address::new(Kind::ManagedCluster, Site::Cluster, name)
    }

    /// The cluster's router.
    pub(super) fn cluster_router(&mut self, segment: SegmentId) -> RouterParts {
        let topology = self.sources.topology;
        let name = topology.cluster.router.name.as_str();
        let subnet = topology.cluster.router.subnet_cidr;
        let desired = router_address(&subnet).unwrap_or_else(|| subnet.network());
        let (runs, private_ip) = self.machine(&Site::Cluster, name);
        let port = SegmentPort { segment, address: private_ip.unwrap_or(desired) };
        self.router(&Site::Cluster, name, port, runs, subnet)
    }

    /// The VNet with the interfaces of AKS's nodes and of the router.
    pub(super) fn cluster_segment(&mut self, router: HostId) -> Segment {
        let address = self.cluster_address();
        let origin = self.provenance.of(&address);
        let of_nodes = self.provenance.add(Provenance { address, source: Source::Kubernetes });
        let cluster = self.state.cluster();
        let mut fabric = Fabric {
            name: cluster.map_or(UNREAD_NETWORK, |it| it.virtual_network.name()).to_owned(),
            origin,
            unread: self.unread_nodes(origin, of_nodes),
            address_space: cluster.map(|it| it.address_prefixes.clone()).unwrap_or_default(),
            subnets: Vec::new(),
            interfaces: BTreeMap::new(),
            overlay: PrefixTable::default(),
        };
        let mut subnets = Vec::new();
        if let Some(cluster) = cluster {
            subnets = self.cluster_subnets(cluster, &mut fabric);
            for node in &self.aks_nodes {
                attach_node(&mut fabric, cluster, (node.host, node.address), of_nodes);
                if let Some(pods) = node.pods {
                    let range = OverlayRange { node: node.address, origin: of_nodes };
                    fabric.overlay.insert(pods, range);
                }
            }
        }
        let name = self.sources.topology.cluster.router.name.as_str();
        let interface = Address::new(Kind::NetworkInterface, Site::Cluster, names::interface(name));
        self.attach(&mut fabric, router, &interface, &subnets);
        Segment::Fabric(Box::new(fabric))
    }

    /// The sources that should have reported the unknown nodes or their pods.
    fn unread_nodes(&self, of_cluster: Origin, of_nodes: Origin) -> Option<Origin> {
        let facts = self.sources.facts;
        if facts.cluster.is_none() {
            return Some(of_cluster);
        }
        let snat = self.state.is_unread(Kind::Worker, None);
        (snat || !facts.nodes_without_pod_cidr.is_empty()).then_some(of_nodes)
    }

    /// The nodes' subnets, then the router's.
    fn cluster_subnets(&mut self, cluster: &ClusterFacts, fabric: &mut Fabric) -> Vec<Address> {
        let mut addresses = Vec::new();
        for node_subnet in &cluster.node_subnets {
            let address =
                Address::new(Kind::RouteTableAssociation, Site::Cluster, node_subnet.id.name());
            let origin = self.provenance.of(&address);
            let kept = node_subnet.foreign_route_table.as_ref();
            let kept = kept.filter(|_| self.sources.desired.get(&address).is_none());
            let routes = match self.state.resource(&address) {
                _ if kept.is_some() => self.user_routes(&Site::Cluster, &address, kept),
                ProjectedFact::There(Resource::RouteTableAssociation(association)) => {
                    let table: Option<&ArmId> = association.route_table.as_ref();
                    self.user_routes(&Site::Cluster, &address, table)
                }
                ProjectedFact::There(_) | ProjectedFact::Absent => {
                    Fact::known(Default::default(), origin)
                }
                ProjectedFact::Unread => Fact::unknown(origin),
            };
            let security = self.group_of_nodes(&address, node_subnet.security_group.as_ref());
            let name = node_subnet.id.name().to_owned();
            let interface_security = None;
            fabric.subnets.push(FabricSubnet { name, routes, security, interface_security });
            addresses.push(address);
        }
        let address = Address::new(Kind::Subnet, Site::Cluster, names::CLUSTER_ROUTER_SUBNET);
        if let Some(subnet) = self.subnet(&address) {
            fabric.subnets.push(subnet);
            addresses.push(address);
        }
        addresses
    }

    fn aks_node(
        &mut self,
        cluster: &ClusterFacts,
        node: &AksNode,
        (segment, origin): (SegmentId, Origin),
    ) -> HostId {
        let network = node_network(cluster, node.address);
        let mut kernel = node_kernel(network);
        kernel.translations.push(pod_snat(node.pod_cidr, cluster.pod_cidr));
        let host = self.add_host(Host {
            name: node.name.clone(),
            runs: Fact::known(true, origin),
            ports: vec![SegmentPort { segment, address: node.address }],
            pods: Fact::known(Pods::Range(node.pod_cidr), origin),
            kernel: Fact::known(kernel, origin),
        });
        let pods = Some(node.pod_cidr);
        self.aks_nodes.push(NodePlace { host, address: node.address, pods });
        host
    }

    /// A node that Azure has not given its pods yet, where it has an address.
    fn node_without_pod_cidr(
        &mut self,
        cluster: &ClusterFacts,
        node: &NodeWithoutPodCidr,
        (segment, origin): (SegmentId, Origin),
    ) -> Option<HostId> {
        let address = node.address?;
        let kernel = node_kernel(node_network(cluster, address));
        let host = self.add_host(Host {
            name: node.name.clone(),
            runs: Fact::known(true, origin),
            ports: vec![SegmentPort { segment, address }],
            pods: Fact::unknown(origin),
            kernel: Fact::known(kernel, origin),
        });
        self.aks_nodes.push(NodePlace { host, address, pods: None });
        Some(host)
    }
}

/// The range of the subnet that an address is in.
fn node_network(cluster: &ClusterFacts, address: Ipv4Addr) -> Ipv4Net {
    let subnet = cluster.node_subnets.iter().find(|subnet| subnet.prefix.contains(&address));
    subnet.map(|subnet| subnet.prefix).unwrap_or_default()
}

/// Hangs a node on its subnet; AKS's own interfaces do not forward.
fn attach_node(
    fabric: &mut Fabric,
    cluster: &ClusterFacts,
    (host, address): (HostId, Ipv4Addr),
    origin: Origin,
) {
    let of_subnet = |subnet: &NodeSubnet| subnet.prefix.contains(&address);
    let subnet = cluster.node_subnets.iter().position(of_subnet);
    let subnet = subnet.unwrap_or_else(|| unread_subnet(fabric, origin));
    let forwarding = Fact::known(false, origin);
    fabric.interfaces.insert(address, Interface { host, subnet, forwarding, in_overlay: true });
}
