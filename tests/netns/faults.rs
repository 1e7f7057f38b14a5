//! Faults of a network.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use stargate::dataplane::PrefixTable;
use stargate::dataplane::fabric::{Fabric, UserRoute};
use stargate::dataplane::host::{
    Egress, ForwardingEntry, HostId, KernelHop, Pods, Port, ReversePathFilter, RoutingRule,
    TableId, Translation,
};
use stargate::dataplane::security::SecurityGroup;
use stargate::dataplane::tunnel::PeerPrefix;
use stargate::net::prefix::TAILNET_RANGE;

use super::chance::{any_fabric_hop, any_hop, any_host, any_prefix, any_rule};
use super::network_spec::{
    CLAIMS, HOSTS, METAL_ROUTER, NODE_A, NODE_B, NetworkSpec, ORIGIN, ROUTERS, from_tunnel,
    healthy, ip, masquerade_rule, net, value,
};
use super::rng::Rng;
use super::wiring::FABRICS;

/// The maximum number of faults in one state.
const MAX_FAULTS: usize = 6;

/// A fault. The function returns a description of what it changed.
type Fault = fn(&mut NetworkSpec, &mut Rng) -> String;

/// All faults, with their names.
const FAULTS: [(&str, Fault); 25] = [
    ("a user-defined route is missing", lose_user_route),
    ("a user-defined route is wrong", add_user_route),
    ("a user-defined route is wrong", add_user_route),
    ("a user-defined route redirects pods of AKS", redirect_overlay_pods),
    ("a kernel route is missing", lose_kernel_route),
    ("a kernel route is wrong", add_kernel_route),
    ("a kernel route is wrong", add_kernel_route),
    ("a kernel has two routes to one prefix", shadow_kernel_route),
    ("table 52 lacks a route", lose_accepted_route),
    ("table 52 has a wrong route", add_accepted_route),
    ("policy rules are wrong", change_rules),
    ("a kernel does not forward", stop_forwarding),
    ("IP forwarding of an interface is toggled", toggle_interface_forwarding),
    ("a peer's prefix is missing", lose_peer_prefix),
    ("a peer has another peer's prefix", move_peer_prefix),
    ("a member is offline", disconnect),
    ("a router is not in the tailnet", leave_tailnet),
    ("masquerading is changed", change_masquerading),
    ("a security group is replaced", replace_security_group),
    ("reverse path filtering is changed", filter_sources),
    ("reverse path filtering is changed", filter_sources),
    ("packets arrive by another interface than the route back", filter_neighbours),
    ("two nodes have the same pod CIDR", claim_pods),
    ("pods have no network", unplumb_pods),
    ("a host is stopped", stop_host),
];

/// This fault is applied first, because it recomputes what the tailnet derives from advertised and
/// approved routes.
const FIRST_FAULT: (&str, Fault) =
    ("advertised or approved routes are wrong", change_advertised_routes);

/// A network with its faults.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) spec: NetworkSpec,
    /// Whether routers masquerade, before any faults.
    pub(crate) masquerade: bool,
    /// The name of each fault, and what it changed.
    pub(crate) faults: Vec<(&'static str, String)>,
}

/// The state for a seed.
pub(crate) fn of(rng: &mut Rng) -> State {
    let masquerade = rng.once_in(2);
    let mut spec = healthy(masquerade, rng.once_in(2));
    let mut faults = Vec::new();
    let first = vec![FIRST_FAULT; rng.below(3)];
    let others = (0..rng.below(MAX_FAULTS + 1)).map(|_| rng.one(&FAULTS)).collect();
    for (kind, fault) in [first, others].concat() {
        let before = format!("{spec:?}");
        let description = fault(&mut spec, rng);
        // Some faults change nothing, for example the loss of a route that is already lost.
        if format!("{spec:?}") != before {
            faults.push((kind, description));
        }
    }
    spec.remove_unshadowed_routes();
    State { spec, masquerade, faults }
}

/// The names of all faults.
pub(crate) fn kinds() -> BTreeSet<&'static str> {
    FAULTS.iter().chain([&FIRST_FAULT]).map(|(kind, _)| *kind).collect()
}

/// Mostly one of the entries of a table.
fn entry<T>(table: &PrefixTable<T>, rng: &mut Rng) -> Option<Ipv4Net> {
    let prefixes: Vec<Ipv4Net> = table.iter().map(|(prefix, _)| prefix).collect();
    (!prefixes.is_empty()).then(|| rng.one(&prefixes))
}

fn lose<T: Clone>(table: &mut PrefixTable<T>, rng: &mut Rng) -> Option<Ipv4Net> {
    let lost = entry(table, rng)?;
    let kept = table.iter().filter(|(prefix, _)| *prefix != lost);
    *table = kept.map(|(prefix, entry)| (prefix, entry.clone())).collect();
    Some(lost)
}

/// The prefixes of a fabric's system routes.
fn own_prefixes(fabric: &Fabric) -> Vec<Ipv4Net> {
    [&fabric.address_space[..], &[net("10.0.0.0/8"), TAILNET_RANGE]].concat()
}

fn user_routes(
    spec: &mut NetworkSpec,
    network: usize,
    subnet: usize,
) -> (String, &mut PrefixTable<UserRoute>) {
    let subnet = &mut spec.fabric(network).subnets[subnet];
    (subnet.name.clone(), Arc::make_mut(value(&mut subnet.routes)))
}

fn lose_user_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let (name, routes) = user_routes(spec, rng.one(&FABRICS).0, rng.below(2));
    let lost = lose(routes, rng);
    format!("{name} loses {lost:?}")
}

fn add_user_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let network = rng.one(&FABRICS).0;
    let subnet = rng.below(2);
    let prefix = match rng.once_in(3) {
        true => rng.one(&own_prefixes(spec.fabric(network))),
        false => any_prefix(rng),
    };
    let hop = any_fabric_hop(rng);
    let (name, routes) = user_routes(spec, network, subnet);
    routes.insert(prefix, UserRoute { hop, origin: ORIGIN });
    format!("{name} gets {prefix} {hop:?}")
}

/// A user-defined route redirects the overlay's pods.
fn redirect_overlay_pods(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let node = rng.one(&[NODE_A, NODE_B]);
    let (prefix, hop) = (net(HOSTS[node].pods.unwrap()), any_fabric_hop(rng));
    let (name, routes) = user_routes(spec, HOSTS[node].segment, 0);
    routes.insert(prefix, UserRoute { hop, origin: ORIGIN });
    format!("{name} gets {prefix} {hop:?}")
}

fn lose_kernel_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let host = any_host(rng);
    let main = spec.kernel(host).tables.get_mut(&TableId::MAIN).unwrap();
    let lost = lose(main, rng);
    format!("{} loses {lost:?}", HOSTS[host].name)
}

fn add_kernel_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let (host, prefix) = (any_host(rng), any_prefix(rng));
    let hop = any_hop(host, rng);
    let route = ForwardingEntry { metric: 0, hop, origin: None };
    spec.kernel(host).tables.entry(TableId::MAIN).or_default().insert(prefix, route);
    format!("{} gets {prefix} {hop:?}", HOSTS[host].name)
}

/// A second route to a prefix: the lower metric wins.
fn shadow_kernel_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let host = any_host(rng);
    let (hop, metric) = (any_hop(host, rng), 1 + u32::try_from(rng.below(9_000)).unwrap());
    let kernel = spec.kernel(host);
    let main = kernel.tables.entry(TableId::MAIN).or_default();
    let Some(prefix) = entry(main, rng) else { return String::new() };
    let before = *main.get(&prefix).unwrap();
    let added = ForwardingEntry { metric, hop, origin: None };
    if added.metric == before.metric {
        return String::new();
    }
    kernel.add_route(TableId::MAIN, prefix, added);
    let now = *kernel.tables[&TableId::MAIN].get(&prefix).unwrap();
    let masquerade_rule = if now == before { added } else { before };
    spec.shadowed.retain(|(of, _, known, _)| (*of, *known) != (host, prefix));
    spec.shadowed.push((host, TableId::MAIN, prefix, masquerade_rule));
    format!("{} gets {prefix} {hop:?} with metric {metric}", HOSTS[host].name)
}

fn lose_accepted_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = rng.one(&ROUTERS);
    let table = spec.kernel(router).tables.entry(TableId::TAILSCALE).or_default();
    let lost = lose(table, rng);
    format!("table 52 of {} loses {lost:?}", HOSTS[router].name)
}

fn add_accepted_route(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let (router, prefix) = (rng.one(&ROUTERS), any_prefix(rng));
    let hop = match rng.below(8) {
        0 | 1 => KernelHop::Throw,
        2..=4 => KernelHop::Unreachable,
        _ => KernelHop::Tunnel,
    };
    let route = ForwardingEntry { metric: 0, hop, origin: None };
    spec.kernel(router).tables.entry(TableId::TAILSCALE).or_default().insert(prefix, route);
    format!("table 52 of {} gets {prefix} {hop:?}", HOSTS[router].name)
}

fn change_rules(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = if rng.once_in(3) { any_host(rng) } else { rng.one(&ROUTERS) };
    let name = HOSTS[router].name;
    let kernel = spec.kernel(router);
    if rng.once_in(3) {
        kernel.rules.retain(|rule| rule.priority != 5_200);
        return format!("{name} loses its own rules");
    }
    let any = Ipv4Net::default();
    let [from, to] = [(); 2].map(|()| if rng.once_in(2) { any } else { any_prefix(rng) });
    let rule = RoutingRule {
        priority: rng.one(&[100, 5_199, 5_201, 5_280, 32_767]),
        from,
        to,
        table: rng.one(&[TableId::MAIN, TableId::TAILSCALE]),
    };
    // A kernel treats a broad rule as equal to an existing one of the same priority.
    if !kernel.rules.iter().any(|known| known.priority == rule.priority) {
        kernel.rules.push(rule);
        kernel.sort_rules();
    }
    format!("{name} gets {rule:?}")
}

fn stop_forwarding(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let host = any_host(rng);
    spec.kernel(host).forwarding = false;
    format!("{} does not forward", HOSTS[host].name)
}

fn toggle_interface_forwarding(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let fabric = spec.fabric(rng.one(&FABRICS).0);
    let addresses: Vec<Ipv4Addr> = fabric.interfaces.keys().copied().collect();
    let address = rng.one(&addresses);
    let forwarding = value(&mut fabric.interfaces.get_mut(&address).unwrap().forwarding);
    *forwarding = !*forwarding;
    format!("forwarding at {address} is {forwarding}")
}

fn lose_peer_prefix(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = rng.one(&ROUTERS);
    let lost = lose(spec.peers(router), rng);
    format!("the tunnel at {} loses {lost:?}", HOSTS[router].name)
}

fn move_peer_prefix(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = rng.one(&ROUTERS);
    let others: Vec<usize> = ROUTERS.into_iter().filter(|other| *other != router).collect();
    let owner = rng.one(&others);
    let known = if rng.once_in(2) { entry(spec.peers(router), rng) } else { None };
    let prefix = known.unwrap_or_else(|| any_prefix(rng));
    let entry = PeerPrefix { owner: HostId(owner), origin: ORIGIN };
    spec.peers(router).insert(prefix, entry);
    format!("the tunnel at {} has {prefix} as {}'s", HOSTS[router].name, HOSTS[owner].name)
}

/// Recomputes on all members what the tailnet derives.
fn change_advertised_routes(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let (router, prefix) = (rng.one(&ROUTERS), any_prefix(rng));
    let what = rng.below(4);
    let tables = &mut spec.member(router).advertised;
    let [advertised, approved] = [&mut tables.advertised, &mut tables.approved].map(value);
    let lost = approved.first().copied();
    match what {
        0 => advertised.retain(|one| Some(*one) != lost),
        1 => approved.retain(|one| Some(*one) != lost),
        2 => [advertised, approved].into_iter().for_each(|all| all.push(prefix)),
        _ => *value(&mut tables.accepts) = false,
    }
    spec.recompute_tailnet_routes();
    format!("advertised routes of {} change: {what} {lost:?} {prefix}", HOSTS[router].name)
}

fn disconnect(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = rng.one(&ROUTERS);
    *value(&mut spec.member(router).connected) = false;
    format!("{} is offline", HOSTS[router].name)
}

fn leave_tailnet(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = rng.one(&ROUTERS);
    spec.left.insert(HostId(router));
    format!("{} is not in the tailnet", HOSTS[router].name)
}

fn change_masquerading(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let host = any_host(rng);
    let except = [net("10.244.0.0/16"), any_prefix(rng)];
    let pods = HOSTS[host].pods.map(|range| Translation {
        sources: net(range),
        except: vec![rng.one(&except)],
        ..masquerade_rule(Some(Port::Local), Egress::Segments)
    });
    let ours = masquerade_rule(None, Egress::Tunnel);
    let kernel = spec.kernel(host);
    kernel.translations = match (pods, rng.below(4)) {
        (Some(pods), _) => vec![pods],
        (None, 0) => vec![],
        (None, 1) => vec![ours],
        (None, 2) => vec![from_tunnel()],
        (None, _) => vec![ours, from_tunnel()],
    };
    format!("{} masquerades {:?}", HOSTS[host].name, kernel.translations)
}

fn replace_security_group(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let subnet = &mut spec.fabric(rng.one(&FABRICS).0).subnets[rng.below(2)];
    let rules = (0..rng.below(4)).map(|number| any_rule(number, rng)).collect();
    let group = match rng.once_in(2) {
        true => SecurityGroup::with_defaults(ORIGIN, rules),
        false => SecurityGroup { origin: ORIGIN, rules },
    };
    let description = format!("{} gets {:?}", subnet.name, group.rules);
    *value(&mut subnet.security) = Arc::new(group);
    description
}

fn filter_sources(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    // Packets can arrive at routers by two interfaces.
    let host = if rng.once_in(3) { any_host(rng) } else { rng.one(&ROUTERS) };
    let all = [ReversePathFilter::Strict, ReversePathFilter::Loose, ReversePathFilter::Off];
    let filter = if rng.once_in(2) { ReversePathFilter::Strict } else { rng.one(&all) };
    spec.kernel(host).reverse_path_filter = filter;
    format!("reverse path filter of {}: {filter:?}", HOSTS[host].name)
}

/// A router has the route to a neighbour through the tunnel, with strict source validation.
fn filter_neighbours(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let router = rng.one(&ROUTERS);
    let near = HOSTS.iter().filter(|host| host.segment == HOSTS[router].segment);
    let (address, pods) =
        rng.one(&near.filter_map(|host| Some((host.address, host.pods?))).collect::<Vec<_>>());
    let prefix = if rng.once_in(2) { Ipv4Net::from(ip(address)) } else { net(pods) };
    let kernel = spec.kernel(router);
    let found = kernel.lookup(ip(HOSTS[router].address), prefix.addr());
    let table = found.map_or(TableId::TAILSCALE, |found| found.rule.table);
    let route = ForwardingEntry { metric: 0, hop: KernelHop::Tunnel, origin: None };
    kernel.tables.entry(table).or_default().insert(prefix, route);
    kernel.reverse_path_filter = ReversePathFilter::Strict;
    format!("{} has {prefix} in the tunnel and a strict reverse path filter", HOSTS[router].name)
}

fn unplumb_pods(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let host = any_host(rng);
    if let Some(range) = HOSTS[host].pods {
        *value(&mut spec.hosts[host].pods) = Pods::NotPlumbed(net(range));
    }
    format!("{} has no pod network", HOSTS[host].name)
}

fn claim_pods(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let (host, other) = rng.one(&CLAIMS);
    *value(&mut spec.hosts[host].pods) = Pods::Range(net(HOSTS[other].pods.unwrap()));
    format!("{} has the pod CIDR of {}", HOSTS[host].name, HOSTS[other].name)
}

/// Hosts of a LAN are never stopped, because the model does not cover missing ARP replies.
fn stop_host(spec: &mut NetworkSpec, rng: &mut Rng) -> String {
    let host = rng.below(METAL_ROUTER);
    *value(&mut spec.hosts[host].runs) = false;
    format!("{} is stopped", HOSTS[host].name)
}
