//! Operations on IPv4 prefixes.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The prefix of Tailscale addresses (100.64.0.0/10).
pub const TAILNET_RANGE: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

/// The prefix of the VNet that AKS creates by default (10.224.0.0/12).
pub const AKS_DEFAULT_NETWORK: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 224, 0, 0), 12);

/// The subnets of that VNet, which AKS creates with it.
pub const AKS_DEFAULT_SUBNETS: [(&str, Ipv4Net); 3] = [
    ("aks-subnet", Ipv4Net::new_assert(Ipv4Addr::new(10, 224, 0, 0), 16)),
    ("aks-appgateway", Ipv4Net::new_assert(Ipv4Addr::new(10, 238, 0, 0), 24)),
    ("aks-virtualnodes", Ipv4Net::new_assert(Ipv4Addr::new(10, 239, 0, 0), 16)),
];

/// Whether two prefixes overlap. Prefixes are nested or disjoint, so one of them then
/// contains the other.
pub fn overlaps(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// The number of addresses in a prefix.
pub fn size(prefix: &Ipv4Net) -> u64 {
    1 << (32 - prefix.prefix_len())
}

/// The address at an offset, if it is in the prefix.
pub fn host(prefix: &Ipv4Net, offset: u64) -> Option<Ipv4Addr> {
    let offset = u32::try_from(offset).ok().filter(|_| offset < size(prefix))?;
    Some(Ipv4Addr::from(u32::from(prefix.network()) + offset))
}

/// The offset of an address in a prefix, if it is in the prefix.
pub fn offset(prefix: &Ipv4Net, address: Ipv4Addr) -> Option<u64> {
    prefix
        .contains(&address)
        .then(|| u64::from(u32::from(address)) - u64::from(u32::from(prefix.network())))
}

/// The prefix of the same length that follows `first` after `steps` prefixes.
pub fn following(first: &Ipv4Net, steps: u32) -> Option<Ipv4Net> {
    let start = u64::from(u32::from(first.network())) + u64::from(steps) * size(first);
    let start = u32::try_from(start).ok()?;
    Ipv4Net::new(Ipv4Addr::from(start), first.prefix_len()).ok()
}

/// The difference of two prefixes, as the smallest sorted list.
pub fn subtract(from: &Ipv4Net, hole: &Ipv4Net) -> Vec<Ipv4Net> {
    if hole.contains(from) {
        return Vec::new();
    }
    if !from.contains(hole) {
        return vec![*from];
    }
    match from.subnets(from.prefix_len() + 1) {
        Ok(split_in_half) => split_in_half.flat_map(|half| subtract(&half, hole)).collect(),
        // A /32 cannot be split; it was either equal to the hole or disjoint.
        Err(_) => Vec::new(),
    }
}

/// The same addresses as the smallest sorted list of prefixes.
pub fn aggregate(prefixes: &[Ipv4Net]) -> Vec<Ipv4Net> {
    let mut merged = Ipv4Net::aggregate(&prefixes.to_vec());
    merged.sort();
    merged
}

/// Whether Azure reserves an address of a subnet: the first four and the last.
pub fn reserved_by_azure(subnet: &Ipv4Net, address: Ipv4Addr) -> bool {
    offset(subnet, address).is_some_and(|offset| offset < 4 || offset + 1 == size(subnet))
}

/// The address of a router in its subnet: the first that Azure does not reserve.
pub fn router_address(subnet: &Ipv4Net) -> Option<Ipv4Addr> {
    host(subnet, 4).filter(|address| !reserved_by_azure(subnet, *address))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    /// Prefixes within a /24, small enough to compare address by address.
    fn small() -> impl Strategy<Value = Ipv4Net> {
        (any::<u8>(), 24_u8..=32).prop_map(|(last, length)| {
            Ipv4Net::new(Ipv4Addr::new(10, 0, 0, last), length).unwrap().trunc()
        })
    }

    fn bitmap(prefixes: &[Ipv4Net]) -> Vec<bool> {
        (0..=255)
            .map(|last| {
                prefixes.iter().any(|prefix| prefix.contains(&Ipv4Addr::new(10, 0, 0, last)))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn overlap_is_symmetric_and_agrees_with_a_bitmap(one in small(), other in small()) {
            let shared = bitmap(&[one]).iter().zip(bitmap(&[other])).any(|(a, b)| *a && b);
            prop_assert_eq!(overlaps(&one, &other), shared);
            prop_assert_eq!(overlaps(&other, &one), shared);
        }

        #[test]
        fn subtraction_leaves_exactly_the_rest(from in small(), hole in small()) {
            let rest = bitmap(&subtract(&from, &hole));
            let hole = bitmap(&[hole]);
            let desired: Vec<bool> =
                bitmap(&[from]).iter().zip(hole).map(|(inside, out)| *inside && !out).collect();
            prop_assert_eq!(rest, desired);
        }

        #[test]
        fn aggregation_keeps_the_addresses(prefixes in prop::collection::vec(small(), 0..12)) {
            prop_assert_eq!(bitmap(&aggregate(&prefixes)), bitmap(&prefixes));
        }
    }

    #[test]
    fn hosts_and_offsets_are_inverse() {
        let subnet = net("10.50.1.0/24");
        assert_eq!(host(&subnet, 4), Some(Ipv4Addr::new(10, 50, 1, 4)));
        assert_eq!(offset(&subnet, Ipv4Addr::new(10, 50, 1, 4)), Some(4));
        assert_eq!(host(&subnet, 256), None);
        assert_eq!(size(&net("0.0.0.0/0")), 1 << 32);
    }

    #[test]
    fn azure_reserves_five_addresses() {
        let subnet = net("10.50.1.0/29");
        let free: Vec<u64> = (0..8)
            .filter(|at| host(&subnet, *at).is_some_and(|ip| !reserved_by_azure(&subnet, ip)))
            .collect();
        assert_eq!(free, [4, 5, 6]);
        assert_eq!(router_address(&net("10.0.0.0/30")), None);
    }

    #[test]
    fn following_prefixes_end_at_the_last_address() {
        assert_eq!(following(&net("10.0.0.0/24"), 3), Some(net("10.0.3.0/24")));
        assert_eq!(following(&net("255.255.255.0/24"), 1), None);
    }
}
