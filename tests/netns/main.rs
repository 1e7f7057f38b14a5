//! Validates the data plane model against the Linux kernel: networks are built of network
//! namespaces, and the pure model must predict what the kernel does.
//!
//! A host is a namespace with rules, tables, forwarding, `rp_filter` and nftables masquerading; its
//! pods are a namespace behind it. A fabric is a namespace that selects a table by the interface of
//! a packet: one table per interface, with user-defined routes, the overlay's routes and its system
//! routes at their precedence, and nftables for source and destination checks and security groups.
//! A LAN is a bridge. The tunnel is WireGuard, which itself selects the peer and validates the
//! source.
//!
//! Each state of the network is generated from a seed: a healthy network with some faults. All
//! ordered pairs of endpoints send each other requests concurrently, and every namespace records
//! which pair's request and reply entered and left it. The observations must equal the model's
//! predictions: every hop of every packet, and so the hop that drops it, and nothing else. Hosts
//! forget their connections before each attempt. A busy machine may lose packets, so a state with a
//! disagreement is retried more slowly. The last attempt counts, and states that needed retries are
//! reported.
//!
//! The lab itself is validated by mutations. For each state on which kernel and model agree,
//! mutated models must disagree. The test also fails if some kind of fault or loss hardly occurred.
//!
//! Run it with `cargo test --test netns -- --ignored`, as root on Linux. It uses namespaces that
//! are deleted when it ends, even after a crash. `STARGATE_NETNS_STATES=N` tests that many states,
//! `STARGATE_NETNS_SEED=N` tests one.
//!
//! Not validated, because the model does not cover it or covers it for other systems than Linux:
//! TCP and its segment sizes, ICMP echoes, facts that could not be read, stopped hosts of a LAN,
//! routes to the internet or a gateway, service tags of security groups whose addresses are
//! unknown, and ARP on a LAN: neighbours are known, and no host answers for another's address.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "prints why the test is skipped")]

#[path = "../machines/isolation.rs"]
#[expect(dead_code, reason = "this program is no list of tests")]
mod isolation;

mod agent;
mod chance;
mod compare;
mod coverage;
mod fabric_rules;
mod faults;
mod host_rules;
mod lab;
mod model_mutations;
mod network_spec;
mod pairs;
mod predicted;
mod remote;
mod rng;
mod trail;
mod wiring;

use std::time::Instant;

use compare::Prediction;
use coverage::Coverage;
use faults::State;
use isolation::Isolation;
use lab::{Compared, Lab};
use rng::Rng;

const ISOLATION: Isolation = Isolation {
    folder_variable: "STARGATE_NETNS_FOLDER",
    tools: &["ip", "nft", "unshare", "mount", "wg", "wireguard-go", "conntrack"],
    // A private /run, for named namespaces and WireGuard's sockets.
    prepare: "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/wireguard",
    // Creates namespaces and what a tunnel needs.
    probe: "mount -t tmpfs tmpfs /run && mkdir /run/netns /run/wireguard && \
            ip netns add try && ip netns exec try true && \
            ip link add try0 type veth peer name try1 && ip link add try2 type bridge && \
            ip tuntap add try3 mode tun && \
            nft 'add table t; add set t s { typeof udp length; flags dynamic; }'",
};
/// The default number of states.
const DEFAULT_STATES: u64 = 400;
/// The maximum number of disagreements of a state that are printed.
const MAX_REPORTED: usize = 6;

fn main() {
    if std::env::var_os(agent::AGENT_VARIABLE).is_some() {
        agent::serve();
    } else if std::env::args().any(|word| word == "--ignored" || word == "--include-ignored") {
        ISOLATION.run("the lab", &["--ignored"], |_| compare_all());
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn compare_all() {
    let mut lab = Lab::new();
    lab.warm_up();
    let begun = Instant::now();
    let seeds = match number("STARGATE_NETNS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STARGATE_NETNS_STATES").unwrap_or(DEFAULT_STATES),
    };
    let mut coverage = Coverage::default();
    for seed in seeds {
        let state = faults::of(&mut Rng::new(seed));
        let predicted = Prediction::of(&state.spec.network(), lab.pairs());
        let compared = lab.compare(&state.spec, &predicted);
        coverage.add(seed, &state, &predicted, &compared);
        match compared.disagreements.is_empty() {
            true => coverage.mutations.try_mutations(&state.spec, lab.pairs(), &compared.seen),
            false => report(seed, &state, &compared),
        }
        if coverage.should_abort() {
            eprintln!("aborted: too many disagreements");
            break;
        }
    }
    eprintln!("{coverage}; {:.0} s", begun.elapsed().as_secs_f64());
    coverage.assert_agreement();
    if coverage.states() >= usize::try_from(DEFAULT_STATES).unwrap() {
        coverage.assert_coverage();
    }
}

fn report(seed: u64, state: &State, compared: &Compared) {
    eprintln!("STARGATE_NETNS_SEED={seed} shows {} disagreements:", compared.disagreements.len());
    for (kind, description) in &state.faults {
        eprintln!("  {kind}: {description}");
    }
    compared.disagreements.iter().take(MAX_REPORTED).for_each(|one| eprintln!("{one}"));
}
