//! Devices of the tailnet that the topology does not own, where they serve prefixes that
//! concern it.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::builder::ModelBuilder;
use crate::dataplane::host::{Kernel, Pods};
use crate::dataplane::tunnel::AdvertisedPrefixes;
use crate::dataplane::{Fact, Host, Member, Origin};
use crate::inventory::ForeignPeer;
use crate::resource::{Address, Kind, Site};

/// Stands for the site of a device that is at no site of the topology, in the name of the
/// resource that drops packets. No datacenter can have this name.
const SITE_OF_PEERS: &str = "(foreign)";

/// The device with one prefix that Tailscale selects.
enum Primary {
    Router,
    Foreign,
    /// The router's host did not say.
    Unknown,
}

impl ModelBuilder<'_> {
    /// Adds them as members that deliver all packets locally.
    pub(super) fn foreign_peers(&mut self) {
        let inventory = self.sources.inventory;
        for peer in &inventory.foreign_peers {
            let origin = self.origin_of_peer(peer);
            let host = self.add_host(Host {
                name: peer.hostname.clone(),
                runs: Fact::known(true, origin),
                ports: Vec::new(),
                pods: Fact::known(Pods::None, origin),
                kernel: Fact::known(Kernel::plain(Default::default()), origin),
            });
            let served = self.selected(peer);
            let member = Member {
                address: peer.address.map_or(Fact::unknown(origin), |it| Fact::known(it, origin)),
                connected: Fact::known(peer.online, origin),
                peers: Fact::unknown(origin),
                advertised: AdvertisedPrefixes {
                    advertised: Fact::known(served.clone(), origin),
                    approved: Fact::known(served, origin),
                    accepts: Fact::known(false, origin),
                },
                blocks_incoming: false,
                is_foreign: true,
            };
            self.members.insert(host, member);
        }
    }

    fn origin_of_peer(&mut self, peer: &ForeignPeer) -> Origin {
        let site = Site::from(SITE_OF_PEERS);
        let address = Address::new(Kind::TailnetDevice, site, peer.hostname.as_str());
        self.provenance.of(&address)
    }

    /// The prefixes that packets are sent to a device for: not those for which Tailscale
    /// selected a router of the topology.
    fn selected(&self, peer: &ForeignPeer) -> Vec<Ipv4Net> {
        let of_routers: BTreeSet<Ipv4Net> =
            self.sources.inventory.primary_routes.values().flatten().copied().collect();
        let prefixes = peer.prefixes.iter().copied();
        prefixes.filter(|prefix| !of_routers.contains(prefix)).collect()
    }

    /// The prefixes of a router that Tailscale does not route to another device with the
    /// same prefix. Unknown if it is unknown which device Tailscale selects.
    pub(super) fn beside_foreign_peers(
        &mut self,
        router: &str,
        prefixes: Vec<Ipv4Net>,
        origin: Origin,
    ) -> Fact<Vec<Ipv4Net>> {
        let inventory = self.sources.inventory;
        let mut left = prefixes;
        for peer in inventory.foreign_peers.iter().filter(|peer| peer.online) {
            for prefix in &peer.prefixes {
                if !left.contains(prefix) {
                    continue;
                }
                match self.primary(router, prefix) {
                    Primary::Router => {}
                    Primary::Foreign => left.retain(|other| other != prefix),
                    Primary::Unknown => return Fact::unknown(self.origin_of_peer(peer)),
                }
            }
        }
        Fact::known(left, origin)
    }

    fn primary(&self, router: &str, prefix: &Ipv4Net) -> Primary {
        match self.sources.inventory.primary_routes.get(router) {
            Some(routes) if routes.contains(prefix) => Primary::Router,
            // A router that is selected for nothing may be of a version that does not say.
            Some(routes) if !routes.is_empty() => Primary::Foreign,
            _ => Primary::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::load::load_text;

    /// A device of others never has the address of a resource of a datacenter.
    #[test]
    fn no_datacenter_can_have_the_name_of_the_site_of_foreign_devices() {
        let text = include_str!("../../../examples/aks-e2e/stargate.toml");
        let named = |name: &str| text.replace("datacenters.dc1", &format!("datacenters.{name:?}"));
        load_text("stargate.toml", &named("tailnet")).unwrap();
        load_text("stargate.toml", &named(SITE_OF_PEERS)).unwrap_err();
    }
}
