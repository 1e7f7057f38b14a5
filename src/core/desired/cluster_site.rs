//! The cluster's side of Azure: AKS, the router in its VNet, its route tables.

use super::context::DesiredContext;
use super::set::{DesiredSet, ResourceBuilder};
use super::{DesiredResource, names, node_pools, security, versions};
use crate::resource::azure::{
    MachineRole, ManagedCluster, NetworkInterface, Provisioning, PublicIpAddress, ResourceGroup,
    Subnet, VirtualMachine,
};
use crate::resource::{Address, Kind, ObjectKey, Observable, Pending, Resource, Site};

pub(super) fn address(kind: Kind, name: &str) -> Address {
    Address::new(kind, Site::Cluster, name)
}

/// The resource group and the AKS cluster, unless the cluster is `existing`.
pub(super) fn control_plane(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    let cluster = &context.topology.cluster;
    if cluster.existing {
        return;
    }
    let location = context.cluster_location();
    let group = context.group(cluster.resource_group.as_str());
    let group_address = address(Kind::ResourceGroup, cluster.resource_group.as_str());
    set.add(
        ResourceBuilder::new(
            group_address.clone(),
            Some(ObjectKey::Azure(group.clone())),
            Resource::ResourceGroup(ResourceGroup {
                location: location.clone(),
                protected_by: None,
            }),
        )
        .protected(cluster.protect)
        .planned_because_of("resource group of the AKS cluster"),
    );
    let id = group.in_group(Kind::ManagedCluster.arm_type(), cluster.name.as_str());
    set.add(
        ResourceBuilder::new(
            context.cluster_address(),
            Some(ObjectKey::Azure(id)),
            Resource::ManagedCluster(managed_cluster(context, location).into()),
        )
        .contained_in(group_address)
        .protected(cluster.protect)
        .planned_because_of("[cluster] defines the AKS cluster"),
    );
}

fn managed_cluster(context: &DesiredContext<'_>, location: String) -> ManagedCluster {
    let cluster = &context.topology.cluster;
    ManagedCluster {
        node_resource_group: names::node_resource_group(cluster, &location),
        location,
        kubernetes_version: versions::control_plane(context),
        tier: observable(cluster.tier),
        support_plan: observable(cluster.support_plan),
        network_plugin: "azure".to_owned(),
        network_plugin_mode: "overlay".to_owned(),
        network_dataplane: "cilium".to_owned(),
        network_policy: "cilium".to_owned(),
        pod_cidr: cluster.pod_cidr,
        service_cidr: cluster.service_cidr,
        node_pools: node_pools::of_new_cluster(context),
        provisioning: Provisioning::Ready,
        protected_by: None,
    }
}

/// A setting that is compared only if the topology has it.
fn observable<T>(setting: Option<T>) -> Observable<T> {
    setting.map_or_else(Observable::unobserved, Observable::Observed)
}

/// The router's security group, subnet, public address, interface and VM.
pub(super) fn router_machine(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    set.add(router_security_group(context));
    set.add(router_subnet(context));
    set.add(router_public_ip(context));
    set.add(router_interface(context));
    set.add(router_vm(context));
}

fn router_security_group(context: &DesiredContext<'_>) -> DesiredResource {
    let name = names::security_group(router_name(context));
    ResourceBuilder::new(
        address(Kind::NetworkSecurityGroup, &name),
        context.in_network_group(Kind::NetworkSecurityGroup, &name),
        Resource::NetworkSecurityGroup(security::cluster_router(context)),
    )
    .contained_in_all(context.cluster_dependencies())
    .planned_because_of("allow pod and datacenter traffic only")
}

fn router_subnet(context: &DesiredContext<'_>) -> DesiredResource {
    let group = names::security_group(router_name(context));
    let virtual_network = match &context.facts.cluster {
        Some(cluster) => Pending::Known(cluster.virtual_network.clone()),
        None => Pending::after(context.cluster_address()),
    };
    let route_table = context.id_in_network_group(Kind::RouteTable, names::ROUTER_ROUTE_TABLE);
    let subnet = Subnet {
        virtual_network,
        address_prefix: context.topology.cluster.router.subnet_cidr,
        route_table: Some(route_table),
        nat_gateway: None,
        network_security_group: Some(
            context.id_in_network_group(Kind::NetworkSecurityGroup, &group),
        ),
    };
    ResourceBuilder::new(
        address(Kind::Subnet, names::CLUSTER_ROUTER_SUBNET),
        context.router_subnet_id().known().cloned().map(ObjectKey::Azure),
        Resource::Subnet(subnet),
    )
    .contained_in_all(context.cluster_dependencies())
    .depends_on(address(Kind::NetworkSecurityGroup, &group))
    .depends_on(address(Kind::RouteTable, names::ROUTER_ROUTE_TABLE))
    .planned_because_of("[cluster.router] subnet_cidr")
}

fn router_public_ip(context: &DesiredContext<'_>) -> DesiredResource {
    let name = names::public_ip(router_name(context));
    let public_ip = PublicIpAddress { location: context.cluster_location(), protected_by: None };
    ResourceBuilder::new(
        address(Kind::PublicIpAddress, &name),
        context.in_network_group(Kind::PublicIpAddress, &name),
        Resource::PublicIpAddress(public_ip),
    )
    .contained_in_all(context.cluster_dependencies())
    .planned_because_of("direct connections to the tailnet")
}

fn router_interface(context: &DesiredContext<'_>) -> DesiredResource {
    let name = names::interface(router_name(context));
    let public_ip = names::public_ip(router_name(context));
    let interface = NetworkInterface {
        location: context.cluster_location(),
        subnet: context.router_subnet_id(),
        private_ip: context.cluster_router_ip(),
        ip_forwarding: true,
        public_ip: Some(context.id_in_network_group(Kind::PublicIpAddress, &public_ip)),
        network_security_group: None,
        protected_by: None,
    };
    ResourceBuilder::new(
        address(Kind::NetworkInterface, &name),
        context.in_network_group(Kind::NetworkInterface, &name),
        Resource::NetworkInterface(interface.into()),
    )
    .contained_in(address(Kind::Subnet, names::CLUSTER_ROUTER_SUBNET))
    .depends_on(address(Kind::PublicIpAddress, &public_ip))
    .protected(context.topology.cluster.router.protect)
    .planned_because_of("fourth address of its subnet, IP forwarding")
}

fn router_vm(context: &DesiredContext<'_>) -> DesiredResource {
    let router = &context.topology.cluster.router;
    let interface = names::interface(router_name(context));
    let machine = VirtualMachine {
        location: context.cluster_location(),
        vm_size: router.vm_size.to_string(),
        admin_user: context.topology.ssh.user.clone(),
        ssh_public_key: context.facts.ssh_public_key.clone(),
        network_interface: context.id_in_network_group(Kind::NetworkInterface, &interface),
        role: MachineRole::Router,
        provisioning: Provisioning::Ready,
        protected_by: None,
    };
    ResourceBuilder::new(
        address(Kind::VirtualMachine, router_name(context)),
        context.in_network_group(Kind::VirtualMachine, router_name(context)),
        Resource::VirtualMachine(machine.into()),
    )
    .contained_in(address(Kind::NetworkInterface, &interface))
    .protected(router.protect)
    .planned_because_of("[cluster.router]")
}

fn router_name<'a>(context: &DesiredContext<'a>) -> &'a str {
    context.topology.cluster.router.name.as_str()
}
