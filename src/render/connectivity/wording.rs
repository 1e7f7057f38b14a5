//! What happened to a packet, in words.

use crate::connectivity::{Breach, PathModel, Rule, Why};
use crate::dataplane::fabric::{EffectiveRoute, FabricHop, RouteSource};
use crate::dataplane::host::{Found, KernelHop, TableId};
use crate::dataplane::tunnel::Lacking;
use crate::dataplane::{
    Cause, Decision, Direction, Drop, HostId, Origin, Place, Protocol, Verdict,
};
use crate::inventory::Source;
use crate::plan::impact::Remedy;
use crate::resource::Address;

/// Words about one network.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wording<'a> {
    pub(super) model: &'a PathModel,
}

impl Wording<'_> {
    fn name(&self, id: HostId) -> &str {
        self.model.network.name(id)
    }

    /// Where something happened.
    pub(super) fn place(&self, place: Place) -> String {
        match place {
            Place::Host(id) => self.name(id).to_owned(),
            Place::Interface(segment, address) => {
                let name = self.model.network.segment(segment).map_or("", |it| it.name());
                format!("{name}, interface {address}")
            }
            Place::Tunnel(id) => {
                format!("{}, at {}", self.model.network.tunnel().name, self.name(id))
            }
        }
    }

    /// What was looked up, and which entry matched.
    pub(super) fn decision(&self, decision: &Decision) -> String {
        match decision {
            Decision::Routed(found) => kernel_route(found),
            Decision::Translated { from, to } => format!("hides source {from} behind {to}"),
            Decision::Restored { from, to } => format!("known connection: {from} is {to} again"),
            Decision::Passed { rule } => format!("security rule {rule} lets it pass"),
            Decision::Established => "it answers a flow that was let pass".to_owned(),
            Decision::Carried(route) => fabric_route(route),
            Decision::HandedTo(neighbour) => format!("handed to {neighbour}"),
            Decision::Tunnelled { owner, prefix } => {
                format!("{prefix} is {}'s, which takes it", self.name(*owner))
            }
            Decision::Arrived => "arrived".to_owned(),
        }
    }

    /// Why it was dropped.
    pub(super) fn cause(&self, cause: &Cause) -> String {
        match cause {
            Cause::NotRunning => "there is no machine, or it does not run".to_owned(),
            Cause::NotForwarding => "the kernel forwards nothing (ip_forward is 0)".to_owned(),
            Cause::ReversePath => "the kernel has no way back to the source (rp_filter)".to_owned(),
            Cause::NoRoute => "no table has a route".to_owned(),
            Cause::Unreachable(found) => format!("{}: it ends here", kernel_route(found)),
            Cause::NoNeighbour(address) => format!("nobody on the network has {address}"),
            Cause::SourceCheck => {
                "IP forwarding is off: it sends only from its own address".to_owned()
            }
            Cause::DestinationCheck => {
                "IP forwarding is off: it takes only what goes to its own address".to_owned()
            }
            Cause::Denied { rule } => format!("security rule {rule} drops it"),
            Cause::Nowhere(route) => format!("{}: no route of a table fits", fabric_route(route)),
            Cause::NobodyAt(address) => format!("the route leads to {address}, where nobody is"),
            Cause::NoPeer(lacking) => format!("no peer for it: {}", self.lacking(*lacking)),
            Cause::NotInTunnel => "it is not in the tailnet".to_owned(),
            Cause::Offline(id) => format!("{} is not connected to the tailnet", self.name(*id)),
            Cause::SourceNotAllowed { lacking } => {
                format!("the source is not the sender's: {}", self.lacking(*lacking))
            }
            Cause::PodsNotPlumbed => {
                "its pods get no addresses: our CNI configuration is not in use".to_owned()
            }
            Cause::Loop => "it goes round: this host has had the packet before".to_owned(),
            Cause::Misdelivered => "the answer went to somebody who did not ask".to_owned(),
        }
    }

    fn lacking(&self, lacking: Lacking) -> String {
        match lacking {
            Lacking::NotAccepted => "others' routes are not accepted here".to_owned(),
            Lacking::NotApproved(id) => {
                format!("{} offers it, and the tailnet has not approved it", self.name(id))
            }
            Lacking::NotOffered(id) => {
                format!("it is approved for {}, which does not offer it", self.name(id))
            }
            Lacking::Nobody => "no router offers it".to_owned(),
        }
    }

    /// How a way ended, where it did not arrive.
    pub(super) fn verdict(&self, verdict: &Verdict) -> String {
        match verdict {
            Verdict::Arrived(id) => format!("arrived at {}", self.name(*id)),
            Verdict::Dropped(Drop { place, cause, .. }) => {
                format!("dropped at {}: {}", self.place(*place), self.cause(cause))
            }
            Verdict::Left(place) => {
                format!("left by {} for what nobody here knows", self.place(*place))
            }
            Verdict::Unknown { place, origin } => {
                let fact = self.told(*origin).map_or(String::new(), |it| it.0.to_string());
                format!("unknown at {}: {fact} could not be read", self.place(*place))
            }
        }
    }

    /// The resource that holds a fact, and who told of it.
    pub(super) fn told(&self, origin: Origin) -> Option<(&Address, &Source)> {
        self.model.provenance.get(origin).map(|told| (&told.address, &told.source))
    }
}

fn kernel_route(found: &Found) -> String {
    let table = match found.rule.table {
        TableId::MAIN => "main".to_owned(),
        TableId::TAILSCALE => "52 (Tailscale's)".to_owned(),
        TableId(number) => number.to_string(),
    };
    let hop = match found.route.hop {
        KernelHop::OnLink(_) => "onto its network".to_owned(),
        KernelHop::Via(_, neighbour) => format!("via {neighbour}"),
        KernelHop::Tunnel => "into the tunnel".to_owned(),
        KernelHop::Unreachable => "unreachable".to_owned(),
        KernelHop::Throw => "on to the next rule".to_owned(),
    };
    let (rule, prefix) = (found.rule.priority, found.prefix);
    format!("rule {rule}, table {table}: {prefix} {hop}")
}

fn fabric_route(route: &EffectiveRoute) -> String {
    let source = match route.source {
        RouteSource::System => "Azure's own route",
        RouteSource::Overlay => "AKS's overlay",
        RouteSource::User => "route",
    };
    let hop = match route.hop {
        FabricHop::Appliance(address) => format!("to {address}"),
        FabricHop::VirtualNetwork => "within the virtual network".to_owned(),
        FabricHop::Internet => "to the internet".to_owned(),
        FabricHop::Gateway => "to a gateway".to_owned(),
        FabricHop::Nowhere => "leads nowhere".to_owned(),
    };
    format!("{source} {} {hop}", route.prefix)
}

/// What a packet carries.
pub(super) fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::Icmp => "echo".to_owned(),
        Protocol::Tcp(port) => format!("TCP port {port}"),
        Protocol::Udp(port) => format!("UDP port {port}"),
    }
}

/// Which of the two ways.
pub(super) fn way(way: Direction) -> &'static str {
    match way {
        Direction::Forward => "on the way there",
        Direction::Return => "on the way back",
    }
}

/// What to do.
pub(super) fn describe_remedy(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Apply(addresses) => {
            let names: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            format!("`stargate apply` mends it; it changes {}", names.join(", "))
        }
        Remedy::Decide(blocked) => {
            format!("{}; {}", blocked.failure.message, blocked.failure.remedy)
        }
        Remedy::Wait(address) => {
            format!("`stargate apply` goes on with {address} once what it waits for is there")
        }
        Remedy::Read { reason, remedy } => format!("{reason}; {remedy}"),
        Remedy::LookAtHost(address) => {
            format!("nobody looked at {address} itself: run it again with `--deep`")
        }
        Remedy::LookAtHosts => "run it again with `--deep`, which looks at hosts".to_owned(),
        Remedy::Correct { message, remedy } => format!("{message}; {remedy}"),
        Remedy::Write(edit) => edit.clone(),
    }
}

/// A rule that does not hold.
pub(super) fn breach(breach: &Breach) -> String {
    format!("{}: {}", rule(breach.rule), breach.found)
}

/// Why a rule was not looked at.
pub(super) fn why(why: &Why) -> String {
    match why {
        Why::Unread(source) => format!("{source} could not be read"),
        Why::Vouched => "the workers' Nodes vouch for it; `--deep` looks at hosts".to_owned(),
        Why::Nothing => "there is nothing yet".to_owned(),
    }
}

/// The number and the name of a rule, as the README has them.
pub(super) fn rule_id(rule: Rule) -> String {
    format!("I{} {}", rule.number(), rule.as_str())
}

/// What must hold.
pub(super) fn rule(rule: Rule) -> &'static str {
    match rule {
        Rule::CniConfigActive => "a worker's pods get no addresses of their range",
        Rule::ServerRouterAddressCurrent => "a Server names another router, or none",
        Rule::NextHopExists => "a route leads to nobody",
        Rule::NoStaleRoutes => "a route is for nobody's pods",
        Rule::AdvertisedRoutesApproved => "what is offered is not what is approved",
        Rule::CiliumNodePodCidrSet => "Cilium does not know a worker's pods",
        Rule::IpForwardingEnabled => "an interface does not forward",
        Rule::NoRouterHairpinInVnet => "neighbours take the way round",
        Rule::SnatSymmetric => "sources are hidden by halves",
        Rule::NoRouteManagerUnlessEnabled => "something of ours changes AKS's nodes",
        Rule::NoOverlappingAdvertisements => "a router offers others' pods",
        Rule::UnroutedPodsBlackholed => "what has no route goes on",
        Rule::PodCidrsDisjoint => "two nodes have pods of one range",
        Rule::MssClamped => "segment sizes are not clamped",
        Rule::WorkersReady => "a worker is not Ready",
        Rule::NodesMatchSpec => "a Node is not as it should be",
        Rule::KubeletPortReachable => "a kubelet is not reached",
        Rule::NoOrphans => "something of ours is left over",
        Rule::NoSecretsInCluster => "a secret is kept in the cluster",
    }
}
