//! Subnets, their tables, and the interfaces of machines.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::Builder;
use super::view::Seen;
use crate::desired::names;
use crate::reach::fabric::{Fabric, FabricHop, Interface, Subnet, UserRoute, UserRoutes};
use crate::reach::{Fact, HostId};
use crate::resource::azure::{NetworkInterface, NextHop, Provisioning};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Side};

impl Builder<'_> {
    /// A subnet of ours; nothing where it is not there.
    pub(super) fn subnet(&mut self, address: &Address) -> Option<Subnet> {
        let origin = self.origins.of(address);
        let name = address.name.clone();
        match self.view.resource(address) {
            Seen::There(Resource::Subnet(subnet)) => {
                let side = &address.side;
                let routes = self.user_routes(side, address, subnet.route_table.as_ref());
                let group = subnet.network_security_group.as_ref();
                let security = self.security_group(side, address, group);
                Some(Subnet { name, routes, security })
            }
            Seen::Hidden => Some(Subnet {
                name,
                routes: Fact::unknown(origin),
                security: Fact::unknown(origin),
            }),
            Seen::There(_) | Seen::Absent => None,
        }
    }

    /// The routes of the table that a subnet points at.
    pub(super) fn user_routes(
        &mut self,
        side: &Side,
        subnet: &Address,
        table: Option<&ArmId>,
    ) -> Fact<Arc<UserRoutes>> {
        let Some(id) = table else {
            return Fact::known(Arc::default(), self.origins.of(subnet));
        };
        let address = self.view.address_of(Kind::RouteTable, side, id);
        let origin = self.origins.of(&address);
        match self.view.object(Kind::RouteTable, &ObjectKey::Azure(id.clone())) {
            Seen::There(Resource::RouteTable(table)) => match table.routes.known() {
                Some(routes) => {
                    let entry = |hop: &NextHop| UserRoute { hop: fabric_hop(*hop), origin };
                    let routes = routes.iter().map(|(prefix, hop)| (*prefix, entry(hop)));
                    Fact::known(Arc::new(routes.collect()), origin)
                }
                None => Fact::unknown(origin),
            },
            // A table of somebody else's, or one that could not be read.
            _ => Fact::unknown(origin),
        }
    }

    /// Whether a machine is there and runs.
    pub(super) fn machine_runs(&mut self, side: &Side, name: &str) -> Fact<bool> {
        let address = Address::new(Kind::VirtualMachine, side.clone(), name);
        let origin = self.origins.of(&address);
        match self.view.resource(&address) {
            Seen::There(Resource::VirtualMachine(machine)) => {
                Fact::known(machine.provisioning == Provisioning::Ready, origin)
            }
            Seen::There(_) | Seen::Absent => Fact::known(false, origin),
            Seen::Hidden => Fact::unknown(origin),
        }
    }

    /// The address that a machine's interface has at the moment.
    pub(super) fn private_ip(&self, side: &Side, machine: &str) -> Option<Ipv4Addr> {
        let interface =
            Address::new(Kind::NetworkInterface, side.clone(), names::interface(machine));
        match self.view.resource(&interface) {
            Seen::There(Resource::NetworkInterface(interface)) => Some(interface.private_ip),
            _ => None,
        }
    }

    /// Hangs a machine on a fabric by its interface, if that is there.
    pub(super) fn attach(
        &mut self,
        fabric: &mut Fabric,
        host: HostId,
        address: &Address,
        subnets: &[Address],
    ) {
        let origin = self.origins.of(address);
        let own = self.hosts.get(host.0).and_then(|host| host.ports.first());
        let (private_ip, forwarding, subnet) = match self.view.resource(address) {
            Seen::There(Resource::NetworkInterface(interface)) => {
                let forwarding = Fact::known(interface.ip_forwarding, origin);
                (Some(interface.private_ip), forwarding, subnet_of(interface, subnets))
            }
            Seen::Hidden => (own.map(|port| port.address), Fact::unknown(origin), 0),
            Seen::There(_) | Seen::Absent => return,
        };
        if let Some(private_ip) = private_ip {
            let interface = Interface { host, subnet, forwarding, in_overlay: false };
            fabric.interfaces.insert(private_ip, interface);
        }
    }
}

/// The number of an interface's subnet; the first where it cannot be told.
fn subnet_of(interface: &NetworkInterface, subnets: &[Address]) -> usize {
    let name = interface.subnet.known().map(ArmId::name).unwrap_or_default();
    let position = subnets.iter().position(|subnet| subnet.name.eq_ignore_ascii_case(name));
    position.unwrap_or_default()
}

fn fabric_hop(hop: NextHop) -> FabricHop {
    match hop {
        NextHop::Appliance(address) => FabricHop::Appliance(address),
        NextHop::VirtualNetwork => FabricHop::VirtualNetwork,
        NextHop::Internet => FabricHop::Internet,
        NextHop::Gateway => FabricHop::Gateway,
        NextHop::Nowhere => FabricHop::Nowhere,
    }
}
