//! Tables with longest-prefix match.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Entries by prefix; the longest prefix that contains an address applies.
///
/// They are a list in the order of their prefixes, where each prefix is directly before the
/// longer ones that it contains. A model reads whole tables far more often than it searches
/// them, and builds most of them in this order: a list costs a fraction of a tree there.
#[derive(Debug, Clone, PartialEq)]
pub struct PrefixTable<T>(Vec<(Ipv4Net, T)>);

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> PrefixTable<T> {
    /// Inserts an entry, and replaces one of the same prefix. To fill a large table in any
    /// other order than that of the prefixes, collect it.
    pub fn insert(&mut self, prefix: Ipv4Net, entry: T) {
        let prefix = prefix.trunc();
        if self.0.last().is_none_or(|(last, _)| *last < prefix) {
            self.0.push((prefix, entry));
            return;
        }
        match self.0.binary_search_by_key(&prefix, |(known, _)| *known) {
            Ok(place) => self.0[place].1 = entry,
            Err(place) => self.0.insert(place, (prefix, entry)),
        }
    }

    /// The entry of exactly that prefix.
    pub fn get(&self, prefix: &Ipv4Net) -> Option<&T> {
        let place = self.0.binary_search_by_key(&prefix.trunc(), |(known, _)| *known).ok()?;
        self.0.get(place).map(|(_, entry)| entry)
    }

    /// The entry with the longest prefix that contains the address.
    pub fn lookup(&self, address: Ipv4Addr) -> Option<(Ipv4Net, &T)> {
        self.longest(Ipv4Net::from(address))
    }

    /// Whether an entry covers the whole prefix.
    pub fn covers(&self, prefix: &Ipv4Net) -> bool {
        self.longest(*prefix).is_some()
    }

    /// All entries in the order of their prefixes.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, &T)> {
        self.0.iter().map(|(prefix, entry)| (*prefix, entry))
    }

    /// Entries for parts of a prefix, and for itself.
    pub fn within<'a>(&'a self, prefix: &Ipv4Net) -> impl Iterator<Item = (Ipv4Net, &'a T)> {
        let prefix = prefix.trunc();
        let first = self.0.partition_point(|(known, _)| *known < prefix);
        let rest = self.0.iter().skip(first).map(|(known, entry)| (*known, entry));
        rest.take_while(move |(known, _)| prefix.contains(known))
    }

    /// The entry with the longest prefix that contains all of this one.
    fn longest(&self, prefix: Ipv4Net) -> Option<(Ipv4Net, &T)> {
        let mut prefix = prefix.trunc();
        loop {
            let before = self.0.partition_point(|(known, _)| *known <= prefix).checked_sub(1)?;
            let (known, entry) = self.0.get(before)?;
            if known.contains(&prefix) {
                return Some((*known, entry));
            }
            // An entry that contains the prefix also contains the one found, which is between
            // them: it is no longer than what the two have in common.
            prefix = common(known, &prefix)?;
        }
    }
}

/// The longest prefix that contains both.
fn common(one: &Ipv4Net, other: &Ipv4Net) -> Option<Ipv4Net> {
    let differing = one.network().to_bits() ^ other.network().to_bits();
    let length = u8::try_from(differing.leading_zeros()).ok()?;
    let length = length.min(one.prefix_len()).min(other.prefix_len());
    Ipv4Net::new(other.network(), length).ok().map(|prefix| prefix.trunc())
}

impl<T> FromIterator<(Ipv4Net, T)> for PrefixTable<T> {
    /// Of two entries of one prefix, the later one stays.
    fn from_iter<I: IntoIterator<Item = (Ipv4Net, T)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(prefix, entry)| (prefix.trunc(), entry));
        let mut all: Vec<(Ipv4Net, T)> = entries.collect();
        all.sort_by_key(|(prefix, _)| *prefix);
        all.dedup_by(|later, earlier| {
            let is_replaced = later.0 == earlier.0;
            if is_replaced {
                std::mem::swap(later, earlier);
            }
            is_replaced
        });
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Prefixes that nest and repeat often.
    fn prefixes() -> impl Strategy<Value = Vec<Ipv4Net>> {
        let prefix = (0_u32..64, 26_u8..=32).prop_map(|(bits, length)| {
            Ipv4Net::new_assert(Ipv4Addr::from_bits(0x0a00_0000 | bits), length)
        });
        let wide = Just(Ipv4Net::default());
        prop::collection::vec(prop_oneof![9 => prefix, 1 => wide], 0..24)
    }

    fn table(prefixes: &[Ipv4Net]) -> PrefixTable<usize> {
        prefixes.iter().copied().zip(0..).collect()
    }

    proptest! {
        #[test]
        fn collected_and_inserted_entries_make_one_table(prefixes in prefixes()) {
            let mut inserted = PrefixTable::default();
            prefixes.iter().zip(0..).for_each(|(prefix, entry)| inserted.insert(*prefix, entry));
            prop_assert_eq!(&table(&prefixes), &inserted);
            let all: Vec<Ipv4Net> = inserted.iter().map(|(prefix, _)| prefix).collect();
            prop_assert!(all.is_sorted() && all.iter().all(|prefix| *prefix == prefix.trunc()));
        }

        #[test]
        fn searches_find_what_a_walk_over_all_entries_finds(
            prefixes in prefixes(),
            queries in prefixes(),
        ) {
            let table = table(&prefixes);
            for prefix in queries {
                let containing = table.iter().filter(|(known, _)| known.contains(&prefix));
                let longest = containing.max_by_key(|(known, _)| known.prefix_len());
                prop_assert_eq!(table.longest(prefix), longest);
                prop_assert_eq!(table.covers(&prefix), longest.is_some());
                let exact = table.iter().find(|(known, _)| *known == prefix.trunc());
                prop_assert_eq!(table.get(&prefix), exact.map(|(_, entry)| entry));
                let parts: Vec<_> =
                    table.iter().filter(|(known, _)| prefix.contains(known)).collect();
                prop_assert_eq!(table.within(&prefix).collect::<Vec<_>>(), parts);
            }
        }

        #[test]
        fn an_address_is_looked_up_by_the_longest_prefix(prefixes in prefixes(), bits in 0_u32..80) {
            let address = Ipv4Addr::from_bits(0x0a00_0000 | bits);
            let table = table(&prefixes);
            let containing = table.iter().filter(|(known, _)| known.contains(&address));
            prop_assert_eq!(
                table.lookup(address),
                containing.max_by_key(|(known, _)| known.prefix_len())
            );
        }
    }
}
