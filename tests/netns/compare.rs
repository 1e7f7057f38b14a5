//! Model against kernel, way by way.

use std::fmt;

use stargate::dataplane::{
    End, HostId, Network, Protocol, RoundTrip, Trace, Verdict, trace_round_trip,
};

use super::pairs::{self, Pair};
use super::predicted;
use super::trail::{HEARD, Trail, Trails};

/// Everything that the model says of a network: a trip and two trails a pair.
#[derive(Debug)]
pub(crate) struct Foretold {
    pub(crate) trips: Vec<RoundTrip>,
    ways: Vec<(Pair, [Trail; 2])>,
}

/// A way of which the kernel says something else than the model.
#[derive(Debug)]
pub(crate) struct Disagreement {
    pair: Pair,
    answer: bool,
    predicted: Trail,
    seen: Trail,
    walk: Option<Trace>,
}

impl Foretold {
    pub(crate) fn of(network: &Network, pairs: &[Pair]) -> Self {
        let trips: Vec<RoundTrip> = pairs.iter().map(|pair| trip_of(network, *pair)).collect();
        let ways = pairs
            .iter()
            .zip(&trips)
            .map(|(pair, round_trip)| (*pair, trails(network, *pair, round_trip)));
        Self { ways: ways.collect(), trips }
    }

    /// Every way of which the two do not say the same, hop by hop. Where no answer
    /// is foretold none may be seen.
    pub(crate) fn disagreements(&self, seen: &Trails) -> Vec<Disagreement> {
        let nothing = Trail::new();
        let mut found = Vec::new();
        for ((pair, trails), round_trip) in self.ways.iter().zip(&self.trips) {
            let walks = [Some(&round_trip.forward), round_trip.return_path.as_ref()];
            for ((answer, predicted), walk) in [false, true].into_iter().zip(trails).zip(walks) {
                let seen = seen.get(&(pair.number, answer)).unwrap_or(&nothing);
                if seen != predicted {
                    found.push(Disagreement {
                        pair: *pair,
                        answer,
                        predicted: predicted.clone(),
                        seen: seen.clone(),
                        walk: walk.cloned(),
                    });
                }
            }
        }
        found
    }

    /// How many things are foretold to be seen.
    pub(crate) fn sightings(&self) -> usize {
        self.ways.iter().flat_map(|(_, trails)| trails).map(Trail::len).sum()
    }
}

fn trip_of(network: &Network, pair: Pair) -> RoundTrip {
    let from = End { host: HostId(pair.from.host), address: pair.from.address };
    trace_round_trip(network, from, pair.to.address, Protocol::Udp(pairs::port(pair.number)))
}

/// What will be seen of the request, and of the answer of whoever it came to.
fn trails(network: &Network, pair: Pair, round_trip: &RoundTrip) -> [Trail; 2] {
    let asker = End { host: HostId(pair.from.host), address: pair.from.address };
    let there = predicted::trail(network, asker, pair.to.address, &round_trip.forward);
    let back = match (&round_trip.return_path, &round_trip.forward.verdict) {
        (Some(back), Verdict::Arrived(host)) => {
            let asked = End { host: *host, address: pair.to.address };
            predicted::trail(network, asked, round_trip.forward.packet.source, back)
        }
        _ => Trail::new(),
    };
    [there, back]
}

impl Disagreement {
    /// Whether something was seen that is not foretold.
    pub(crate) fn has_unforetold(&self) -> bool {
        !self.seen.is_subset(&self.predicted)
    }

    /// Whether the two agree on what arrived, and only say other hops.
    pub(crate) fn is_of_hops_alone(&self) -> bool {
        self.seen.contains(HEARD) == self.predicted.contains(HEARD)
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.answer { "answer" } else { "request" };
        let Pair { number, from, to } = self.pair;
        writeln!(f, "  pair {number}, {from} to {to}: the {way}")?;
        for missing in self.predicted.difference(&self.seen) {
            writeln!(f, "    model only:  {missing}")?;
        }
        for extra in self.seen.difference(&self.predicted) {
            writeln!(f, "    kernel only: {extra}")?;
        }
        for both in self.seen.intersection(&self.predicted) {
            writeln!(f, "    both:        {both}")?;
        }
        if let Some(walk) = &self.walk {
            for hop in &walk.hops {
                writeln!(f, "    hop: {:?} {:?}", hop.place, hop.decision)?;
            }
            writeln!(f, "    verdict: {:?}\n    packet: {:?}", walk.verdict, walk.packet)?;
        }
        Ok(())
    }
}
