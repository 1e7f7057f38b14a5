//! The namespaces and their agents: a state is applied to all of them, then all pairs send
//! requests, then the observations are collected.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use super::agent::{Instruction, Received};
use super::compare::{Disagreement, Prediction};
use super::network_spec::{CLAIMS, HOSTS, NetworkSpec, healthy};
use super::pairs::{self, LabEnd, Pair};
use super::remote::run;
use super::trail::{self, RECEIVED, Trails};
use super::wiring::{self, FABRICS, Remotes, pods_of};
use super::{fabric_rules, host_rules};

/// Between two requests of one endpoint, because the queues of the virtual links are short.
const REQUEST_INTERVAL: Duration = Duration::from_millis(3);
/// If no packet arrives for this long, no more are expected.
const IDLE_TIME: Duration = Duration::from_millis(60);
/// A disagreement counts only after retries, each slowed down by this factor: a busy machine may
/// lose packets.
const SLOWDOWN: [u32; 4] = [1, 3, 8, 16];
/// The number of consecutive agreeing attempts that is required after an attempt with an
/// unpredicted observation.
const REQUIRED_AGREEMENTS: usize = 3;

/// All namespaces and their state.
#[derive(Debug)]
pub(crate) struct Lab {
    remotes: Remotes,
    keys: BTreeMap<usize, String>,
    pairs: Vec<Pair>,
    attempt: u32,
}

/// The result of comparing one state.
#[derive(Debug)]
pub(crate) struct Compared {
    /// The observations of the last attempt.
    pub(crate) seen: Trails,
    /// The differences between model and the last attempt.
    pub(crate) disagreements: Vec<Disagreement>,
    /// The attempts that disagreed.
    pub(crate) failed: Vec<Failure>,
}

/// A disagreeing attempt: the number of packets with unpredicted observations, and of other packets
/// with missing ones.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) unpredicted: usize,
    pub(crate) missing: usize,
}

impl Failure {
    fn of(disagreements: &[Disagreement]) -> Self {
        let unpredicted = disagreements.iter().filter(|one| one.has_unpredicted()).count();
        Self { unpredicted, missing: disagreements.len() - unpredicted }
    }
}

fn namespace_of(end: LabEnd) -> String {
    if end.is_pod { pods_of(end.host) } else { HOSTS[end.host].name.to_owned() }
}

impl Lab {
    pub(crate) fn new() -> Self {
        let mut remotes = wiring::lay_out();
        let keys = wiring::keys(&mut remotes);
        let pairs = pairs::all();
        for end in pairs::ends() {
            let pairs_to_answer =
                pairs.iter().filter(|pair| pair.to == end).map(|pair| pair.number);
            let answer = Instruction::Listen {
                address: end.address,
                pairs_to_answer: pairs_to_answer.collect(),
            };
            let claimed = CLAIMS.iter().filter(|(_, other)| end.is_pod && *other == end.host);
            for (host, _) in claimed {
                let claimed = remotes.get_mut(&wiring::claimed_pods_of(*host)).unwrap();
                claimed.execute(std::slice::from_ref(&answer));
            }
            let open = Instruction::OpenSender { address: end.address };
            remotes.get_mut(&namespace_of(end)).unwrap().execute(&[answer, open]);
        }
        Self { remotes, keys, pairs, attempt: 0 }
    }

    /// The pairs of endpoints.
    pub(crate) fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// Establishes the tunnel, and asserts that every endpoint reaches every other.
    pub(crate) fn warm_up(&mut self) {
        self.renew_tunnel();
        let spec = healthy(true, true);
        let predicted = Prediction::of(&spec.network(), &self.pairs);
        let found = self.compare(&spec, &predicted).disagreements;
        found.iter().for_each(|one| eprintln!("{one}"));
        assert!(found.is_empty(), "a healthy network does not work in the lab");
    }

    /// Establishes new sessions between all members, in a healthy network.
    fn renew_tunnel(&mut self) {
        wiring::configure_peers(&mut self.remotes, &self.keys);
        self.apply(&healthy(true, true));
        wiring::shake_hands(&mut self.remotes, &self.keys);
    }

    /// Applies a network and sends requests, until kernel and model agree or the last, slowest
    /// attempt disagrees. A busy machine loses packets but never invents them: after an unpredicted
    /// observation, one attempt without it proves nothing.
    pub(crate) fn compare(&mut self, spec: &NetworkSpec, predicted: &Prediction) -> Compared {
        let (mut failed, mut agreed, mut needed) = (Vec::new(), 0, 1);
        loop {
            if failed.len() > 1 {
                self.renew_tunnel();
            }
            self.apply(spec);
            let seen = self.send_requests(SLOWDOWN[failed.len()]);
            let disagreements = predicted.disagreements(&seen);
            if disagreements.is_empty() {
                agreed += 1;
            } else {
                agreed = 0;
                failed.push(Failure::of(&disagreements));
            }
            if failed.last().is_some_and(|failure| failure.unpredicted > 0) {
                needed = REQUIRED_AGREEMENTS;
            }
            if agreed == needed || failed.len() == SLOWDOWN.len() {
                return Compared { seen, disagreements, failed };
            }
        }
    }

    fn each(
        &mut self,
        instructions: BTreeMap<String, Vec<Instruction>>,
    ) -> BTreeMap<String, Vec<String>> {
        for (name, instructions) in &instructions {
            self.remotes.get_mut(name).unwrap().send(instructions);
        }
        let receive = |name: String| {
            let received = self.remotes.get_mut(&name).unwrap().receive();
            (name, received)
        };
        instructions.into_keys().map(receive).collect()
    }

    fn apply(&mut self, spec: &NetworkSpec) {
        let mut spec = spec.clone();
        let hosts = (0..HOSTS.len())
            .map(|id| (HOSTS[id].name.to_owned(), host_rules::instructions(&spec, id, &self.keys)));
        let mut instructions: BTreeMap<String, Vec<Instruction>> = hosts.collect();
        for (segment, name) in FABRICS {
            instructions.insert(name.to_owned(), fabric_rules::instructions(spec.fabric(segment)));
        }
        self.each(instructions);
    }

    /// All endpoints send their requests concurrently, slowed down by a factor.
    fn send_requests(&mut self, slower: u32) -> Trails {
        self.attempt += 1;
        let state = self.attempt;
        let mut instructions: BTreeMap<String, Vec<Instruction>> = BTreeMap::new();
        for pair in &self.pairs {
            let instruction =
                Instruction::Send { state, pause: REQUEST_INTERVAL * slower, requests: Vec::new() };
            let instructions =
                instructions.entry(namespace_of(pair.from)).or_insert_with(|| vec![instruction]);
            if let Some(Instruction::Send { requests, .. }) = instructions.first_mut() {
                requests.push((pair.number, pair.from.address, pair.to.address));
            }
        }
        // Endpoints start with different destinations.
        for (number, instructions) in instructions.values_mut().enumerate() {
            if let Some(Instruction::Send { requests, .. }) = instructions.first_mut() {
                let first = number % requests.len();
                requests.rotate_left(first);
            }
        }
        self.each(instructions);
        let received = self.await_idle(state, IDLE_TIME * slower);
        self.trails(&received)
    }

    fn await_idle(&mut self, state: u32, idle: Duration) -> Received {
        let mut before = None;
        loop {
            sleep(idle);
            let fabrics = FABRICS.map(|(_, name)| name);
            let ends = self.remotes.keys().filter(|name| !fabrics.contains(&name.as_str()));
            let reports =
                ends.map(|name| (name.clone(), vec![Instruction::Report { state }])).collect();
            let mut all = Received::default();
            for report in self.each(reports).into_values().flatten() {
                let received: Received = serde_json::from_str(&report).unwrap();
                all.requests.extend(received.requests);
                all.answers.extend(received.answers);
            }
            if before.as_ref() == Some(&all) {
                return all;
            }
            before = Some(all);
        }
    }

    fn trails(&mut self, received: &Received) -> Trails {
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
        for pair in &received.requests {
            trails.entry((*pair, false)).or_default().insert(RECEIVED.to_owned());
        }
        for (number, from) in &received.answers {
            let attempt = (self.pairs[*number].to.address, pairs::port(*number)).into();
            // A reply from another address does not count.
            if *from == attempt {
                trails.entry((*number, true)).or_default().insert(RECEIVED.to_owned());
            }
        }
        trails
    }
}
