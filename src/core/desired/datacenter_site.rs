//! A datacenter of kind `azure`: its network, its machines, its route tables.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::context::DesiredContext;
use super::set::{DesiredSet, ResourceBuilder};
use super::{names, security};
use crate::net::prefix::TAILNET_RANGE;
use crate::resource::azure::{
    MachineRole, NatGateway, NetworkInterface, NetworkSecurityGroup, NextHop, Provisioning,
    PublicIpAddress, ResourceGroup, RouteTable, Subnet, VirtualMachine, VirtualNetwork,
};
use crate::resource::names::ResourceName;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Pending, Resource, Site};
use crate::topology::model::{AzureDatacenter, Datacenter};

/// A datacenter with its group, for short calls below.
struct AddressAssignment<'a> {
    datacenter: &'a Datacenter,
    site: &'a AzureDatacenter,
    group: ArmId,
    group_address: Address,
    network: ArmId,
}

impl<'a> AddressAssignment<'a> {
    fn new(
        context: &DesiredContext<'_>,
        datacenter: &'a Datacenter,
        site: &'a AzureDatacenter,
    ) -> Self {
        let group = context.group(site.resource_group.as_str());
        let network = group.in_group(Kind::VirtualNetwork.arm_type(), names::VIRTUAL_NETWORK);
        let place = Site::Datacenter(datacenter.name.clone());
        let group_address = Address::new(Kind::ResourceGroup, place, &site.resource_group);
        Self { datacenter, site, group, group_address, network }
    }

    fn address(&self, kind: Kind, name: impl Into<ResourceName>) -> Address {
        Address::new(kind, self.group_address.site.clone(), name)
    }

    fn group_address(&self) -> Address {
        self.group_address.clone()
    }

    fn id(&self, kind: Kind, name: &str) -> ArmId {
        self.group.in_group(kind.arm_type(), name)
    }

    fn subnet(&self, name: &str) -> ArmId {
        self.network.child("subnets", name)
    }

    fn build(&self, name: &str, resource: Resource) -> ResourceBuilder {
        let kind = resource.kind();
        let key = ObjectKey::Azure(self.id(kind, name));
        ResourceBuilder::new(self.address(kind, name), Some(key), resource)
            .contained_in(self.group_address())
    }

    fn location(&self) -> String {
        self.site.location.to_string()
    }
}

/// The group, the VNet, both subnets and their associations.
pub(super) fn network(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
    site: &AzureDatacenter,
    set: &mut DesiredSet,
) {
    let place = AddressAssignment::new(context, datacenter, site);
    set.add(
        ResourceBuilder::new(
            place.group_address(),
            Some(ObjectKey::Azure(place.group.clone())),
            Resource::ResourceGroup(ResourceGroup {
                location: place.location(),
                protected_by: None,
            }),
        )
        .protected(datacenter.protect)
        .planned_because_of(format!("[datacenters.{}.azure] resource_group", datacenter.name)),
    );
    set.add(
        place
            .build(
                names::VIRTUAL_NETWORK,
                Resource::VirtualNetwork(VirtualNetwork {
                    location: place.location(),
                    address_prefixes: vec![site.vnet_cidr],
                    protected_by: None,
                }),
            )
            .protected(datacenter.protect)
            .planned_because_of(format!("[datacenters.{}.azure] vnet_cidr", datacenter.name)),
    );
    egress(&place, set);
    security_groups(context, &place, set);
    subnets(&place, set);
}

/// Workers have no public address: a NAT gateway lets them out.
fn egress(place: &AddressAssignment<'_>, set: &mut DesiredSet) {
    let gateway = names::nat_gateway(&place.site.resource_group);
    let public_ip = names::public_ip(&gateway);
    set.add(public_address(place, &public_ip, "outbound traffic of workers"));
    set.add(
        place
            .build(
                &gateway,
                Resource::NatGateway(NatGateway {
                    location: place.location(),
                    public_ip: place.id(Kind::PublicIpAddress, &public_ip),
                    protected_by: None,
                }),
            )
            .depends_on(place.address(Kind::PublicIpAddress, &public_ip))
            .planned_because_of("outbound traffic of workers"),
    );
}

fn public_address(
    place: &AddressAssignment<'_>,
    name: &str,
    planned_because_of: &str,
) -> super::DesiredResource {
    let resource = Resource::PublicIpAddress(PublicIpAddress {
        location: place.location(),
        protected_by: None,
    });
    place.build(name, resource).planned_because_of(planned_because_of)
}

fn security_groups(
    context: &DesiredContext<'_>,
    place: &AddressAssignment<'_>,
    set: &mut DesiredSet,
) {
    let groups: [(&str, NetworkSecurityGroup, &str); 2] = [
        (
            names::WORKER_SUBNET,
            security::workers(context, place.site),
            "allow traffic from pods, nodes and datacenters; deny the internet",
        ),
        (
            names::ROUTER_SUBNET,
            security::datacenter_router(context, place.site),
            "allow traffic of pods, nodes and datacenters only",
        ),
    ];
    for (subnet, group, planned_because_of) in groups {
        let name = names::security_group(subnet);
        set.add(
            place
                .build(&name, Resource::NetworkSecurityGroup(group))
                .planned_because_of(planned_because_of),
        );
    }
}

/// The router's subnet has no NAT gateway: it would take over the router's
/// public address and spoil direct tunnels.
fn subnets(place: &AddressAssignment<'_>, set: &mut DesiredSet) {
    let gateway = names::nat_gateway(&place.site.resource_group);
    let subnets = [
        (
            names::WORKER_SUBNET,
            place.site.subnet_cidr,
            names::worker_route_table(place.site),
            Some(gateway),
            "subnet_cidr",
        ),
        (
            names::ROUTER_SUBNET,
            place.site.router_subnet_cidr,
            names::router_route_table(place.site),
            None,
            "router_subnet_cidr",
        ),
    ];
    let network = place.id(Kind::VirtualNetwork, names::VIRTUAL_NETWORK);
    for (name, address_prefix, table, gateway, field) in subnets {
        let group = names::security_group(name);
        let gateway_address =
            gateway.as_deref().map(|gateway| place.address(Kind::NatGateway, gateway));
        set.add(
            ResourceBuilder::new(
                place.address(Kind::Subnet, name),
                Some(ObjectKey::Azure(place.subnet(name))),
                Resource::Subnet(Subnet {
                    virtual_network: Pending::Known(network.clone()),
                    address_prefix,
                    route_table: Some(place.id(Kind::RouteTable, &table)),
                    nat_gateway: gateway.map(|gateway| place.id(Kind::NatGateway, &gateway)),
                    network_security_group: Some(place.id(Kind::NetworkSecurityGroup, &group)),
                }),
            )
            .contained_in(place.address(Kind::VirtualNetwork, names::VIRTUAL_NETWORK))
            .depends_on(place.address(Kind::RouteTable, &table))
            .depends_on(place.address(Kind::NetworkSecurityGroup, &group))
            .depends_on_all(gateway_address)
            .planned_because_of(format!("[datacenters.{}.azure] {field}", place.datacenter.name)),
        );
    }
}

/// The router's public address, interface and VM.
pub(super) fn router_machine(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
    site: &AzureDatacenter,
    set: &mut DesiredSet,
) {
    let place = AddressAssignment::new(context, datacenter, site);
    let router = &datacenter.router;
    let name = router.name.as_str();
    let public_ip = names::public_ip(name);
    set.add(public_address(&place, &public_ip, "direct connections to the tailnet"));
    let vm_size = router.vm_size.as_ref().unwrap_or(&site.vm_size).to_string();
    let machine = Machine {
        name,
        subnet: names::ROUTER_SUBNET,
        private_ip: router.ip,
        public_ip: Some(&public_ip),
        vm_size,
        role: MachineRole::Router,
        protect: router.protect,
    };
    add_machine(context, &place, &machine, set);
}

/// The interface and VM of each worker.
pub(super) fn worker_machines(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
    site: &AzureDatacenter,
    set: &mut DesiredSet,
) {
    let place = AddressAssignment::new(context, datacenter, site);
    for (worker, position) in context.worker_places(datacenter) {
        let machine = Machine {
            name: worker.name.as_str(),
            subnet: names::WORKER_SUBNET,
            private_ip: position.ip,
            public_ip: None,
            vm_size: worker.vm_size.as_ref().unwrap_or(&site.vm_size).to_string(),
            role: MachineRole::Worker,
            protect: worker.protect,
        };
        add_machine(context, &place, &machine, set);
    }
}

struct Machine<'a> {
    name: &'a str,
    subnet: &'a str,
    private_ip: std::net::Ipv4Addr,
    public_ip: Option<&'a str>,
    vm_size: String,
    role: MachineRole,
    protect: bool,
}

fn add_machine(
    context: &DesiredContext<'_>,
    place: &AddressAssignment<'_>,
    machine: &Machine<'_>,
    set: &mut DesiredSet,
) {
    let interface = names::interface(machine.name);
    let public_ip_address =
        machine.public_ip.map(|name| place.address(Kind::PublicIpAddress, name));
    set.add(
        place
            .build(
                &interface,
                Resource::NetworkInterface(
                    NetworkInterface {
                        location: place.location(),
                        subnet: Pending::Known(place.subnet(machine.subnet)),
                        private_ip: machine.private_ip,
                        ip_forwarding: true,
                        public_ip: machine
                            .public_ip
                            .map(|name| place.id(Kind::PublicIpAddress, name)),
                        network_security_group: None,
                        protected_by: None,
                    }
                    .into(),
                ),
            )
            .contained_in(place.address(Kind::Subnet, machine.subnet))
            .depends_on_all(public_ip_address)
            .protected(machine.protect)
            .planned_because_of(format!("IP forwarding for pod traffic on {}", machine.name)),
    );
    set.add(
        place
            .build(
                machine.name,
                Resource::VirtualMachine(
                    VirtualMachine {
                        location: place.location(),
                        vm_size: machine.vm_size.clone(),
                        admin_user: context.topology.ssh.user.clone(),
                        ssh_public_key: context.facts.ssh_public_key.clone(),
                        network_interface: place.id(Kind::NetworkInterface, &interface),
                        role: machine.role,
                        provisioning: Provisioning::Ready,
                        protected_by: None,
                    }
                    .into(),
                ),
            )
            .contained_in(place.address(Kind::NetworkInterface, &interface))
            .protected(machine.protect)
            .planned_because_of(format!(
                "[datacenters.{}] names {}",
                place.datacenter.name, machine.name
            )),
    );
}

/// The tables on the workers' and on the router's subnet.
pub(super) fn route_tables(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
    site: &AzureDatacenter,
    set: &mut DesiredSet,
) {
    let place = AddressAssignment::new(context, datacenter, site);
    let retained = context.retained.workers(datacenter).map(|(_, range, ip)| (range, ip));
    let positions = context.worker_places(datacenter);
    let to_workers: BTreeMap<Ipv4Net, NextHop> = retained
        .chain(positions.map(|(_, position)| (position.pod_cidr, position.ip)))
        .map(|(range, ip)| (range, NextHop::Appliance(ip)))
        .collect();
    let tables = [
        (
            names::worker_route_table(site),
            worker_subnet_routes(context, datacenter, &to_workers),
            "route the tailnet, AKS and other datacenters via the router",
        ),
        (
            names::router_route_table(site),
            Pending::Known(to_workers),
            "route each worker's pods to that worker",
        ),
    ];
    for (name, routes, planned_because_of) in tables {
        let table = RouteTable { location: place.location(), routes, protected_by: None };
        set.add(
            place
                .build(&name, Resource::RouteTable(table.into()))
                .planned_because_of(planned_because_of),
        );
    }
}

fn worker_subnet_routes(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
    to_workers: &BTreeMap<Ipv4Net, NextHop>,
) -> Pending<BTreeMap<Ipv4Net, NextHop>> {
    let Some(cluster) = &context.facts.cluster else {
        return Pending::after(context.cluster_address());
    };
    let router = NextHop::Appliance(datacenter.router.ip);
    let mut routes: BTreeMap<Ipv4Net, NextHop> = cluster
        .address_prefixes
        .iter()
        .copied()
        .chain([TAILNET_RANGE, context.topology.cluster.pod_cidr])
        .chain(context.other_networks(datacenter))
        .map(|prefix| (prefix, router))
        .collect();
    routes.extend(to_workers);
    Pending::Known(routes)
}
