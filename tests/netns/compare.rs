//! Compares the model with the kernel, packet by packet.

use std::fmt;

use stargate::dataplane::{
    End, HostId, Network, Protocol, RoundTrip, Trace, Verdict, trace_round_trip,
};

use super::pairs::{self, Pair};
use super::predicted;
use super::trail::{RECEIVED, Trail, Trails};

/// The predictions of the model for a network: a round trip and two trails for each pair.
#[derive(Debug)]
pub(crate) struct Prediction {
    pub(crate) trips: Vec<RoundTrip>,
    trails_by_pair: Vec<(Pair, [Trail; 2])>,
}

/// A packet for which kernel and model differ.
#[derive(Debug)]
pub(crate) struct Disagreement {
    pair: Pair,
    answer: bool,
    predicted: Trail,
    observed: Trail,
    trace: Option<Trace>,
}

impl Prediction {
    pub(crate) fn of(network: &Network, pairs: &[Pair]) -> Self {
        let trips: Vec<RoundTrip> = pairs.iter().map(|pair| trace_pair(network, *pair)).collect();
        let trails_by_pair = pairs
            .iter()
            .zip(&trips)
            .map(|(pair, round_trip)| (*pair, trails(network, *pair, round_trip)));
        Self { trails_by_pair: trails_by_pair.collect(), trips }
    }

    /// Every packet for which the two differ in any hop. If no reply is predicted, none may be
    /// seen.
    pub(crate) fn disagreements(&self, observed: &Trails) -> Vec<Disagreement> {
        let nothing = Trail::new();
        let mut found = Vec::new();
        for ((pair, trails), round_trip) in self.trails_by_pair.iter().zip(&self.trips) {
            let traces = [Some(&round_trip.forward), round_trip.return_path.as_ref()];
            for ((answer, predicted), trace) in [false, true].into_iter().zip(trails).zip(traces) {
                let observed = observed.get(&(pair.number, answer)).unwrap_or(&nothing);
                if observed != predicted {
                    found.push(Disagreement {
                        pair: *pair,
                        answer,
                        predicted: predicted.clone(),
                        observed: observed.clone(),
                        trace: trace.cloned(),
                    });
                }
            }
        }
        found
    }

    /// The number of predicted observations.
    pub(crate) fn observations(&self) -> usize {
        self.trails_by_pair.iter().flat_map(|(_, trails)| trails).map(Trail::len).sum()
    }
}

fn trace_pair(network: &Network, pair: Pair) -> RoundTrip {
    let from = End { host: HostId(pair.from.host), address: pair.from.address };
    trace_round_trip(network, from, pair.to.address, Protocol::Udp(pairs::port(pair.number)))
}

/// The predicted trails of the request, and of the reply from the host that received it.
fn trails(network: &Network, pair: Pair, round_trip: &RoundTrip) -> [Trail; 2] {
    let sender = End { host: HostId(pair.from.host), address: pair.from.address };
    let there = predicted::trail(network, sender, pair.to.address, &round_trip.forward);
    let back = match (&round_trip.return_path, &round_trip.forward.verdict) {
        (Some(back), Verdict::Arrived(host)) => {
            let receiver = End { host: *host, address: pair.to.address };
            predicted::trail(network, receiver, round_trip.forward.packet.source, back)
        }
        _ => Trail::new(),
    };
    [there, back]
}

impl Disagreement {
    /// Whether something was seen that was not predicted.
    pub(crate) fn has_unpredicted(&self) -> bool {
        !self.observed.is_subset(&self.predicted)
    }

    /// Whether the two agree on what arrived, and differ only in hops.
    pub(crate) fn differs_only_in_hops(&self) -> bool {
        self.observed.contains(RECEIVED) == self.predicted.contains(RECEIVED)
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let packet = if self.answer { "answer" } else { "request" };
        let Pair { number, from, to } = self.pair;
        writeln!(f, "  pair {number}, {from} to {to}: the {packet}")?;
        for missing in self.predicted.difference(&self.observed) {
            writeln!(f, "    model only:  {missing}")?;
        }
        for extra in self.observed.difference(&self.predicted) {
            writeln!(f, "    kernel only: {extra}")?;
        }
        for both in self.observed.intersection(&self.predicted) {
            writeln!(f, "    both:        {both}")?;
        }
        if let Some(trace) = &self.trace {
            for hop in &trace.hops {
                writeln!(f, "    hop: {:?} {:?}", hop.place, hop.decision)?;
            }
            writeln!(f, "    verdict: {:?}\n    packet: {:?}", trace.verdict, trace.packet)?;
        }
        Ok(())
    }
}
