//! What goes wrong in a network.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use stargate::dataplane::PrefixTable;
use stargate::dataplane::fabric::{Fabric, UserRoute};
use stargate::dataplane::host::{
    HostId, KernelHop, KernelRoute, Leaving, Pods, Port, ReversePathFilter, Rule, TableId,
    Translation,
};
use stargate::dataplane::security::SecurityGroup;
use stargate::dataplane::tunnel::PeerPrefix;
use stargate::net::prefix::TAILNET_RANGE;

use super::chance::{any_fabric_hop, any_hop, any_host, any_prefix, any_rule};
use super::rng::Dice;
use super::wiring::FABRICS;
use super::world::{
    CLAIMS, HOSTS, METAL_ROUTER, NODE_A, NODE_B, ORIGIN, ROUTERS, World, from_tunnel, healthy,
    hidden, ip, net, value,
};

/// No state has more things wrong with it.
const MOST: usize = 6;

/// One thing that goes wrong; it tells what it did.
type Mishap = fn(&mut World, &mut Dice) -> String;

/// What can go wrong, and how it is called.
const MISHAPS: [(&str, Mishap); 25] = [
    ("a user's route is missing", lose_user_route),
    ("a user's route is wrong", add_user_route),
    ("a user's route is wrong", add_user_route),
    ("a user has routes to pods of AKS", take_overlay),
    ("a kernel's route is missing", lose_kernel_route),
    ("a kernel's route is wrong", add_kernel_route),
    ("a kernel's route is wrong", add_kernel_route),
    ("a kernel has two routes to one prefix", shadow_kernel_route),
    ("table 52 lacks a route", lose_accepted_route),
    ("table 52 has a wrong route", add_accepted_route),
    ("rules are wrong", change_rules),
    ("a kernel does not forward", stop_forwarding),
    ("an interface forwards or does not", turn_interface),
    ("a member lacks a peer's prefix", lose_peer_prefix),
    ("a member has a wrong peer's prefix", move_peer_prefix),
    ("a member is offline", disconnect),
    ("a router is not in the tailnet", leave_tailnet),
    ("sources are hidden otherwise", hide_otherwise),
    ("a security group is written", write_group),
    ("sources are filtered otherwise", filter_sources),
    ("sources are filtered otherwise", filter_sources),
    ("packets come another way than they would go", filter_neighbours),
    ("two nodes have one range of pods", claim_pods),
    ("pods have no network", unplumb_pods),
    ("a host does not run", stop_host),
];

/// This comes first: what the tailnet makes of it is made anew everywhere.
const FIRST: (&str, Mishap) = ("offers or approvals are wrong", change_offers);

/// A world, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) world: World,
    /// Whether routers hid sources before anything went wrong.
    pub(crate) masquerade: bool,
    /// Each mishap: what it is called, and what it did.
    pub(crate) faults: Vec<(&'static str, String)>,
}

/// The state of a seed.
pub(crate) fn of(rng: &mut Dice) -> State {
    let masquerade = rng.once_in(2);
    let mut world = healthy(masquerade, rng.once_in(2));
    let mut faults = Vec::new();
    let first = vec![FIRST; rng.below(3)];
    let others = (0..rng.below(MOST + 1)).map(|_| rng.one(&MISHAPS)).collect();
    for (kind, mishap) in [first, others].concat() {
        let before = format!("{world:?}");
        let told = mishap(&mut world, rng);
        // Many a route cannot be lost twice.
        if format!("{world:?}") != before {
            faults.push((kind, told));
        }
    }
    world.drop_bare_shadows();
    State { world, masquerade, faults }
}

/// What each mishap is called.
pub(crate) fn kinds() -> BTreeSet<&'static str> {
    MISHAPS.iter().chain([&FIRST]).map(|(kind, _)| *kind).collect()
}

/// One of the entries of a table, most of the time.
fn entry<T>(table: &PrefixTable<T>, rng: &mut Dice) -> Option<Ipv4Net> {
    let prefixes: Vec<Ipv4Net> = table.iter().map(|(prefix, _)| prefix).collect();
    (!prefixes.is_empty()).then(|| rng.one(&prefixes))
}

fn lose<T: Clone>(table: &mut PrefixTable<T>, rng: &mut Dice) -> Option<Ipv4Net> {
    let lost = entry(table, rng)?;
    let kept = table.iter().filter(|(prefix, _)| *prefix != lost);
    *table = kept.map(|(prefix, entry)| (prefix, entry.clone())).collect();
    Some(lost)
}

/// What a fabric has routes of its own to.
fn own_prefixes(fabric: &Fabric) -> Vec<Ipv4Net> {
    [&fabric.address_space[..], &[net("10.0.0.0/8"), TAILNET_RANGE]].concat()
}

fn user_routes(
    world: &mut World,
    network: usize,
    subnet: usize,
) -> (String, &mut PrefixTable<UserRoute>) {
    let subnet = &mut world.fabric(network).subnets[subnet];
    (subnet.name.clone(), Arc::make_mut(value(&mut subnet.routes)))
}

fn lose_user_route(world: &mut World, rng: &mut Dice) -> String {
    let (name, routes) = user_routes(world, rng.one(&FABRICS).0, rng.below(2));
    let lost = lose(routes, rng);
    format!("{name} loses {lost:?}")
}

fn add_user_route(world: &mut World, rng: &mut Dice) -> String {
    let network = rng.one(&FABRICS).0;
    let subnet = rng.below(2);
    let prefix = match rng.once_in(3) {
        true => rng.one(&own_prefixes(world.fabric(network))),
        false => any_prefix(rng),
    };
    let hop = any_fabric_hop(rng);
    let (name, routes) = user_routes(world, network, subnet);
    routes.insert(prefix, UserRoute { hop, origin: ORIGIN });
    format!("{name} gets {prefix} {hop:?}")
}

/// A user leads pods elsewhere than the fabric does.
fn take_overlay(world: &mut World, rng: &mut Dice) -> String {
    let node = rng.one(&[NODE_A, NODE_B]);
    let (prefix, hop) = (net(HOSTS[node].pods.unwrap()), any_fabric_hop(rng));
    let (name, routes) = user_routes(world, HOSTS[node].segment, 0);
    routes.insert(prefix, UserRoute { hop, origin: ORIGIN });
    format!("{name} gets {prefix} {hop:?}")
}

fn lose_kernel_route(world: &mut World, rng: &mut Dice) -> String {
    let host = any_host(rng);
    let main = world.kernel(host).tables.get_mut(&TableId::MAIN).unwrap();
    let lost = lose(main, rng);
    format!("{} loses {lost:?}", HOSTS[host].name)
}

fn add_kernel_route(world: &mut World, rng: &mut Dice) -> String {
    let (host, prefix) = (any_host(rng), any_prefix(rng));
    let hop = any_hop(host, rng);
    let route = KernelRoute { metric: 0, hop, origin: ORIGIN };
    world.kernel(host).tables.entry(TableId::MAIN).or_default().insert(prefix, route);
    format!("{} gets {prefix} {hop:?}", HOSTS[host].name)
}

/// A second route to a prefix: the lower metric counts.
fn shadow_kernel_route(world: &mut World, rng: &mut Dice) -> String {
    let host = any_host(rng);
    let (hop, metric) = (any_hop(host, rng), 1 + u32::try_from(rng.below(9_000)).unwrap());
    let kernel = world.kernel(host);
    let main = kernel.tables.entry(TableId::MAIN).or_default();
    let Some(prefix) = entry(main, rng) else { return String::new() };
    let before = *main.get(&prefix).unwrap();
    let added = KernelRoute { metric, hop, origin: ORIGIN };
    if added.metric == before.metric {
        return String::new();
    }
    kernel.add_route(TableId::MAIN, prefix, added);
    let now = *kernel.tables[&TableId::MAIN].get(&prefix).unwrap();
    let hidden = if now == before { added } else { before };
    world.shadowed.retain(|(of, _, known, _)| (*of, *known) != (host, prefix));
    world.shadowed.push((host, TableId::MAIN, prefix, hidden));
    format!("{} gets {prefix} {hop:?} with metric {metric}", HOSTS[host].name)
}

fn lose_accepted_route(world: &mut World, rng: &mut Dice) -> String {
    let router = rng.one(&ROUTERS);
    let table = world.kernel(router).tables.entry(TableId::TAILSCALE).or_default();
    let lost = lose(table, rng);
    format!("table 52 of {} loses {lost:?}", HOSTS[router].name)
}

fn add_accepted_route(world: &mut World, rng: &mut Dice) -> String {
    let (router, prefix) = (rng.one(&ROUTERS), any_prefix(rng));
    let hop = match rng.below(8) {
        0 | 1 => KernelHop::Throw,
        2..=4 => KernelHop::Unreachable,
        _ => KernelHop::Tunnel,
    };
    let route = KernelRoute { metric: 0, hop, origin: ORIGIN };
    world.kernel(router).tables.entry(TableId::TAILSCALE).or_default().insert(prefix, route);
    format!("table 52 of {} gets {prefix} {hop:?}", HOSTS[router].name)
}

fn change_rules(world: &mut World, rng: &mut Dice) -> String {
    let router = if rng.once_in(3) { any_host(rng) } else { rng.one(&ROUTERS) };
    let name = HOSTS[router].name;
    let kernel = world.kernel(router);
    if rng.once_in(3) {
        kernel.rules.retain(|rule| rule.priority != 5_200);
        return format!("{name} loses its own rules");
    }
    let any = Ipv4Net::default();
    let [from, to] = [(); 2].map(|()| if rng.once_in(2) { any } else { any_prefix(rng) });
    let rule = Rule {
        priority: rng.one(&[100, 5_199, 5_201, 5_280, 32_767]),
        from,
        to,
        table: rng.one(&[TableId::MAIN, TableId::TAILSCALE]),
    };
    // A kernel takes a broad rule for one that it has of the same priority.
    if !kernel.rules.iter().any(|known| known.priority == rule.priority) {
        kernel.rules.push(rule);
        kernel.sort_rules();
    }
    format!("{name} gets {rule:?}")
}

fn stop_forwarding(world: &mut World, rng: &mut Dice) -> String {
    let host = any_host(rng);
    world.kernel(host).forwarding = false;
    format!("{} does not forward", HOSTS[host].name)
}

fn turn_interface(world: &mut World, rng: &mut Dice) -> String {
    let fabric = world.fabric(rng.one(&FABRICS).0);
    let addresses: Vec<Ipv4Addr> = fabric.interfaces.keys().copied().collect();
    let address = rng.one(&addresses);
    let forwarding = value(&mut fabric.interfaces.get_mut(&address).unwrap().forwarding);
    *forwarding = !*forwarding;
    format!("forwarding at {address} is {forwarding}")
}

fn lose_peer_prefix(world: &mut World, rng: &mut Dice) -> String {
    let router = rng.one(&ROUTERS);
    let lost = lose(world.peers(router), rng);
    format!("the tunnel at {} loses {lost:?}", HOSTS[router].name)
}

fn move_peer_prefix(world: &mut World, rng: &mut Dice) -> String {
    let router = rng.one(&ROUTERS);
    let others: Vec<usize> = ROUTERS.into_iter().filter(|other| *other != router).collect();
    let owner = rng.one(&others);
    let known = if rng.once_in(2) { entry(world.peers(router), rng) } else { None };
    let prefix = known.unwrap_or_else(|| any_prefix(rng));
    let entry = PeerPrefix { owner: HostId(owner), origin: ORIGIN };
    world.peers(router).insert(prefix, entry);
    format!("the tunnel at {} has {prefix} as {}'s", HOSTS[router].name, HOSTS[owner].name)
}

/// What the tailnet makes of it is made of it on all members.
fn change_offers(world: &mut World, rng: &mut Dice) -> String {
    let (router, prefix) = (rng.one(&ROUTERS), any_prefix(rng));
    let what = rng.below(4);
    let offers = &mut world.member(router).offers;
    let [advertised, approved] = [&mut offers.advertised, &mut offers.approved].map(value);
    let lost = approved.first().copied();
    match what {
        0 => advertised.retain(|one| Some(*one) != lost),
        1 => approved.retain(|one| Some(*one) != lost),
        2 => [advertised, approved].into_iter().for_each(|all| all.push(prefix)),
        _ => *value(&mut offers.accepts) = false,
    }
    world.take_up_prefixes();
    format!("offers of {} change: {what} {lost:?} {prefix}", HOSTS[router].name)
}

fn disconnect(world: &mut World, rng: &mut Dice) -> String {
    let router = rng.one(&ROUTERS);
    *value(&mut world.member(router).connected) = false;
    format!("{} is offline", HOSTS[router].name)
}

fn leave_tailnet(world: &mut World, rng: &mut Dice) -> String {
    let router = rng.one(&ROUTERS);
    world.left.insert(HostId(router));
    format!("{} is none of the tailnet's", HOSTS[router].name)
}

fn hide_otherwise(world: &mut World, rng: &mut Dice) -> String {
    let host = any_host(rng);
    let except = [net("10.244.0.0/16"), any_prefix(rng)];
    let pods = HOSTS[host].pods.map(|range| Translation {
        sources: net(range),
        except: vec![rng.one(&except)],
        ..hidden(Some(Port::Own), Leaving::Segments)
    });
    let ours = hidden(None, Leaving::Tunnel);
    let kernel = world.kernel(host);
    kernel.translations = match (pods, rng.below(4)) {
        (Some(pods), _) => vec![pods],
        (None, 0) => vec![],
        (None, 1) => vec![ours],
        (None, 2) => vec![from_tunnel()],
        (None, _) => vec![ours, from_tunnel()],
    };
    format!("{} hides {:?}", HOSTS[host].name, kernel.translations)
}

fn write_group(world: &mut World, rng: &mut Dice) -> String {
    let subnet = &mut world.fabric(rng.one(&FABRICS).0).subnets[rng.below(2)];
    let rules = (0..rng.below(4)).map(|number| any_rule(number, rng)).collect();
    let group = match rng.once_in(2) {
        true => SecurityGroup::with_defaults(ORIGIN, rules),
        false => SecurityGroup { origin: ORIGIN, rules },
    };
    let told = format!("{} gets {:?}", subnet.name, group.rules);
    *value(&mut subnet.security) = Arc::new(group);
    told
}

fn filter_sources(world: &mut World, rng: &mut Dice) -> String {
    // Routers have two ways for a packet to come.
    let host = if rng.once_in(3) { any_host(rng) } else { rng.one(&ROUTERS) };
    let all = [ReversePathFilter::Strict, ReversePathFilter::Loose, ReversePathFilter::Off];
    let filter = if rng.once_in(2) { ReversePathFilter::Strict } else { rng.one(&all) };
    world.kernel(host).reverse_path_filter = filter;
    format!("{} filters sources: {filter:?}", HOSTS[host].name)
}

/// A router has the way to a neighbour through the tunnel, and asks for it.
fn filter_neighbours(world: &mut World, rng: &mut Dice) -> String {
    let router = rng.one(&ROUTERS);
    let near = HOSTS.iter().filter(|host| host.segment == HOSTS[router].segment);
    let (address, pods) =
        rng.one(&near.filter_map(|host| Some((host.address, host.pods?))).collect::<Vec<_>>());
    let prefix = if rng.once_in(2) { Ipv4Net::from(ip(address)) } else { net(pods) };
    let kernel = world.kernel(router);
    let found = kernel.lookup(ip(HOSTS[router].address), prefix.addr());
    let table = found.map_or(TableId::TAILSCALE, |found| found.rule.table);
    let route = KernelRoute { metric: 0, hop: KernelHop::Tunnel, origin: ORIGIN };
    kernel.tables.entry(table).or_default().insert(prefix, route);
    kernel.reverse_path_filter = ReversePathFilter::Strict;
    format!("{} has {prefix} in the tunnel and filters strictly", HOSTS[router].name)
}

fn unplumb_pods(world: &mut World, rng: &mut Dice) -> String {
    let host = any_host(rng);
    if let Some(range) = HOSTS[host].pods {
        *value(&mut world.hosts[host].pods) = Pods::NotPlumbed(net(range));
    }
    format!("{} has no pods' network", HOSTS[host].name)
}

fn claim_pods(world: &mut World, rng: &mut Dice) -> String {
    let (host, other) = rng.one(&CLAIMS);
    *value(&mut world.hosts[host].pods) = Pods::Range(net(HOSTS[other].pods.unwrap()));
    format!("{} has the pods of {}", HOSTS[host].name, HOSTS[other].name)
}

/// A host of a LAN that does not run is left out: nobody answers for its address.
fn stop_host(world: &mut World, rng: &mut Dice) -> String {
    let host = rng.below(METAL_ROUTER);
    *value(&mut world.hosts[host].runs) = false;
    format!("{} does not run", HOSTS[host].name)
}
