//! Tables with longest-prefix match.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use prefix_trie::PrefixMap;

/// Entries by prefix; the longest prefix that contains an address applies.
#[derive(Debug, Clone)]
pub struct PrefixTable<T>(PrefixMap<Ipv4Net, T>);

impl<T: PartialEq> PartialEq for PrefixTable<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T> Default for PrefixTable<T> {
    fn default() -> Self {
        Self(PrefixMap::new())
    }
}

impl<T> PrefixTable<T> {
    /// Inserts an entry, and replaces one of the same prefix.
    pub fn insert(&mut self, prefix: Ipv4Net, entry: T) {
        self.0.insert(prefix.trunc(), entry);
    }

    /// The entry of exactly that prefix.
    pub fn get(&self, prefix: &Ipv4Net) -> Option<&T> {
        self.0.get(prefix)
    }

    /// The entry with the longest prefix that contains the address.
    pub fn lookup(&self, address: Ipv4Addr) -> Option<(Ipv4Net, &T)> {
        self.0.get_lpm(&Ipv4Net::from(address))
    }

    /// Whether an entry covers the whole prefix.
    pub fn covers(&self, prefix: &Ipv4Net) -> bool {
        self.0.get_lpm(prefix).is_some()
    }

    /// All entries in the order of their prefixes.
    pub fn iter(&self) -> impl Iterator<Item = (Ipv4Net, &T)> {
        self.0.iter()
    }

    /// Entries for parts of a prefix, and for itself.
    pub fn within<'a>(&'a self, prefix: &Ipv4Net) -> impl Iterator<Item = (Ipv4Net, &'a T)> {
        self.0.children(prefix)
    }
}

impl<T> FromIterator<(Ipv4Net, T)> for PrefixTable<T> {
    fn from_iter<I: IntoIterator<Item = (Ipv4Net, T)>>(entries: I) -> Self {
        let mut table = Self::default();
        for (prefix, entry) in entries {
            table.insert(prefix, entry);
        }
        table
    }
}
