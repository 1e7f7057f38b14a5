//! Truth from a kernel: networks out of Linux network namespaces, and whether the
//! pure model of packets' ways says of them what the kernel does.
//!
//! A host is a namespace with rules, tables, forwarding, `rp_filter` and nftables'
//! masquerade; its pods are a namespace behind it. A fabric is a namespace that
//! knows which interface a packet came by: a table an interface, with the users'
//! routes, the overlay's and its own at their precedence, and nftables for the
//! checks of sources and destinations and for security groups. A LAN is a bridge.
//! The tunnel is WireGuard, so the choice of the peer and the check of the source
//! are its own.
//!
//! Each state of the network is made from a seed: a healthy world and some things
//! that are wrong with it. All ordered pairs of ends ask each other at once, and
//! every namespace notes which pair's request and which pair's answer it saw come
//! and go. What was seen must be what the model foretells: every hop of every way,
//! and so the hop that drops it, and nothing else. Hosts forget their connections
//! before each try. A busy machine may lose packets, so a state in which the two
//! disagree is asked again with more patience; the last try counts, and states that
//! wavered are told.
//!
//! The lab is put to the test as well. Of each state in which the two agree the
//! model is told lies, which the lab must notice; and it fails where some kind of
//! mishap or of loss hardly occurred.
//!
//! `cargo test --test netns -- --ignored` runs it: as root on Linux, in
//! namespaces that go when it ends, however it ends. `STARGATE_REACH_STATES=N` makes
//! that many states, `STARGATE_REACH_SEED=N` makes one.
//!
//! What is not asked of the kernel, since the model does not say it or says it of
//! other systems than Linux: TCP and its segment sizes, echoes, facts that nobody
//! could read, hosts of a LAN that do not run, routes to the internet or a
//! gateway, tags of security groups whose addresses are not known, and who answers
//! for which address on a LAN: neighbours are known, and nobody answers for others.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

mod agent;
mod chance;
mod compare;
mod coverage;
mod fabric_rules;
mod faults;
mod host_rules;
mod lab;
mod model_mutations;
mod namespaces;
mod pairs;
mod predicted;
mod remote;
mod rng;
mod trail;
mod wiring;
mod world;

use std::time::Instant;

use compare::Foretold;
use coverage::Tally;
use faults::State;
use lab::{Compared, Lab};
use rng::Dice;

/// As many states as are tried unless somebody says otherwise.
const STATES: u64 = 400;
/// So many disagreements of a state are told.
const SHOWN: usize = 6;

fn main() {
    if std::env::var_os(agent::IS_AGENT).is_some() {
        agent::serve();
    } else if std::env::args().any(|word| word == "--ignored" || word == "--include-ignored") {
        namespaces::alone(compare_all);
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn compare_all() {
    let mut lab = Lab::new();
    lab.warm_up();
    let begun = Instant::now();
    let seeds = match number("STARGATE_REACH_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STARGATE_REACH_STATES").unwrap_or(STATES),
    };
    let mut coverage = Tally::default();
    for seed in seeds {
        let state = faults::of(&mut Dice::new(seed));
        let predicted = Foretold::of(&state.world.network(), lab.pairs());
        let compared = lab.compare(&state.world, &predicted);
        coverage.add(seed, &state, &predicted, &compared);
        match compared.disagreements.is_empty() {
            true => coverage.noticed.tell(&state.world, lab.pairs(), &compared.seen),
            false => tell(seed, &state, &compared),
        }
        if coverage.is_hopeless() {
            eprintln!("more of this would tell nothing new");
            break;
        }
    }
    eprintln!("{coverage}; {:.0} s", begun.elapsed().as_secs_f64());
    coverage.assert_agreement();
    if coverage.states() >= usize::try_from(STATES).unwrap() {
        coverage.assert_variety();
    }
}

fn tell(seed: u64, state: &State, compared: &Compared) {
    eprintln!("STARGATE_REACH_SEED={seed} shows {} disagreements:", compared.disagreements.len());
    for (kind, told) in &state.faults {
        eprintln!("  {kind}: {told}");
    }
    compared.disagreements.iter().take(SHOWN).for_each(|one| eprintln!("{one}"));
}
