//! Forwarding between hosts: in the fabric, on a LAN, through the tunnel.

use std::net::Ipv4Addr;

use super::fabric::{Fabric, FabricHop, Interface, Lan, Segment, SegmentId, UserRoutes};
use super::hop::{Cause, Decision, Place};
use super::host::{HostId, Port};
use super::security::{RuleMatch, TrafficDirection};
use super::trace::{Halt, TraceStep, Tracer};

impl Tracer<'_> {
    /// Sends a packet from a port of a host onto its segment.
    pub(super) fn onto_segment(
        &mut self,
        id: HostId,
        number: usize,
        neighbour: Ipv4Addr,
    ) -> Result<TraceStep, Halt> {
        let network = self.network;
        let port = network.host(id).and_then(|host| host.ports.get(number));
        let segment = port.and_then(|port| network.segment(port.segment));
        let (Some(port), Some(segment)) = (port, segment) else {
            return Err(self.dropped(Place::Host(id), Cause::NoRoute, Vec::new()));
        };
        match segment {
            Segment::Lan(lan) => self.over_lan(port.segment, lan, port.address, neighbour),
            Segment::Fabric(fabric) => self.over_fabric(port.segment, fabric, port.address),
        }
    }

    fn over_lan(
        &mut self,
        segment: SegmentId,
        lan: &Lan,
        from: Ipv4Addr,
        neighbour: Ipv4Addr,
    ) -> Result<TraceStep, Halt> {
        let place = Place::Interface(segment, from);
        let Some(host) = lan.hosts.get(&neighbour) else {
            // Packets that leave the LAN go to a gateway outside the model.
            if !lan.prefix.contains(&neighbour) {
                return Err(Halt::Exited(place));
            }
            if let Some(origin) = self.network.unread_on(segment) {
                return Err(Halt::Unknown { place, origin });
            }
            let cause = Cause::NoNeighbour(neighbour);
            return Err(self.dropped(place, cause, vec![lan.origin]));
        };
        self.note(place, Decision::Delivered(neighbour), lan.origin);
        Ok(TraceStep::At(*host, self.port_at(*host, neighbour)))
    }

    /// The fabric ignores the neighbour that the kernel chose.
    fn over_fabric(
        &mut self,
        segment: SegmentId,
        fabric: &Fabric,
        from: Ipv4Addr,
    ) -> Result<TraceStep, Halt> {
        let place = Place::Interface(segment, from);
        let Some(sender) = fabric.interfaces.get(&from) else {
            if let Some(origin) = fabric.unread {
                return Err(Halt::Unknown { place, origin });
            }
            return Err(self.dropped(place, Cause::NoInterface(from), vec![fabric.origin]));
        };
        if !fabric.is_own(from, sender, self.packet.source) && !self.forwards(place, sender)? {
            self.check_overlay_address(place, fabric, sender, self.packet.source)?;
            let provenance = vec![sender.forwarding.origin()];
            return Err(self.dropped(place, Cause::SourceCheck, provenance));
        }
        let routes = self.routes_of(place, fabric, sender)?;
        self.evaluate_security_group(place, fabric, sender, TrafficDirection::Outbound)?;
        let route = fabric.effective_route(sender, routes, self.packet.destination);
        let to = match route.hop {
            FabricHop::Appliance(address) => address,
            FabricHop::VirtualNetwork => self.packet.destination,
            FabricHop::Internet if !self.packet.destination.is_private() => {
                return Err(Halt::Exited(place));
            }
            FabricHop::Gateway => return Err(Halt::Exited(place)),
            FabricHop::Internet | FabricHop::None => {
                self.check_overlay_address(place, fabric, sender, self.packet.destination)?;
                let provenance = self.none_route_origins(fabric, sender, route.origin);
                return Err(self.dropped(place, Cause::RouteNone(route), provenance));
            }
        };
        self.note(place, Decision::FabricRouted(route), route.origin);
        self.deliver_to_interface(segment, fabric, to, route.origin)
    }

    /// The origin of a missing route is the table of the subnet.
    fn none_route_origins(
        &self,
        fabric: &Fabric,
        sender: &Interface,
        matched: super::fact::Origin,
    ) -> Vec<super::fact::Origin> {
        let subnet = fabric.subnets.get(sender.subnet).map(|subnet| subnet.routes.origin());
        let mut provenance: Vec<_> = [Some(matched), subnet].into_iter().flatten().collect();
        if matched == fabric.origin {
            provenance.reverse();
        }
        provenance.dedup();
        provenance
    }

    fn deliver_to_interface(
        &mut self,
        segment: SegmentId,
        fabric: &Fabric,
        to: Ipv4Addr,
        route: super::fact::Origin,
    ) -> Result<TraceStep, Halt> {
        let place = Place::Interface(segment, to);
        let Some(receiver) = fabric.interfaces.get(&to) else {
            if let Some(origin) = fabric.unread {
                return Err(Halt::Unknown { place, origin });
            }
            return Err(self.dropped(place, Cause::NoInterface(to), vec![route]));
        };
        if !fabric.is_own(to, receiver, self.packet.destination)
            && !self.forwards(place, receiver)?
        {
            self.check_overlay_address(place, fabric, receiver, self.packet.destination)?;
            let provenance = vec![receiver.forwarding.origin()];
            return Err(self.dropped(place, Cause::DestinationCheck, provenance));
        }
        self.evaluate_security_group(place, fabric, receiver, TrafficDirection::Inbound)?;
        Ok(TraceStep::At(receiver.host, self.port_at(receiver.host, to)))
    }

    /// An address that seems unassigned may belong to a pod of the overlay, on a
    /// node that could not be read.
    fn check_overlay_address(
        &self,
        place: Place,
        fabric: &Fabric,
        interface: &Interface,
        address: Ipv4Addr,
    ) -> Result<(), Halt> {
        let unread = fabric.unread.filter(|_| interface.in_overlay);
        match unread.filter(|_| self.network.owner_of(address).is_none()) {
            Some(origin) => Err(Halt::Unknown { place, origin }),
            None => Ok(()),
        }
    }

    fn forwards(&self, place: Place, interface: &Interface) -> Result<bool, Halt> {
        self.read(place, &interface.forwarding).copied()
    }

    fn routes_of<'f>(
        &self,
        place: Place,
        fabric: &'f Fabric,
        interface: &Interface,
    ) -> Result<&'f UserRoutes, Halt> {
        let Some(subnet) = fabric.subnets.get(interface.subnet) else {
            return Err(self.dropped(place, Cause::NoRoute, vec![fabric.origin]));
        };
        self.read(place, &subnet.routes).map(AsRef::as_ref)
    }

    /// Evaluates the security groups of the subnet and of the interface, unless the packet is a
    /// reply to an allowed one. The subnet's comes first for what arrives.
    fn evaluate_security_group(
        &mut self,
        place: Place,
        fabric: &Fabric,
        interface: &Interface,
        direction: TrafficDirection,
    ) -> Result<(), Halt> {
        let Place::Interface(segment, address) = place else { return Ok(()) };
        let Some(subnet) = fabric.subnets.get(interface.subnet) else { return Ok(()) };
        let mut groups = vec![self.read(place, &subnet.security)?];
        if let Some(own) = &subnet.interface_security {
            groups.push(self.read(place, own)?);
        }
        groups.retain(|group| !group.rules.is_empty());
        let Some(first) = groups.first() else { return Ok(()) };
        if self.tracking.is_response(segment, address, &self.packet) {
            self.note(place, Decision::Established, first.origin);
            return Ok(());
        }
        if direction == TrafficDirection::Outbound {
            groups.reverse();
        }
        let routes = self.routes_of(place, fabric, interface)?;
        let is_virtual_network = |address| fabric.is_virtual_network(routes, address);
        let mut passed = Vec::new();
        for group in groups {
            match group.ask(direction, &self.packet, &is_virtual_network) {
                RuleMatch::Allowed(rule) => passed.push((rule.name.clone(), group.origin)),
                RuleMatch::NoRules => {}
                RuleMatch::Unclear => return Err(Halt::Unknown { place, origin: group.origin }),
                RuleMatch::Denied(rule) => {
                    let cause = Cause::Denied { rule: rule.name.to_string() };
                    return Err(self.dropped(place, cause, vec![group.origin]));
                }
            }
        }
        // Groups are stateful: replies pass, also where no rule was needed.
        self.tracking.track_flow(segment, address, &self.packet);
        for (rule, origin) in passed {
            self.note(place, Decision::Passed { rule }, origin);
        }
        Ok(())
    }

    /// The port of a host with that address.
    fn port_at(&self, id: HostId, address: Ipv4Addr) -> Port {
        let host = self.network.host(id);
        let position = host
            .and_then(|host| host.ports.iter().position(|port| port.address == address))
            .unwrap_or_default();
        Port::Segment(position)
    }

    /// Sends a packet through the tunnel from one member to another.
    pub(super) fn through_tunnel(&mut self, id: HostId) -> Result<TraceStep, Halt> {
        let place = Place::Tunnel(id);
        let tunnel = self.network.tunnel();
        let Some(sender) = tunnel.members.get(&id) else {
            return Err(self.dropped(place, Cause::NotInTunnel, self.last_origins()));
        };
        if !*self.read(place, &sender.connected)? {
            let provenance = vec![sender.connected.origin()];
            return Err(self.dropped(place, Cause::Offline(id), provenance));
        }
        let destination = self.packet.destination;
        let Some((prefix, peer)) = self.read(place, &sender.peers)?.lookup(destination) else {
            if let Some(origin) = tunnel.unread_address(id, destination) {
                return Err(Halt::Unknown { place, origin });
            }
            let (lacking, provenance) = tunnel.lacking(id, destination);
            return Err(self.dropped(place, Cause::NoPeer(lacking), provenance));
        };
        let (owner, origin) = (peer.owner, peer.origin);
        self.note(place, Decision::Tunnelled { owner, prefix }, origin);
        if tunnel.members.get(&owner).is_some_and(|member| member.is_foreign) {
            return Err(self.dropped(place, Cause::ForeignPeer { owner, prefix }, vec![origin]));
        }
        self.out_of_tunnel(id, owner)
    }

    fn out_of_tunnel(&mut self, from: HostId, to: HostId) -> Result<TraceStep, Halt> {
        let place = Place::Tunnel(to);
        let tunnel = self.network.tunnel();
        let Some(receiver) = tunnel.members.get(&to) else {
            return Err(self.dropped(place, Cause::NotInTunnel, Vec::new()));
        };
        if !*self.read(place, &receiver.connected)? {
            let provenance = vec![receiver.connected.origin()];
            return Err(self.dropped(place, Cause::Offline(to), provenance));
        }
        if receiver.blocks_incoming && self.tracking.answered(to, &self.packet).is_none() {
            let provenance = vec![receiver.connected.origin()];
            return Err(self.dropped(place, Cause::ShieldsUp, provenance));
        }
        let source = self.packet.source;
        let owner = self.read(place, &receiver.peers)?.lookup(source);
        if owner.is_none_or(|(_, peer)| peer.owner != from) {
            if let Some(origin) = tunnel.unread_address(to, source) {
                return Err(Halt::Unknown { place, origin });
            }
            let (lacking, mut provenance) = tunnel.lacking(to, source);
            provenance.extend(owner.map(|(_, peer)| peer.origin));
            let sender = tunnel.members.get(&from);
            provenance.extend(sender.map(|sender| sender.advertised.approved.origin()));
            let cause = Cause::SourceNotAllowed { lacking };
            return Err(self.dropped(place, cause, provenance));
        }
        self.mtu = self.mtu.min(tunnel.mtu);
        self.tunnel_ends.extend([from, to]);
        Ok(TraceStep::At(to, Port::Tunnel))
    }
}
