//! Records which cases were tested with which results, and checks that the coverage is sufficient.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stargate::dataplane::fabric::Segment;
use stargate::dataplane::{Cause, Direction, Network, Place, RoundTrip, Verdict};

use super::compare::Prediction;
use super::faults::{self, State};
use super::lab::{Compared, Failure};
use super::model_mutations::MutationCoverage;

/// Every cause of packet loss in the lab, with its place.
const LOSSES: [Loss; 19] = [
    Loss("a host", "not running"),
    Loss("a host", "own source came back, or loop"),
    Loss("a host", "reverse path filter"),
    Loss("a host", "not forwarding"),
    Loss("a host", "no route"),
    Loss("a host", "unreachable"),
    Loss("a host", "CNI not configured"),
    Loss("a host", "reply taken by another host"),
    Loss("the fabric", "source check"),
    Loss("the fabric", "destination check"),
    Loss("the fabric", "security group"),
    Loss("the fabric", "blackhole"),
    Loss("the fabric", "no such host"),
    Loss("the LAN", "no such host"),
    Loss("the LAN", "exited"),
    Loss("the tunnel", "no peer"),
    Loss("the tunnel", "offline"),
    Loss("the tunnel", "not in the tunnel"),
    Loss("the tunnel", "source not allowed"),
];
/// The minimum number of packets for each loss, and of states for each fault.
const MIN_OCCURRENCES: usize = 5;
/// After this many states with disagreements the run is aborted.
const MAX_DISAGREEING_STATES: usize = 12;
/// At most one in this many states may be without faults.
const MAX_HEALTHY_SHARE: usize = 4;

/// A place and cause of packet loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Loss(&'static str, &'static str);

impl Loss {
    fn of(network: &Network, verdict: &Verdict) -> Self {
        let place = match verdict {
            Verdict::Dropped(drop) => drop.place,
            Verdict::Exited(place) | Verdict::Unknown { place, .. } => *place,
            Verdict::Arrived(host) => Place::Host(*host),
        };
        let place = match place {
            Place::Host(_) => "a host",
            Place::Tunnel(_) => "the tunnel",
            Place::Interface(segment, _) => match network.segment(segment).unwrap() {
                Segment::Fabric(_) => "the fabric",
                Segment::Lan(_) => "the LAN",
            },
        };
        let what = match verdict {
            Verdict::Dropped(drop) => cause(&drop.cause),
            Verdict::Exited(_) => "exited",
            Verdict::Unknown { .. } => "unknown",
            Verdict::Arrived(_) => "arrived",
        };
        Self(place, what)
    }
}

fn cause(cause: &Cause) -> &'static str {
    match cause {
        Cause::NotRunning => "not running",
        Cause::NotForwarding => "not forwarding",
        Cause::ReversePath => "reverse path filter",
        Cause::NoRoute => "no route",
        Cause::Unreachable(_) => "unreachable",
        Cause::NoNeighbour(_) | Cause::NoInterface(_) => "no such host",
        Cause::SourceCheck => "source check",
        Cause::DestinationCheck => "destination check",
        Cause::Denied { .. } => "security group",
        Cause::RouteNone(_) => "blackhole",
        Cause::NoPeer(_) => "no peer",
        Cause::NotInTunnel => "not in the tunnel",
        Cause::Offline(_) => "offline",
        Cause::SourceNotAllowed { .. } => "source not allowed",
        Cause::CniNotConfigured => "CNI not configured",
        Cause::Loop => "own source came back, or loop",
        Cause::ForeignPeer { .. } => "peer of others",
        Cause::ShieldsUp => "shields up",
        Cause::Misdelivered => "reply taken by another host",
    }
}

/// The tested cases and their results.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    states: usize,
    masquerade: usize,
    healthy: usize,
    faults: BTreeMap<&'static str, usize>,
    pairs: usize,
    reached: usize,
    requests_lost: BTreeMap<Loss, usize>,
    answers_lost: BTreeMap<Loss, usize>,
    observations: usize,
    /// States that agreed only after a retry, by seed.
    unstable: BTreeMap<u64, Vec<Failure>>,
    wrong: BTreeSet<u64>,
    /// Whether errors in the model would be detected.
    pub(crate) mutations: MutationCoverage,
}

impl Coverage {
    pub(crate) fn add(
        &mut self,
        seed: u64,
        state: &State,
        predicted: &Prediction,
        compared: &Compared,
    ) {
        self.states += 1;
        self.masquerade += usize::from(state.masquerade);
        self.healthy += usize::from(state.faults.is_empty());
        let kinds: BTreeSet<&str> = state.faults.iter().map(|(kind, _)| *kind).collect();
        kinds.into_iter().for_each(|kind| *self.faults.entry(kind).or_default() += 1);
        let network = state.spec.network();
        for round_trip in &predicted.trips {
            self.add_trip(&network, round_trip);
        }
        self.observations += predicted.observations();
        if !compared.disagreements.is_empty() {
            self.wrong.insert(seed);
        } else if !compared.failed.is_empty() {
            self.unstable.insert(seed, compared.failed.clone());
        }
    }

    fn add_trip(&mut self, network: &Network, round_trip: &RoundTrip) {
        self.pairs += 1;
        match round_trip.broken() {
            None => self.reached += 1,
            Some((way, verdict)) => {
                let lost = match way {
                    Direction::Forward => &mut self.requests_lost,
                    Direction::Return => &mut self.answers_lost,
                };
                *lost.entry(Loss::of(network, verdict)).or_default() += 1;
            }
        }
    }

    fn lost(&self, loss: Loss) -> (usize, usize) {
        let of = |losses: &BTreeMap<Loss, usize>| losses.get(&loss).copied().unwrap_or_default();
        (of(&self.requests_lost), of(&self.answers_lost))
    }

    /// The number of tested states.
    pub(crate) fn states(&self) -> usize {
        self.states
    }

    /// Whether there are so many disagreements that the run is aborted.
    pub(crate) fn should_abort(&self) -> bool {
        self.wrong.len() >= MAX_DISAGREEING_STATES
    }

    pub(crate) fn assert_agreement(&self) {
        let wrong = &self.wrong;
        assert!(
            wrong.is_empty(),
            "disagreements: replay with STARGATE_NETNS_SEED one of {wrong:?}"
        );
    }

    /// Asserts that every case occurred and every mutation was detected.
    pub(crate) fn assert_coverage(&self) {
        let mut lacking = self.mutations.undetected_mutations();
        for kind in faults::kinds() {
            let states = self.faults.get(kind).copied().unwrap_or_default();
            if states < MIN_OCCURRENCES {
                lacking.push(format!("{kind}: in {states} states"));
            }
        }
        for loss in LOSSES {
            let (requests, answers) = self.lost(loss);
            if requests + answers < MIN_OCCURRENCES {
                lacking.push(format!("{loss}: {} times", requests + answers));
            }
        }
        let lost = self.requests_lost.keys().chain(self.answers_lost.keys());
        lacking
            .extend(lost.filter(|loss| !LOSSES.contains(loss)).map(|loss| format!("{loss}: new")));
        for (what, states) in
            [("masquerade", self.masquerade), ("preserve", self.states - self.masquerade)]
        {
            if states * 3 < self.states {
                lacking.push(format!("{what}: in {states} states"));
            }
        }
        if self.healthy * MAX_HEALTHY_SHARE > self.states || self.reached * 10 < self.pairs {
            lacking.push("healthy and faulty states are not in balance".to_owned());
        }
        assert!(lacking.is_empty(), "insufficient coverage:\n{}", lacking.join("\n"));
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, masquerade, healthy, pairs, reached, observations, .. } = self;
        let preserve = states - masquerade;
        writeln!(f, "{states} states ({masquerade} masquerade, {preserve} preserve); in as many:")?;
        for (kind, states) in &self.faults {
            writeln!(f, "{states:>8} {kind}")?;
        }
        writeln!(f, "{healthy:>8} no faults")?;
        let answers: usize = self.answers_lost.values().sum::<usize>() + reached;
        writeln!(
            f,
            "{pairs} pairs: {} directions, {observations} observations; reached:",
            pairs + answers
        )?;
        writeln!(f, "{answers:>8} requests, and {reached} their replies")?;
        writeln!(f, "lost as requests and as replies:")?;
        for loss in LOSSES {
            let (requests, answers) = self.lost(loss);
            writeln!(f, "{requests:>8} {answers:>6} {loss}")?;
        }
        writeln!(f, "detected mutations, of those tried:")?;
        write!(f, "{}", self.mutations)?;
        for (seed, failed) in &self.unstable {
            writeln!(f, "seed {seed} needed retries:")?;
            for Failure { unpredicted, missing } in failed {
                writeln!(
                    f,
                    "{unpredicted:>8} packets with unpredicted observations, {missing} with missing ones"
                )?;
            }
        }
        write!(
            f,
            "{} states needed retries; {} with disagreements",
            self.unstable.len(),
            self.wrong.len()
        )
    }
}
