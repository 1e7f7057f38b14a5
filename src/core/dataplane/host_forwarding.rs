//! Forwarding within a host.

use std::net::Ipv4Addr;

use super::fact::Origin;
use super::hop::{Cause, Decision, Place};
use super::host::{Host, HostId, Kernel, KernelHop, Pods, Port, ReversePathFilter};
use super::trace::{Halt, TraceStep, Tracer};
use crate::net::prefix::TAILNET_RANGE;

impl Tracer<'_> {
    /// Receives a packet at a port, or from the host itself.
    pub(super) fn at_host(&mut self, id: HostId, entered: Port) -> Result<TraceStep, Halt> {
        let place = Place::Host(id);
        let network = self.network;
        let Some(host) = network.host(id) else {
            return Err(self.dropped(place, Cause::NotRunning, Vec::new()));
        };
        if !*self.read(place, &host.runs)? {
            return Err(self.dropped(place, Cause::NotRunning, vec![host.runs.origin()]));
        }
        let kernel = match self.read(place, &host.kernel) {
            Ok(kernel) => kernel,
            // An offline member sends nothing through the tunnel, regardless of its kernel.
            Err(unknown) => {
                let known = self.offline(id).or_else(|| self.without_pods(place, host, entered));
                return Err(known.unwrap_or(unknown));
            }
        };
        let origin = host.kernel.origin();
        let answered = self.un_nat(id, origin);
        self.require_members(id, self.packet.destination)?;
        self.require_members(id, self.packet.source)?;
        if entered != Port::Local {
            self.refuse_own_source(id, host)?;
            self.filter_source(id, kernel, entered, origin)?;
        }
        if self.is_own_address(id, host, self.packet.destination) {
            return Ok(self.arrive(id, origin));
        }
        let foreign = entered != Port::Local || !self.is_own_address(id, host, self.packet.source);
        if foreign && !kernel.forwarding {
            return Err(self.dropped(place, Cause::NotForwarding, vec![origin]));
        }
        let pods = match host.pods.read() {
            Ok(pods) => *pods,
            // An address of another owner does not belong to a pod of this host.
            Err(_) if network.owner_of(self.packet.destination).is_some() => Pods::None,
            Err(unread) => return Err(Halt::Unknown { place, origin: unread.origin }),
        };
        if pods.range().is_some_and(|range| range.contains(&self.packet.destination)) {
            return self.deliver_to_pod(id, pods, host.pods.origin());
        }
        self.forward(id, kernel, entered, answered)
    }

    /// No pod has an address of a host without a Node: the packet is neither sent nor received,
    /// regardless of its kernel.
    fn without_pods(&self, place: Place, host: &Host, entered: Port) -> Option<Halt> {
        let Ok(Pods::NoNode(range)) = host.pods.read() else { return None };
        let is_sender = entered == Port::Local && range.contains(&self.packet.source);
        let is_of_pod = is_sender || range.contains(&self.packet.destination);
        let provenance = vec![host.pods.origin()];
        is_of_pod.then(|| self.dropped(place, Cause::CniNotConfigured, provenance))
    }

    fn deliver_to_pod(
        &mut self,
        id: HostId,
        pods: Pods,
        origin: Origin,
    ) -> Result<TraceStep, Halt> {
        let place = Place::Host(id);
        if let Pods::NotPlumbed(_) | Pods::NoNode(_) = pods {
            return Err(self.dropped(place, Cause::CniNotConfigured, vec![origin]));
        }
        Ok(self.arrive(id, origin))
    }

    /// The host tracks the connection: the source of its reply is not translated again.
    fn arrive(&mut self, id: HostId, origin: Origin) -> TraceStep {
        self.tracking.track_connection(id, self.packet.source, &self.packet);
        self.note(Place::Host(id), Decision::Arrived, origin);
        TraceStep::Arrived(id)
    }

    /// Looks up the destination and sends the packet.
    fn forward(
        &mut self,
        id: HostId,
        kernel: &Kernel,
        entered: Port,
        answered: bool,
    ) -> Result<TraceStep, Halt> {
        let place = Place::Host(id);
        let origin = self.network.host(id).map_or(Origin(0), |host| host.kernel.origin());
        let Some(found) = kernel.lookup(self.packet.source, self.packet.destination) else {
            return Err(self.dropped(place, Cause::NoRoute, vec![origin]));
        };
        if found.route.hop == KernelHop::Tunnel {
            self.require_peers(id)?;
        }
        let of_route = found.route.origin.unwrap_or(origin);
        self.note(place, Decision::Routed(found), of_route);
        let (port, neighbour) = match found.route.hop {
            KernelHop::OnLink(number) => (Port::Segment(number), self.packet.destination),
            KernelHop::Via(number, neighbour) => (Port::Segment(number), neighbour),
            KernelHop::Tunnel => (Port::Tunnel, self.packet.destination),
            KernelHop::Unreachable | KernelHop::Throw => {
                let provenance = vec![of_route];
                return Err(self.dropped(place, Cause::Unreachable(found), provenance));
            }
        };
        if !answered {
            self.translate(id, kernel, entered, port, origin)?;
        }
        match port {
            Port::Segment(number) => self.onto_segment(id, number, neighbour),
            Port::Tunnel | Port::Local => self.through_tunnel(id),
        }
    }

    /// Reverses SNAT for a reply; returns whether
    /// the packet belongs to a connection that the host forwarded.
    fn un_nat(&mut self, id: HostId, origin: Origin) -> bool {
        let Some(destination) = self.tracking.answered(id, &self.packet) else { return false };
        let from = std::mem::replace(&mut self.packet.destination, destination);
        if from != destination {
            let decision = Decision::UnNat { from, to: destination };
            self.note(Place::Host(id), decision, origin);
        }
        true
    }

    /// Applies SNAT if a rule matches, and records the connection.
    fn translate(
        &mut self,
        id: HostId,
        kernel: &Kernel,
        entered: Port,
        left: Port,
        origin: Origin,
    ) -> Result<(), Halt> {
        let source = self.packet.source;
        let applies = kernel
            .translations
            .iter()
            .any(|rule| rule.applies(entered, left, source, self.packet.destination));
        if applies && left == Port::Tunnel {
            self.require_own_address(id)?;
        }
        if applies
            && let Some(translated_source) = self.address_at(id, left)
            && translated_source != source
        {
            self.packet.source = translated_source;
            let decision = Decision::Translated { from: source, to: translated_source };
            self.note(Place::Host(id), decision, origin);
        }
        self.tracking.track_connection(id, source, &self.packet);
        Ok(())
    }

    /// A tailnet address that seems unassigned may belong to a member whose
    /// addresses could not be read; table 52 has a route to it then.
    fn require_members(&self, id: HostId, address: Ipv4Addr) -> Result<(), Halt> {
        let network = self.network;
        if !TAILNET_RANGE.contains(&address) || network.owner_of(address).is_some() {
            return Ok(());
        }
        self.require_own_address(id)?;
        let is_member = network.tunnel().members.contains_key(&id);
        match network.tunnel().unread_address(id, address).filter(|_| is_member) {
            Some(origin) => Err(Halt::Unknown { place: Place::Host(id), origin }),
            None => Ok(()),
        }
    }

    /// If a member's peer table could not be read, it is unknown whether the member
    /// tunnels this packet; a disconnected member sends nothing.
    fn require_peers(&self, id: HostId) -> Result<(), Halt> {
        let Some(member) = self.network.tunnel().members.get(&id) else { return Ok(()) };
        if member.connected.read() == Ok(&true) {
            self.read(Place::Host(id), &member.peers)?;
        }
        Ok(())
    }

    /// A disconnected member has no address in the tailnet.
    fn require_own_address(&self, id: HostId) -> Result<(), Halt> {
        let Some(member) = self.network.tunnel().members.get(&id) else { return Ok(()) };
        if member.connected.read() != Ok(&false) {
            self.read(Place::Host(id), &member.address)?;
        }
        Ok(())
    }

    fn address_at(&self, id: HostId, port: Port) -> Option<Ipv4Addr> {
        match port {
            Port::Segment(number) => Some(self.network.host(id)?.ports.get(number)?.address),
            Port::Tunnel => self.network.tunnel().members.get(&id)?.address.read().ok().copied(),
            Port::Local => None,
        }
    }

    /// A kernel drops packets from outside with its own address as the source,
    /// regardless of `rp_filter`: such a packet looped.
    fn refuse_own_source(&self, id: HostId, host: &Host) -> Result<(), Halt> {
        match self.is_own_address(id, host, self.packet.source) {
            true => Err(self.dropped(Place::Host(id), Cause::Loop, self.last_origins())),
            false => Ok(()),
        }
    }

    /// `rp_filter`: whether the kernel has a route to the source.
    fn filter_source(
        &self,
        id: HostId,
        kernel: &Kernel,
        entered: Port,
        origin: Origin,
    ) -> Result<(), Halt> {
        if kernel.reverse_path_filter == ReversePathFilter::Off {
            return Ok(());
        }
        let found = kernel.lookup(self.packet.destination, self.packet.source);
        let return_path = found.and_then(|found| match found.route.hop {
            KernelHop::OnLink(number) | KernelHop::Via(number, _) => Some(Port::Segment(number)),
            KernelHop::Tunnel => Some(Port::Tunnel),
            KernelHop::Unreachable | KernelHop::Throw => None,
        });
        let fine = match kernel.reverse_path_filter {
            ReversePathFilter::Off => true,
            ReversePathFilter::Loose => return_path.is_some(),
            ReversePathFilter::Strict => return_path == Some(entered),
        };
        if fine {
            return Ok(());
        }
        let provenance =
            found.map_or(vec![origin], |found| vec![found.route.origin.unwrap_or(origin), origin]);
        Err(self.dropped(Place::Host(id), Cause::ReversePath, provenance))
    }

    fn is_own_address(&self, id: HostId, host: &Host, address: Ipv4Addr) -> bool {
        host.ports.iter().any(|port| port.address == address)
            || self.address_at(id, Port::Tunnel) == Some(address)
    }

    /// The drop at a member that is known to be disconnected, for
    /// packets to a host that is on none of its segments.
    fn offline(&self, id: HostId) -> Option<Halt> {
        let member = self.network.tunnel().members.get(&id)?;
        let to = self.network.owner_of(self.packet.destination)?;
        if to == id || self.network.share_segment(id, to) {
            return None;
        }
        let provenance = vec![member.connected.origin()];
        let offline = member.connected.read() == Ok(&false);
        offline.then(|| self.dropped(Place::Host(id), Cause::Offline(id), provenance))
    }
}
