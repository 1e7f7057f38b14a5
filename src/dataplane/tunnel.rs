//! The tunnel: its members, and the peer table of each.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fact::{Fact, Origin};
use super::host::HostId;
use super::table::PrefixTable;
use crate::net::prefix::TAILNET_RANGE;

/// The MTU of Tailscale's tunnel, in bytes.
pub const TAILSCALE_MTU: u16 = 1_280;

/// A full mesh between its members.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// The name.
    pub name: String,
    /// The MTU in bytes.
    pub mtu: u16,
    /// The members.
    pub members: BTreeMap<HostId, Member>,
}

/// A member of the tunnel.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its address in the tunnel.
    pub address: Fact<Ipv4Addr>,
    /// Whether it is connected.
    pub connected: Fact<bool>,
    /// The peer table of this member: the peer of each prefix. It sends by this table, and
    /// accepts from a peer only sources of that peer's prefixes.
    pub peers: Fact<PrefixTable<PeerPrefix>>,
    /// Advertised and approved routes: the reason why others lack a prefix.
    pub advertised: AdvertisedPrefixes,
    /// Whether it refuses connections from other members (shields up).
    pub blocks_incoming: bool,
    /// Whether it is a device of others: it forwards nothing for the topology.
    pub is_foreign: bool,
}

/// A prefix of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerPrefix {
    /// The peer.
    pub owner: HostId,
    /// The origin of the fact.
    pub origin: Origin,
}

/// Advertised and approved routes of a member, and whether it accepts routes.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvertisedPrefixes {
    /// Advertised prefixes.
    pub advertised: Fact<Vec<Ipv4Net>>,
    /// Approved prefixes.
    pub approved: Fact<Vec<Ipv4Net>>,
    /// Whether it accepts the routes of others.
    pub accepts: Fact<bool>,
}

/// Why a member knows no peer for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoPeerReason {
    /// A peer serves it, but this member does not accept routes.
    NotAccepted,
    /// A peer advertises it, but it is not approved.
    NotApproved(HostId),
    /// It is approved for a peer that does not advertise it.
    NotAdvertised(HostId),
    /// No peer advertises it.
    NoAdvertiser,
}

impl AdvertisedPrefixes {
    /// Served prefixes: advertised and approved.
    fn served(&self) -> Result<Vec<Ipv4Net>, Origin> {
        let advertised = self.advertised.read().map_err(|unread| unread.origin)?;
        let approved = self.approved.read().map_err(|unread| unread.origin)?;
        Ok(advertised.iter().filter(|prefix| approved.contains(prefix)).copied().collect())
    }
}

impl Tunnel {
    /// The peer table of each member as the tailnet computes it: every peer's own address,
    /// and its prefixes if the member accepts routes. Of two peers with one prefix, the one
    /// that joined first keeps it while it is connected; an offline owner keeps a prefix
    /// that no other peer has.
    pub fn of_tailnet(mut self) -> Self {
        let tables: BTreeMap<HostId, Fact<PrefixTable<PeerPrefix>>> =
            self.members.keys().map(|id| (*id, self.table_of(*id))).collect();
        for (id, table) in tables {
            if let Some(member) = self.members.get_mut(&id) {
                member.peers = table;
            }
        }
        self
    }

    fn table_of(&self, id: HostId) -> Fact<PrefixTable<PeerPrefix>> {
        let Some(me) = self.members.get(&id) else { return Fact::unknown(Origin(0)) };
        let accepts = match me.advertised.accepts.read() {
            Ok(accepts) => *accepts,
            Err(unread) => return Fact::unknown(unread.origin),
        };
        let mut table = PrefixTable::default();
        for (owner, peer) in self.members.iter().filter(|(owner, _)| **owner != id) {
            if let Ok(address) = peer.address.read() {
                let origin = peer.address.origin();
                table.insert(Ipv4Net::from(*address), PeerPrefix { owner: *owner, origin });
            }
            if !accepts {
                continue;
            }
            let served = match peer.advertised.served() {
                Ok(served) => served,
                Err(origin) => return Fact::unknown(origin),
            };
            let origin = peer.advertised.approved.origin();
            for prefix in served {
                let entry = PeerPrefix { owner: *owner, origin };
                if table.get(&prefix).is_none_or(|known| self.gives_way(known.owner)) {
                    table.insert(prefix, entry);
                }
            }
        }
        Fact::known(table, me.advertised.accepts.origin())
    }

    fn gives_way(&self, owner: HostId) -> bool {
        let member = self.members.get(&owner);
        member.is_none_or(|member| member.connected.read() == Ok(&false))
    }

    /// The origin of an unread peer address that may be this one.
    pub fn unread_address(&self, me: HostId, address: Ipv4Addr) -> Option<Origin> {
        let is_there = |peer: &Member| peer.connected.read() != Ok(&false);
        let mut peers = self.members.iter().filter(|(id, peer)| **id != me && is_there(peer));
        let unread = peers.find_map(|(_, peer)| Some(peer.address.read().err()?.origin));
        unread.filter(|_| TAILNET_RANGE.contains(&address))
    }

    /// Why a member has no peer for an address, and the origin of that fact.
    pub fn lacking(&self, me: HostId, address: Ipv4Addr) -> (NoPeerReason, Vec<Origin>) {
        let holds = |prefixes: &Fact<Vec<Ipv4Net>>| {
            prefixes.read().is_ok_and(|all| all.iter().any(|prefix| prefix.contains(&address)))
        };
        let peers = || self.members.iter().filter(|(id, _)| **id != me);
        // A member that is not connected may be the one that should advertise it.
        let away = peers().filter(|(_, peer)| peer.connected.read() == Ok(&false));
        let mut found =
            (NoPeerReason::NoAdvertiser, away.map(|(_, peer)| peer.connected.origin()).collect());
        for (id, peer) in peers() {
            let (advertised, approved) =
                (holds(&peer.advertised.advertised), holds(&peer.advertised.approved));
            let provenance =
                (peer.advertised.advertised.origin(), peer.advertised.approved.origin());
            match (advertised, approved) {
                (true, true) => {
                    let mine =
                        self.members.get(&me).map(|member| member.advertised.accepts.origin());
                    return (NoPeerReason::NotAccepted, mine.into_iter().collect());
                }
                (true, false) => found = (NoPeerReason::NotApproved(*id), vec![provenance.1]),
                (false, true) => found = (NoPeerReason::NotAdvertised(*id), vec![provenance.0]),
                (false, false) => {}
            }
        }
        found
    }
}
