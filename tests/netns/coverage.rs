//! What was tried, how it came out, and whether that was enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stargate::dataplane::fabric::Segment;
use stargate::dataplane::{Cause, Direction, Network, Place, RoundTrip, Verdict};

use super::compare::Foretold;
use super::faults::{self, State};
use super::lab::{Compared, Failure};
use super::model_mutations::Noticed;

/// Every way that a packet can be lost in the lab, and where.
const LOSSES: [Loss; 19] = [
    Loss("a host", "not running"),
    Loss("a host", "own source came back, or round and round"),
    Loss("a host", "reverse path filter"),
    Loss("a host", "not forwarding"),
    Loss("a host", "no route"),
    Loss("a host", "unreachable"),
    Loss("a host", "pods not plumbed"),
    Loss("a host", "answer taken by somebody else"),
    Loss("the fabric", "source check"),
    Loss("the fabric", "destination check"),
    Loss("the fabric", "security group"),
    Loss("the fabric", "nowhere"),
    Loss("the fabric", "nobody there"),
    Loss("the LAN", "nobody there"),
    Loss("the LAN", "left"),
    Loss("the tunnel", "no peer"),
    Loss("the tunnel", "offline"),
    Loss("the tunnel", "not in the tunnel"),
    Loss("the tunnel", "source not allowed"),
];
/// Each loss must be seen so often, and each mishap in so many states.
const ENOUGH: usize = 5;
/// After so many states with disagreements nobody needs more of them.
const HOPELESS: usize = 12;
/// In so many states nothing may be wrong at most, one of so many.
const HEALTHY: usize = 4;

/// Where packets are lost, and by what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Loss(&'static str, &'static str);

impl Loss {
    fn of(network: &Network, verdict: &Verdict) -> Self {
        let place = match verdict {
            Verdict::Dropped(drop) => drop.place,
            Verdict::Left(place) | Verdict::Unknown { place, .. } => *place,
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
            Verdict::Left(_) => "left",
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
        Cause::NoNeighbour(_) | Cause::NobodyAt(_) => "nobody there",
        Cause::SourceCheck => "source check",
        Cause::DestinationCheck => "destination check",
        Cause::Denied { .. } => "security group",
        Cause::Nowhere(_) => "nowhere",
        Cause::NoPeer(_) => "no peer",
        Cause::NotInTunnel => "not in the tunnel",
        Cause::Offline(_) => "offline",
        Cause::SourceNotAllowed { .. } => "source not allowed",
        Cause::PodsNotPlumbed => "pods not plumbed",
        Cause::Loop => "own source came back, or round and round",
        Cause::Misdelivered => "answer taken by somebody else",
    }
}

/// What was tried, and how it came out.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    states: usize,
    masquerade: usize,
    healthy: usize,
    faults: BTreeMap<&'static str, usize>,
    pairs: usize,
    reached: usize,
    requests_lost: BTreeMap<Loss, usize>,
    answers_lost: BTreeMap<Loss, usize>,
    sightings: usize,
    /// States that agreed only when they were asked again, by their seeds.
    wavering: BTreeMap<u64, Vec<Failure>>,
    wrong: BTreeSet<u64>,
    /// Whether a model that is wrong would be found.
    pub(crate) noticed: Noticed,
}

impl Tally {
    pub(crate) fn add(
        &mut self,
        seed: u64,
        state: &State,
        predicted: &Foretold,
        compared: &Compared,
    ) {
        self.states += 1;
        self.masquerade += usize::from(state.masquerade);
        self.healthy += usize::from(state.faults.is_empty());
        let kinds: BTreeSet<&str> = state.faults.iter().map(|(kind, _)| *kind).collect();
        kinds.into_iter().for_each(|kind| *self.faults.entry(kind).or_default() += 1);
        let network = state.world.network();
        for trip in &predicted.trips {
            self.add_trip(&network, trip);
        }
        self.sightings += predicted.sightings();
        if !compared.disagreements.is_empty() {
            self.wrong.insert(seed);
        } else if !compared.failed.is_empty() {
            self.wavering.insert(seed, compared.failed.clone());
        }
    }

    fn add_trip(&mut self, network: &Network, trip: &RoundTrip) {
        self.pairs += 1;
        match trip.broken() {
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

    /// How many states were tried.
    pub(crate) fn states(&self) -> usize {
        self.states
    }

    /// Whether so much disagrees that nobody waits for the rest.
    pub(crate) fn is_hopeless(&self) -> bool {
        self.wrong.len() >= HOPELESS
    }

    pub(crate) fn assert_agreement(&self) {
        let wrong = &self.wrong;
        assert!(
            wrong.is_empty(),
            "disagreements: replay with STARGATE_REACH_SEED one of {wrong:?}"
        );
    }

    /// That there was something of everything, and that no lie was believed.
    pub(crate) fn assert_variety(&self) {
        let mut lacking = self.noticed.missed();
        for kind in faults::kinds() {
            let states = self.faults.get(kind).copied().unwrap_or_default();
            if states < ENOUGH {
                lacking.push(format!("{kind}: in {states} states"));
            }
        }
        for loss in LOSSES {
            let (requests, answers) = self.lost(loss);
            if requests + answers < ENOUGH {
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
        if self.healthy * HEALTHY > self.states || self.reached * 10 < self.pairs {
            lacking.push("healthy and broken states are not in balance".to_owned());
        }
        assert!(lacking.is_empty(), "too little was tried:\n{}", lacking.join("\n"));
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, masquerade, healthy, pairs, reached, sightings, .. } = self;
        let preserve = states - masquerade;
        writeln!(f, "{states} states ({masquerade} masquerade, {preserve} preserve); in as many:")?;
        for (kind, states) in &self.faults {
            writeln!(f, "{states:>8} {kind}")?;
        }
        writeln!(f, "{healthy:>8} nothing is wrong")?;
        let answers: usize = self.answers_lost.values().sum::<usize>() + reached;
        writeln!(
            f,
            "{pairs} pairs: {} directions, {sightings} sightings; reached:",
            pairs + answers
        )?;
        writeln!(f, "{answers:>8} requests, and {reached} their answers")?;
        writeln!(f, "lost as requests and as answers:")?;
        for loss in LOSSES {
            let (requests, answers) = self.lost(loss);
            writeln!(f, "{requests:>8} {answers:>6} {loss}")?;
        }
        writeln!(f, "lies that were noticed, of those told:")?;
        write!(f, "{}", self.noticed)?;
        for (seed, failed) in &self.wavering {
            writeln!(f, "seed {seed} wavered:")?;
            for Failure { unforetold, unseen } in failed {
                writeln!(f, "{unforetold:>8} directions with more, {unseen} with less")?;
            }
        }
        write!(f, "{} states wavered; {} with disagreements", self.wavering.len(), self.wrong.len())
    }
}
