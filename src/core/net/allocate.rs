//! Allocates prefixes and addresses, as a pure function of the topology and the live
//! state.
//!
//! Values of the topology take precedence, then values of the live state, then the
//! lowest free slots in the order of the claims. Inserting a claim therefore never
//! changes the value of an existing one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::prefix;

/// The claim of one owner to a prefix or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim<K, V> {
    /// The owner.
    pub owner: K,
    /// The value in the topology; always allocated.
    pub written: Option<V>,
    /// The value in the live state; allocated if it fits and is free.
    pub held: Option<V>,
}

/// No free slot is left for an owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pool} has no free slot left for {owner}")]
pub struct PoolExhausted<K: std::fmt::Display> {
    /// The first owner without a slot.
    pub owner: K,
    /// The pool or subnet.
    pub pool: Ipv4Net,
}

/// Allocates a prefix of the pool to every owner.
///
/// Written prefixes may be outside the pool and have any length; the parts of the
/// pool that they cover are not allocated to others.
///
/// # Errors
/// The pool has no free prefix left for an owner.
pub fn allocate_prefixes<K: Ord + Clone + std::fmt::Display>(
    pool: Ipv4Net,
    prefix_length: u8,
    desired: &[Claim<K, Ipv4Net>],
) -> Result<BTreeMap<K, Ipv4Net>, PoolExhausted<K>> {
    allocate_prefixes_beside(pool, prefix_length, &[], desired)
}

/// The same without the parts of the pool that the prefixes in `reserved` cover.
///
/// # Errors
/// The pool has no free prefix left for an owner.
pub fn allocate_prefixes_beside<K: Ord + Clone + std::fmt::Display>(
    pool: Ipv4Net,
    prefix_length: u8,
    reserved: &[Ipv4Net],
    desired: &[Claim<K, Ipv4Net>],
) -> Result<BTreeMap<K, Ipv4Net>, PoolExhausted<K>> {
    let bits = prefix_length.clamp(pool.prefix_len(), 32);
    let slot_size = 1_u64 << (32 - bits);
    let slots = Slots {
        pool,
        count: if bits == prefix_length { prefix::size(&pool) / slot_size } else { 0 },
        covered: &|value: &Ipv4Net| covered_slots(&pool, slot_size, value),
        slot: &|index| {
            prefix::host(&pool, index * slot_size)
                .and_then(|network| Ipv4Net::new(network, bits).ok())
        },
        fits: &|value: &Ipv4Net| pool.contains(value) && value.prefix_len() == prefix_length,
    };
    let covered = reserved.iter().filter_map(|prefix| covered_slots(&pool, slot_size, prefix));
    slots.allocate(covered.flatten().collect(), desired)
}

/// Allocates an address of the subnet to every owner.
///
/// The addresses that Azure reserves (the first four and the last) and those in
/// `reserved`, such as the router's, are not allocated.
///
/// # Errors
/// The subnet has no free address left for an owner.
pub fn allocate_addresses<K: Ord + Clone + std::fmt::Display>(
    subnet: Ipv4Net,
    reserved: &BTreeSet<Ipv4Addr>,
    desired: &[Claim<K, Ipv4Addr>],
) -> Result<BTreeMap<K, Ipv4Addr>, PoolExhausted<K>> {
    let size = prefix::size(&subnet);
    let azure = (0..4.min(size)).chain(size.checked_sub(1));
    let others = reserved.iter().filter_map(|address| prefix::offset(&subnet, *address));
    let slots = Slots {
        pool: subnet,
        count: size,
        covered: &|value: &Ipv4Addr| prefix::offset(&subnet, *value).map(|at| at..at + 1),
        slot: &|index| prefix::host(&subnet, index),
        fits: &|value: &Ipv4Addr| subnet.contains(value),
    };
    slots.allocate(azure.chain(others).collect(), desired)
}

/// The slots of a pool that a prefix covers.
fn covered_slots(pool: &Ipv4Net, slot_size: u64, value: &Ipv4Net) -> Option<std::ops::Range<u64>> {
    if value.contains(pool) {
        return Some(0..prefix::size(pool) / slot_size);
    }
    let start = prefix::offset(pool, value.network())?;
    let end = start + prefix::size(value);
    Some(start / slot_size..end.div_ceil(slot_size))
}

/// A pool of numbered slots.
struct Slots<'a, V> {
    pool: Ipv4Net,
    count: u64,
    covered: &'a dyn Fn(&V) -> Option<std::ops::Range<u64>>,
    slot: &'a dyn Fn(u64) -> Option<V>,
    fits: &'a dyn Fn(&V) -> bool,
}

impl<V: Copy> Slots<'_, V> {
    fn allocate<K: Ord + Clone + std::fmt::Display>(
        &self,
        mut taken: BTreeSet<u64>,
        desired: &[Claim<K, V>],
    ) -> Result<BTreeMap<K, V>, PoolExhausted<K>> {
        let mut allocated = BTreeMap::new();
        for (claim, written) in desired.iter().filter_map(|claim| Some((claim, claim.written?))) {
            taken.extend((self.covered)(&written).unwrap_or_default());
            allocated.insert(claim.owner.clone(), written);
        }
        self.keep_held(&mut taken, &mut allocated, desired);
        self.fill(&taken, &mut allocated, desired)?;
        Ok(allocated)
    }

    fn keep_held<K: Ord + Clone>(
        &self,
        taken: &mut BTreeSet<u64>,
        allocated: &mut BTreeMap<K, V>,
        desired: &[Claim<K, V>],
    ) {
        for claim in desired.iter().filter(|claim| claim.written.is_none()) {
            let Some(held) = claim.held.filter(|held| (self.fits)(held)) else { continue };
            let mut covered = (self.covered)(&held).unwrap_or_default();
            if covered.all(|slot| taken.insert(slot)) {
                allocated.insert(claim.owner.clone(), held);
            }
        }
    }

    /// The lowest free slot never decreases, so one pass over the slots is enough.
    fn fill<K: Ord + Clone + std::fmt::Display>(
        &self,
        taken: &BTreeSet<u64>,
        allocated: &mut BTreeMap<K, V>,
        desired: &[Claim<K, V>],
    ) -> Result<(), PoolExhausted<K>> {
        let mut free = (0..self.count).filter(|slot| !taken.contains(slot));
        for claim in desired {
            if allocated.contains_key(&claim.owner) {
                continue;
            }
            let value = free.next().and_then(self.slot);
            let exhausted = || PoolExhausted { owner: claim.owner.clone(), pool: self.pool };
            allocated.insert(claim.owner.clone(), value.ok_or_else(exhausted)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn claim<V>(owner: u32, written: Option<V>, held: Option<V>) -> Claim<u32, V> {
        Claim { owner, written, held }
    }

    #[test]
    fn written_values_precede_held_values_and_free_slots() {
        let desired = [
            claim(1, None, None),
            claim(2, None, Some(net("10.0.0.0/24"))),
            claim(3, Some(net("10.0.2.0/24")), Some(net("10.0.9.0/24"))),
            claim(4, None, Some(net("10.0.2.0/24"))),
        ];
        let given = allocate_prefixes(net("10.0.0.0/22"), 24, &desired).unwrap();
        let texts: Vec<String> = given.values().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.1.0/24", "10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24"]);
    }

    #[test]
    fn an_exhausted_pool_names_the_first_owner_without_a_slot() {
        let desired: Vec<_> = (0..5).map(|owner| claim(owner, None, None)).collect();
        let error = allocate_prefixes(net("10.0.0.0/22"), 24, &desired).unwrap_err();
        assert_eq!(error.owner, 4);
        assert!(allocate_prefixes(net("10.0.0.0/26"), 24, &desired[..1]).is_err());
    }

    #[test]
    fn reserved_addresses_are_not_allocated() {
        let reserved = BTreeSet::from([Ipv4Addr::new(10, 0, 0, 4)]);
        let desired = [claim(1, None, None), claim(2, None, None)];
        let given = allocate_addresses(net("10.0.0.0/29"), &reserved, &desired).unwrap();
        assert_eq!(given[&1], Ipv4Addr::new(10, 0, 0, 5));
        assert_eq!(given[&2], Ipv4Addr::new(10, 0, 0, 6));
        let more = [desired.to_vec(), vec![claim(3, None, None)]].concat();
        assert!(allocate_addresses(net("10.0.0.0/29"), &reserved, &more).is_err());
    }

    /// Claims in any order, with distinct written and some held slots of a /16.
    fn claims() -> impl Strategy<Value = Vec<Claim<u32, Ipv4Net>>> {
        prop::collection::btree_map(0_u32..100, (any::<bool>(), prop::option::of(0_u8..40)), 0..40)
            .prop_map(|entries| {
                let mut written = BTreeSet::new();
                let slot = |at: u8| Ipv4Net::new(Ipv4Addr::new(10, 0, at, 0), 24).unwrap();
                entries
                    .into_iter()
                    .map(|(owner, (is_written, at))| match at {
                        Some(at) if is_written && written.insert(at) => {
                            claim(owner, Some(slot(at)), None)
                        }
                        at => claim(owner, None, at.map(slot)),
                    })
                    .collect()
            })
    }

    proptest! {
        #[test]
        fn every_claim_gets_a_distinct_prefix(desired in claims()) {
            let given = allocate_prefixes(net("10.0.0.0/16"), 24, &desired).unwrap();
            prop_assert_eq!(given.len(), desired.len());
            let distinct: BTreeSet<_> = given.values().collect();
            prop_assert_eq!(distinct.len(), given.len());
        }

        #[test]
        fn inserting_a_claim_changes_no_other(desired in claims(), place in any::<prop::sample::Index>()) {
            let before = allocate_prefixes(net("10.0.0.0/16"), 24, &desired).unwrap();
            let mut after: Vec<_> = desired
                .iter()
                .map(|claim| Claim { held: Some(before[&claim.owner]), ..claim.clone() })
                .collect();
            after.insert(place.index(after.len() + 1), claim(1000, None, None));
            let after = allocate_prefixes(net("10.0.0.0/16"), 24, &after).unwrap();
            prop_assert!(before.iter().all(|(owner, value)| after[owner] == *value));
        }
    }
}
