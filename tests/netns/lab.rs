//! The namespaces with their agents: a state is put on all of them, then all
//! pairs ask, then what was seen is collected.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use super::agent::{Heard, Order};
use super::compare::{Disagreement, Foretold};
use super::pairs::{self, LabEnd, Pair};
use super::remote::run;
use super::trail::{self, HEARD, Trails};
use super::wiring::{self, FABRICS, Remotes, pods_of};
use super::world::{CLAIMS, HOSTS, World, healthy};
use super::{fabric_rules, host_rules};

/// Between two requests of one end: what carries them has short queues.
const PAUSE: Duration = Duration::from_millis(3);
/// Nothing was heard for so long: nothing more will be.
const QUIET: Duration = Duration::from_millis(60);
/// A state is asked again, each time with more patience, before a disagreement
/// counts: a busy machine may lose packets.
const PATIENCE: [u32; 4] = [1, 3, 8, 16];
/// So many tries in a row must agree once one saw what is not foretold.
const PROOF: usize = 3;

/// All namespaces, and what happens in them.
#[derive(Debug)]
pub(crate) struct Lab {
    remotes: Remotes,
    keys: BTreeMap<usize, String>,
    pairs: Vec<Pair>,
    asked: u32,
}

/// What came of a world.
#[derive(Debug)]
pub(crate) struct Compared {
    /// What the last try saw.
    pub(crate) seen: Trails,
    /// Where the model says something else than that.
    pub(crate) disagreements: Vec<Disagreement>,
    /// The tries that did not agree.
    pub(crate) failed: Vec<Failure>,
}

/// How a try did not agree: of how many ways something was seen that is not
/// foretold, and of how many others too little was.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) unforetold: usize,
    pub(crate) unseen: usize,
}

impl Failure {
    fn of(disagreements: &[Disagreement]) -> Self {
        let unforetold = disagreements.iter().filter(|one| one.has_unforetold()).count();
        Self { unforetold, unseen: disagreements.len() - unforetold }
    }
}

fn home(end: LabEnd) -> String {
    if end.is_pod { pods_of(end.host) } else { HOSTS[end.host].name.to_owned() }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let mut remotes = wiring::lay_out();
        let keys = wiring::keys(&mut remotes);
        let pairs = pairs::all();
        for end in pairs::ends() {
            let asked = pairs.iter().filter(|pair| pair.to == end).map(|pair| pair.number);
            let answer = Order::Answer { address: end.address, asked: asked.collect() };
            let claimed = CLAIMS.iter().filter(|(_, other)| end.is_pod && *other == end.host);
            for (host, _) in claimed {
                let claimed = remotes.get_mut(&wiring::claimed_by(*host)).unwrap();
                claimed.carry_out(std::slice::from_ref(&answer));
            }
            let open = Order::Open { address: end.address };
            remotes.get_mut(&home(end)).unwrap().carry_out(&[answer, open]);
        }
        Self { remotes, keys, pairs, asked: 0 }
    }

    /// Who asks whom.
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The tunnel comes up, and everybody reaches everybody.
    pub(crate) fn warm_up(&mut self) {
        self.renew_tunnel();
        let world = healthy(true, true);
        let predicted = Foretold::of(&world.network(), &self.pairs);
        let found = self.compare(&world, &predicted).disagreements;
        found.iter().for_each(|one| eprintln!("{one}"));
        assert!(found.is_empty(), "the healthy world does not come up");
    }

    /// New sessions between all members, as nothing is in their way.
    fn renew_tunnel(&mut self) {
        wiring::introduce(&mut self.remotes, &self.keys);
        self.put_on(&healthy(true, true));
        wiring::shake_hands(&mut self.remotes, &self.keys);
    }

    /// Puts a world on and asks, until kernels do what is foretold or the last,
    /// most careful try says that they do not. Packets get lost on a busy machine,
    /// but none comes of nothing: once something was seen that is not foretold, one
    /// try without it proves nothing.
    pub(crate) fn compare(&mut self, world: &World, predicted: &Foretold) -> Compared {
        let (mut failed, mut agreed, mut needed) = (Vec::new(), 0, 1);
        loop {
            if failed.len() > 1 {
                self.renew_tunnel();
            }
            self.put_on(world);
            let seen = self.ask(PATIENCE[failed.len()]);
            let disagreements = predicted.disagreements(&seen);
            if disagreements.is_empty() {
                agreed += 1;
            } else {
                agreed = 0;
                failed.push(Failure::of(&disagreements));
            }
            if failed.last().is_some_and(|failure| failure.unforetold > 0) {
                needed = PROOF;
            }
            if agreed == needed || failed.len() == PATIENCE.len() {
                return Compared { seen, disagreements, failed };
            }
        }
    }

    fn each(&mut self, orders: BTreeMap<String, Vec<Order>>) -> BTreeMap<String, Vec<String>> {
        for (name, orders) in &orders {
            self.remotes.get_mut(name).unwrap().tell(orders);
        }
        let hear = |name: String| {
            let heard = self.remotes.get_mut(&name).unwrap().hear();
            (name, heard)
        };
        orders.into_keys().map(hear).collect()
    }

    fn put_on(&mut self, world: &World) {
        let mut world = world.clone();
        let hosts = (0..HOSTS.len())
            .map(|id| (HOSTS[id].name.to_owned(), host_rules::orders(&world, id, &self.keys)));
        let mut orders: BTreeMap<String, Vec<Order>> = hosts.collect();
        for (segment, name) in FABRICS {
            orders.insert(name.to_owned(), fabric_rules::orders(world.fabric(segment)));
        }
        self.each(orders);
    }

    /// All ends ask at once, and take as many times as long for it as they need at
    /// least.
    fn ask(&mut self, slower: u32) -> Trails {
        self.asked += 1;
        let state = self.asked;
        let mut orders: BTreeMap<String, Vec<Order>> = BTreeMap::new();
        for pair in &self.pairs {
            let order = Order::Ask { state, pause: PAUSE * slower, asks: Vec::new() };
            let orders = orders.entry(home(pair.from)).or_insert_with(|| vec![order]);
            if let Some(Order::Ask { asks, .. }) = orders.first_mut() {
                asks.push((pair.number, pair.from.address, pair.to.address));
            }
        }
        // Not everybody asks the same end first.
        for (number, orders) in orders.values_mut().enumerate() {
            if let Some(Order::Ask { asks, .. }) = orders.first_mut() {
                let first = number % asks.len();
                asks.rotate_left(first);
            }
        }
        self.each(orders);
        let heard = self.await_quiet(state, QUIET * slower);
        self.trails(&heard)
    }

    fn await_quiet(&mut self, state: u32, quiet: Duration) -> Heard {
        let mut before = None;
        loop {
            sleep(quiet);
            let fabrics = FABRICS.map(|(_, name)| name);
            let ends = self.remotes.keys().filter(|name| !fabrics.contains(&name.as_str()));
            let reports = ends.map(|name| (name.clone(), vec![Order::Report { state }])).collect();
            let mut all = Heard::default();
            for told in self.each(reports).into_values().flatten() {
                let heard: Heard = serde_json::from_str(&told).unwrap();
                all.requests.extend(heard.requests);
                all.answers.extend(heard.answers);
            }
            if before.as_ref() == Some(&all) {
                return all;
            }
            before = Some(all);
        }
    }

    fn trails(&mut self, heard: &Heard) -> Trails {
        let mut trails = Trails::new();
        let list = || vec![run(&["nft", "-j", "list", "sets", "ip"], "")];
        let hosts = HOSTS.iter().map(|host| host.name);
        let fabrics = FABRICS.iter().map(|(_, name)| *name);
        let listed =
            self.each(hosts.chain(fabrics).map(|name| (name.to_owned(), list())).collect());
        for (name, listed) in listed {
            match FABRICS.iter().any(|(_, fabric)| *fabric == name) {
                true => trail::read_fabric(&mut trails, &name, &listed[0]),
                false => trail::read_host(&mut trails, &name, &listed[0]),
            }
        }
        for pair in &heard.requests {
            trails.entry((*pair, false)).or_default().insert(HEARD.to_owned());
        }
        for (number, from) in &heard.answers {
            let asked = (self.pairs[*number].to.address, pairs::port(*number)).into();
            // An answer from somebody else answers nothing.
            if *from == asked {
                trails.entry((*number, true)).or_default().insert(HEARD.to_owned());
            }
        }
        trails
    }
}
