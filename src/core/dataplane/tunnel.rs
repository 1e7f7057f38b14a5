//! The tunnel: its members, and the peer table of each.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use foldhash::HashSet;
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
        let approved: HashSet<&Ipv4Net> = approved.iter().collect();
        Ok(advertised.iter().filter(|prefix| approved.contains(prefix)).copied().collect())
    }
}

/// The prefixes of all members. The peer table of a member is all of them without its own.
struct ServedPrefixes {
    /// By prefix; of one prefix in the order in which the members joined.
    all: Vec<ServedPrefix>,
    /// Members whose served prefixes are unknown, with the origin of the unread fact.
    unread: Vec<(HostId, Origin)>,
}

/// A prefix that a member serves.
struct ServedPrefix {
    prefix: Ipv4Net,
    peer: PeerPrefix,
    /// Whether it is the member's own address.
    is_address: bool,
    /// Whether another member that serves the prefix takes it over.
    gives_way: bool,
}

impl ServedPrefixes {
    fn of(members: &BTreeMap<HostId, Member>) -> Self {
        let mut served = Self { all: Vec::new(), unread: Vec::new() };
        for (owner, member) in members {
            let gives_way = member.connected.read() == Ok(&false);
            let mut add = |prefix: Ipv4Net, is_address, origin| {
                let peer = PeerPrefix { owner: *owner, origin };
                let prefix = prefix.trunc();
                served.all.push(ServedPrefix { prefix, peer, is_address, gives_way });
            };
            if let Ok(address) = member.address.read() {
                add(Ipv4Net::from(*address), true, member.address.origin());
            }
            match member.advertised.served() {
                Ok(prefixes) => {
                    let origin = member.advertised.approved.origin();
                    prefixes.into_iter().for_each(|prefix| add(prefix, false, origin));
                }
                Err(origin) => served.unread.push((*owner, origin)),
            }
        }
        served.all.sort_by_key(|served| served.prefix);
        served
    }

    fn table_of(&self, id: HostId, member: &Member) -> Fact<PrefixTable<PeerPrefix>> {
        let accepts = match member.advertised.accepts.read() {
            Ok(accepts) => *accepts,
            Err(unread) => return Fact::unknown(unread.origin),
        };
        let unread = self.unread.iter().find(|(owner, _)| accepts && *owner != id);
        if let Some((_, origin)) = unread {
            return Fact::unknown(*origin);
        }
        let is_known = |it: &&ServedPrefix| it.peer.owner != id && (accepts || it.is_address);
        let mut table = PrefixTable::default();
        for same in self.all.chunk_by(|one, next| one.prefix == next.prefix) {
            let known = same.iter().filter(is_known).reduce(|known, next| {
                if next.is_address || known.gives_way { next } else { known }
            });
            if let Some(ServedPrefix { prefix, peer, .. }) = known {
                table.insert(*prefix, *peer);
            }
        }
        Fact::known(table, member.advertised.accepts.origin())
    }
}

impl Tunnel {
    /// The peer table of each member as the tailnet computes it: every peer's own address,
    /// and its prefixes if the member accepts routes. Of two peers with one prefix, the one
    /// that joined first keeps it while it is connected; an offline owner keeps a prefix
    /// that no other peer has.
    pub fn of_tailnet(mut self) -> Self {
        let served = ServedPrefixes::of(&self.members);
        for (id, member) in &mut self.members {
            member.peers = served.table_of(*id, member);
        }
        self
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
