//! Nodes of a graph that lead to each other.

use std::collections::{BTreeMap, BTreeSet};

/// Nodes that lead to each other, at any distance: a strongly connected component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Component<K> {
    /// A node alone, or all nodes of overlapping cycles.
    pub(crate) nodes: BTreeSet<K>,
    /// Whether one of them leads to a node of another component.
    pub(crate) leads_on: bool,
    /// Whether a path leads back to its first node.
    pub(crate) is_cycle: bool,
}

/// The components of a graph. Each node is looked at once (Tarjan's algorithm).
pub(crate) fn components<K: Ord + Copy>(
    nodes: impl IntoIterator<Item = K>,
    next: impl Fn(K) -> Vec<K>,
) -> Vec<Component<K>> {
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
    /// Whether its component is still open.
    is_open: bool,
    /// Whether it leads to another component.
    leads_on: bool,
    /// Whether it leads to itself.
    leads_back: bool,
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
    /// The nodes whose components are open, in the order in which they were found.
    open: Vec<K>,
    found: Vec<Component<K>>,
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
        let visit =
            Visit { number, lowest: number, is_open: true, leads_on: false, leads_back: false };
        self.visits.insert(node, visit);
        self.open.push(node);
        self.path.push(Step { node, left: (self.next)(node) });
    }

    /// Notes that a node leads to one that was visited.
    fn join(&mut self, node: K, next: K) {
        let Some(other) = self.visits.get(&next).copied() else { return };
        if let Some(visit) = self.visits.get_mut(&node) {
            visit.leads_back |= node == next;
            match other.is_open {
                true => visit.lowest = visit.lowest.min(other.lowest),
                false => visit.leads_on = true,
            }
        }
    }

    /// Ends the visit of a node, and the component that begins with it.
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
        let nodes: BTreeSet<K> = self.open.split_off(at).into_iter().collect();
        let (mut leads_on, mut is_cycle) = (false, nodes.len() > 1);
        for node in &nodes {
            if let Some(visit) = self.visits.get_mut(node) {
                visit.is_open = false;
                leads_on |= visit.leads_on;
                is_cycle |= visit.leads_back;
            }
        }
        self.found.push(Component { nodes, leads_on, is_cycle });
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
        fn components_are_the_nodes_that_lead_to_each_other(
            pairs in prop::collection::vec((0_u8..12, 0_u8..12), 0..24),
        ) {
            let mut edges: BTreeMap<u8, BTreeSet<u8>> = BTreeMap::new();
            for (from, to) in &pairs {
                edges.entry(*from).or_default().insert(*to);
            }
            // Each node is asked once, however long the paths are.
            let calls = Cell::new(0);
            let next = |node: u8| {
                calls.set(calls.get() + 1);
                edges.get(&node).into_iter().flatten().copied().collect()
            };
            let found = components(0..12, next);
            prop_assert_eq!(calls.get(), 12);
            let in_order: Vec<u8> = found.iter().flat_map(|it| it.nodes.clone()).collect();
            prop_assert_eq!(in_order.len(), 12);
            for component in found {
                let Component { nodes, leads_on, is_cycle } = component;
                for node in &nodes {
                    let of_node = reached(&edges, *node);
                    let mutual: BTreeSet<u8> = of_node
                        .iter()
                        .copied()
                        .filter(|other| reached(&edges, *other).contains(node))
                        .collect();
                    prop_assert_eq!(&mutual, &nodes);
                    prop_assert_eq!(leads_on, of_node != nodes);
                }
                let is_alone = nodes.len() == 1;
                let turns = nodes.iter().any(|node| pairs.contains(&(*node, *node)));
                prop_assert_eq!(is_cycle, !is_alone || turns);
            }
        }
    }
}
