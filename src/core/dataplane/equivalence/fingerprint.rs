//! Groups addresses for which all queries have the same result.

use std::hash::Hash;

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

/// The answers to one question, each from its position on: nothing is said
/// before the first, and neighbours differ.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AnswerSteps<A> {
    none: A,
    steps: Vec<(usize, A)>,
}

impl<A: Copy + Eq> AnswerSteps<A> {
    /// Answers that are all `none` so far.
    pub(super) fn new(none: A) -> Self {
        Self { none, steps: Vec::new() }
    }

    /// From that position on the answer is another. Positions come in order; of
    /// two answers at one position the later stands.
    pub(super) fn put(&mut self, position: usize, answer: A) {
        if self.steps.last().is_some_and(|(last, _)| *last == position) {
            self.steps.pop();
        }
        let before = self.steps.last().map_or(self.none, |(_, answer)| *answer);
        if before != answer {
            self.steps.push((position, answer));
        }
    }

    /// Whether two positions get different answers.
    pub(super) fn distinguishes(&self) -> bool {
        self.steps.iter().any(|(position, _)| *position > 0)
    }
}

/// Numbers that are the same for equal things.
#[derive(Debug)]
pub(super) struct Numbers<K>(HashMap<K, u32>);

impl<K: Eq + Hash> Numbers<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn of(&mut self, key: K) -> u32 {
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        *self.0.entry(key).or_insert(next)
    }
}

/// A number for each of so many positions: two have the same one exactly if
/// they get the same answers to all questions.
pub(super) fn fingerprint<A: Copy + Eq + Hash>(
    count: usize,
    queries: &[AnswerSteps<A>],
) -> Vec<u32> {
    let mut known = HashSet::new();
    let distinguishing =
        queries.iter().filter(|steps| steps.distinguishes() && known.insert(*steps));
    let distinguishing: Vec<&AnswerSteps<A>> = distinguishing.collect();
    let mut answers = Numbers::new();
    let first = distinguishing.iter().map(|steps| answers.of(steps.none)).collect();
    let changes = Changes::of(count, &distinguishing, &mut answers);
    let mut tree = Tree::new(first);
    let mut found = Vec::with_capacity(count);
    for position in 0..count {
        let here = changes.at(position);
        if !here.is_empty() {
            tree.change(here.iter().copied());
        }
        found.push(tree.root());
    }
    found
}

/// Changed answers by position: the numbers of the question and of its new answer, in the
/// order of the questions.
struct Changes {
    all: Vec<(usize, u32)>,
    /// Where those of each position end.
    ends: Vec<usize>,
}

impl Changes {
    /// Those at the first positions. The questions have them in the order of positions:
    /// counting them is faster than sorting.
    fn of<A: Copy + Eq + Hash>(
        count: usize,
        queries: &[&AnswerSteps<A>],
        answers: &mut Numbers<A>,
    ) -> Self {
        let steps = || {
            let numbered = queries.iter().enumerate();
            let steps = numbered.flat_map(|(number, query)| {
                query.steps.iter().map(move |(position, answer)| (number, *position, *answer))
            });
            steps.filter(|(_, position, _)| *position < count)
        };
        let mut ends = vec![0_usize; count + 1];
        steps().for_each(|(_, position, _)| ends[position + 1] += 1);
        (0..count).for_each(|position| ends[position + 1] += ends[position]);
        let mut all = vec![(0, 0); ends[count]];
        // Each begin moves to its end.
        for (question, position, answer) in steps() {
            all[ends[position]] = (question, answers.of(answer));
            ends[position] += 1;
        }
        Self { all, ends }
    }

    fn at(&self, position: usize) -> &[(usize, u32)] {
        let begin = position.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[begin..self.ends[position]]
    }
}

/// The answers at one position as the leaves of a binary tree, each node of
/// which has the number of the pair below it. So two positions have the same
/// root exactly if all their leaves are the same, and a change of one answer
/// costs one path to the root.
#[derive(Debug)]
struct Tree {
    /// Leaves first, the root's level last.
    levels: Vec<Vec<u32>>,
    pairs: Numbers<(u32, Option<u32>)>,
}

impl Tree {
    fn new(leaves: Vec<u32>) -> Self {
        let mut tree = Self { levels: vec![leaves], pairs: Numbers::new() };
        while let Some(below) = tree.levels.last().filter(|level| level.len() > 1) {
            let pairs = below.chunks(2);
            let level = pairs.map(|pair| number(&mut tree.pairs, pair)).collect();
            tree.levels.push(level);
        }
        tree
    }

    fn root(&self) -> u32 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// Changes some leaves, in the order of their places.
    fn change(&mut self, leaves: impl Iterator<Item = (usize, u32)>) {
        let mut positions = Vec::new();
        for (place, answer) in leaves {
            if let Some(leaf) = self.levels.first_mut().and_then(|level| level.get_mut(place)) {
                *leaf = answer;
            }
            positions.push(place);
        }
        for height in 1..self.levels.len() {
            for place in &mut positions {
                *place /= 2;
            }
            positions.dedup();
            let (below, above) = self.levels.split_at_mut(height);
            let (Some(below), Some(above)) = (below.last(), above.first_mut()) else { return };
            for place in &positions {
                let pair = below.chunks(2).nth(*place);
                if let (Some(pair), Some(node)) = (pair, above.get_mut(*place)) {
                    *node = number(&mut self.pairs, pair);
                }
            }
        }
    }
}

fn number(pairs: &mut Numbers<(u32, Option<u32>)>, pair: &[u32]) -> u32 {
    let first = pair.first().copied().unwrap_or_default();
    pairs.of((first, pair.get(1).copied()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const POSITIONS: usize = 12;

    fn steps() -> impl Strategy<Value = AnswerSteps<u8>> {
        prop::collection::btree_map(0..POSITIONS, 0_u8..3, 0..6).prop_map(
            |all: BTreeMap<usize, u8>| {
                let mut steps = AnswerSteps::new(0);
                all.into_iter().for_each(|(position, answer)| steps.put(position, answer));
                steps
            },
        )
    }

    fn answer(steps: &AnswerSteps<u8>, position: usize) -> u8 {
        let before = steps.steps.iter().rev().find(|(from, _)| *from <= position);
        before.map_or(steps.none, |(_, answer)| *answer)
    }

    #[test]
    fn the_last_answer_at_a_position_counts() {
        let mut steps = AnswerSteps::new(0);
        for (position, answer) in [(0, 1), (2, 2), (2, 1), (3, 0), (3, 2)] {
            steps.put(position, answer);
        }
        assert_eq!(steps.steps, [(0, 1), (3, 2)]);
    }

    proptest! {
        #[test]
        fn equal_fingerprints_have_equal_answers(queries in prop::collection::vec(steps(), 0..9)) {
            let found = fingerprint(POSITIONS, &queries);
            prop_assert_eq!(found.len(), POSITIONS);
            for one in 0..POSITIONS {
                for other in 0..POSITIONS {
                    let alike = queries
                        .iter()
                        .all(|steps| answer(steps, one) == answer(steps, other));
                    prop_assert_eq!(found[one] == found[other], alike, "{} {}", one, other);
                }
            }
        }
    }
}
