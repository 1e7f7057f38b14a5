//! One error is reported once: a misspelt table causes no further errors. Also
//! errors that involve two places.

use stargate::diagnostics::{Code, Diagnostics};
use stargate::render::Style;
use stargate::render::diagnostic::{Layout, render_all, to_json};
use stargate::topology::load::load_text;

const PLAIN: Layout = Layout { style: Style::Plain, columns: 80 };
const COLORED: Layout = Layout { style: Style::Colored, ..PLAIN };
const GOOD: &str = include_str!("../../examples/aks-e2e/stargate.toml");

fn edited(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "the example no longer holds `{from}`");
    GOOD.replace(from, to)
}

#[track_caller]
fn found(text: &str) -> Diagnostics {
    match load_text("stargate.toml", text) {
        Ok(loaded) => Diagnostics {
            file_name: "stargate.toml".to_owned(),
            text: text.into(),
            list: loaded.warnings,
        },
        Err(found) => found,
    }
}

#[track_caller]
fn codes(text: &str) -> Vec<Code> {
    let found = found(text);
    for one in &found.list {
        assert!(one.primary.is_some() && !one.remedy.is_empty(), "{one:#?}");
    }
    found.list.iter().map(|one| one.code).collect()
}

#[test]
fn a_misspelt_table_is_reported_once() {
    for (from, to) in [
        ("[cluster] ", "[clustr] "),
        ("[cluster.router]", "[clustr.router]"),
        ("[cluster.node_pools.nodepool1]", "[cluster.node_pool.nodepool1]"),
        ("[cluster", "[clustr"),
        ("[stargate]", "[stargat]"),
        ("[azure]", "[azur]"),
        ("[profiles.", "[profile."),
        ("[datacenters.dc1.azure]", "[datacenters.dc1.azzure]"),
        ("[datacenters.dc1.router]", "[datacenters.dc1.routr]"),
        ("[datacenters.dc1.azure]", "[datacenter.dc1.azure]"),
        ("[[datacenters.dc1.workers]]", "[[datacenters.dc1.wrokers]]"),
        ("[datacenters", "[datacentres"),
    ] {
        let text = edited(from, to).replace(
            "[[datacenters",
            if to == "[datacentres" { "[[datacentres" } else { "[[datacenters" },
        );
        assert_eq!(codes(&text), [Code::UnknownKey], "{to}: {:#?}", found(&text).list);
    }
}

#[test]
fn the_content_of_a_misspelt_table_is_checked() {
    let text = edited("[cluster] ", "[clustr] ").replace("\"10.0.0.0/16\"", "\"10.0.0.1/16\"");
    assert_eq!(codes(&text), [Code::UnknownKey, Code::HostBits]);
    // The second worker is in a misspelt list.
    let second = GOOD.rfind("[[datacenters.dc1.workers]]").unwrap();
    let tail = GOOD[second..].replace("workers]]", "wrokers]]").replace("10.50.1.6", "10.50.1.5");
    let text = format!("{}{tail}", &GOOD[..second]);
    assert_eq!(codes(&text), [Code::UnknownKey, Code::DuplicateAddress]);
}

#[test]
fn invalid_names() {
    let long = "a".repeat(64);
    for (from, to, code) in [
        (
            "[stargate]\nname = \"stargate-aks-e2e-2\"",
            "[stargate]\nname = \"My Stargate\"",
            Code::IllegalName,
        ),
        ("-e2e-2-dc-router\"", "_Router\"", Code::IllegalName),
        (
            "name = \"stargate-aks-e2e-2-worker-1\"",
            &format!("name = \"{long}\""),
            Code::IllegalName,
        ),
        ("name = \"stargate-aks-e2e-2-worker-1\"", "name = \"-worker\"", Code::IllegalName),
        ("name = \"stargate-aks-e2e-2-worker-1\"", "name = \"\"", Code::IllegalName),
        ("azure-k8s-worker", "Azure_Worker", Code::IllegalName),
        ("datacenters.dc1", "datacenters.\"dc 1\"", Code::IllegalName),
        ("nodepool1", "Pool1", Code::IllegalAzureName),
        ("nodepool1", "averylongpoolname", Code::IllegalAzureName),
        (
            "resource_group = \"stargate-aks-e2e-2\"",
            "resource_group = \"a/b\"",
            Code::IllegalAzureName,
        ),
    ] {
        let codes = codes(&edited(from, to));
        assert!(codes.contains(&code), "{to}: {codes:?}");
    }
}

#[test]
fn login_users_of_directories_are_valid() {
    for user in ["jane.doe", "Jane", "_apt", "ops-2", "root", "1st"] {
        let text = edited("user = \"ubuntu\"", &format!("user = \"{user}\""));
        assert_eq!(codes(&text), [], "{user}");
    }
}

#[test]
fn a_duplicate_table_is_an_error() {
    for table in ["[datacenters.dc1]\n", "[cluster.node_pools.nodepool1]\n", "[azure]\n"] {
        assert_eq!(codes(&format!("{GOOD}{table}")), [Code::Syntax], "{table}");
    }
}

/// A second datacenter of VMs without conflicts with the first.
const SECOND: &str = "\n[datacenters.dc2]\npod_pool = \"10.244.96.0/20\"\n\
    profile = \"azure-k8s-worker\"\n[datacenters.dc2.azure]\nresource_group = \"second\"\n\
    vnet_cidr = \"10.60.0.0/16\"\nsubnet_cidr = \"10.60.1.0/24\"\n\
    router_subnet_cidr = \"10.60.0.0/24\"\nvm_size = \"Standard_D2s_v5\"\n\
    [datacenters.dc2.router]\nname = \"second-router\"\n\
    [[datacenters.dc2.workers]]\nname = \"second-worker\"\npod_cidr = \"10.244.97.0/24\"\n";

#[test]
fn two_datacenters_must_not_conflict() {
    let good = format!("{GOOD}{SECOND}");
    assert_eq!(codes(&good), []);
    for (from, to, code) in [
        ("10.60.1.0/24", "10.60.0.0/24", Code::Overlap),
        ("10.60.1.0/24", "10.60.0.0/25", Code::Overlap),
        ("10.60.0.0/24", "10.60.1.128/25", Code::Overlap),
        ("10.60.", "10.50.", Code::Overlap),
        ("10.60.0.0/16", "10.48.0.0/12", Code::Overlap),
        ("10.244.96.0/20", "10.244.64.0/20", Code::Overlap),
        ("10.244.96.0/20", "10.244.64.0/19", Code::Overlap),
        ("10.244.96.0/20", "10.244.64.0/18", Code::Overlap),
        ("10.244.97.0/24", "10.244.65.0/24", Code::DuplicatePodCidr),
        ("10.244.97.0/24", "10.244.67.0/24", Code::PodCidrOutsidePool),
        ("\"second\"", "\"stargate-aks-e2e-2-dc\"", Code::DuplicateName),
        ("second-router", "stargate-aks-e2e-2-dc-router", Code::DuplicateName),
        ("second-worker", "stargate-aks-e2e-2-worker-1", Code::DuplicateName),
        ("second-worker", "stargate-aks-e2e-2-router", Code::DuplicateName),
    ] {
        let codes = codes(&good.replace(from, to));
        assert!(codes.contains(&code), "{to}: {codes:?}");
    }
}

#[test]
fn an_unused_profile_is_a_warning() {
    let text = format!("{GOOD}\n[profiles.spare]\nkubernetes_version = \"1.33.5\"\n");
    assert_eq!(codes(&text), [Code::UnusedProfile]);
    assert!(load_text("stargate.toml", &text).is_ok());
}

/// AKS chooses the patch of a minor version, and a kubelet must not be newer.
#[test]
fn a_kubelet_with_a_newer_patch_than_the_cluster_s_is_a_warning() {
    for (cluster, profile, expected) in [
        ("1.33.5", "1.33.7", vec![Code::VersionSkew]),
        ("1.33.5", "1.33.5", vec![]),
        ("1.33.5", "1.33.4", vec![]),
        ("1.33.5", "1.33", vec![]),
        ("1.33", "1.33.7", vec![]),
    ] {
        let (head, tail) = GOOD.split_once("[profiles").unwrap();
        let with = |text: &str, version| text.replace("\"1.33\"", &format!("\"{version}\""));
        let text = format!("{}[profiles{}", with(head, cluster), with(tail, profile));
        assert_eq!(codes(&text), expected, "{cluster} {profile}");
        assert!(load_text("stargate.toml", &text).is_ok());
    }
}

#[test]
fn a_secret_in_the_file_is_not_printed() {
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nmarked\n-----END OPENSSH PRIVATE KEY-----";
    let pasted = format!("\"\"\"{key}\"\"\"");
    for text in [
        edited("\"~/.ssh/id_ed25519.pub\"", &pasted),
        edited("ip = \"10.50.1.5\"", &format!("ip = \"10.50.1.5\"\nhost_key = {pasted}")),
        edited("user = \"ubuntu\"", "user = \"tskey-auth-marked!\""),
        edited("user = \"ubuntu\"", "password = \"marked\""),
    ] {
        for end in [text.len(), text.len() / 2] {
            let found = found(&text[..end]);
            let displayed = render_all(&found, PLAIN) + &render_all(&found, COLORED);
            let json = serde_json::to_string(&to_json("f", &found.text, &found.list)).unwrap();
            assert!(!found.list.is_empty() && !(displayed + &json).contains("marked"));
        }
    }
    let text = edited("\"~/.ssh/id_ed25519.pub\"", &pasted);
    insta::assert_snapshot!("pasted_key", render_all(&found(&text), PLAIN));
}
