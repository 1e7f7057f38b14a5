//! Segments between hosts: virtual networks of Azure, and plain LANs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::fact::{Fact, Origin};
use super::host::HostId;
use super::security::SecurityGroup;
use super::table::PrefixTable;
use crate::net::prefix::TAILNET_RANGE;

/// The number of a segment in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub usize);

/// A segment, which carries packets between hosts.
#[derive(Debug, Clone)]
pub enum Segment {
    /// A virtual network of Azure.
    Fabric(Box<Fabric>),
    /// A plain LAN.
    Lan(Lan),
}

impl Segment {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::Fabric(fabric) => &fabric.name,
            Self::Lan(lan) => &lan.name,
        }
    }
}

/// A plain network: the owner of the address receives the packet.
#[derive(Debug, Clone, PartialEq)]
pub struct Lan {
    /// The name.
    pub name: String,
    /// The origin of the fact.
    pub origin: Origin,
    /// The prefix of its addresses.
    pub prefix: Ipv4Net,
    /// The hosts by address.
    pub hosts: BTreeMap<Ipv4Addr, HostId>,
}

/// A virtual network: it reads a packet's addresses, and no encapsulation of the sender's
/// kernel.
#[derive(Debug, Clone)]
pub struct Fabric {
    /// The name.
    pub name: String,
    /// The origin of the address space.
    pub origin: Origin,
    /// Its address space.
    pub address_space: Vec<Ipv4Net>,
    /// Its subnets.
    pub subnets: Vec<FabricSubnet>,
    /// Its interfaces by address.
    pub interfaces: BTreeMap<Ipv4Addr, Interface>,
    /// The sources of interfaces that could not be read.
    pub unread: Option<Origin>,
    /// The ranges of pods that the fabric itself carries, and the nodes that
    /// they are on. Only these nodes' interfaces are served by it.
    pub overlay: PrefixTable<OverlayRange>,
}

/// A pod CIDR that the fabric routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OverlayRange {
    /// The node's address.
    pub node: Ipv4Addr,
    /// The origin of the fact.
    pub origin: Origin,
}

/// A subnet with its routes and rules.
#[derive(Debug, Clone, PartialEq)]
pub struct FabricSubnet {
    /// The name.
    pub name: String,
    /// The routes of its table; empty without a table.
    pub routes: Fact<Arc<UserRoutes>>,
    /// The security group.
    pub security: Fact<Arc<SecurityGroup>>,
    /// The security group on the interfaces themselves, if they have one. Interfaces with
    /// different groups are in different entries for one subnet.
    pub interface_security: Option<Fact<Arc<SecurityGroup>>>,
}

/// The user-defined routes of a subnet.
pub type UserRoutes = PrefixTable<UserRoute>;

/// A user-defined route of a subnet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserRoute {
    /// The next hop.
    pub hop: FabricHop,
    /// The origin of the fact.
    pub origin: Origin,
}

/// An interface of a machine in a fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// The machine.
    pub host: HostId,
    /// The number of its subnet.
    pub subnet: usize,
    /// Whether IP forwarding is enabled.
    pub forwarding: Fact<bool>,
    /// Whether the fabric routes pods for it: the interface of an AKS node.
    pub in_overlay: bool,
}

/// The next hop of a route of the fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FabricHop {
    /// The interface with that address.
    Appliance(Ipv4Addr),
    /// The interface with the destination address of the packet.
    VirtualNetwork,
    /// The internet.
    Internet,
    /// A gateway, beyond which the network is not modelled.
    Gateway,
    /// None: the packet is dropped.
    None,
}

/// The source of a route of the fabric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// A system route.
    System,
    /// A route of the AKS overlay.
    Overlay,
    /// A user-defined route.
    User,
}

/// A route of the fabric that matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectiveRoute {
    /// The prefix that matched.
    pub prefix: Ipv4Net,
    /// The source of the route.
    pub source: RouteSource,
    /// The next hop.
    pub hop: FabricHop,
    /// The origin of the fact.
    pub origin: Origin,
}

/// Ranges with next hop None unless the address space or a user route overrides them.
const SYSTEM_NONE_ROUTES: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    TAILNET_RANGE,
];

impl Fabric {
    /// The route that an interface's packets take to an address: the longest
    /// prefix, and of equal ones a user's before the overlay's before the
    /// fabric's own.
    pub fn effective_route(
        &self,
        interface: &Interface,
        routes: &UserRoutes,
        destination: Ipv4Addr,
    ) -> EffectiveRoute {
        let user = routes.lookup(destination).map(|(prefix, route)| EffectiveRoute {
            prefix,
            source: RouteSource::User,
            hop: route.hop,
            origin: route.origin,
        });
        let overlay = interface.in_overlay.then(|| self.overlay_route(destination)).flatten();
        let system = self.system_route(destination);
        let rank = |route: &EffectiveRoute| (route.prefix.prefix_len(), route.source);
        user.into_iter()
            .chain(overlay)
            .fold(system, |best, route| if rank(&route) > rank(&best) { route } else { best })
    }

    fn overlay_route(&self, destination: Ipv4Addr) -> Option<EffectiveRoute> {
        let (prefix, range) = self.overlay.lookup(destination)?;
        let hop = FabricHop::Appliance(range.node);
        Some(EffectiveRoute { prefix, source: RouteSource::Overlay, hop, origin: range.origin })
    }

    /// The system routes; the default is the internet.
    fn all_system_routes(&self) -> impl Iterator<Item = (Ipv4Net, FabricHop)> {
        let own = self.address_space.iter().map(|prefix| (*prefix, FabricHop::VirtualNetwork));
        SYSTEM_NONE_ROUTES.into_iter().map(|prefix| (prefix, FabricHop::None)).chain(own)
    }

    /// The same as a table.
    pub(super) fn system_routes(&self) -> PrefixTable<FabricHop> {
        self.all_system_routes().collect()
    }

    fn system_route(&self, destination: Ipv4Addr) -> EffectiveRoute {
        let (prefix, hop) = self
            .all_system_routes()
            .filter(|(prefix, _)| prefix.contains(&destination))
            .max_by_key(|(prefix, _)| prefix.prefix_len())
            .unwrap_or((Ipv4Net::default(), FabricHop::Internet));
        EffectiveRoute { prefix, source: RouteSource::System, hop, origin: self.origin }
    }

    /// The prefixes of the tag `VirtualNetwork` on a subnet: the address space
    /// and the prefixes of the user's routes there.
    pub fn is_virtual_network(&self, routes: &UserRoutes, address: Ipv4Addr) -> bool {
        self.address_space.iter().any(|prefix| prefix.contains(&address))
            || routes.lookup(address).is_some_and(|(_, route)| route.hop != FabricHop::Internet)
    }

    /// Whether an interface without forwarding may send from an address and receive packets
    /// to it: its own addresses, and those of its pods if the fabric carries them.
    pub fn is_own(&self, at: Ipv4Addr, interface: &Interface, address: Ipv4Addr) -> bool {
        let routed = || self.overlay.lookup(address).is_some_and(|(_, range)| range.node == at);
        address == at || (interface.in_overlay && routed())
    }
}
