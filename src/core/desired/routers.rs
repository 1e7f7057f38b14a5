//! The routers: their devices, advertised and approved routes, and kernel settings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::context::DesiredContext;
use super::set::{DesiredSet, ResourceBuilder};
use crate::net::prefix::TAILNET_RANGE;
use crate::resource::host::{KernelRoute, RouterHost};
use crate::resource::tailnet::{Device, RouteSet};
use crate::resource::{Address, Kind, ObjectKey, Pending, Resource, Site};
use crate::topology::model::{AzureDatacenter, Datacenter, DatacenterKind};

/// The differences between the two kinds of routers.
struct Router<'a> {
    site: Site,
    name: &'a str,
    /// Whether its VM brings its device.
    has_machine: bool,
    advertised: Pending<BTreeSet<Ipv4Net>>,
    advertised_because: &'a str,
    local_prefixes: BTreeSet<Ipv4Net>,
    kernel_routes: Pending<BTreeMap<Ipv4Net, KernelRoute>>,
    protect: bool,
}

/// The AKS router offers AKS's nodes and their pods, and never a range that
/// holds a worker's pods: accepted by a datacenter's router it would steal them.
pub(super) fn cluster_router(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    let router = &context.topology.cluster.router;
    let tunnel =
        context.remote_prefixes(None).into_iter().map(|prefix| (prefix, KernelRoute::Tunnel));
    let advertised = context.aks_prefixes();
    add(
        context,
        Router {
            site: Site::Cluster,
            name: router.name.as_str(),
            has_machine: true,
            local_prefixes: advertised.known().cloned().unwrap_or_default(),
            advertised,
            advertised_because: "AKS node subnets and the pod CIDRs of AKS nodes",
            kernel_routes: context.aks_prefixes().map(|_| tunnel.collect()),
            protect: router.protect,
        },
        set,
    );
}

/// A datacenter's router offers its own network and its own pods.
pub(super) fn datacenter_router(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
    set: &mut DesiredSet,
) {
    let own: BTreeSet<Ipv4Net> =
        std::iter::once(datacenter.network()).chain(context.pod_cidrs(datacenter)).collect();
    add(
        context,
        Router {
            site: Site::Datacenter(datacenter.name.clone()),
            name: datacenter.router.name.as_str(),
            has_machine: matches!(datacenter.kind, DatacenterKind::Azure(_)),
            local_prefixes: own.clone(),
            advertised: Pending::Known(own),
            advertised_because: "network and pod CIDRs of the datacenter",
            kernel_routes: datacenter_kernel_routes(context, datacenter),
            protect: datacenter.router.protect,
        },
        set,
    );
}

fn datacenter_kernel_routes(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
) -> Pending<BTreeMap<Ipv4Net, KernelRoute>> {
    let Some(cluster) = &context.facts.cluster else {
        return Pending::after(context.cluster_address());
    };
    context.aks_prefixes().map(|aks| {
        // The broad ranges end here, so that packets without a more specific route do not
        // loop between the router and the fabric.
        let ends = cluster
            .address_prefixes
            .iter()
            .copied()
            .chain([TAILNET_RANGE, context.topology.cluster.pod_cidr])
            .map(|prefix| (prefix, KernelRoute::Unreachable));
        let tunnel = aks
            .into_iter()
            .chain(context.remote_prefixes(Some(datacenter)))
            .map(|prefix| (prefix, KernelRoute::Tunnel));
        let positions = context.worker_places(datacenter);
        let positions = positions.map(|(worker, place)| (worker, place.pod_cidr, place.ip));
        let retained = context.retained.workers(datacenter);
        let workers = retained.chain(positions).map(|(worker, range, ip)| {
            // A worker on another segment is reached through the gateway to it.
            let gateway = match &datacenter.kind {
                DatacenterKind::Azure(azure) => gateway_to(azure, ip),
                DatacenterKind::Existing(_) => worker.gateway.and(datacenter.router.gateway),
            };
            (range, KernelRoute::Via(gateway.unwrap_or(ip)))
        });
        ends.chain(tunnel).chain(workers).collect()
    })
}

/// The first address of the router's subnet, where Azure forwards packets to other subnets. A
/// kernel refuses a next hop that is not in the subnet.
fn gateway_to(azure: &AzureDatacenter, worker: Ipv4Addr) -> Option<Ipv4Addr> {
    let subnet = azure.router_subnet_cidr;
    if subnet.contains(&worker) { None } else { subnet.hosts().next() }
}

fn add(context: &DesiredContext<'_>, router: Router<'_>, set: &mut DesiredSet) {
    let address = |kind| Address::new(kind, router.site.clone(), router.name);
    let device = address(Kind::TailnetDevice);
    let name = router.name.to_owned();

    let device_resource = ResourceBuilder::new(
        device.clone(),
        Some(ObjectKey::Device(name.clone())),
        Resource::TailnetDevice(Device::in_service(&name, context.topology.tailnet.tag.as_str())),
    )
    .protected(router.protect);
    let device_resource = if router.has_machine {
        device_resource.created_by(address(Kind::VirtualMachine))
    } else {
        device_resource
    };
    set.add(device_resource.planned_because_of("tailnet device of the router"));

    let host = address(Kind::RouterHost);
    set.add(
        ResourceBuilder::new(
            host.clone(),
            Some(ObjectKey::Host(name.clone())),
            Resource::RouterHost(router_host(context, &router).into()),
        )
        .contained_in(device.clone())
        .protected(router.protect)
        .planned_because_of("forwarding between its network and the tailnet"),
    );
    set.add(
        ResourceBuilder::new(
            address(Kind::AdvertisedRoutes),
            Some(ObjectKey::DeviceAdvertised(name.clone())),
            Resource::AdvertisedRoutes(RouteSet {
                hostname: name.clone(),
                prefixes: router.advertised.clone(),
            }),
        )
        .contained_in(device.clone())
        .depends_on(host)
        .planned_because_of(router.advertised_because),
    );
    set.add(
        ResourceBuilder::new(
            address(Kind::ApprovedRoutes),
            Some(ObjectKey::DeviceApproved(name.clone())),
            Resource::ApprovedRoutes(RouteSet { hostname: name, prefixes: router.advertised }),
        )
        .contained_in(device)
        .depends_on(address(Kind::AdvertisedRoutes))
        .planned_because_of(router.advertised_because),
    );
}

fn router_host(context: &DesiredContext<'_>, router: &Router<'_>) -> RouterHost {
    let translate = RouterHost::address_translation(context.topology.network.source_addresses);
    RouterHost {
        hostname: router.name.to_owned(),
        ip_forwarding: true,
        reverse_path_filter: 2,
        send_redirects: false,
        masquerade: translate,
        snat_subnet_routes: translate,
        mss_clamp: true,
        accept_routes: true,
        local_prefixes: router.local_prefixes.clone(),
        kernel_routes: router.kernel_routes.clone(),
        persistent: true,
        protected_by: None,
    }
}
