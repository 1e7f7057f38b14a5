//! The VM sizes of every region, and the quotas that they count against.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::account::ArmAccount;
use super::{ArmStore, json};

/// A series of sizes: the letters before and after the number of CPUs, the family, the memory
/// for each CPU in GiB, whether its processors are Arm, and the numbers of CPUs.
struct Series {
    name: (&'static str, &'static str),
    family: &'static str,
    memory: u64,
    is_arm: bool,
    cpus: &'static [u64],
}

const LARGE: &[u64] = &[2, 4, 8, 16, 32, 48, 64];

const fn series(prefix: &'static str, suffix: &'static str, family: &'static str) -> Series {
    Series { name: (prefix, suffix), family, memory: 4, is_arm: false, cpus: LARGE }
}

const SERIES: [Series; 12] = [
    Series { cpus: &[1, 2], memory: 2, ..series("B", "s", "standardBSFamily") },
    Series { cpus: &[2, 4, 8, 16], ..series("B", "ms", "standardBSFamily") },
    series("D", "s_v3", "standardDSv3Family"),
    series("D", "s_v5", "standardDSv5Family"),
    series("D", "ds_v5", "standardDDSv5Family"),
    series("D", "as_v5", "standardDASv5Family"),
    series("D", "ads_v5", "standardDADSv5Family"),
    series("D", "s_v6", "standardDSv6Family"),
    Series { is_arm: true, ..series("D", "ps_v5", "standardDPSv5Family") },
    Series { memory: 8, ..series("E", "s_v5", "standardESv5Family") },
    Series { memory: 8, ..series("E", "as_v5", "standardEASv5Family") },
    Series { memory: 2, ..series("F", "s_v2", "standardFSv2Family") },
];

/// The limit of a quota that no fault changed.
const DEFAULT_LIMIT: u64 = 5_000;
/// The quota of all CPUs of a region.
pub(super) const ALL_CORES: &str = "cores";
/// The quota of public addresses of the Standard SKU.
pub(super) const PUBLIC_IPS: &str = "StandardSkuPublicIpAddresses";

/// Every size by name.
fn all() -> impl Iterator<Item = (String, &'static Series, u64)> {
    SERIES.iter().flat_map(|series| {
        let (prefix, suffix) = series.name;
        series
            .cpus
            .iter()
            .map(move |cpus| (format!("Standard_{prefix}{cpus}{suffix}"), series, *cpus))
    })
}

/// The names of every size and of every quota.
pub fn size_names() -> Vec<String> {
    all().map(|(name, _, _)| name).collect()
}

/// The names of every quota.
pub fn quota_names() -> Vec<String> {
    let families = SERIES.iter().map(|series| series.family);
    let mut names: Vec<String> =
        families.chain([ALL_CORES, PUBLIC_IPS]).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

/// The family and the number of CPUs of a size that the sandbox knows.
pub(super) fn find(name: &str) -> Option<(&'static str, u64)> {
    let found = all().find(|(known, _, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, series, cpus)| (series.family, cpus))
}

/// The list of sizes in some regions: an entry for each size and region.
pub(super) fn list(account: &ArmAccount, regions: &[&str]) -> Value {
    let zones = ["1", "2", "3"];
    let each = regions.iter().flat_map(|region| all().map(move |size| (region, size)));
    let value = each.map(|(region, (name, series, cpus))| {
        let is_restricted =
            account.restricted_sizes.iter().any(|it| it.eq_ignore_ascii_case(&name));
        let restriction = json!({
            "type": "Location",
            "values": [region],
            "restrictionInfo": { "locations": [region] },
            "reasonCode": "NotAvailableForSubscription",
        });
        let architecture = if series.is_arm { "Arm64" } else { "x64" };
        json!({
            "resourceType": "virtualMachines",
            "name": name,
            "tier": "Standard",
            "size": name.trim_start_matches("Standard_"),
            "family": series.family,
            "locations": [region],
            "locationInfo": [{ "location": region, "zones": zones, "zoneDetails": [] }],
            "capabilities": [
                { "name": "vCPUs", "value": cpus.to_string() },
                { "name": "MemoryGB", "value": (cpus * series.memory).to_string() },
                { "name": "CpuArchitectureType", "value": architecture },
                { "name": "HyperVGenerations", "value": "V1,V2" },
            ],
            "restrictions": if is_restricted { vec![restriction] } else { Vec::new() },
        })
    });
    json!({ "value": value.collect::<Vec<_>>() })
}

/// The sizes that the subscription may use in a region, in the form of `vmSizes`.
pub(super) fn of_region(account: &ArmAccount, region: &str) -> Value {
    let listed = list(account, &[region]);
    let value = json::items(&listed, "/value").iter().filter(|it| it["restrictions"] == json!([]));
    let number = |size: &Value, capability: usize| {
        json::text(size, &format!("/capabilities/{capability}/value"))?.parse::<u64>().ok()
    };
    let value = value.map(|size| {
        json!({
            "name": size["name"],
            "numberOfCores": number(size, 0),
            "memoryInMB": number(size, 1).map(|gib| gib * 1024),
            "osDiskSizeInMB": 1_047_552,
            "resourceDiskSizeInMB": 0,
            "maxDataDiskCount": 8,
        })
    });
    json!({ "value": value.collect::<Vec<_>>() })
}

/// How much of each quota of compute is in use in a region.
fn cores_in_use(store: &ArmStore, region: &str) -> BTreeMap<&'static str, u64> {
    let mut used: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut add = |size: Option<&str>, machines: u64| {
        let Some((family, cpus)) = size.and_then(find) else { return };
        *used.entry(family).or_default() += cpus * machines;
        *used.entry(ALL_CORES).or_default() += cpus * machines;
    };
    for body in in_region(store, "Microsoft.Compute/virtualMachines", region) {
        add(json::text(body, "/properties/hardwareProfile/vmSize"), 1);
    }
    for cluster in in_region(store, "Microsoft.ContainerService/managedClusters", region) {
        for pool in json::items(cluster, "/properties/agentPoolProfiles") {
            let count = pool["count"].as_u64().unwrap_or_default();
            add(json::text(pool, "/vmSize"), count);
        }
    }
    used
}

fn in_region<'a>(
    store: &'a ArmStore,
    resource_type: &str,
    region: &'a str,
) -> impl Iterator<Item = &'a Value> {
    let bodies: Vec<&Value> = store.list(resource_type).map(|(_, body)| body).collect();
    bodies.into_iter().filter(move |body| json::text(body, "/location") == Some(region))
}

/// The use of a quota, and its limit.
pub(super) fn quota(store: &ArmStore, region: &str, name: &str) -> (u64, u64) {
    let used = match name {
        PUBLIC_IPS => public_ips(store, region),
        name => cores_in_use(store, region).get(name).copied().unwrap_or_default(),
    };
    (used, limit(store, name))
}

fn public_ips(store: &ArmStore, region: &str) -> u64 {
    in_region(store, "Microsoft.Network/publicIPAddresses", region).count() as u64
}

fn limit(store: &ArmStore, name: &str) -> u64 {
    store.account.limits.get(name).copied().unwrap_or(DEFAULT_LIMIT)
}

/// The list of usages of `Microsoft.Compute` in a region.
pub(super) fn compute_usages(store: &ArmStore, region: &str) -> Value {
    let used = cores_in_use(store, region);
    let names = quota_names().into_iter().filter(|name| name != PUBLIC_IPS);
    let value = names.map(|name| {
        let title = match name.as_str() {
            ALL_CORES => "Total Regional vCPUs".to_owned(),
            family => format!(
                "{} vCPUs",
                family.replace("standard", "Standard ").replace("Family", " Family")
            ),
        };
        let in_use = used.get(name.as_str()).copied().unwrap_or_default();
        usage(&name, &title, in_use, limit(store, &name))
    });
    json!({ "value": value.collect::<Vec<_>>() })
}

/// The list of usages of `Microsoft.Network` in a region.
pub(super) fn network_usages(store: &ArmStore, region: &str) -> Value {
    let addresses = public_ips(store, region);
    json!({ "value": [
        usage(PUBLIC_IPS, "Standard SKU Public IP Addresses", addresses, limit(store, PUBLIC_IPS)),
        usage("PublicIPAddresses", "Public IP Addresses", addresses, DEFAULT_LIMIT),
    ]})
}

fn usage(name: &str, title: &str, used: u64, limit: u64) -> Value {
    json!({
        "unit": "Count",
        "currentValue": used,
        "limit": limit,
        "name": { "value": name, "localizedValue": title },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, compute, network};

    #[test]
    fn machines_count_against_their_family_and_the_region() {
        let mut client = TestClient::new();
        client.make_network();
        client.make(&network("networkInterfaces/i"), TestClient::interface(None));
        client.make(&compute("virtualMachines/m"), TestClient::machine("i"));
        let usages =
            client.get("/subscriptions/s/providers/Microsoft.Compute/locations/westeurope/usages");
        let of = |name: &str| {
            let all = usages.body["value"].as_array().unwrap();
            let found = all.iter().find(|it| it["name"]["value"] == name).unwrap();
            found["currentValue"].clone()
        };
        assert_eq!(of("cores"), json!(2));
        assert_eq!(of("standardBSFamily"), json!(2));
        assert_eq!(of("standardDSv5Family"), json!(0));
    }
}
