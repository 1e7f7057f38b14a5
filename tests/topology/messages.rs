//! Messages name tables and reserved names, and wrap at the width.

use stargate::diagnostics::Code;
use stargate::render::diagnostic::{Layout, render_all};

use super::bad_input::{GOOD, PLAIN, edited, findings, only};

#[test]
fn a_datacenter_is_not_named_cluster() {
    only(&GOOD.replace("datacenters.dc1", "datacenters.cluster"), Code::ReservedName);
}

#[test]
fn missing_tables_are_named_by_their_headers() {
    let report = |text: &str| render_all(&findings(text, Code::MissingKey), PLAIN);
    let without = |header: &str| {
        let (before, after) = GOOD.split_once(&format!("\n{header}")).unwrap();
        let rest = after.find("\n[").map_or("", |at| &after[at..]);
        format!("{before}{rest}")
    };
    assert!(report(&without("[azure]")).contains("missing table `[azure]`"));
    let report = report(&without("[datacenters.dc1.router]"));
    assert!(report.contains("missing table `[datacenters.dc1.router]`"), "{report}");
}

#[test]
fn messages_wrap_at_the_width() {
    let text = edited("\"10.50.1.0/24\"", "\"10.50.1.7/24\"");
    let found = findings(&text, Code::HostBits);
    for columns in [60, 80, 120] {
        let report = render_all(&found, Layout { columns, ..PLAIN });
        let too_wide = |line: &&str| line.chars().count() > columns;
        let own = |line: &&str| line.contains("error[") || line.contains("= help");
        let found: Vec<&str> = report.lines().filter(own).filter(too_wide).collect();
        assert!(found.is_empty(), "{columns}: {found:#?}");
    }
}

/// An error in one place does not hide errors in others.
#[test]
fn independent_errors_are_reported_in_one_run() {
    let text = GOOD
        .replacen("kubernetes_version = \"1.33\"\n", "", 1)
        .replacen("subnet_cidr = \"10.237.0.0/24\"", "subnet_cidr = 7", 1)
        .replacen("service_cidr = \"10.0.0.0/16\"", "service_cidr = \"10.0.0.0/99\"", 1)
        .replacen("[datacenters.dc1.router]\nname", "[datacenters.dc1.router]\nnane", 1)
        .replacen("ip = \"10.50.1.5\"", "ip = \"10.50.1.500\"", 1)
        .replacen("[network]", "[rollout]\nwidth = \"200%\"\n[network]", 1);
    let found = findings(&text, Code::MissingKey);
    let messages: Vec<&str> = found.list.iter().map(|one| one.message.as_str()).collect();
    for (code, part) in [
        (Code::MissingKey, "missing key `kubernetes_version` in `[cluster]`"),
        (Code::WrongType, "`subnet_cidr` must be a string"),
        (Code::InvalidCidr, "10.0.0.0/99"),
        (Code::UnknownKey, "unknown key `nane`"),
        (Code::InvalidAddress, "10.50.1.500"),
        (Code::OutOfBounds, "`width` is out of range"),
    ] {
        let is_reported = |one: &stargate::diagnostics::Diagnostic| {
            one.code == code && one.message.contains(part)
        };
        assert!(found.list.iter().any(is_reported), "{code}: no `{part}` in {messages:#?}");
    }
    assert_eq!(found.list.len(), 6, "nothing about values that the file lacks: {messages:#?}");
}
