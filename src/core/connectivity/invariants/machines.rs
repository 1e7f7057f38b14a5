//! Rules about interfaces and routers.

use super::{Checker, Invariant, ProjectedFact, Sources};
use crate::dataplane::HostId;
use crate::dataplane::fabric::Segment;
use crate::dataplane::host::{KernelHop, TableId};
use crate::net::prefix::TAILNET_RANGE;
use crate::resource::{Address, Kind, Resource, Site};

impl Checker<'_> {
    pub(super) fn interfaces(&mut self) {
        for (_, segment) in self.model.network.segments() {
            let Segment::Fabric(fabric) = segment else { continue };
            let ours = fabric.interfaces.iter().filter(|(_, interface)| !interface.in_overlay);
            for (address, interface) in ours {
                if interface.forwarding.read() == Ok(&false) {
                    let found = format!(
                        "IP forwarding is disabled: {address} accepts only \
                                         packets to its own address"
                    );
                    self.add_at(
                        Invariant::IpForwardingEnabled,
                        interface.forwarding.origin(),
                        found,
                    );
                }
            }
        }
    }

    pub(super) fn routers(&mut self, sources: Sources<'_>) {
        for site in self.model.sites.clone() {
            let name = self.model.network.name(site.router).to_owned();
            let address = Address::new(Kind::RouterHost, site.site.clone(), name);
            let ProjectedFact::There(Resource::RouterHost(host)) = self.state.resource(&address)
            else {
                continue;
            };
            if host.masquerade != host.snat_subnet_routes {
                let found = if host.masquerade {
                    "SNAT on traffic entering the tunnel, but not leaving it"
                } else {
                    "SNAT on traffic leaving the tunnel, but not entering it"
                };
                let found = found.to_owned();
                self.add(Invariant::SnatSymmetric, address.clone(), found);
            }
            if !host.mss_clamp {
                let found = "TCP segments may exceed the tunnel MTU".to_owned();
                self.add(Invariant::MssClamped, address.clone(), found);
            }
            if site.site != Site::Cluster {
                self.unrouted_blackholed(sources, site.router, &address);
            }
        }
    }

    /// The router must drop packets to unassigned addresses of a broad range.
    fn unrouted_blackholed(&mut self, sources: Sources<'_>, router: HostId, address: &Address) {
        let Some(cluster) = &sources.facts.cluster else { return };
        let host = self.model.network.host(router);
        let Some(kernel) = host.and_then(|host| host.kernel.read().ok()) else { return };
        let broad = cluster.address_prefixes.iter().copied();
        for range in broad.chain([cluster.pod_cidr, TAILNET_RANGE]) {
            let none = range.broadcast();
            if self.model.network.owner_of(none).is_some() {
                continue;
            }
            let main = kernel.tables.get(&TableId::MAIN);
            let unrouted_blackholed = main.and_then(|main| main.get(&range)).map(|route| route.hop);
            if unrouted_blackholed != Some(KernelHop::Unreachable) {
                let found = format!(
                    "packets to unassigned addresses of {range} are forwarded instead of dropped"
                );
                self.add(Invariant::UnroutedPodsBlackholed, address.clone(), found);
            }
        }
    }
}
