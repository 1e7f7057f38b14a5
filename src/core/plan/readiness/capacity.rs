//! The machines and public addresses that an apply creates, against quotas and the sizes on
//! offer.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Check, CheckArea, ReadinessInput, named};
use crate::diagnostics::{Code, Failure, counted};
use crate::inventory::subscription::{Quota, Quotas, Region, RegionFacts, VmSizeFacts};
use crate::resource::azure::NodePool;
use crate::resource::{Address, Kind, Resource};

/// The quota of all CPUs of a region.
const ALL_CORES: &str = "cores";
/// The quota of public addresses of the Standard SKU.
const PUBLIC_IPS: &str = "StandardSkuPublicIpAddresses";
/// How many names a message has.
const MAX_NAMED: usize = 3;

/// Machines of one size that are created.
struct Machines<'a> {
    address: &'a Address,
    region: Region,
    size: &'a str,
    /// How many are created at once.
    count: u64,
    /// How many the autoscaler may add later.
    later: u64,
    zones: Option<&'a BTreeSet<String>>,
}

pub(super) fn check(input: ReadinessInput<'_>) -> [Check; 3] {
    let machines = machines(input);
    [sizes(input, &machines), cores(input, &machines), public_ips(input)]
}

fn machines(input: ReadinessInput<'_>) -> Vec<Machines<'_>> {
    let mut machines = Vec::new();
    for desired in input.created() {
        let address = &desired.address;
        let at = |name: &str| input.region(desired, name);
        match &desired.resource {
            Resource::VirtualMachine(vm) => machines.push(Machines {
                address,
                region: at(&vm.location),
                size: &vm.vm_size,
                count: 1,
                later: 0,
                zones: None,
            }),
            Resource::ManagedCluster(cluster) => {
                let pools = cluster.node_pools.values();
                machines.extend(pools.map(|pool| of_pool(address, at(&cluster.location), pool)));
            }
            Resource::NodePool(pool) => {
                machines.push(of_pool(address, at(input.topology.azure.location.as_str()), pool));
            }
            _ => {}
        }
    }
    machines
}

fn has_machines(kind: Kind) -> bool {
    matches!(kind, Kind::VirtualMachine | Kind::ManagedCluster | Kind::NodePool)
}

fn of_pool<'a>(address: &'a Address, region: Region, pool: &'a NodePool) -> Machines<'a> {
    let (min, max) = (pool.scale.min_nodes(), pool.scale.max_nodes());
    Machines {
        address,
        region,
        size: &pool.vm_size,
        count: u64::from(min),
        later: u64::from(max.saturating_sub(min)),
        zones: pool.zones.observed(),
    }
}

fn region<'a>(input: ReadinessInput<'a>, region: &Region) -> Option<&'a RegionFacts> {
    input.readiness.subscription.regions.get(region)
}

/// Every size is on offer, in the region and in the zones.
fn sizes(input: ReadinessInput<'_>, machines: &[Machines<'_>]) -> Check {
    let distinct: BTreeSet<(&Region, &str)> =
        machines.iter().map(|it| (&it.region, it.size)).collect();
    let summary = match distinct.len() {
        0 => "no machine is created".to_owned(),
        count => format!("{} on offer", counted(count, "size")),
    };
    let mut check = Check::passed(CheckArea::Azure, "vm-sizes", summary);
    check.gaps = input.creation_gaps(has_machines);
    let mut seen = BTreeSet::new();
    for machine in machines {
        let Some(facts) = region(input, &machine.region) else { continue };
        let is_first = seen.insert((&machine.region, machine.size, machine.zones));
        match &facts.sizes {
            Err(failure) if !check.gaps.contains(failure) => check.gaps.push(failure.clone()),
            Ok(sizes) if is_first => {
                let size = sizes.get(&machine.size.to_ascii_lowercase());
                if let Some(why) = refusal(machine, size) {
                    check.error_at(machine.address, size_failure(machine, &why));
                }
            }
            _ => {}
        }
    }
    check
}

fn size_failure(machine: &Machines<'_>, why: &str) -> Failure {
    let Machines { region: Region { name: region, .. }, size, .. } = machine;
    Failure::new(
        Code::SkuUnavailable,
        format!("the VM size {size} {why} in {region}"),
        format!(
            "choose another size, zone or region: `az vm list-skus --location {region} \
             --resource-type virtualMachines --output table` shows what is offered"
        ),
    )
}

fn refusal(machine: &Machines<'_>, size: Option<&VmSizeFacts>) -> Option<String> {
    let Some(size) = size else { return Some("is not offered".to_owned()) };
    if let Some(reason) = &size.restriction {
        return Some(format!("may not be used by the subscription ({reason})"));
    }
    let is_usable =
        |zone: &&String| size.zones.contains(*zone) && !size.restricted_zones.contains(*zone);
    let missing = machine.zones.into_iter().flatten().filter(|zone| !is_usable(zone));
    let missing: Vec<&String> = missing.collect();
    (!missing.is_empty()).then(|| format!("is not offered in zone {}", named(missing, MAX_NAMED)))
}

/// How much of a quota is needed: at once, and by autoscalers later.
#[derive(Debug, Clone, Copy, Default)]
struct Need {
    now: u64,
    later: u64,
}

/// CPUs by region and quota.
fn cores(input: ReadinessInput<'_>, machines: &[Machines<'_>]) -> Check {
    let mut check = Check::passed(CheckArea::Azure, "cores", "");
    check.gaps = input.creation_gaps(has_machines);
    let mut needs: BTreeMap<(&Region, &str), Need> = BTreeMap::new();
    for machine in machines {
        let Some(facts) = region(input, &machine.region) else { continue };
        for failure in [facts.sizes.as_ref().err(), facts.compute.as_ref().err()] {
            let is_new = |it: &&Failure| !check.gaps.contains(it);
            check.gaps.extend(failure.filter(is_new).cloned());
        }
        let sizes = facts.sizes.as_ref().ok();
        let Some(size) = sizes.and_then(|it| it.get(&machine.size.to_ascii_lowercase())) else {
            continue;
        };
        let (Some(family), Some(cpus)) = (size.family.as_deref(), size.cpus) else {
            note_gap(&mut check, unknown_cpus(machine));
            continue;
        };
        for name in [ALL_CORES, family] {
            let need = needs.entry((&machine.region, name)).or_default();
            need.now += cpus * machine.count;
            need.later += cpus * machine.later;
        }
    }
    let total: u64 =
        needs.iter().filter(|((_, it), _)| *it == ALL_CORES).map(|(_, it)| it.now).sum();
    check.summary = format!("{} needed", counted(total, "vCPU"));
    for ((place, quota), need) in needs {
        if let Some(Ok(quotas)) = region(input, place).map(|facts| &facts.compute) {
            against(&mut check, (&place.name, COMPUTE), (quotas, quota), need);
        }
    }
    check
}

fn note_gap(check: &mut Check, failure: Failure) {
    if !check.gaps.contains(&failure) {
        check.gaps.push(failure);
    }
}

fn unknown_cpus(machine: &Machines<'_>) -> Failure {
    let Machines { region: Region { name: region, .. }, size, .. } = machine;
    Failure::new(
        Code::SourceGap,
        format!("Azure does not say how many vCPUs the VM size {size} has, or of which family"),
        format!(
            "`az vm list-skus --location {region} --size {size} --output json` shows what Azure \
             answers"
        ),
    )
}

/// Quotas of a resource provider.
#[derive(Debug, Clone, Copy)]
struct QuotaKind {
    noun: &'static str,
    /// The command that shows them.
    command: &'static str,
    /// Changes of the topology that need less of it.
    alternative: &'static str,
}

const COMPUTE: QuotaKind = QuotaKind {
    noun: "vCPUs",
    command: "az vm list-usage",
    alternative: "other sizes or another region",
};
const NETWORK: QuotaKind = QuotaKind {
    noun: "addresses",
    command: "az network list-usages",
    alternative: "another region",
};

/// Compares a need with a quota of the list, which is unknown if the list lacks it.
fn against(
    check: &mut Check,
    (region, kind): (&str, QuotaKind),
    (quotas, name): (&Quotas, &str),
    need: Need,
) {
    // The names of quotas differ in letter case between answers.
    let found = quotas.iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
    match found.map(|(_, quota)| quota) {
        Some(Ok(quota)) => compare(check, (region, kind), quota, need),
        Some(Err(failure)) => note_gap(check, failure.clone()),
        None => note_gap(
            check,
            Failure::new(
                Code::SourceGap,
                format!("the quotas of {region} do not include {name}"),
                format!("`{} --location {region}` lists them", kind.command),
            ),
        ),
    }
}

fn compare(check: &mut Check, (region, kind): (&str, QuotaKind), quota: &Quota, need: Need) {
    let Quota { title, used, limit } = quota;
    let QuotaKind { noun, command, alternative } = kind;
    let remedy = |required: u64| {
        format!(
            "request a quota of at least {required} for {title} in {region} (`{command} \
             --location {region}` shows it), or choose {alternative}"
        )
    };
    let required = used.saturating_add(need.now);
    let with_later = required.saturating_add(need.later);
    if need.now > 0 && required > *limit {
        let message = format!(
            "the quota {title} in {region} is {limit} with {used} in use, and an apply needs {} \
             more {noun}",
            need.now
        );
        check.error(Code::QuotaExceeded, message, remedy(required));
    } else if need.later > 0 && with_later > *limit {
        let message = format!(
            "the quota {title} in {region} is {limit} with {used} in use: autoscalers may need \
             {} {noun} in all",
            need.now + need.later
        );
        check.warning(Code::QuotaExceeded, message, remedy(with_later));
    }
}

fn public_ips(input: ReadinessInput<'_>) -> Check {
    let mut needs: BTreeMap<Region, u64> = BTreeMap::new();
    for desired in input.created() {
        let location = match &desired.resource {
            Resource::PublicIpAddress(it) => &it.location,
            // AKS creates one for the outbound connections of its nodes.
            Resource::ManagedCluster(it) => &it.location,
            _ => continue,
        };
        *needs.entry(input.region(desired, location)).or_default() += 1;
    }
    let summary = match needs.values().sum::<u64>() {
        0 => "none is created".to_owned(),
        total => format!("{total} needed"),
    };
    let mut check = Check::passed(CheckArea::Azure, "public-ips", summary);
    check.gaps =
        input.creation_gaps(|kind| matches!(kind, Kind::PublicIpAddress | Kind::ManagedCluster));
    for (place, now) in needs {
        match region(input, &place).map(|facts| &facts.network) {
            Some(Err(failure)) => check.gaps.push(failure.clone()),
            Some(Ok(quotas)) => {
                let need = Need { now, later: 0 };
                against(&mut check, (&place.name, NETWORK), (quotas, PUBLIC_IPS), need);
            }
            None => {}
        }
    }
    check
}
