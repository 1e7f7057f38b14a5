//! Nodes of a graph that lead to each other and to no others.

use std::collections::{BTreeMap, BTreeSet};

/// The groups of nodes that lead to each other, at any distance, and to nothing else: a node
/// alone, or a cycle. Each node is looked at once (Tarjan's algorithm).
pub(super) fn closed_groups<K: Ord + Copy>(
    nodes: impl IntoIterator<Item = K>,
    next: impl Fn(K) -> Vec<K>,
) -> Vec<BTreeSet<K>> {
    let mut search = Search {
        next,
        visits: BTreeMap::new(),
        path: Vec::new(),
        open: Vec::new(),
        found: Vec::new(),
    };
    for node in nodes {
        if !search.visits.contains_key(&node) {
            search.run(node);
        }
    }
    search.found
}

/// The facts about a node that was visited.
#[derive(Debug, Clone, Copy)]
struct Visit {
    number: usize,
    /// The smallest number that it leads to.
    lowest: usize,
    /// Whether its group is still open.
    is_open: bool,
    /// Whether it leads to another group.
    leads_on: bool,
}

/// A node of the present path, with the nodes that it leads to and that are not visited yet.
struct Step<K> {
    node: K,
    left: Vec<K>,
}

struct Search<K, F> {
    next: F,
    visits: BTreeMap<K, Visit>,
    path: Vec<Step<K>>,
    /// The nodes whose groups are open, in the order in which they were found.
    open: Vec<K>,
    found: Vec<BTreeSet<K>>,
}

impl<K: Ord + Copy, F: Fn(K) -> Vec<K>> Search<K, F> {
    fn run(&mut self, start: K) {
        self.enter(start);
        while let Some(step) = self.path.last_mut() {
            let (node, next) = (step.node, step.left.pop());
            match next {
                Some(next) if !self.visits.contains_key(&next) => self.enter(next),
                Some(next) => self.join(node, next),
                None => self.leave(node),
            }
        }
    }

    fn enter(&mut self, node: K) {
        let number = self.visits.len();
        self.visits.insert(node, Visit { number, lowest: number, is_open: true, leads_on: false });
        self.open.push(node);
        self.path.push(Step { node, left: (self.next)(node) });
    }

    /// Notes that a node leads to one that was visited.
    fn join(&mut self, node: K, next: K) {
        let Some(other) = self.visits.get(&next).copied() else { return };
        if let Some(visit) = self.visits.get_mut(&node) {
            match other.is_open {
                true => visit.lowest = visit.lowest.min(other.lowest),
                false => visit.leads_on = true,
            }
        }
    }

    /// Ends the visit of a node, and the group that begins with it.
    fn leave(&mut self, node: K) {
        let _ended = self.path.pop();
        let is_first = self.visits.get(&node).is_some_and(|it| it.lowest == it.number);
        if is_first {
            self.close(node);
        }
        if let Some(before) = self.path.last().map(|step| step.node) {
            self.join(before, node);
        }
    }

    fn close(&mut self, first: K) {
        let at = self.open.iter().rposition(|node| *node == first).unwrap_or_default();
        let group: BTreeSet<K> = self.open.split_off(at).into_iter().collect();
        let mut leads_on = false;
        for node in &group {
            if let Some(visit) = self.visits.get_mut(node) {
                visit.is_open = false;
                leads_on |= visit.leads_on;
            }
        }
        if !leads_on {
            self.found.push(group);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;

    /// A node and all that it leads to.
    fn reached(edges: &BTreeMap<u8, BTreeSet<u8>>, from: u8) -> BTreeSet<u8> {
        let (mut found, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(node) = open.pop() {
            let next = edges.get(&node).into_iter().flatten();
            open.extend(next.filter(|next| found.insert(**next)));
        }
        found
    }

    proptest! {
        #[test]
        fn groups_are_those_that_all_paths_stay_in(
            pairs in prop::collection::vec((0_u8..12, 0_u8..12), 0..24),
        ) {
            let mut edges: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
            for (from, to) in pairs {
                edges.entry(from).or_default().insert(to);
            }
            // Each node is asked once, however long the paths are.
            let calls = Cell::new(0);
            let next = |node: u8| {
                calls.set(calls.get() + 1);
                edges.get(&node).into_iter().flatten().copied().collect()
            };
            let found: BTreeSet<BTreeSet<u8>> = closed_groups(0..12, next).into_iter().collect();
            let is_closed = |group: &BTreeSet<u8>| {
                group.iter().all(|node| reached(&edges, *node) == *group)
            };
            let all = (0..12).map(|node| reached(&edges, node));
            let expected: BTreeSet<BTreeSet<u8>> = all.filter(is_closed).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(calls.get(), 12);
        }
    }
}
