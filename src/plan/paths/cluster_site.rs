//! The cluster's side: AKS's nodes in their VNet, and the router there.

use std::collections::BTreeMap;

use super::kernels::{node_kernel, pods_hidden};
use super::view::Seen;
use super::{Builder, SiteHosts};
use crate::desired::facts::{AksNode, ClusterFacts};
use crate::desired::names;
use crate::net::prefix::router_address;
use crate::reach::fabric::{Fabric, Interface, OverlayRange, Subnet};
use crate::reach::host::{Pods, SegmentPort};
use crate::reach::security::SecurityGroup;
use crate::reach::{Fact, Host, HostId, PrefixTable, Segment, SegmentId};
use crate::resource::{Address, ArmId, Kind, Resource, Side};

impl Builder<'_> {
    /// The VNet, the nodes and the router; nothing while there is no cluster.
    pub(super) fn cluster_site(&mut self) {
        let Some(cluster) = &self.sources.facts.cluster else { return };
        let segment = SegmentId(self.segments.len());
        let topology = self.sources.topology;
        let name = topology.cluster.router.name.as_str();
        let cluster_address =
            Address::new(Kind::ManagedCluster, Side::Cluster, topology.cluster.name.as_str());
        let origin = self.origins.of(&cluster_address);
        // AKS's nodes are told of by the cluster itself.
        let blind = self.view.is_hidden(Kind::Worker, None);
        let mut fabric = Fabric {
            name: cluster.virtual_network.name().to_owned(),
            origin,
            unread: blind.then_some(origin),
            address_space: cluster.address_prefixes.clone(),
            subnets: Vec::new(),
            interfaces: BTreeMap::new(),
            overlay: PrefixTable::default(),
        };
        let subnets = self.cluster_subnets(cluster, &mut fabric);
        let nodes: Vec<HostId> = self
            .sources
            .facts
            .nodes
            .iter()
            .map(|node| self.aks_node(cluster, node, segment, &mut fabric))
            .collect();
        let subnet = topology.cluster.router.subnet_cidr;
        let wanted = router_address(&subnet).unwrap_or_else(|| subnet.network());
        let own = self.private_ip(&Side::Cluster, name).unwrap_or(wanted);
        let runs = self.machine_runs(&Side::Cluster, name);
        let port = SegmentPort { segment, address: own };
        let router = self.add_router(&Side::Cluster, name, port, runs, subnet);
        let interface = Address::new(Kind::NetworkInterface, Side::Cluster, names::interface(name));
        self.attach(&mut fabric, router, &interface, &subnets);
        self.segments.push(Segment::Fabric(Box::new(fabric)));
        self.sites.push(SiteHosts { side: Side::Cluster, router, nodes });
    }

    /// The nodes' subnets, then the router's.
    fn cluster_subnets(&mut self, cluster: &ClusterFacts, fabric: &mut Fabric) -> Vec<Address> {
        let mut addresses = Vec::new();
        for node_subnet in &cluster.node_subnets {
            let address =
                Address::new(Kind::RouteTableAssociation, Side::Cluster, node_subnet.id.name());
            let origin = self.origins.of(&address);
            let routes = match self.view.resource(&address) {
                Seen::There(Resource::RouteTableAssociation(association)) => {
                    let table: Option<&ArmId> = association.route_table.as_ref();
                    self.user_routes(&Side::Cluster, &address, table)
                }
                Seen::There(_) | Seen::Absent => Fact::known(Default::default(), origin),
                Seen::Hidden => Fact::unknown(origin),
            };
            let open = std::sync::Arc::new(SecurityGroup::open(origin));
            fabric.subnets.push(Subnet {
                name: node_subnet.id.name().to_owned(),
                routes,
                security: Fact::known(open, origin),
            });
            addresses.push(address);
        }
        let address = Address::new(Kind::Subnet, Side::Cluster, names::CLUSTER_ROUTER_SUBNET);
        fabric.subnets.extend(self.subnet(&address));
        addresses.push(address);
        addresses
    }

    fn aks_node(
        &mut self,
        cluster: &ClusterFacts,
        node: &AksNode,
        segment: SegmentId,
        fabric: &mut Fabric,
    ) -> HostId {
        let origin = fabric.origin;
        let of_subnet =
            |subnet: &crate::desired::facts::NodeSubnet| subnet.prefix.contains(&node.address);
        let subnet = cluster.node_subnets.iter().position(of_subnet).unwrap_or_default();
        let network = cluster.node_subnets.get(subnet).map(|subnet| subnet.prefix);
        let mut kernel = node_kernel(network.unwrap_or_default(), origin);
        kernel.translations.push(pods_hidden(node.pod_cidr, cluster.pod_cidr));
        let host = self.add_host(Host {
            name: node.name.clone(),
            runs: Fact::known(true, origin),
            ports: vec![SegmentPort { segment, address: node.address }],
            pods: Fact::known(Pods::Range(node.pod_cidr), origin),
            kernel: Fact::known(kernel, origin),
        });
        let forwarding = Fact::known(false, origin);
        let interface = Interface { host, subnet, forwarding, in_overlay: true };
        fabric.interfaces.insert(node.address, interface);
        let range = OverlayRange { node: node.address, origin };
        fabric.overlay.insert(node.pod_cidr, range);
        host
    }
}
