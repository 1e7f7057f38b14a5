//! An index of IPv4 ranges by what they overlap.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

/// Ranges, each with any number of values. They may overlap, and one range may occur more than
/// once, as live ranges of which the topology is not the only owner can.
///
/// Ranges are nested or disjoint, so those that overlap another one contain it or are within it.
/// A search looks at each length of a range that would contain it, and at what is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeIndex<T> {
    by_range: BTreeMap<Ipv4Net, Vec<T>>,
    /// A bit for each prefix length that occurs.
    lengths: u64,
}

impl<T> Default for RangeIndex<T> {
    fn default() -> Self {
        Self { by_range: BTreeMap::new(), lengths: 0 }
    }
}

impl<T> RangeIndex<T> {
    /// Adds a range with its value.
    pub fn insert(&mut self, range: Ipv4Net, value: T) {
        self.lengths |= 1 << range.prefix_len();
        self.by_range.entry(range.trunc()).or_default().push(value);
    }

    /// Whether there is no range.
    pub fn is_empty(&self) -> bool {
        self.by_range.is_empty()
    }

    /// The ranges that share an address with `range`, the largest first, each with its value.
    pub fn overlapping(&self, range: &Ipv4Net) -> impl Iterator<Item = (Ipv4Net, &T)> {
        let range = range.trunc();
        let lengths = (0..range.prefix_len()).filter(|length| self.lengths & (1 << length) != 0);
        let around = lengths.filter_map(move |length| {
            let around = Ipv4Net::new(range.network(), length).ok()?.trunc();
            self.by_range.get_key_value(&around)
        });
        let last = Ipv4Net::from(range.broadcast());
        let inside = self.by_range.range(range..=last);
        around.chain(inside).flat_map(|(range, values)| values.iter().map(|it| (*range, it)))
    }
}

impl<T> FromIterator<(Ipv4Net, T)> for RangeIndex<T> {
    fn from_iter<I: IntoIterator<Item = (Ipv4Net, T)>>(ranges: I) -> Self {
        let mut index = Self::default();
        ranges.into_iter().for_each(|(range, value)| index.insert(range, value));
        index
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::net::prefix::overlaps;

    /// Ranges of few addresses, so that many overlap, and some of all lengths.
    fn range() -> impl Strategy<Value = Ipv4Net> {
        let lengths = prop_oneof![24_u8..=32, 0_u8..=32];
        (any::<u8>(), any::<bool>(), lengths).prop_map(|(last, is_high, length)| {
            let first = if is_high { 255 } else { 10 };
            Ipv4Net::new(Ipv4Addr::new(first, 0, 0, last), length).unwrap()
        })
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_scan_finds(
            ranges in prop::collection::vec(range(), 0..24),
            searched in range(),
        ) {
            let index: RangeIndex<usize> = ranges.iter().copied().zip(0..).collect();
            let mut found: Vec<usize> = index.overlapping(&searched).map(|(_, at)| *at).collect();
            for (range, at) in index.overlapping(&searched) {
                prop_assert_eq!(range, ranges[*at].trunc());
            }
            found.sort();
            let is_hit = |at: &usize| overlaps(&ranges[*at], &searched);
            let expected: Vec<usize> = (0..ranges.len()).filter(is_hit).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(index.is_empty(), ranges.is_empty());
        }
    }

    #[test]
    fn ranges_around_others_are_found_first() {
        let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
        let ranges = ["10.0.0.0/16", "10.0.1.0/24", "10.0.1.0/25", "10.0.1.0/24", "10.0.2.0/24"];
        let index: RangeIndex<usize> = ranges.into_iter().map(net).zip(0..).collect();
        let found: Vec<usize> = index.overlapping(&net("10.0.1.0/24")).map(|(_, at)| *at).collect();
        assert_eq!(found, [0, 1, 3, 2]);
    }
}
