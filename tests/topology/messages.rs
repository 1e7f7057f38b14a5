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
