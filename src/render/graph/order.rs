//! Transitive reduction of the graph, and the column of each node.

use std::collections::BTreeSet;

type Edges = BTreeSet<(usize, usize)>;

/// The transitive reduction: the edges without those that a longer path implies.
pub(super) fn reduce(nodes: usize, edges: &Edges) -> Edges {
    let next = neighbours(nodes, edges);
    let is_implied = |from: usize, to: usize| {
        let others = next[from].iter().copied().filter(|other| *other != to);
        others.into_iter().any(|other| reaches(&next, other, to, from))
    };
    edges.iter().copied().filter(|(from, to)| !is_implied(*from, *to)).collect()
}

/// For each node the length of the longest path to it. Folded nodes may depend on
/// each other; such a cycle is cut where it closes.
pub(super) fn depths(nodes: usize, edges: &Edges) -> Vec<usize> {
    let next = neighbours(nodes, edges);
    let mut waits: Vec<usize> = vec![0; nodes];
    edges.iter().for_each(|(_, to)| waits[*to] += 1);
    let mut depths = vec![0; nodes];
    let mut left: BTreeSet<usize> = (0..nodes).collect();
    let free = |left: &BTreeSet<usize>, waits: &[usize]| {
        left.iter().copied().find(|node| waits[*node] == 0).or_else(|| left.first().copied())
    };
    while let Some(node) = free(&left, &waits) {
        left.remove(&node);
        for &to in next[node].iter().filter(|to| left.contains(to)) {
            waits[to] -= 1;
            depths[to] = depths[to].max(depths[node] + 1);
        }
    }
    depths
}

fn neighbours(nodes: usize, edges: &Edges) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); nodes];
    edges.iter().for_each(|(from, to)| next[*from].push(*to));
    next
}

/// Whether a path leads from one node to another, other than through a third.
fn reaches(next: &[Vec<usize>], from: usize, to: usize, through: usize) -> bool {
    let (mut seen, mut open) = (BTreeSet::from([through]), vec![from]);
    while let Some(node) = open.pop() {
        if node == to {
            return true;
        }
        if seen.insert(node) {
            open.extend(&next[node]);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implied_edges_are_removed() {
        let edges = Edges::from([(0, 1), (1, 2), (0, 2), (2, 3), (0, 3)]);
        assert_eq!(reduce(4, &edges), Edges::from([(0, 1), (1, 2), (2, 3)]));
        assert_eq!(depths(4, &edges), [0, 1, 2, 3]);
    }

    #[test]
    fn cycles_terminate() {
        let edges = Edges::from([(0, 1), (1, 2), (2, 1)]);
        assert_eq!(reduce(3, &edges), edges);
        assert_eq!(depths(3, &edges), [0, 1, 2]);
    }
}
