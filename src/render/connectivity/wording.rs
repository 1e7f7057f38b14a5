//! The text for hops, causes of drops, remedies and rules.

use crate::connectivity::{Invariant, PathModel, Violation, Why};
use crate::dataplane::fabric::{EffectiveRoute, FabricHop, RouteSource};
use crate::dataplane::host::{Found, KernelHop, TableId};
use crate::dataplane::tunnel::NoPeerReason;
use crate::dataplane::{
    Cause, Decision, Direction, Drop, HostId, Origin, Place, Protocol, Verdict,
};
use crate::inventory::Source;
use crate::plan::impact::{FactOwner, Remedy};
use crate::resource::{Address, ArmId};

/// Describes hops of one network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wording<'a> {
    pub(super) model: &'a PathModel,
}

impl Wording<'_> {
    fn name(&self, id: HostId) -> &str {
        self.model.network.name(id)
    }

    /// The location of a hop.
    pub(super) fn place(&self, place: Place) -> String {
        match place {
            Place::Host(id) => self.name(id).to_owned(),
            Place::Interface(segment, address) => {
                let name = self.model.network.segment(segment).map_or("", |it| it.name());
                format!("{name}, interface {address}")
            }
            Place::Tunnel(id) => format!("Tailscale on {}", self.name(id)),
        }
    }

    /// The lookup and the entry that matched.
    pub(super) fn decision(&self, decision: &Decision) -> String {
        match decision {
            Decision::Routed(found) => kernel_route(found),
            Decision::Translated { from, to } => format!("SNAT: source {from} -> {to}"),
            Decision::UnNat { from, to } => format!("reverse SNAT: destination {from} -> {to}"),
            Decision::Passed { rule } => format!("allowed by security rule {rule}"),
            Decision::Established => "allowed: reply to an established flow".to_owned(),
            Decision::FabricRouted(route) => fabric_route(route),
            Decision::Delivered(neighbour) => format!("sent to {neighbour}"),
            Decision::Tunnelled { owner, prefix } => {
                format!("peer route {prefix} -> {}", self.name(*owner))
            }
            Decision::Arrived => "delivered".to_owned(),
        }
    }

    /// Why a packet was dropped, to follow `dropped at PLACE`.
    fn cause(&self, cause: &Cause) -> String {
        let reason = match cause {
            Cause::Denied { rule } => return format!(" by security rule {rule}"),
            Cause::RouteNone(route) => return format!(" by the {}", drop_route(route)),
            Cause::NotRunning => "the machine does not exist or is not running".to_owned(),
            Cause::NotForwarding => {
                "IP forwarding is disabled in the kernel (ip_forward = 0)".to_owned()
            }
            Cause::ReversePath => {
                "the kernel has no route back to the source (rp_filter)".to_owned()
            }
            Cause::NoRoute => "no route matches".to_owned(),
            Cause::Unreachable(found) => kernel_route(found),
            Cause::NoNeighbour(address) => {
                format!("no host on the network has the address {address}")
            }
            Cause::SourceCheck => {
                "IP forwarding is disabled on the interface, and the source is another address"
                    .to_owned()
            }
            Cause::DestinationCheck => {
                "IP forwarding is disabled on the interface, and the destination is another address"
                    .to_owned()
            }
            Cause::NoInterface(address) => format!("no host has the next hop address {address}"),
            Cause::NoPeer(lacking) => {
                format!("no peer accepts the packet: {}", self.lacking(*lacking))
            }
            Cause::ForeignPeer { owner, prefix } => {
                let owner = self.name(*owner);
                format!("{owner}, which the topology does not own, serves {prefix}")
            }
            Cause::ShieldsUp => {
                "Tailscale refuses connections from the tailnet (shields up)".to_owned()
            }
            Cause::NotInTunnel => "the host is not in the tailnet".to_owned(),
            Cause::Offline(id) => format!("{} is not connected to the tailnet", self.name(*id)),
            Cause::SourceNotAllowed { lacking } => {
                format!("the source address is not allowed: {}", self.lacking(*lacking))
            }
            Cause::CniNotConfigured => {
                "pods get no addresses: the CNI configuration of stargate is not in use".to_owned()
            }
            Cause::Loop => "routing loop: this host forwarded the packet before".to_owned(),
            Cause::Misdelivered => {
                "delivered to the wrong host: another host has the same address".to_owned()
            }
        };
        format!(": {reason}")
    }

    fn lacking(&self, lacking: NoPeerReason) -> String {
        match lacking {
            NoPeerReason::NotAccepted => "this device does not accept subnet routes".to_owned(),
            NoPeerReason::NotApproved(id) => {
                format!(
                    "{} advertises the prefix, but the tailnet has not approved it",
                    self.name(id)
                )
            }
            NoPeerReason::NotAdvertised(id) => {
                format!("the prefix is approved for {}, which does not advertise it", self.name(id))
            }
            NoPeerReason::NoAdvertiser => "no router advertises the prefix".to_owned(),
        }
    }

    /// The end of a path.
    pub(super) fn verdict(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Arrived(id) => format!("delivered to {}", self.name(*id)),
            Verdict::Dropped(Drop { place, cause, .. }) => {
                format!("dropped at {}{}", self.place(*place), self.cause(cause))
            }
            Verdict::Exited(place) => {
                format!("leaves the modelled network at {}", self.place(*place))
            }
            Verdict::Unknown { place, origin } => {
                let fact = self.provenance(*origin).map_or(String::new(), |it| it.0.to_string());
                format!("unknown at {}: {fact} could not be read", self.place(*place))
            }
        }
    }

    /// The resource that holds a fact, and the source that it was read from.
    pub(super) fn provenance(&self, origin: Origin) -> Option<(&Address, &Source)> {
        self.model.provenance.get(origin).map(|found| (&found.address, &found.source))
    }
}

fn kernel_route(found: &Found) -> String {
    let table = match found.rule.table {
        TableId::MAIN => "main".to_owned(),
        TableId::TAILSCALE => "52 (Tailscale)".to_owned(),
        TableId(number) => number.to_string(),
    };
    let hop = match found.route.hop {
        KernelHop::OnLink(_) => "on-link".to_owned(),
        KernelHop::Via(_, neighbour) => format!("via {neighbour}"),
        KernelHop::Tunnel => "dev tailscale0".to_owned(),
        KernelHop::Unreachable => "unreachable".to_owned(),
        KernelHop::Throw => "throw".to_owned(),
    };
    let (rule, prefix) = (found.rule.priority, found.prefix);
    format!("rule {rule}, table {table}: {prefix} {hop}")
}

/// An effective route of Azure, with the next hop types that Azure names.
fn fabric_route(route: &EffectiveRoute) -> String {
    let source = match route.source {
        RouteSource::System => "system route",
        RouteSource::Overlay => "overlay route",
        RouteSource::User => "user-defined route",
    };
    let hop = match route.hop {
        FabricHop::Appliance(address) => address.to_string(),
        FabricHop::VirtualNetwork => "virtual network".to_owned(),
        FabricHop::Internet => "Internet".to_owned(),
        FabricHop::Gateway => "virtual network gateway".to_owned(),
        FabricHop::None => "None".to_owned(),
    };
    format!("{source} {} -> {hop}", route.prefix)
}

/// A route that drops. Azure's system routes apply where no other route matches.
fn drop_route(route: &EffectiveRoute) -> String {
    let text = fabric_route(route);
    match route.source {
        RouteSource::System => format!("{text}: no user-defined route matches"),
        RouteSource::Overlay | RouteSource::User => text,
    }
}

/// The protocol and port as text.
pub(super) fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Icmp => "ICMP echo".to_owned(),
        Protocol::Tcp(port) => format!("TCP port {port}"),
        Protocol::Udp(port) => format!("UDP port {port}"),
    }
}

/// The direction as text and JSON have it.
pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Forward => "forward",
        Direction::Return => "return",
    }
}

/// A remedy as text.
pub(super) fn describe_remedy(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Apply(addresses) if addresses.is_empty() => "run `stargate apply`".to_owned(),
        Remedy::Apply(addresses) => {
            let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("run `stargate apply`, which changes {}", names.join(", "))
        }
        Remedy::ResolveBlocked(blocked) => {
            format!("{}; {}", blocked.failure.message, blocked.failure.remedy)
        }
        Remedy::WaitFor(address) => {
            format!("`stargate apply` continues with {address} once its dependencies exist")
        }
        Remedy::Read { reason, remedy } => format!("{reason}; {remedy}"),
        Remedy::ProbeHost(address) => {
            format!("{address} was not probed: run the command again with `--deep`")
        }
        Remedy::ProbeHosts => "run the command again with `--deep` to probe the hosts".to_owned(),
        Remedy::FixError { message, remedy } => format!("{message}; {remedy}"),
        Remedy::Manual(edit) => edit.clone(),
        Remedy::ChangeOutside { resource, id, owner } => {
            change_outside(resource, id.as_ref(), *owner)
        }
    }
}

/// The remedy for a resource that drops packets, by its owner.
fn change_outside(resource: &Address, id: Option<&ArmId>, owner: FactOwner) -> String {
    let group = id.and_then(ArmId::resource_group_name);
    let place = group.map(|group| format!(" in the resource group {group}")).unwrap_or_default();
    match owner {
        FactOwner::Topology => format!(
            "{resource}{place} matches the topology, so no apply changes it; inspect the object"
        ),
        FactOwner::Ignored => format!(
            "an `[[ignore]]` rule of the topology leaves {resource} as it is: remove the rule, \
             and run `stargate apply`"
        ),
        FactOwner::NodeResourceGroup => format!(
            "the topology does not own {resource}: it belongs to the AKS cluster{place}; ask the \
             administrator of the cluster to change it"
        ),
        FactOwner::Other => {
            format!("the topology does not own {resource}{place}; ask its owner to change it")
        }
    }
}

/// A violated rule and the observation.
pub(super) fn violation_text(violation: &Violation) -> String {
    format!("{}: {}", describe_violation(violation.rule), violation.found)
}

/// Why a rule was not checked.
pub(super) fn describe_unchecked(why: &Why) -> String {
    match why {
        Why::Unread(source) => format!("{source} could not be read"),
        Why::InferredFromNode => {
            "inferred from the workers' Nodes; use `--deep` to probe the hosts".to_owned()
        }
        Why::Nothing => "nothing exists yet".to_owned(),
    }
}

/// The number of the invariant and the name of the rule, as in the README.
pub(super) fn rule_id(rule: Invariant) -> String {
    format!("I{} {}", rule.number(), rule.as_str())
}

/// The meaning of a violation of the rule.
pub(super) fn describe_violation(rule: Invariant) -> &'static str {
    match rule {
        Invariant::CniConfigActive => "pods of a worker get no addresses from its pod CIDR",
        Invariant::ServerRouterAddressCurrent => "a Server has another router's address, or none",
        Invariant::NextHopExists => "the next hop of a route does not exist",
        Invariant::NoStaleRoutes => "a route leads to a pod CIDR that no node has",
        Invariant::AdvertisedRoutesApproved => "advertised and approved routes differ",
        Invariant::CiliumNodePodCidrSet => "a CiliumNode lacks the worker's pod CIDR",
        Invariant::IpForwardingEnabled => "IP forwarding is disabled on an interface",
        Invariant::NoRouterHairpinInVnet => {
            "traffic within a virtual network hairpins through the router"
        }
        Invariant::SnatSymmetric => "a router applies SNAT in one direction only",
        Invariant::NoRouteManagerUnlessEnabled => {
            "the route manager runs although it is not enabled"
        }
        Invariant::NoOverlappingAdvertisements => "a router advertises pods of another site",
        Invariant::UnroutedPodsBlackholed => "packets to unrouted pods are forwarded",
        Invariant::PodCidrsDisjoint => "two nodes have overlapping pod CIDRs",
        Invariant::MssClamped => "a router does not clamp the TCP MSS",
        Invariant::WorkersReady => "a worker is not Ready",
        Invariant::NodesMatchSpec => "a Node does not match the topology",
        Invariant::KubeletPortReachable => "a kubelet is not reachable",
        Invariant::NoOrphans => "the topology no longer lists an object that it owns",
        Invariant::NoSecretsInCluster => "the cluster stores a secret",
    }
}
