//! A router: its host, and its place in the tailnet.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::builder::ModelBuilder;
use super::kernel::{PendingRouter, RouterParts};
use super::projected_state::ProjectedFact;
use crate::dataplane::tunnel::AdvertisedPrefixes;
use crate::dataplane::{Fact, HostId, Member, host};
use crate::net::prefix::TAILNET_RANGE;
use crate::resource::tailnet::RouteSet;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

impl ModelBuilder<'_> {
    /// Adds a router to hosts and members.
    pub(super) fn add_router(&mut self, parts: RouterParts) -> HostId {
        let id = self.add_host(parts.host);
        self.members.insert(id, parts.member);
        self.routers.insert(id, parts.pending);
        id
    }

    /// A router's place in the tailnet, and its kernel to come.
    pub(super) fn router(
        &mut self,
        site: &Site,
        name: &str,
        port: host::SegmentPort,
        runs: Fact<bool>,
        network: Ipv4Net,
    ) -> RouterParts {
        let host_address = Address::new(Kind::RouterHost, site.clone(), name);
        let origin = self.provenance.of(&host_address);
        let config = match self.state.resource(&host_address) {
            ProjectedFact::There(Resource::RouterHost(config)) => {
                Fact::known(config.clone(), origin)
            }
            _ => Fact::unknown(origin),
        };
        let host = host::Host {
            name: name.to_owned(),
            runs,
            ports: vec![port],
            pods: Fact::known(host::Pods::None, origin),
            kernel: Fact::unknown(origin),
        };
        let accepts = match config.read() {
            Ok(config) => Fact::known(config.accept_routes, origin),
            Err(_) => Fact::unknown(origin),
        };
        let member = self.member(site, name, accepts);
        let foreign_rules = self.sources.inventory.foreign_rules.get(name).cloned();
        let foreign_rules = foreign_rules.unwrap_or_default();
        RouterParts {
            host,
            member,
            pending: PendingRouter {
                config,
                network,
                foreign_rules,
                behind_gateway: Default::default(),
            },
        }
    }

    /// A device that is not there is as one that is not connected.
    fn member(&mut self, site: &Site, name: &str, accepts: Fact<bool>) -> Member {
        let address = |kind| Address::new(kind, site.clone(), name);
        let device = address(Kind::TailnetDevice);
        let origin = self.provenance.of(&device);
        let connected = match self.state.resource(&device) {
            ProjectedFact::There(Resource::TailnetDevice(device)) => {
                let is_accepted = !self.sources.inventory.locked_out.contains(name);
                Fact::known(device.authorized && device.online && is_accepted, origin)
            }
            ProjectedFact::There(_) | ProjectedFact::Absent => Fact::known(false, origin),
            ProjectedFact::Unread => Fact::unknown(origin),
        };
        let own = self.sources.facts.router_addresses.get(name).copied();
        let own = own.or_else(|| self.planned_address(&device));
        let advertised = self.prefixes(name, &address(Kind::AdvertisedRoutes));
        let approved = self.prefixes(name, &address(Kind::ApprovedRoutes));
        Member {
            address: own.map_or(Fact::unknown(origin), |own| Fact::known(own, origin)),
            connected,
            peers: Fact::unknown(origin),
            advertised: AdvertisedPrefixes { advertised, approved, accepts },
            blocks_incoming: self.sources.inventory.blocks_incoming.contains(name),
            is_foreign: false,
        }
    }

    /// An address for a device that the plan creates. The tailnet chooses it, and every one that
    /// no other device has leads packets alike.
    fn planned_address(&self, device: &Address) -> Option<Ipv4Addr> {
        let is_planned = matches!(self.state.resource(device), ProjectedFact::There(_));
        let key = ObjectKey::Device(device.name.to_string());
        if !is_planned || self.sources.inventory.get(&key).is_some() {
            return None;
        }
        let topology = self.sources.topology;
        let names = topology.datacenters.iter().map(|it| it.router.name.as_str());
        let mut names = std::iter::once(topology.cluster.router.name.as_str()).chain(names);
        let place = names.position(|name| *device.name == *name)?;
        let taken: BTreeSet<&Ipv4Addr> = self.sources.facts.router_addresses.values().collect();
        let mut free = TAILNET_RANGE.hosts().filter(|address| !taken.contains(address));
        free.nth(place)
    }

    fn prefixes(&mut self, router: &str, address: &Address) -> Fact<Vec<Ipv4Net>> {
        let origin = self.provenance.of(address);
        match self.state.resource(address) {
            ProjectedFact::There(
                Resource::AdvertisedRoutes(RouteSet { prefixes, .. })
                | Resource::ApprovedRoutes(RouteSet { prefixes, .. }),
            ) => match prefixes.known() {
                Some(prefixes) => {
                    let prefixes = prefixes.iter().copied().collect();
                    self.beside_foreign_peers(router, prefixes, origin)
                }
                None => Fact::unknown(origin),
            },
            ProjectedFact::There(_) | ProjectedFact::Absent => Fact::known(Vec::new(), origin),
            ProjectedFact::Unread => Fact::unknown(origin),
        }
    }
}
