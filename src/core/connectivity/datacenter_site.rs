//! A datacenter's site: its network, its router and its workers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::builder::{ModelBuilder, Part};
use super::kernel::{KernelRoutes, RouterParts, add_foreign_rules, pod_snat};
use super::path_model::SiteHosts;
use super::projected_state::ProjectedFact;
use crate::dataplane::fabric::{Fabric, Lan};
use crate::dataplane::host::{Kernel, Pods, SegmentPort};
use crate::dataplane::{Fact, Host, HostId, Origin, PrefixTable, Segment, SegmentId};
use crate::desired::names;
use crate::resource::host::{JoinedWorker, KernelRoute, WorkerHost, described_next_hop};
use crate::resource::{Address, Kind, Observable, Resource, Site};
use crate::topology::model::{self, Datacenter, DatacenterKind};

impl<'a> ModelBuilder<'a> {
    pub(super) fn datacenter_site(&mut self, datacenter: &Datacenter) {
        let segment = self.next_segment();
        let parts = self
            .part(Part::Router(segment), |builder| builder.datacenter_router(datacenter, segment));
        let router = self.add_router(parts);
        let mut nodes = Vec::new();
        for (number, worker) in datacenter.workers.iter().enumerate() {
            let part = Part::Worker(segment, number);
            let host = self.part(part, |builder| builder.worker(datacenter, worker, segment));
            if let Some(host) = host {
                let id = self.add_host(host);
                self.workers.insert(id, number);
                nodes.push(id);
            }
        }
        let built = self.part(Part::Segment(segment), |builder| {
            builder.datacenter_segment(datacenter, router, &nodes)
        });
        self.segments.push(built);
        let site = Site::Datacenter(datacenter.name.clone());
        self.sites.push(SiteHosts { site, router, nodes });
    }

    /// A datacenter's router.
    pub(super) fn datacenter_router(
        &mut self,
        datacenter: &Datacenter,
        segment: SegmentId,
    ) -> RouterParts {
        let site = Site::Datacenter(datacenter.name.clone());
        let name = datacenter.router.name.as_str();
        let ((runs, private_ip), network) = match &datacenter.kind {
            DatacenterKind::Azure(azure) => (self.machine(&site, name), azure.router_subnet_cidr),
            DatacenterKind::Existing(existing) => {
                ((self.existing_machine(&site, name), None), existing.network_cidr)
            }
        };
        let own = private_ip.unwrap_or_else(|| self.address_on_lan(datacenter));
        let port = SegmentPort { segment, address: own };
        let mut parts = self.router(&site, name, port, runs, network);
        parts.pending.behind_gateway = self.behind_gateway(datacenter);
        parts
    }

    /// Where neighbours find the router: at its address in the topology if it has that one, or
    /// if the host was not probed.
    fn address_on_lan(&self, datacenter: &Datacenter) -> Ipv4Addr {
        let router = &datacenter.router;
        let observed = self.sources.inventory.router_interfaces.get(router.name.as_str());
        let Some(observed) = observed.filter(|it| !it.contains(&router.ip)) else {
            return router.ip;
        };
        let network = datacenter.network();
        let on_lan = observed.iter().find(|address| network.contains(*address));
        on_lan.or(observed.first()).copied().unwrap_or(router.ip)
    }

    /// The workers that the router reaches through its gateway, by their pod CIDRs.
    fn behind_gateway(&self, datacenter: &Datacenter) -> BTreeMap<Ipv4Net, Ipv4Addr> {
        let all = self.is_still_in_azure(datacenter);
        let distant = datacenter.workers.iter().filter(|worker| all || worker.gateway.is_some());
        let allocated = distant.filter_map(|worker| self.allocation.place(&worker.name));
        allocated.map(|place| (place.pod_cidr, place.ip)).collect()
    }

    /// Whether a datacenter of existing machines is recorded as one of VMs, whose routers send
    /// to the gateway of their subnet: the edit of its kind is refused, and they stay.
    fn is_still_in_azure(&self, datacenter: &Datacenter) -> bool {
        let site = Site::Datacenter(datacenter.name.clone());
        let recorded_in_azure = |worker: &model::Worker| {
            let server = Address::new(Kind::Server, site.clone(), &worker.name);
            let key = self.sources.desired.get(&server)?.key.as_ref()?;
            let Resource::Manifest(server) = &self.sources.inventory.get(key)?.resource else {
                return None;
            };
            Some(server.body["spec"]["provider"] == "azure")
        };
        matches!(datacenter.kind, DatacenterKind::Existing(_))
            && datacenter.workers.iter().find_map(recorded_in_azure) == Some(true)
    }

    /// The network that connects a datacenter's hosts.
    pub(super) fn datacenter_segment(
        &mut self,
        datacenter: &Datacenter,
        router: HostId,
        nodes: &[HostId],
    ) -> Segment {
        let site = Site::Datacenter(datacenter.name.clone());
        let router_name = datacenter.router.name.as_str();
        match &datacenter.kind {
            DatacenterKind::Azure(_) => {
                let worker = |id: &HostId| {
                    let worker = datacenter.workers.get(*self.workers.get(id)?)?;
                    Some((*id, worker.name.as_str()))
                };
                let workers: Vec<(HostId, &str)> = nodes.iter().filter_map(worker).collect();
                self.vnet(&site, (router, router_name), &workers)
            }
            DatacenterKind::Existing(existing) => {
                let origin = self.lan_origin(&site, router_name);
                let hosts = std::iter::once(&router).chain(nodes);
                let at = |id: &HostId| Some((self.address_of(*id)?, *id));
                Segment::Lan(Lan {
                    name: format!("network of {}", datacenter.name),
                    origin,
                    prefix: existing.network_cidr,
                    hosts: hosts.filter_map(at).collect(),
                })
            }
        }
    }

    /// The origin of the facts of a LAN: the router on it.
    fn lan_origin(&mut self, site: &Site, router: &str) -> Origin {
        self.provenance.of(&Address::new(Kind::RouterHost, site.clone(), router))
    }

    /// A machine that was there before us runs until its router says otherwise.
    fn existing_machine(&mut self, site: &Site, name: &str) -> Fact<bool> {
        let origin = self.lan_origin(site, name);
        Fact::known(true, origin)
    }

    fn vnet(&mut self, site: &Site, router: (HostId, &str), workers: &[(HostId, &str)]) -> Segment {
        let address = Address::new(Kind::VirtualNetwork, site.clone(), names::VIRTUAL_NETWORK);
        let origin = self.provenance.of(&address);
        let (address_space, is_unread) = match self.state.resource(&address) {
            ProjectedFact::There(Resource::VirtualNetwork(network)) => {
                (network.address_prefixes.clone(), false)
            }
            ProjectedFact::There(_) | ProjectedFact::Absent => (Vec::new(), false),
            ProjectedFact::Unread => (Vec::new(), true),
        };
        let (mut subnets, mut addresses) = (Vec::new(), Vec::new());
        for name in [names::WORKER_SUBNET, names::ROUTER_SUBNET] {
            let address = Address::new(Kind::Subnet, site.clone(), name);
            let Some(mut subnet) = self.subnet(&address) else { continue };
            if is_unread {
                // Each of its routes is one beside those of the address space.
                subnet.routes = Fact::unknown(origin);
            }
            subnets.push(subnet);
            addresses.push(address);
        }
        let mut fabric = Fabric {
            name: names::VIRTUAL_NETWORK.to_owned(),
            origin,
            address_space,
            subnets,
            interfaces: BTreeMap::new(),
            unread: None,
            overlay: PrefixTable::default(),
        };
        for (id, name) in workers.iter().copied().chain([router]) {
            let interface =
                Address::new(Kind::NetworkInterface, site.clone(), names::interface(name));
            self.attach(&mut fabric, id, &interface, &addresses);
        }
        Segment::Fabric(Box::new(fabric))
    }

    /// A worker, where it has a place.
    pub(super) fn worker(
        &mut self,
        datacenter: &Datacenter,
        worker: &model::Worker,
        segment: SegmentId,
    ) -> Option<Host> {
        let site = Site::Datacenter(datacenter.name.clone());
        let name = worker.name.as_str();
        let place = self.allocation.place(&worker.name)?;
        let address = Address::new(Kind::Worker, site.clone(), name);
        let origin = self.provenance.of(&address);
        let observed = self.state.resource(&address);
        let node = match observed {
            ProjectedFact::There(Resource::Worker(node)) => Some(node),
            _ => None,
        };
        let config = node.and_then(|node| self.worker_host(&address, node));
        let (runs, private_ip) = match &datacenter.kind {
            DatacenterKind::Azure(_) => self.machine(&site, name),
            DatacenterKind::Existing(_) => (Fact::known(true, origin), None),
        };
        let pods = match (node, config.as_deref()) {
            (Some(node), Some(host)) => Fact::known(pods_of(node, host), origin),
            // On a deleted machine, only its own state affects its pods.
            (Some(node), None) if node.ready || runs.read() == Ok(&false) => {
                Fact::known(Pods::Range(node.pod_cidr), origin)
            }
            (None, _) if matches!(observed, ProjectedFact::Absent) => {
                // Without the cluster's facts nothing was looked up.
                let desired = self.sources.desired.get(&address);
                let is_proven = desired.is_some_and(|it| it.key.is_some());
                let pods = if is_proven { Pods::NoNode } else { Pods::NotPlumbed };
                Fact::known(pods(place.pod_cidr), origin)
            }
            _ => Fact::unknown(origin),
        };
        let kernel = match config.as_deref() {
            Some(host) => Fact::known(
                self.worker_kernel(datacenter, worker, node.map(|it| &**it), host),
                origin,
            ),
            None => Fact::unknown(origin),
        };
        let own = private_ip.or(node.map(|node| node.ip)).unwrap_or(place.ip);
        let ports = vec![SegmentPort { segment, address: own }];
        Some(Host { name: name.to_owned(), runs, ports, pods, kernel })
    }

    /// The state of a worker's host: as read from the host, or else inferred from its Node,
    /// which is Ready and has the digest of the applied profile. All profiles, including
    /// those before an edit, have the same effect on packets.
    fn worker_host(
        &self,
        address: &Address,
        node: &'a JoinedWorker,
    ) -> Option<Cow<'a, WorkerHost>> {
        if let Observable::Observed(host) = &node.host {
            return Some(Cow::Borrowed(host));
        }
        // If the host was queried and did not answer, its state is not inferred.
        if self.state.is_host_silent(&node.name) {
            return None;
        }
        let desired = self.sources.desired.get(address)?;
        let Resource::Worker(worker) = &desired.resource else { return None };
        let inferred = !node.profile_digest.is_empty() && node.ready;
        let host = worker.host.observed().filter(|_| inferred)?;
        // The range of a Node is that of its configuration: it is set once.
        Some(Cow::Owned(WorkerHost {
            cni_configuration: Some(node.pod_cidr),
            kernel_routes: applied_routes(node, worker, host),
            ..host.clone()
        }))
    }

    fn worker_kernel(
        &mut self,
        datacenter: &Datacenter,
        worker: &model::Worker,
        node: Option<&JoinedWorker>,
        host: &WorkerHost,
    ) -> Kernel {
        let network = match &datacenter.kind {
            DatacenterKind::Azure(azure) => azure.subnet_cidr,
            DatacenterKind::Existing(existing) => existing.network_cidr,
        };
        // The gateway is not modelled; it is assumed to forward.
        let passed_on = |route: &KernelRoute| match (*route, worker.gateway) {
            (KernelRoute::Via(hop), Some(gateway)) if hop == gateway => {
                KernelRoute::Via(datacenter.router.ip)
            }
            (route, _) => route,
        };
        let routes = match worker.gateway {
            None => host.kernel_routes.clone(),
            Some(_) => {
                let routes = host.kernel_routes.iter();
                let routes = routes.map(|(prefix, route)| (*prefix, passed_on(route)));
                routes.collect::<BTreeMap<_, _>>().into()
            }
        };
        let mut kernel = self.node_kernels.of(network, &routes);
        kernel.forwarding = host.ip_forwarding;
        if let Some(rules) = self.sources.inventory.foreign_rules.get(worker.name.as_str()) {
            add_foreign_rules(&mut kernel, rules);
        }
        let topology = self.sources.topology;
        let managed = topology.profiles.get(&worker.profile).is_some_and(|it| it.managed_cilium);
        if let Some(node) = node.filter(|_| managed) {
            kernel.translations.push(pod_snat(node.pod_cidr, topology.cluster.pod_cidr));
        }
        kernel
    }
}

/// The routes on a worker's host. Where its Node records others than the topology asks for,
/// their next hop is in the record.
fn applied_routes(node: &JoinedWorker, desired: &JoinedWorker, host: &WorkerHost) -> KernelRoutes {
    let recorded = described_next_hop(&node.routes).filter(|_| node.routes != desired.routes);
    match recorded {
        Some(hop) => {
            let via = |prefix: &Ipv4Net| (*prefix, KernelRoute::Via(hop));
            host.kernel_routes.keys().map(via).collect()
        }
        None => host.kernel_routes.clone(),
    }
}

/// Pods get addresses if our CNI configuration is installed and selected.
fn pods_of(node: &JoinedWorker, host: &WorkerHost) -> Pods {
    let plumbed = host.cni_configuration == Some(node.pod_cidr) && host.cni_chosen.is_some();
    if plumbed { Pods::Range(node.pod_cidr) } else { Pods::NotPlumbed(node.pod_cidr) }
}
