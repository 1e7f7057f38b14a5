//! Model against kernel, way by way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use stargate::reach::{End, HostId, Network, Protocol, Trip, Verdict, Walk, trip};

use super::foretold;
use super::pairs::{self, Pair};
use super::trail::{Trail, Trails};

/// A way of which the kernel says something else than the model.
#[derive(Debug)]
pub(crate) struct Disagreement {
    pair: Pair,
    answer: bool,
    foretold: Trail,
    seen: Trail,
    walk: Option<Walk>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = if self.answer { "answer" } else { "request" };
        writeln!(
            f,
            "pair {}: {way} of {:?} to {:?}",
            self.pair.number, self.pair.from, self.pair.to
        )?;
        for missing in self.foretold.difference(&self.seen) {
            writeln!(f, "  model only:  {missing}")?;
        }
        for extra in self.seen.difference(&self.foretold) {
            writeln!(f, "  kernel only: {extra}")?;
        }
        for both in self.seen.intersection(&self.foretold) {
            writeln!(f, "  both:        {both}")?;
        }
        if let Some(walk) = &self.walk {
            for hop in &walk.hops {
                writeln!(f, "  hop: {:?} {:?}", hop.place, hop.decision)?;
            }
            writeln!(f, "  verdict: {:?}\n  packet: {:?}", walk.verdict, walk.packet)?;
        }
        Ok(())
    }
}

fn way(pair: Pair) -> impl Fn(&Network) -> Trip {
    move |network| {
        let from = End { host: HostId(pair.from.host), address: pair.from.address };
        trip(network, from, pair.to.address, Protocol::Udp(pairs::port(pair.number)))
    }
}

/// Every way of which the two do not say the same, hop by hop.
pub(crate) fn disagreements(
    network: &Network,
    pairs: &[Pair],
    seen: &Trails,
    tally: &mut Tally,
) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for pair in pairs {
        let trip = way(*pair)(network);
        let asker = End { host: HostId(pair.from.host), address: pair.from.address };
        let there = foretold::trail(network, asker, pair.to.address, &trip.there);
        let back = trip.back.as_ref().map_or_else(Trail::new, |back| {
            let asked = End { host: HostId(pair.to.host), address: pair.to.address };
            foretold::trail(network, asked, trip.there.packet.source, back)
        });
        tally.add_trip(&trip);
        for (answer, foretold, walk) in
            [(false, there, Some(&trip.there)), (true, back, trip.back.as_ref())]
        {
            let seen = seen.get(&(pair.number, answer)).cloned().unwrap_or_default();
            if seen != foretold {
                let (pair, walk) = (*pair, walk.cloned());
                found.push(Disagreement { pair, answer, foretold, seen, walk });
            }
        }
    }
    found
}

/// What was tried, and how it came out.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    states: usize,
    requests: usize,
    answers: usize,
    reached: usize,
    causes: BTreeMap<String, usize>,
    /// States that were asked once more: a busy machine may lose packets.
    pub(crate) again: usize,
    wrong: BTreeSet<u64>,
}

impl Tally {
    fn add_trip(&mut self, trip: &Trip) {
        self.requests += 1;
        self.answers += usize::from(trip.back.is_some());
        self.reached += usize::from(trip.reached());
        if let Some((_, verdict)) = trip.broken() {
            let name = match verdict {
                Verdict::Dropped(drop) => format!("{:?}", drop.cause),
                Verdict::Left(_) => "Left".to_owned(),
                other => format!("{other:?}"),
            };
            let name = name.split([' ', '(']).next().unwrap_or_default().to_owned();
            *self.causes.entry(name).or_default() += 1;
        }
    }

    pub(crate) fn add_state(&mut self, seed: u64, disagreements: usize) {
        self.states += 1;
        if disagreements > 0 {
            self.wrong.insert(seed);
        }
    }

    pub(crate) fn assert_agreement(&self) {
        assert!(self.wrong.is_empty(), "STARGATE_REACH_SEED is one of {:?}", self.wrong);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} states, {} requests, {} answers, {} pairs reached; broken by:",
            self.states, self.requests, self.answers, self.reached
        )?;
        for (cause, count) in &self.causes {
            writeln!(f, "{count:>8} {cause}")?;
        }
        write!(f, "{} states with disagreements, {} asked once more;", self.wrong.len(), self.again)
    }
}
