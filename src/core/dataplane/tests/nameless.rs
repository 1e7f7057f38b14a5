//! Trips in which the two hosts and their addresses have no names of their own:
//! the same for all pairs that fare alike.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::many_hosts::{OF_INTERFACES, OF_KERNELS};
use crate::dataplane::fabric::{EffectiveRoute, FabricHop};
use crate::dataplane::host::{Found, HostId, KernelHop};
use crate::dataplane::tunnel::NoPeerReason;
use crate::dataplane::{
    Cause, Decision, Drop, End, Hop, Network, Origin, Packet, Place, RoundTrip, Trace, Verdict,
};

const ASKING: usize = 1_000;
const ASKED: usize = 1_001;

/// A pair without names.
pub(super) struct Nameless<'a> {
    network: &'a Network,
    from: End,
    to: End,
}

impl<'a> Nameless<'a> {
    pub(super) fn new(network: &'a Network, from: End, to: End) -> Self {
        Self { network, from, to }
    }

    pub(super) fn round_trip(&self, round_trip: &RoundTrip) -> RoundTrip {
        let mut unclamped: Vec<_> = round_trip.unclamped.iter().map(|id| self.host(*id)).collect();
        unclamped.sort();
        let return_path =
            round_trip.return_path.as_ref().map(|return_path| self.traced(return_path));
        RoundTrip { forward: self.traced(&round_trip.forward), return_path, unclamped }
    }

    fn host(&self, id: HostId) -> HostId {
        match id {
            id if id == self.from.host => HostId(ASKING),
            id if id == self.to.host => HostId(ASKED),
            id => id,
        }
    }

    fn address(&self, address: Ipv4Addr) -> Ipv4Addr {
        let port = |host: HostId| {
            let mut ports = self.network.host(host).unwrap().ports.iter();
            ports.any(|port| port.address == address)
        };
        let name = |last| Ipv4Addr::new(240, 0, 0, last);
        match address {
            address if address == self.from.address => name(1),
            address if address == self.to.address => name(2),
            _ if port(self.from.host) => name(3),
            _ if port(self.to.host) => name(4),
            address => address,
        }
    }

    fn prefix(prefix: Ipv4Net) -> Ipv4Net {
        Ipv4Net::new(Ipv4Addr::UNSPECIFIED, prefix.prefix_len()).unwrap()
    }

    fn origin(&self, Origin(number): Origin) -> Origin {
        let of = |first: u32| {
            let host = self.host(HostId((number - first) as usize));
            Origin(first + u32::try_from(host.0).unwrap())
        };
        match number {
            OF_KERNELS..OF_INTERFACES => of(OF_KERNELS),
            OF_INTERFACES.. => of(OF_INTERFACES),
            _ => Origin(number),
        }
    }

    fn place(&self, place: Place) -> Place {
        match place {
            Place::Host(id) => Place::Host(self.host(id)),
            Place::Interface(segment, at) => Place::Interface(segment, self.address(at)),
            Place::Tunnel(id) => Place::Tunnel(self.host(id)),
        }
    }

    fn packet(&self, packet: Packet) -> Packet {
        let (source, destination) = (self.address(packet.source), self.address(packet.destination));
        Packet { source, destination, ..packet }
    }

    fn traced(&self, traced: &Trace) -> Trace {
        Trace {
            hops: traced.hops.iter().map(|hop| self.hop(hop)).collect(),
            verdict: self.verdict(&traced.verdict),
            packet: self.packet(traced.packet),
            mtu: traced.mtu,
            tunnel_ends: traced.tunnel_ends.iter().map(|id| self.host(*id)).collect(),
        }
    }

    fn hop(&self, hop: &Hop) -> Hop {
        let decision = match &hop.decision {
            Decision::Routed(found) => Decision::Routed(self.found(*found)),
            Decision::Translated { from, to } => {
                Decision::Translated { from: self.address(*from), to: self.address(*to) }
            }
            Decision::UnNat { from, to } => {
                Decision::UnNat { from: self.address(*from), to: self.address(*to) }
            }
            Decision::FabricRouted(route) => Decision::FabricRouted(self.fabric_route(*route)),
            Decision::Delivered(address) => Decision::Delivered(self.address(*address)),
            Decision::Tunnelled { owner, prefix } => {
                Decision::Tunnelled { owner: self.host(*owner), prefix: Self::prefix(*prefix) }
            }
            Decision::Passed { .. } | Decision::Established | Decision::Arrived => {
                hop.decision.clone()
            }
        };
        Hop { place: self.place(hop.place), decision, origin: self.origin(hop.origin) }
    }

    fn found(&self, mut found: Found) -> Found {
        found.prefix = Self::prefix(found.prefix);
        found.rule.to = Ipv4Net::default();
        found.route.origin = found.route.origin.map(|origin| self.origin(origin));
        if let KernelHop::Via(_, address) = &mut found.route.hop {
            *address = self.address(*address);
        }
        found
    }

    fn fabric_route(&self, mut route: EffectiveRoute) -> EffectiveRoute {
        route.prefix = Self::prefix(route.prefix);
        route.origin = self.origin(route.origin);
        if let FabricHop::Appliance(address) = &mut route.hop {
            *address = self.address(*address);
        }
        route
    }

    fn verdict(&self, verdict: &Verdict) -> Verdict {
        match verdict {
            Verdict::Arrived(id) => Verdict::Arrived(self.host(*id)),
            Verdict::Exited(place) => Verdict::Exited(self.place(*place)),
            Verdict::Unknown { place, origin } => {
                Verdict::Unknown { place: self.place(*place), origin: self.origin(*origin) }
            }
            Verdict::Dropped(drop) => Verdict::Dropped(Drop {
                place: self.place(drop.place),
                cause: self.cause(&drop.cause),
                provenance: drop.provenance.iter().map(|origin| self.origin(*origin)).collect(),
            }),
        }
    }

    fn cause(&self, cause: &Cause) -> Cause {
        match cause {
            Cause::Unreachable(found) => Cause::Unreachable(self.found(*found)),
            Cause::NoNeighbour(address) => Cause::NoNeighbour(self.address(*address)),
            Cause::RouteNone(route) => Cause::RouteNone(self.fabric_route(*route)),
            Cause::NoInterface(address) => Cause::NoInterface(self.address(*address)),
            Cause::NoPeer(lacking) => Cause::NoPeer(self.lacking(*lacking)),
            Cause::Offline(id) => Cause::Offline(self.host(*id)),
            Cause::SourceNotAllowed { lacking } => {
                Cause::SourceNotAllowed { lacking: self.lacking(*lacking) }
            }
            other => other.clone(),
        }
    }

    fn lacking(&self, lacking: NoPeerReason) -> NoPeerReason {
        match lacking {
            NoPeerReason::NotApproved(id) => NoPeerReason::NotApproved(self.host(id)),
            NoPeerReason::NotAdvertised(id) => NoPeerReason::NotAdvertised(self.host(id)),
            other => other,
        }
    }
}
