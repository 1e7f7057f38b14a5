//! The tunnel: peers that hold prefixes, and what each makes of the others'.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fact::{Fact, Origin};
use super::host::HostId;
use super::table::PrefixTable;
use crate::net::prefix::TAILNET_RANGE;

/// What a packet may weigh in Tailscale's tunnel.
pub const TAILSCALE_MTU: u16 = 1_280;

/// A tunnel between its members, each with every other.
#[derive(Debug, Clone)]
pub struct Tunnel {
    /// What it is called.
    pub name: String,
    /// What a packet in it may weigh.
    pub mtu: u16,
    /// The members.
    pub members: BTreeMap<HostId, Member>,
}

/// A host in a tunnel.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its address in the tunnel.
    pub address: Fact<Ipv4Addr>,
    /// Whether it is connected.
    pub connected: Fact<bool>,
    /// Whose each prefix is, as this member has it. It sends by this table, and
    /// takes from a peer only sources that this table gives to that peer.
    pub peers: Fact<PrefixTable<PeerPrefix>>,
    /// What it offers, and what of it is approved: why others lack a prefix.
    pub advertised: AdvertisedPrefixes,
}

/// A prefix of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerPrefix {
    /// The peer.
    pub owner: HostId,
    /// Where it was read.
    pub origin: Origin,
}

/// What a member offers, what is approved of it, and whether it takes others'.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvertisedPrefixes {
    /// Prefixes that it offers.
    pub advertised: Fact<Vec<Ipv4Net>>,
    /// Prefixes that may be offered by it.
    pub approved: Fact<Vec<Ipv4Net>>,
    /// Whether it takes up others' prefixes.
    pub accepts: Fact<bool>,
}

/// Why a member knows no peer for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lacking {
    /// A peer serves it and this member accepts no routes.
    NotAccepted,
    /// A peer advertises it and it is not approved.
    NotApproved(HostId),
    /// It is approved for a peer that does not offer it.
    NotOffered(HostId),
    /// No peer has to do with it.
    Nobody,
}

impl AdvertisedPrefixes {
    /// What others may take up: offered and approved.
    fn served(&self) -> Result<Vec<Ipv4Net>, Origin> {
        let advertised = self.advertised.read().map_err(|unread| unread.origin)?;
        let approved = self.approved.read().map_err(|unread| unread.origin)?;
        Ok(advertised.iter().filter(|prefix| approved.contains(prefix)).copied().collect())
    }
}

impl Tunnel {
    /// The peers' table of each member as the tailnet makes it: every peer's
    /// own address, and what it serves where the member takes it up. Of two
    /// peers with one prefix the one that joined first keeps it while it is
    /// connected; an offline owner keeps a prefix that no other peer has.
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

    /// Where a peer's own address would have been read that may be this one.
    pub fn unread_address(&self, me: HostId, address: Ipv4Addr) -> Option<Origin> {
        let is_there = |peer: &Member| peer.connected.read() != Ok(&false);
        let mut peers = self.members.iter().filter(|(id, peer)| **id != me && is_there(peer));
        let unread = peers.find_map(|(_, peer)| Some(peer.address.read().err()?.origin));
        unread.filter(|_| TAILNET_RANGE.contains(&address))
    }

    /// Why a member has no peer for an address, and where that was read.
    pub fn lacking(&self, me: HostId, address: Ipv4Addr) -> (Lacking, Vec<Origin>) {
        let holds = |prefixes: &Fact<Vec<Ipv4Net>>| {
            prefixes.read().is_ok_and(|all| all.iter().any(|prefix| prefix.contains(&address)))
        };
        let mut found = (Lacking::Nobody, Vec::new());
        for (id, peer) in self.members.iter().filter(|(id, _)| **id != me) {
            let (offered, approved) =
                (holds(&peer.advertised.advertised), holds(&peer.advertised.approved));
            let provenance =
                (peer.advertised.advertised.origin(), peer.advertised.approved.origin());
            match (offered, approved) {
                (true, true) => {
                    let mine =
                        self.members.get(&me).map(|member| member.advertised.accepts.origin());
                    return (Lacking::NotAccepted, mine.into_iter().collect());
                }
                (true, false) => found = (Lacking::NotApproved(*id), vec![provenance.1]),
                (false, true) => found = (Lacking::NotOffered(*id), vec![provenance.0]),
                (false, false) => {}
            }
        }
        found
    }
}
