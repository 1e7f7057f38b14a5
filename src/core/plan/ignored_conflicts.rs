//! Places that an `[[ignore]]` block keeps and that the topology gives to another object: both
//! would have them.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::{Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::net::range_index::RangeIndex;
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Site};
use crate::topology::ignore::IgnoreRule;

/// Where a range or an address has one owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Space {
    /// The ranges of pods of workers.
    Pods,
    /// The machines of a site.
    Machines(Site),
    /// The interfaces in a subnet.
    Interfaces(ArmId),
    /// The subnets of a virtual network.
    Subnets(ArmId),
    /// The ranges of the sites in the tailnet and in virtual networks.
    Sites,
}

/// A range that a resource has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    space: Space,
    range: Ipv4Net,
}

/// A range that a resource keeps.
struct KeptRange<'a> {
    address: &'a Address,
    owner: String,
    rule: &'a IgnoreRule,
}

/// A resource at the end of the apply that keeps an observed value because of a rule.
pub(super) struct KeptResource<'a> {
    /// The resource that the topology asks for.
    pub(super) desired: &'a DesiredResource,
    /// The value that it keeps.
    pub(super) kept: Resource,
    /// The rule.
    pub(super) rule: &'a IgnoreRule,
}

/// Refuses a plan after which a range that a resource keeps would be another one's, too. What
/// both have already is reported elsewhere, and no reason to refuse other changes.
pub(super) fn refuse(
    kept: &[KeptResource<'_>],
    desired: &DesiredSet,
    inventory: &Inventory,
) -> Vec<Finding> {
    let ranges = kept_ranges(kept);
    if ranges.is_empty() {
        return Vec::new();
    }
    let kept_values: BTreeMap<&Address, &Resource> =
        kept.iter().map(|it| (&it.desired.address, &it.kept)).collect();
    let mut findings = Vec::new();
    for one in desired.last_values() {
        let resource = kept_values.get(&one.address).copied().unwrap_or(&one.resource);
        let claims = claims(one, resource);
        let has_holder = |claim: &Claim| holder(&ranges, one, claim).is_some();
        if !claims.iter().any(has_holder) {
            continue;
        }
        let observed = one.key.as_ref().and_then(|key| inventory.get(key));
        let held = observed.map(|it| self::claims(one, &it.resource)).unwrap_or_default();
        let mut gained = claims.iter().filter(|claim| !held.contains(claim));
        let conflict = gained.find_map(|claim| Some((claim, holder(&ranges, one, claim)?)));
        findings.extend(conflict.map(|(claim, (range, kept))| Finding {
            address: Some(one.address.clone()),
            ..Finding::new(FindingSeverity::Error, failure(one, claim, range, kept))
        }));
    }
    findings
}

/// The ranges that resources keep and would give up without the rules.
fn kept_ranges<'a>(kept: &'a [KeptResource<'a>]) -> BTreeMap<Space, RangeIndex<KeptRange<'a>>> {
    let mut found: BTreeMap<Space, RangeIndex<KeptRange<'a>>> = BTreeMap::new();
    for KeptResource { desired, kept, rule } in kept {
        let without_rule = claims(desired, &desired.resource);
        let kept = claims(desired, kept);
        for Claim { space, range } in kept.into_iter().filter(|it| !without_rule.contains(it)) {
            let owner = owner(&space, &desired.address);
            let kept = KeptRange { address: &desired.address, owner, rule };
            found.entry(space).or_default().insert(range, kept);
        }
    }
    found
}

/// The other owner that keeps a part of a range.
fn holder<'a>(
    ranges: &'a BTreeMap<Space, RangeIndex<KeptRange<'a>>>,
    one: &DesiredResource,
    claim: &Claim,
) -> Option<(Ipv4Net, &'a KeptRange<'a>)> {
    let owner = owner(&claim.space, &one.address);
    let mut found = ranges.get(&claim.space)?.overlapping(&claim.range);
    found.find(|(_, kept)| kept.owner != owner)
}

/// The owner of a range in a space: several objects belong to one worker, or to one site.
fn owner(space: &Space, address: &Address) -> String {
    match space {
        Space::Pods | Space::Machines(_) => address.name.to_string(),
        Space::Interfaces(_) | Space::Subnets(_) => address.to_string(),
        Space::Sites => address.site.to_string(),
    }
}

/// The ranges and addresses that a resource has with a value.
fn claims(of: &DesiredResource, value: &Resource) -> Vec<Claim> {
    let claim = |space: Space, range: Ipv4Net| Claim { space, range };
    let machines = || Space::Machines(of.address.site.clone());
    match value {
        Resource::Worker(worker) => {
            let pods = (worker.pod_cidr != JoinedWorker::NO_POD_CIDR).then_some(worker.pod_cidr);
            let pods = pods.map(|range| claim(Space::Pods, range));
            pods.into_iter().chain([claim(machines(), worker.ip.into())]).collect()
        }
        Resource::CiliumNode(node) => {
            node.pod_cidrs.iter().map(|range| claim(Space::Pods, *range)).collect()
        }
        Resource::Manifest(manifest) if of.address.kind == Kind::Server => {
            let text = |field: &str| manifest.body["spec"][field].as_str();
            let pods = text("podCIDR").and_then(|it| it.parse().ok());
            let ip = text("ipAddress").and_then(|it| it.parse::<std::net::Ipv4Addr>().ok());
            let pods = pods.map(|range| claim(Space::Pods, range));
            pods.into_iter().chain(ip.map(|ip| claim(machines(), ip.into()))).collect()
        }
        Resource::NetworkInterface(interface) => {
            let subnet = interface.subnet.known().cloned();
            let space = subnet.map(Space::Interfaces);
            space.map(|space| claim(space, interface.private_ip.into())).into_iter().collect()
        }
        Resource::Subnet(subnet) => match &of.key {
            Some(ObjectKey::Azure(id)) => {
                let space = id.parent().map(Space::Subnets);
                space.map(|space| claim(space, subnet.address_prefix)).into_iter().collect()
            }
            _ => Vec::new(),
        },
        Resource::VirtualNetwork(network) => {
            network.address_prefixes.iter().map(|range| claim(Space::Sites, *range)).collect()
        }
        Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes) => {
            let prefixes = routes.prefixes.known().into_iter().flatten();
            prefixes.map(|range| claim(Space::Sites, *range)).collect()
        }
        _ => Vec::new(),
    }
}

fn failure(one: &DesiredResource, claim: &Claim, range: Ipv4Net, kept: &KeptRange<'_>) -> Failure {
    let KeptRange { address, rule, .. } = kept;
    let text = |range: Ipv4Net| match range.prefix_len() {
        32 => range.addr().to_string(),
        _ => range.to_string(),
    };
    let (taken, held) = (text(claim.range), text(range));
    let other = &one.address;
    Failure::new(
        Code::IgnoredConflict,
        format!(
            "{other} would get {taken}, but {address} keeps {held}: `{}` is ignored by `[[ignore]]` \
             of {}",
            rule.field, rule.address
        ),
        format!(
            "remove the `[[ignore]]` block, so that {address} gives up {held}; or give {other} a \
             range or address that nothing has"
        ),
    )
}
