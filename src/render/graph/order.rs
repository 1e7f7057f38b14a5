//! What of the order between nodes needs drawing, and in which column each is.

use std::collections::BTreeSet;

type Edges = BTreeSet<(usize, usize)>;

/// The edges without those that a longer way says already.
pub(super) fn without_detours(nodes: usize, edges: &Edges) -> Edges {
    let next = neighbours(nodes, edges);
    let is_detour = |from: usize, to: usize| {
        let others = next[from].iter().copied().filter(|other| *other != to);
        others.into_iter().any(|other| reaches(&next, other, to, from))
    };
    edges.iter().copied().filter(|(from, to)| !is_detour(*from, *to)).collect()
}

/// For each node the length of the longest way to it. Nodes that stand for many
/// may come to wait for each other; such a circle is cut where it closes.
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

/// Whether one node leads to another, other than through a third.
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
    fn a_longer_way_says_it_all() {
        let edges = Edges::from([(0, 1), (1, 2), (0, 2), (2, 3), (0, 3)]);
        assert_eq!(without_detours(4, &edges), Edges::from([(0, 1), (1, 2), (2, 3)]));
        assert_eq!(depths(4, &edges), [0, 1, 2, 3]);
    }

    #[test]
    fn a_circle_ends() {
        let edges = Edges::from([(0, 1), (1, 2), (2, 1)]);
        assert_eq!(without_detours(3, &edges), edges);
        assert_eq!(depths(3, &edges), [0, 1, 2]);
    }
}
