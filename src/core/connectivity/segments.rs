//! Subnets, their tables, and the interfaces of machines.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::builder::ModelBuilder;
use super::projected_state::ProjectedFact;
use super::single_routes::ProjectedRoute;
use crate::dataplane::fabric::{Fabric, FabricHop, FabricSubnet, Interface, UserRoute, UserRoutes};
use crate::dataplane::{Fact, HostId, Origin};
use crate::desired::names;
use crate::resource::azure::{NetworkInterface, NextHop, Provisioning};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Site};

impl ModelBuilder<'_> {
    /// A subnet of ours; nothing where it is not there.
    pub(super) fn subnet(&mut self, address: &Address) -> Option<FabricSubnet> {
        let origin = self.provenance.of(address);
        let name = address.name.to_string();
        match self.state.resource(address) {
            ProjectedFact::There(Resource::Subnet(subnet)) => {
                let site = &address.site;
                let routes = self.user_routes(site, address, subnet.route_table.as_ref());
                let group = subnet.network_security_group.as_ref();
                let security = self.security_group(site, address, group);
                Some(FabricSubnet { name, routes, security, interface_security: None })
            }
            ProjectedFact::Unread => Some(FabricSubnet {
                name,
                routes: Fact::unknown(origin),
                security: Fact::unknown(origin),
                interface_security: None,
            }),
            ProjectedFact::There(_) | ProjectedFact::Absent => None,
        }
    }

    /// The routes of the table that a subnet points at.
    pub(super) fn user_routes(
        &mut self,
        site: &Site,
        subnet: &Address,
        table: Option<&ArmId>,
    ) -> Fact<Arc<UserRoutes>> {
        let Some(id) = table else {
            return Fact::known(Arc::default(), self.provenance.of(subnet));
        };
        let address = self.state.address_of(Kind::RouteTable, site, id);
        let origin = self.provenance.of(&address);
        match self.state.object(Kind::RouteTable, &ObjectKey::Azure(id.clone())) {
            ProjectedFact::There(Resource::RouteTable(table)) => match table.routes.known() {
                Some(routes) => {
                    let entry = |hop: &NextHop| UserRoute { hop: fabric_hop(*hop), origin };
                    let routes = routes.iter().map(|(prefix, hop)| (*prefix, entry(hop)));
                    self.with_single_routes(id, routes.collect(), origin)
                }
                None => Fact::unknown(origin),
            },
            // A table of another owner, or one that could not be read.
            _ => Fact::unknown(origin),
        }
    }

    /// The routes of a table in which the topology has single routes: those of others as they
    /// were read, and the topology's own as they are in this state.
    fn with_single_routes(
        &mut self,
        table: &ArmId,
        mut routes: BTreeMap<Ipv4Net, UserRoute>,
        of_table: Origin,
    ) -> Fact<Arc<UserRoutes>> {
        let single = self.state.single_routes(table);
        for prefix in single.iter().filter_map(|route| route.live) {
            routes.remove(&prefix);
        }
        for ProjectedRoute { key, address, .. } in &single {
            let origin: Origin = self.provenance.of(address);
            match self.state.object(Kind::Route, key) {
                ProjectedFact::There(Resource::Route(route)) => {
                    let hop = fabric_hop(route.next_hop);
                    routes.insert(route.address_prefix, UserRoute { hop, origin });
                }
                ProjectedFact::Unread => return Fact::unknown(origin),
                ProjectedFact::There(_) | ProjectedFact::Absent => {}
            }
        }
        Fact::known(Arc::new(routes.into_iter().collect()), of_table)
    }

    /// Whether a machine exists and runs, and the address that its interface has at the
    /// moment. If its interface could not be read, its address is unknown and the machine
    /// cannot be located.
    pub(super) fn machine(&mut self, site: &Site, name: &str) -> (Fact<bool>, Option<Ipv4Addr>) {
        let runs = self.machine_runs(site, name);
        let address = Address::new(Kind::NetworkInterface, site.clone(), names::interface(name));
        match self.state.resource(&address) {
            ProjectedFact::There(Resource::NetworkInterface(interface)) => {
                (runs, Some(interface.private_ip))
            }
            ProjectedFact::Unread if runs.read() == Ok(&true) => {
                (Fact::unknown(self.provenance.of(&address)), None)
            }
            _ => (runs, None),
        }
    }

    fn machine_runs(&mut self, site: &Site, name: &str) -> Fact<bool> {
        let address = Address::new(Kind::VirtualMachine, site.clone(), name);
        let origin = self.provenance.of(&address);
        match self.state.resource(&address) {
            ProjectedFact::There(Resource::VirtualMachine(machine)) => {
                let runs =
                    matches!(machine.provisioning, Provisioning::Ready | Provisioning::Updating);
                Fact::known(runs, origin)
            }
            ProjectedFact::There(_) | ProjectedFact::Absent => Fact::known(false, origin),
            ProjectedFact::Unread => Fact::unknown(origin),
        }
    }

    /// Attaches a machine to a fabric by its interface, if there is one.
    pub(super) fn attach(
        &mut self,
        fabric: &mut Fabric,
        host: HostId,
        address: &Address,
        subnets: &[Address],
    ) {
        let origin = self.provenance.of(address);
        match self.state.resource(address) {
            ProjectedFact::There(Resource::NetworkInterface(interface)) => {
                let subnet = subnet_of(interface, subnets);
                let unread = if subnets.is_empty() { fabric.origin } else { origin };
                let subnet = subnet.unwrap_or_else(|| unread_subnet(fabric, unread));
                let group = interface.network_security_group.as_ref();
                let subnet = match group {
                    Some(group) => self.with_own_group(fabric, subnet, address, group),
                    None => subnet,
                };
                let forwarding = Fact::known(interface.ip_forwarding, origin);
                let own = Interface { host, subnet, forwarding, in_overlay: false };
                fabric.interfaces.insert(interface.private_ip, own);
            }
            // It may have any address; the usual one names it where packets go
            // there, and only the failed read is reported.
            ProjectedFact::Unread => {
                fabric.unread.get_or_insert(origin);
                let subnet = unread_subnet(fabric, origin);
                let Some(own) = self.address_of(host) else { return };
                let forwarding = Fact::unknown(origin);
                let interface = Interface { host, subnet, forwarding, in_overlay: false };
                fabric.interfaces.entry(own).or_insert(interface);
            }
            ProjectedFact::There(_) | ProjectedFact::Absent => {}
        }
    }
}

impl ModelBuilder<'_> {
    /// Adds an entry of a subnet for an interface with a security group of its own; returns its
    /// number.
    fn with_own_group(
        &mut self,
        fabric: &mut Fabric,
        subnet: usize,
        interface: &Address,
        group: &ArmId,
    ) -> usize {
        let security = self.security_group(&interface.site, interface, Some(group));
        let Some(mut own) = fabric.subnets.get(subnet).cloned() else { return subnet };
        own.interface_security = Some(security);
        fabric.subnets.push(own);
        fabric.subnets.len() - 1
    }
}

/// A placeholder for a subnet that could not be read; returns its number.
pub(super) fn unread_subnet(fabric: &mut Fabric, origin: Origin) -> usize {
    fabric.subnets.push(FabricSubnet {
        name: String::new(),
        routes: Fact::unknown(origin),
        security: Fact::unknown(origin),
        interface_security: None,
    });
    fabric.subnets.len() - 1
}

/// The number of an interface's subnet, where it is one of these.
fn subnet_of(interface: &NetworkInterface, subnets: &[Address]) -> Option<usize> {
    let name = interface.subnet.known().map(ArmId::name)?;
    subnets.iter().position(|subnet| subnet.name.eq_ignore_ascii_case(name))
}

fn fabric_hop(hop: NextHop) -> FabricHop {
    match hop {
        NextHop::Appliance(address) => FabricHop::Appliance(address),
        NextHop::VirtualNetwork => FabricHop::VirtualNetwork,
        NextHop::Internet => FabricHop::Internet,
        NextHop::Gateway => FabricHop::Gateway,
        NextHop::None => FabricHop::None,
    }
}
