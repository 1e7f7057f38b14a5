//! The least time in which the steps of an apply can be made, by how long each kind of step
//! takes at least and by how many run side by side.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use stargate::apply::events::{Event, Reporter};
use stargate::desired::DesiredSet;
use stargate::resource::{Address, Api, Kind, Service};
use tokio::time::Instant;

use crate::makespan::{AT_ONCE, DOWNLOADS_AT_ONCE};

/// How long the steps of an apply took.
#[derive(Default)]
pub(crate) struct Timings {
    started: Mutex<BTreeMap<Address, Instant>>,
    steps: Mutex<BTreeMap<Address, Duration>>,
    ended: Mutex<BTreeMap<Address, Instant>>,
    downloads: Mutex<BTreeMap<Address, Duration>>,
}

impl Reporter for Timings {
    fn event(&self, event: &Event) {
        match event {
            Event::StepStarted { address, .. } => {
                self.started.lock().unwrap().insert(address.clone(), Instant::now());
            }
            Event::StepFinished { address, .. } => {
                let now = Instant::now();
                let started = self.started.lock().unwrap().get(address).copied().unwrap_or(now);
                self.steps.lock().unwrap().insert(address.clone(), now - started);
                self.ended.lock().unwrap().insert(address.clone(), now);
            }
            Event::PhaseFinished { address, phase, milliseconds }
                if phase == "package download" =>
            {
                let time = Duration::from_millis(*milliseconds);
                self.downloads.lock().unwrap().insert(address.clone(), time);
            }
            _ => {}
        }
    }
}

/// A step, or the download before a worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Node<'a> {
    Download(&'a Address),
    Step(&'a Address),
}

impl Node<'_> {
    fn is_of(self, limit: Limit) -> bool {
        match (self, limit) {
            (Self::Download(_), Limit::Downloads) => true,
            (Self::Step(address), Limit::Api(api)) => address.kind.facts().requests.api == api,
            _ => false,
        }
    }
}

/// The limit that delays steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Api(Api),
    Downloads,
}

impl Limit {
    fn width(self) -> u32 {
        match self {
            Self::Api(_) => AT_ONCE,
            Self::Downloads => DOWNLOADS_AT_ONCE,
        }
    }
}

/// The least times of an apply.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The longest chain of steps that wait for each other, whatever runs beside it.
    pub(crate) chain: Duration,
    /// By the steps of Azure and the width of its API.
    pub(crate) azure: Duration,
    /// By the downloads of packages and how many run side by side.
    pub(crate) downloads: Duration,
    /// By the joins of workers and the width of the API.
    pub(crate) joins: Duration,
}

impl Bound {
    /// The lower bound for the first apply of all desired resources, with the first worker
    /// as the canary: all others download and join after it. A step waits for the
    /// dependencies of its resource and for the resources that yield its pending values. It
    /// takes as long as the fastest of its kind; an Azure step takes no longer than the
    /// service itself, so that a late poll counts against the apply.
    pub(crate) fn of(first: &DesiredSet, desired: &DesiredSet, timings: &Timings) -> Self {
        let graph = Graph::of(first, desired, timings);
        let chain = graph.heads.iter().map(|(node, head)| *head + graph.seconds[node]);
        Self {
            chain: chain.max().unwrap_or_default(),
            azure: graph.by_width(Limit::Api(Api::Azure)),
            downloads: graph.by_width(Limit::Downloads),
            joins: graph.by_width(Limit::Api(Api::Kubernetes)),
        }
    }

    pub(crate) fn least(&self) -> Duration {
        self.chain.max(self.azure).max(self.downloads).max(self.joins)
    }
}

struct Graph<'a> {
    seconds: BTreeMap<Node<'a>, Duration>,
    /// The longest chain before each.
    heads: BTreeMap<Node<'a>, Duration>,
    /// The longest chain after each.
    tails: BTreeMap<Node<'a>, Duration>,
}

impl<'a> Graph<'a> {
    fn of(first: &DesiredSet, desired: &'a DesiredSet, timings: &Timings) -> Self {
        let ended = timings.ended.lock().unwrap();
        let workers = ended.iter().filter(|(address, _)| address.kind == Kind::Worker);
        let canary = workers.min_by_key(|(_, at)| **at).map(|(address, _)| address.clone());
        let canary = canary.and_then(|canary| Some(&desired.get(&canary)?.address));
        let made: BTreeMap<&Address, &[Address]> = desired
            .iter()
            .filter(|it| ended.contains_key(&it.address))
            .map(|it| (&it.address, it.depends_on.as_slice()))
            .collect();
        let mut causes: BTreeMap<Node<'a>, Vec<Node<'a>>> = BTreeMap::new();
        for (address, depends_on) in &made {
            let there = depends_on.iter().filter_map(|it| made.get_key_value(it));
            let mut before: Vec<Node> = there.map(|(it, _)| Node::Step(it)).collect();
            let awaited = first.get(address).map(|it| it.resource.awaits()).unwrap_or_default();
            let awaited = awaited.iter().filter_map(|it| made.get_key_value(it));
            before.extend(awaited.map(|(it, _)| Node::Step(it)));
            before.sort();
            before.dedup();
            if address.kind == Kind::Worker {
                let after = canary.filter(|canary| canary != address).map(Node::Step);
                before.extend(after);
                causes.insert(Node::Download(address), before);
                before = vec![Node::Download(address)];
            }
            causes.insert(Node::Step(address), before);
        }
        let seconds = least_seconds(causes.keys().copied(), timings);
        let order = topological_order(&causes);
        let mut heads = BTreeMap::new();
        for node in &order {
            let ends = causes[node].iter().map(|cause| heads[cause] + seconds[cause]);
            let head: Duration = ends.max().unwrap_or_default();
            heads.insert(*node, head);
        }
        let mut tails: BTreeMap<Node, Duration> =
            order.iter().map(|it| (*it, Duration::ZERO)).collect();
        for node in order.iter().rev() {
            let with_own = tails[node] + seconds[node];
            for cause in &causes[node] {
                let tail = tails.entry(*cause).or_default();
                *tail = with_own.max(*tail);
            }
        }
        Self { seconds, heads, tails }
    }

    /// No set of steps ends before the earliest of them can start, all of them were made by
    /// that many side by side, and the shortest chain behind them has ended. The set that
    /// gives the most counts.
    fn by_width(&self, limit: Limit) -> Duration {
        let nodes = self.heads.iter().filter(|(node, _)| node.is_of(limit));
        let mut nodes: Vec<(Duration, Node)> = nodes.map(|(node, head)| (*head, *node)).collect();
        nodes.sort_by_key(|(head, _)| std::cmp::Reverse(*head));
        let (mut work, mut tail, mut most) = (Duration::ZERO, Duration::MAX, Duration::ZERO);
        for (head, node) in nodes {
            work += self.seconds[&node];
            tail = tail.min(self.tails[&node]);
            most = most.max(head + work / limit.width() + tail);
        }
        most
    }
}

fn least_seconds<'a>(
    nodes: impl Iterator<Item = Node<'a>>,
    timings: &Timings,
) -> BTreeMap<Node<'a>, Duration> {
    let mut of_kind: BTreeMap<Kind, Duration> = BTreeMap::new();
    for (address, time) in timings.steps.lock().unwrap().iter() {
        let least = of_kind.entry(address.kind).or_insert(*time);
        *least = (*least).min(*time);
    }
    let download = timings.downloads.lock().unwrap().values().min().copied().unwrap_or_default();
    let seconds = |node: Node| match node {
        Node::Download(_) => download,
        Node::Step(address) => {
            let facts = address.kind.facts();
            match facts.service {
                Service::Azure(_) | Service::AzureProperty(_) => {
                    of_kind[&address.kind].min(Duration::from_secs(facts.seconds.create))
                }
                _ => of_kind[&address.kind],
            }
        }
    };
    nodes.map(|node| (node, seconds(node))).collect()
}

fn topological_order<'a>(causes: &BTreeMap<Node<'a>, Vec<Node<'a>>>) -> Vec<Node<'a>> {
    let mut effects: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
    for (node, before) in causes {
        before.iter().for_each(|cause| effects.entry(*cause).or_default().push(*node));
    }
    let mut waiting: BTreeMap<Node, usize> =
        causes.iter().map(|(node, before)| (*node, before.len())).collect();
    let mut order: Vec<Node> =
        waiting.iter().filter(|(_, left)| **left == 0).map(|(node, _)| *node).collect();
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        for effect in effects.remove(&node).unwrap_or_default() {
            let left = waiting.get_mut(&effect).unwrap();
            *left -= 1;
            if *left == 0 {
                order.push(effect);
            }
        }
    }
    assert_eq!(order.len(), causes.len(), "the dependencies have a cycle");
    order
}
