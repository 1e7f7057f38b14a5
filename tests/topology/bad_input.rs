//! Every kind of error is reported with its code, location and remedy.

use stargate::diagnostics::{Code, Diagnostics, Severity};
use stargate::render::Style;
use stargate::render::diagnostic::{Layout, render_all, to_json};
use stargate::topology::load::{MAX_SIZE, load_bytes, load_text};

pub(super) const PLAIN: Layout = Layout { style: Style::Plain, columns: 80 };
const COLORED: Layout = Layout { style: Style::Colored, ..PLAIN };
pub(super) const GOOD: &str = include_str!("../../examples/aks-e2e/stargate.toml");

/// The good topology with one text in place of another.
pub(super) fn edited(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the example no longer holds `{from}`");
    GOOD.replacen(from, to, 1)
}

fn existing(machines: &str) -> String {
    let head = GOOD.split("[datacenters.dc1]").next().unwrap_or_default();
    format!(
        "{head}[datacenters.dc1]\npod_pool = \"10.244.64.0/20\"\nprofile = \"azure-k8s-worker\"\n\
         [datacenters.dc1.existing]\nnetwork_cidr = \"192.168.10.0/24\"\n{machines}"
    )
}

/// The diagnostics of a text, which must include the code.
#[track_caller]
pub(super) fn findings(text: &str, code: Code) -> Diagnostics {
    let found = match load_text("stargate.toml", text) {
        Ok(loaded) => Diagnostics {
            file_name: "stargate.toml".to_owned(),
            text: text.into(),
            list: loaded.warnings,
        },
        Err(found) => found,
    };
    assert!(found.list.iter().any(|one| one.code == code), "no {code} in {:#?}", found.list);
    for one in &found.list {
        assert!(one.primary.is_some(), "no place: {one:#?}");
        let Some(label) = &one.primary else { continue };
        assert!(label.span.start <= label.span.end && label.span.end <= text.len());
        assert!(text.get(label.span.clone()).is_some(), "splits a character: {one:#?}");
        assert!(!one.remedy.is_empty() && !label.text.is_empty(), "{one:#?}");
    }
    found
}

/// Asserts that the text has exactly this diagnostic.
#[track_caller]
pub(super) fn only(text: &str, code: Code) {
    let found = findings(text, code);
    assert_eq!(found.list.len(), 1, "{:#?}", found.list);
}

#[test]
fn files_that_are_not_a_topology() {
    let code = |bytes: &[u8]| load_bytes("stargate.toml", bytes).unwrap_err().list[0].code;
    assert_eq!(code(b"[stargate]\nname = \"\xff\""), Code::NotUtf8);
    assert_eq!(code(b""), Code::EmptyFile);
    assert_eq!(code(b"# nothing\n\n"), Code::EmptyFile);
    assert_eq!(code(&vec![b'#'; MAX_SIZE + 1]), Code::TooLarge);
    assert_eq!(code(&vec![b'#'; 10_000_000]), Code::TooLarge);
    assert_eq!(code(b"[stargate\nname"), Code::Syntax);
    assert_eq!(code(b"a = 1\na = 2"), Code::Syntax);
    assert_eq!(code(b"\0\0\0"), Code::Syntax);
}

#[test]
fn every_error_has_a_code() {
    let cases = [
        ("location = \"c", "locatoin = \"c", Code::UnknownKey),
        ("host_keys", "frobnicate", Code::UnknownKey),
        ("kubernetes_version = \"1.33\"", "kubernetes_version = 1.33", Code::WrongType),
        ("service_cidr = \"10.0.0.0/16\"", "", Code::MissingKey),
        ("\"masquerade\"", "\"masqerade\"", Code::UnknownValue),
        ("user = \"ubuntu\"", "user = \"ubuntu\"\nport = 70000", Code::OutOfBounds),
        ("max = 5", "max = 1", Code::ScaleConflict),
        ("max = 5", "count = 5", Code::ScaleConflict),
        ("dc-router\"", "dc-router\"\nip = \"10.50.0.4\"", Code::KeyNotForKind),
        ("name = \"stargate-aks-e2e-2-worker-1\"", "name = \"Worker_1\"", Code::IllegalName),
        ("nodepool1", "node-pool-1", Code::IllegalAzureName),
        (
            "resource_group = \"stargate-aks-e2e-2-dc\"",
            "resource_group = \"dc.\"",
            Code::IllegalAzureName,
        ),
        ("e2e-2-worker-2", "e2e-2-worker-1", Code::DuplicateName),
        ("e2e-2-dc-router", "e2e-2-router", Code::DuplicateName),
        ("\"stargate-aks-e2e-2-dc\"", "\"stargate-AKS-e2e-2\"", Code::DuplicateName),
        ("profile = \"azure-k8s-worker\"", "profile = \"azure-k8s-wroker\"", Code::UnknownProfile),
        ("1.33\"\ncontainer", "1.32\"\ncontainer", Code::VersionSkew),
        ("1.33\"\ncontainer", "latest\"\ncontainer", Code::InvalidVersion),
        ("1.33\"\ncontainer", "1.34.0\"\ncontainer", Code::VersionSkew),
        ("1.33\"\ncontainer", "1.29.9\"\ncontainer", Code::VersionSkew),
        ("name = \"-\"", "tag = \"stargate\"", Code::IllegalTag),
        ("name = \"-\"", "name = \"../x?y\"", Code::IllegalTailnetName),
        ("name = \"-\"", "name = \"a..b\"", Code::IllegalTailnetName),
        ("\"canadacentral\"", "\"Canada Central\"", Code::IllegalRegion),
        ("\"Standard_D2ads_v5\"", "\"D2ads\"", Code::IllegalVmSize),
        ("44654aed-", "", Code::IllegalSubscription),
        ("ip = \"10.50.1.5\"", "ip = \"10.50.1.5\"\nmac = \"52:54\"", Code::InvalidMac),
        ("ip = \"10.50.1.5\"", "ip = \"10.50.1.5\"\nhost_key = \"mine\"", Code::InvalidHostKey),
        (
            "runtime = \"containerd\"",
            "runtime = \"containerd\"\ntaints = [\"x\"]",
            Code::InvalidLabel,
        ),
        ("user = \"ubuntu\"", "user = \"Root!\"", Code::InvalidSsh),
        ("user = \"ubuntu\"", "user = \"jane.\"", Code::InvalidSsh),
        ("user = \"ubuntu\"", "user = \"-x\"", Code::InvalidSsh),
        ("~/.ssh/id_ed25519.pub", "-----BEGIN OPENSSH PRIVATE KEY-----", Code::InvalidSsh),
        (
            "user = \"ubuntu\"",
            "identity_files = [\"-----BEGIN OPENSSH PRIVATE KEY-----\"]",
            Code::InvalidSsh,
        ),
        ("user = \"ubuntu\"", "known_hosts = \"\"", Code::InvalidSsh),
        ("\"10.50.0.0/16\"", "\"10.50.0.0\"", Code::InvalidCidr),
        ("\"10.50.1.0/24\"", "\"10.50.1.7/24\"", Code::HostBits),
        ("\"10.50.1.5\"", "\"10.50.1.500\"", Code::InvalidAddress),
        ("\"10.50.1.5\"", "\"10.51.1.5\"", Code::AddressOutsideSubnet),
        ("\"10.50.1.5\"", "\"10.50.1.3\"", Code::ReservedAddress),
        ("\"10.50.1.5\"", "\"10.50.1.255\"", Code::ReservedAddress),
        ("\"10.50.1.5\"", "\"10.50.1.6\"", Code::DuplicateAddress),
        ("10.244.66.0/24", "10.244.65.0/24", Code::DuplicatePodCidr),
        ("10.244.66.0/24", "10.9.66.0/24", Code::PodRangeOutsideCluster),
        ("10.244.66.0/24", "10.244.20.0/24", Code::PodCidrOutsidePool),
        ("10.244.66.0/24", "10.244.66.0/25", Code::PodPrefixLength),
        ("\"10.244.64.0/20\"", "\"10.244.65.0/25\"", Code::PodPrefixLength),
        ("10.237.0.0/24", "10.99.0.0/24", Code::RouterSubnetOutsideVnet),
        ("10.237.0.0/24", "10.237.0.0/30", Code::SubnetTooSmall),
        ("\"10.50.0.0/24\"", "\"10.51.0.0/24\"", Code::SubnetOutsideNetwork),
    ];
    for (from, to, code) in cases {
        findings(&edited(from, to), code);
    }
}

#[test]
fn one_error_is_reported_once() {
    only(&edited("location = \"c", "locatoin = \"c"), Code::UnknownKey);
    only(&edited("\"10.50.1.0/24\"", "\"10.50.1.7/24\""), Code::HostBits);
    only(&edited("10.237.0.0/24", "10.224.7.0/24"), Code::Overlap);
    only(&edited("10.244.66.0/24", "10.244.65.0/24"), Code::DuplicatePodCidr);
    only(
        &edited("profile = \"azure-k8s-worker\"", "profile = \"special\"")
            .replace("[profiles.azure-k8s-worker]", "[profiles.specail]"),
        Code::UnknownProfile,
    );
}

/// Each key with a network, and its value.
const PLACES: [(&str, &str); 6] = [
    ("pod_cidr = \"10.244.0.0/16\"", "10.244.0.0/16"),
    ("service_cidr = \"10.0.0.0/16\"", "10.0.0.0/16"),
    ("\nsubnet_cidr = \"10.237.0.0/24\"", "10.237.0.0/24"),
    ("vnet_cidr = \"10.50.0.0/16\"", "10.50.0.0/16"),
    ("pod_pool = \"10.244.64.0/20\"", "10.244.64.0/20"),
    ("\nnetwork_cidr = \"10.70.0.0/16\"", "10.70.0.0/16"),
];

const SECOND: &str = "\n[datacenters.dc2]\npod_pool = \"10.244.96.0/20\"\n\
    profile = \"azure-k8s-worker\"\n[datacenters.dc2.existing]\nnetwork_cidr = \"10.70.0.0/16\"\n\
    [datacenters.dc2.router]\nname = \"dc2-router\"\nip = \"10.70.0.4\"\n";

#[test]
fn overlaps_are_found_in_both_orders() {
    let good = format!("{GOOD}{SECOND}");
    for (place, mine) in PLACES {
        for (_, other) in PLACES.iter().filter(|(_, other)| *other != mine) {
            // Only the pool may be in the pod CIDR; everything else is an overlap.
            let pair = (mine, *other);
            if pair == ("10.244.64.0/20", "10.244.0.0/16") {
                continue;
            }
            let inside =
                other.rsplit_once('/').map(|(at, _)| format!("{at}/28")).unwrap_or_default();
            let around = other.rsplit_once('/').map(|(at, _)| at).unwrap_or_default();
            let around =
                format!("{around}/12").parse::<ipnet::Ipv4Net>().unwrap().trunc().to_string();
            for new in [(*other).to_owned(), inside, around] {
                if pair == ("10.244.0.0/16", "10.244.64.0/20") {
                    continue;
                }
                let text = good.replacen(place, &place.replace(mine, &new), 1);
                findings(&text, Code::Overlap);
            }
        }
    }
}

#[test]
fn reserved_ranges_are_refused_in_both_orders() {
    let good = format!("{GOOD}{SECOND}");
    let cases = [
        ("100.64.0.0/10", Code::TailnetRange),
        ("100.100.0.0/16", Code::TailnetRange),
        ("100.0.0.0/8", Code::TailnetRange),
        ("169.254.0.0/16", Code::RefusedRange),
        ("169.254.7.0/24", Code::RefusedRange),
        ("172.30.0.0/16", Code::RefusedRange),
        ("172.31.128.0/17", Code::RefusedRange),
        ("172.16.0.0/12", Code::RefusedRange),
        ("192.0.2.0/24", Code::RefusedRange),
        ("192.0.0.0/16", Code::RefusedRange),
    ];
    for (place, mine) in PLACES {
        for (range, code) in cases {
            findings(&good.replacen(place, &place.replace(mine, range), 1), code);
        }
    }
}

#[test]
fn the_default_vnet_of_aks_is_checked() {
    for range in ["10.224.0.0/12", "10.230.0.0/16", "10.224.3.0/24", "10.192.0.0/10"] {
        findings(
            &edited("vnet_cidr = \"10.50.0.0/16\"", &format!("vnet_cidr = \"{range}\"")),
            Code::Overlap,
        );
        findings(
            &edited("service_cidr = \"10.0.0.0/16\"", &format!("service_cidr = \"{range}\"")),
            Code::Overlap,
        );
    }
    for range in ["10.224.0.0/16", "10.224.9.0/24", "10.224.0.0/15"] {
        findings(&edited("10.237.0.0/24", range), Code::Overlap);
    }
    // The VNet of an existing cluster is not known here.
    let text =
        edited("[cluster] ", "[cluster]\nexisting = true").replace("10.237.0.0/24", "10.99.0.0/24");
    assert!(load_text("stargate.toml", &text).is_ok());
}

#[test]
fn datacenters_of_other_kinds() {
    let router = "[datacenters.dc1.router]\nname = \"r\"\nip = \"192.168.10.4\"\n";
    let worker = "[[datacenters.dc1.workers]]\nname = \"w\"\n";
    findings(
        &existing(&format!("{router}{worker}mac = \"52:54:00:00:00:01\"\n")),
        Code::MissingMachineFact,
    );
    findings(
        &existing(&format!("{router}{worker}ip = \"192.168.10.5\"\n")),
        Code::MissingMachineFact,
    );
    findings(&existing("[datacenters.dc1.router]\nname = \"r\"\n"), Code::MissingMachineFact);
    findings(&existing(&format!("{router}vm_size = \"Standard_D2s_v5\"\n")), Code::KeyNotForKind);
    only(&existing(router), Code::NoWorkers);
    let machine = |name, last, mac| {
        format!(
            "[[datacenters.dc1.workers]]\nname = \"{name}\"\nip = \"192.168.10.{last}\"\nmac = \"52:54:00:00:00:{mac}\"\n"
        )
    };
    let two = |last, mac| {
        existing(&format!("{router}{}{}", machine("a", 5, "01"), machine("b", last, mac)))
    };
    only(&two(6, "01"), Code::DuplicateMac);
    only(&two(4, "02"), Code::DuplicateAddress);
    only(&two(255, "02"), Code::ReservedAddress);
    assert!(load_text("stargate.toml", &two(6, "02")).is_ok());
    findings(
        &GOOD
            .replace("[datacenters.dc1.azure] ", "[datacenters.dc1.qemu]\n[datacenters.dc9.azure]"),
        Code::UnsupportedKind,
    );
    findings(
        &format!("{GOOD}[datacenters.dc1.existing]\nnetwork_cidr = \"10.80.0.0/16\"\n"),
        Code::DatacenterKind,
    );
}

fn range(count: u32, pool: &str, pods: &str, first: &str) -> String {
    let head = GOOD.split("[[datacenters.dc1.workers]]").next().unwrap_or_default();
    head.replace("10.244.64.0/20", pool)
        .replace("10.244.0.0/16", pods)
        .replace("\"10.50.1.0/24\"", "\"10.50.128.0/17\"")
        + &format!("[datacenters.dc1.worker_range]\nname = \"w-{{:04}}\"\ncount = {count}\n{first}")
}

#[test]
fn sizes_and_limits_are_checked() {
    only(&range(17, "10.244.64.0/20", "10.244.0.0/16", ""), Code::PoolTooSmall);
    findings(&range(255, "10.244.64.0/20", "10.244.0.0/16", ""), Code::PodCidrTooSmall);
    findings(&range(398, "10.72.0.0/14", "10.64.0.0/12", ""), Code::TooManyRoutes);
    findings(&range(4_996, "10.80.0.0/12", "10.64.0.0/10", ""), Code::TooManyNodes);
    findings(&range(2, "10.244.4.0/24", "10.244.0.0/16", ""), Code::PoolOverlapsAksRange);
    findings(&range(2, "10.244.6.0/23", "10.244.0.0/16", ""), Code::PoolNearAksRange);
    findings(&range(0, "10.244.64.0/20", "10.244.0.0/16", ""), Code::OutOfBounds);
    findings(
        &range(9, "10.244.64.0/20", "10.244.0.0/16", "first_ip = \"10.50.99.1\""),
        Code::AddressOutsideSubnet,
    );
    findings(
        &range(2, "10.244.64.0/20", "10.244.0.0/16", "").replace("{:04}", ""),
        Code::NamePatternInvalid,
    );
    let pools = edited("max = 5", "max = 500");
    findings(&pools, Code::TooManyRoutes);
    let none = GOOD
        .replace("pod_pool = \"10.244.64.0/20\"", "")
        .replace("pod_cidr = \"10.244.66.0/24\"", "");
    findings(&none, Code::MissingPool);
    let start = GOOD.find("[cluster.node_pools").unwrap_or_default();
    let end = GOOD.find("[network]").unwrap_or_default();
    findings(&format!("{}{}", &GOOD[..start], &GOOD[end..]), Code::NoNodePools);
    let alone = GOOD.split("[datacenters.dc1]").next().unwrap_or_default();
    findings(alone, Code::NoWorkers);
}

#[test]
fn one_run_reports_many_errors() {
    let text = GOOD
        .replacen("location", "locatoin", 1)
        .replacen("\"masquerade\"", "\"masq\"", 1)
        .replacen("\"10.50.1.0/24\"", "\"10.50.1.7/24\"", 1)
        .replacen("1.33\"\ncontainer", "1.40.0\"\ncontainer", 1)
        .replacen("10.244.66.0/24", "10.244.65.0/24", 1);
    let found = findings(&text, Code::UnknownKey);
    let codes: Vec<_> = found.list.iter().map(|one| one.code).collect();
    assert_eq!(
        codes,
        [
            Code::UnknownKey,
            Code::UnknownValue,
            Code::VersionSkew,
            Code::HostBits,
            Code::DuplicatePodCidr
        ]
    );
    assert!(found.list.iter().all(|one| one.severity == Severity::Error));
    assert!(found.to_string().contains("5 errors"));
    let json = to_json(&found.file_name, &found.text, &found.list);
    assert_eq!((json[0].line, json[0].column), (Some(9), Some(1)));
}

#[test]
fn the_report_of_a_misspelt_key() {
    let found = findings(&edited("location = \"c", "locatoin = \"c"), Code::UnknownKey);
    insta::assert_snapshot!("misspelt_key", render_all(&found, PLAIN));
}

#[test]
fn the_report_of_an_overlap() {
    let text = edited("vnet_cidr = \"10.50.0.0/16\"", "vnet_cidr = \"10.244.0.0/17\"");
    insta::assert_snapshot!("overlap", render_all(&findings(&text, Code::Overlap), PLAIN));
}

#[test]
fn the_reports_of_host_bits_and_a_missing_key() {
    let text = edited("\"10.50.1.0/24\"", "\"10.50.1.7/24\"");
    insta::assert_snapshot!("host_bits", render_all(&findings(&text, Code::HostBits), PLAIN));
    let text = edited("service_cidr = \"10.0.0.0/16\"", "");
    insta::assert_snapshot!("missing_key", render_all(&findings(&text, Code::MissingKey), PLAIN));
}

#[test]
fn four_thousand_workers_are_checked_in_time() {
    let head = GOOD.split("[datacenters.dc1]").next().unwrap_or_default();
    let head = head.replace("10.244.0.0/16", "11.0.0.0/8");
    let sections = (0..40).map(|at| {
        let (pool, network) = (format!("11.{}.0.0/16", at + 1), format!("12.{at}.0.0/16"));
        let workers: String = (0..100)
            .map(|worker| {
                let (ip, mac) = (format!("12.{at}.1.{}", worker + 5), format!("52:54:00:00:{at:02x}:{worker:02x}"));
                format!("[[datacenters.d{at}.workers]]\nname = \"d{at}-w{worker}\"\nip = \"{ip}\"\nmac = \"{mac}\"\npod_cidr = \"11.{}.{worker}.0/24\"\n", at + 1)
            })
            .collect();
        format!(
            "[datacenters.d{at}]\npod_pool = \"{pool}\"\nprofile = \"azure-k8s-worker\"\n\
             [datacenters.d{at}.existing]\nnetwork_cidr = \"{network}\"\n\
             [datacenters.d{at}.router]\nname = \"d{at}-r\"\nip = \"12.{at}.0.4\"\n{workers}"
        )
    });
    let text = head + &sections.collect::<String>();
    let started = std::time::Instant::now();
    let loaded = load_text("stargate.toml", &text).unwrap();
    let elapsed = started.elapsed();
    assert_eq!(
        loaded.topology.datacenters.iter().map(|one| one.workers.len()).sum::<usize>(),
        4_000
    );
    assert_eq!(loaded.warnings, []);
    // The goal is 150 ms in release builds; this bound detects quadratic work.
    assert!(elapsed.as_secs() < 5, "{elapsed:?}");
    println!("validated in {elapsed:?}");
}

#[test]
fn a_file_truncated_anywhere_is_reported_and_rendered() {
    let text = GOOD.replace("# workers", "# Arbeiter: \u{fc}ber\u{1f680}all").replace('\n', "\r\n");
    let ends = (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(3);
    for end in ends {
        if let Err(found) = load_bytes("stargate.toml", &text.as_bytes()[..end]) {
            assert!(!found.list.is_empty());
            assert!(render_all(&found, if end % 2 == 0 { COLORED } else { PLAIN }).contains("SG"));
        }
        let _ = load_bytes("stargate.toml", &[&text.as_bytes()[..end], b"\xff"].concat());
    }
}
