//! A datacenter's side: its network, its router and its workers.

use std::collections::BTreeMap;

use super::host_routing::{add_routes, node_kernel, pods_hidden};
use super::projected_state::ProjectedFact;
use super::{Builder, SiteHosts};
use crate::dataplane::fabric::{Fabric, Lan};
use crate::dataplane::host::{Kernel, Pods, SegmentPort};
use crate::dataplane::{Fact, Host, HostId, Origin, PrefixTable, Segment, SegmentId};
use crate::desired::names;
use crate::resource::host::{Worker, WorkerHost};
use crate::resource::{Address, Kind, Observable, Resource, Side};
use crate::topology::model::{self, Datacenter, Site};

impl Builder<'_> {
    pub(super) fn datacenter_site(&mut self, datacenter: &Datacenter) {
        let side = Side::Datacenter(datacenter.name.clone());
        let segment = SegmentId(self.segments.len());
        let router_name = datacenter.router.name.as_str();
        let runs = match &datacenter.site {
            Site::Azure(_) => self.machine_runs(&side, router_name),
            Site::Existing(_) => self.machine_of_its_own(&side, router_name),
        };
        let network = match &datacenter.site {
            Site::Azure(site) => site.router_subnet_cidr,
            Site::Existing(site) => site.network_cidr,
        };
        let own = self.private_ip(&side, router_name).unwrap_or(datacenter.router.ip);
        let port = SegmentPort { segment, address: own };
        let router = self.add_router(&side, router_name, port, runs, network);
        let workers: Vec<(HostId, &model::Worker)> = datacenter
            .workers
            .iter()
            .filter_map(|worker| Some((self.worker(datacenter, worker, segment)?, worker)))
            .collect();
        let nodes = workers.iter().map(|(id, _)| *id).collect();
        let segment = match &datacenter.site {
            Site::Azure(_) => self.vnet(&side, (router, router_name), &workers),
            Site::Existing(site) => {
                let origin = self.lan_origin(&side, router_name);
                let hosts = std::iter::once(router).chain(workers.iter().map(|(id, _)| *id));
                let at = |id: HostId| Some((self.hosts.get(id.0)?.ports.first()?.address, id));
                Segment::Lan(Lan {
                    name: format!("network of {}", datacenter.name),
                    origin,
                    prefix: site.network_cidr,
                    hosts: hosts.filter_map(at).collect(),
                })
            }
        };
        self.segments.push(segment);
        self.sites.push(SiteHosts { side, router, nodes });
    }

    /// What is known of a LAN is what the router on it shows.
    fn lan_origin(&mut self, side: &Side, router: &str) -> Origin {
        self.provenance.of(&Address::new(Kind::RouterHost, side.clone(), router))
    }

    /// A machine that was there before us runs until its router says otherwise.
    fn machine_of_its_own(&mut self, side: &Side, name: &str) -> Fact<bool> {
        let origin = self.lan_origin(side, name);
        Fact::known(true, origin)
    }

    fn vnet(
        &mut self,
        side: &Side,
        router: (HostId, &str),
        workers: &[(HostId, &model::Worker)],
    ) -> Segment {
        let address = Address::new(Kind::VirtualNetwork, side.clone(), names::VIRTUAL_NETWORK);
        let origin = self.provenance.of(&address);
        let (address_space, hidden) = match self.state.resource(&address) {
            ProjectedFact::There(Resource::VirtualNetwork(network)) => {
                (network.address_prefixes.clone(), false)
            }
            ProjectedFact::There(_) | ProjectedFact::Absent => (Vec::new(), false),
            ProjectedFact::Hidden => (Vec::new(), true),
        };
        let (mut subnets, mut addresses) = (Vec::new(), Vec::new());
        for name in [names::WORKER_SUBNET, names::ROUTER_SUBNET] {
            let address = Address::new(Kind::Subnet, side.clone(), name);
            let Some(mut subnet) = self.subnet(&address) else { continue };
            if hidden {
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
        let machines = workers.iter().map(|(id, worker)| (*id, worker.name.as_str()));
        for (id, name) in machines.chain([router]) {
            let interface =
                Address::new(Kind::NetworkInterface, side.clone(), names::interface(name));
            self.attach(&mut fabric, id, &interface, &addresses);
        }
        Segment::Fabric(Box::new(fabric))
    }

    /// A worker, where it has a place.
    fn worker(
        &mut self,
        datacenter: &Datacenter,
        worker: &model::Worker,
        segment: SegmentId,
    ) -> Option<HostId> {
        let side = Side::Datacenter(datacenter.name.clone());
        let name = worker.name.as_str();
        let place = self.allocation.place(&worker.name)?;
        let address = Address::new(Kind::Worker, side.clone(), name);
        let origin = self.provenance.of(&address);
        let seen = self.state.resource(&address);
        let node = match seen {
            ProjectedFact::There(Resource::Worker(node)) => Some(node),
            _ => None,
        };
        let told = node.and_then(|node| self.worker_host(&address, node));
        let runs = match &datacenter.site {
            Site::Azure(_) => self.machine_runs(&side, name),
            Site::Existing(_) => Fact::known(true, origin),
        };
        let pods = match (node, &told) {
            (Some(node), Some(host)) => Fact::known(pods_of(node, host), origin),
            // On a machine that is gone nothing else about its pods matters.
            (Some(node), None) if node.ready || runs.read() == Ok(&false) => {
                Fact::known(Pods::Range(node.pod_cidr), origin)
            }
            (None, _) if matches!(seen, ProjectedFact::Absent) => {
                Fact::known(Pods::NotPlumbed(place.pod_cidr), origin)
            }
            _ => Fact::unknown(origin),
        };
        let kernel = match &told {
            Some(host) => {
                Fact::known(self.worker_kernel(datacenter, worker, node, host, origin), origin)
            }
            None => Fact::unknown(origin),
        };
        let own = self.private_ip(&side, name).or(node.map(|node| node.ip)).unwrap_or(place.ip);
        let ports = vec![SegmentPort { segment, address: own }];
        Some(self.add_host(Host { name: name.to_owned(), runs, ports, pods, kernel }))
    }

    /// What is on a worker's host: what was seen of it, or else what its Node
    /// vouches for by the digest of the profile that was applied.
    fn worker_host(&self, address: &Address, node: &Worker) -> Option<WorkerHost> {
        if let Observable::Seen(host) = &node.host {
            return Some(host.clone());
        }
        // Whoever asked the host itself and got no answer wants no other's word.
        if self.state.is_host_silent(&node.name) {
            return None;
        }
        let desired = self.sources.desired.get(address)?;
        let Resource::Worker(wanted) = &desired.resource else { return None };
        let vouched = node.profile_digest == wanted.profile_digest && node.ready;
        wanted.host.seen().filter(|_| vouched).cloned()
    }

    fn worker_kernel(
        &self,
        datacenter: &Datacenter,
        worker: &model::Worker,
        node: Option<&Worker>,
        host: &WorkerHost,
        origin: Origin,
    ) -> Kernel {
        let network = match &datacenter.site {
            Site::Azure(site) => site.subnet_cidr,
            Site::Existing(site) => site.network_cidr,
        };
        let mut kernel = node_kernel(network, origin);
        add_routes(&mut kernel, &host.kernel_routes, origin);
        kernel.forwarding = host.ip_forwarding;
        let topology = self.sources.topology;
        let managed = topology.profiles.get(&worker.profile).is_some_and(|it| it.managed_cilium);
        if let Some(node) = node.filter(|_| managed) {
            kernel.translations.push(pods_hidden(node.pod_cidr, topology.cluster.pod_cidr));
        }
        kernel
    }
}

/// Pods get addresses where our CNI configuration is there and chosen.
fn pods_of(node: &Worker, host: &WorkerHost) -> Pods {
    let plumbed = host.cni_configuration == Some(node.pod_cidr) && host.cni_chosen.is_some();
    if plumbed { Pods::Range(node.pod_cidr) } else { Pods::NotPlumbed(node.pod_cidr) }
}
