use serde_json::Value;

use super::*;
use crate::plan::PlanContents;
use crate::render::fixture::{self, with_contents};
use crate::render::text::width;

fn plain(plan: &Plan) -> String {
    render(plan, Options::default())
}

#[test]
fn everything() {
    insta::assert_snapshot!(plain(&fixture::everything()));
}

#[test]
fn everything_in_full() {
    insta::assert_snapshot!(render(
        &fixture::everything(),
        Options { full: true, ..Options::default() }
    ));
}

#[test]
fn similar_workers_are_folded() {
    insta::assert_snapshot!(plain(&fixture::many_workers(98)));
}

#[test]
fn nothing() {
    assert_eq!(
        plain(&fixture::nothing()),
        "No changes. The infrastructure matches the topology.\n"
    );
    let options = Options { purpose: Purpose::Drift, ..Options::default() };
    let drift = render(&fixture::nothing(), options);
    assert_eq!(drift, "No drift. The infrastructure matches the topology.\n");
}

#[test]
fn unread_sources_are_not_reported_as_a_match() {
    let gaps = fixture::everything().gaps.clone();
    let plan = with_contents(PlanContents { gaps, ..fixture::contents(Vec::new()) });
    insta::assert_snapshot!(plain(&plan));
}

#[test]
fn errors_are_not_reported_as_a_match() {
    let mut findings = fixture::everything().findings.clone();
    findings.iter_mut().for_each(|finding| finding.severity = crate::plan::FindingSeverity::Error);
    let plan = with_contents(PlanContents { findings, ..fixture::contents(Vec::new()) });
    assert!(
        plain(&plan)
            .ends_with("\nNo plan: resolve the errors above, then run `stargate plan` again.\n")
    );
}

#[test]
fn the_last_line_counts_adoptions_only_if_there_are_any() {
    let line = last_line(&fixture::many_workers(2), Purpose::Plan);
    assert_eq!(line, "Plan: 2 to add, 0 to change, 0 to replace, 0 to destroy.");
    let line = last_line(&fixture::everything(), Purpose::Drift);
    assert_eq!(
        line,
        "Drift: 3 to add, 1 to change, 1 to replace, 1 to destroy, 1 to adopt, 2 blocked."
    );
}

#[test]
fn lines_fit_the_width_unless_one_word_is_too_long() {
    for plan in [fixture::everything(), fixture::many_workers(98), fixture::many_kinds(20)] {
        for line in plain(&plan).lines() {
            let words = line.split_whitespace().count();
            assert!(width(line) <= WIDTH || words <= 2, "{line}");
        }
    }
}

#[test]
fn colors_only_add_escapes() {
    let plan = fixture::everything();
    let colored = render(&plan, Options { style: Style::Colored, ..Options::default() });
    assert_ne!(colored, plain(&plan));
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain(&plan));
}

/// A router and workers restart for the same field, and interrupt different things.
#[test]
fn changes_that_interrupt_different_things_are_not_folded() {
    let restarted = |name: &str, interrupts: String| {
        let fields = vec![fixture::field(&["vm_size"], "D2".into(), "D4".into())];
        let address = format!("virtual-machine/dc1/{name}");
        let mut change = fixture::change(&address, Action::Update, fields);
        change.interrupts = Some(interrupts);
        change
    };
    let router = restarted("router", "pods lose connectivity through router".to_owned());
    let workers = (1..=4).map(|number| {
        let name = format!("worker-{number}");
        restarted(&name, format!("the pods on {name} are evicted"))
    });
    let text = plain(&fixture::plan(std::iter::once(router).chain(workers).collect()));
    for part in ["through router", "the pods on worker-1 are evicted", "and 3 similar changes"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(!text.contains("worker-2 are evicted"), "{text}");
}

/// A destroy states its reason once.
#[test]
fn a_destroy_does_not_explain_each_deletion() {
    let mut change = fixture::change("subnet/dc1/lab", Action::Delete, Vec::new());
    change.planned_because_of = "not in the topology".to_owned();
    let plan = fixture::plan(vec![change]);
    let text = render(&plan, Options { purpose: Purpose::Destroy, ..Options::default() });
    assert!(!text.contains("not in the topology"), "{text}");
    assert!(text.starts_with("`stargate destroy` deletes the resources of the topology `lab`:"));
    assert!(plain(&plan).contains("# not in the topology"));
}

/// The whole digest is of no use to a reader.
#[test]
fn digests_of_profiles_are_shortened() {
    let digest = |letter: &str| letter.repeat(64).into();
    let fields = vec![fixture::field(&["profile_digest"], digest("a"), digest("b"))];
    let text = plain(&fixture::plan(vec![fixture::change("worker/dc1/a", Action::Update, fields)]));
    assert!(text.contains("profile_digest: \"aaaaaaaa…\" -> \"bbbbbbbb…\""), "{text}");
}

/// A plan that destroys is as long as the list of what it destroys.
#[test]
fn changes_without_a_body_stand_below_each_other() {
    let delete = |text: &str| fixture::change(text, Action::Delete, Vec::new());
    let mut machine = delete("virtual-machine/dc1/b");
    machine.interrupts = Some("a restart".to_owned());
    let changes = vec![delete("subnet/dc1/a"), machine, delete("route-table/dc1/c")];
    let mut more = changes.clone();
    more.push(delete("public-ip-address/dc1/d"));
    let options = Options { purpose: Purpose::Destroy, ..Options::default() };
    let text = render(&fixture::plan(more), options);
    let listed = "  - subnet/dc1/a\n\n  - virtual-machine/dc1/b\n      disruption: a restart\n\n  - \
                  route-table/dc1/c\n  - public-ip-address/dc1/d\n\n";
    assert!(text.contains(listed), "{text}");
    let text = render(&fixture::plan(changes), options);
    assert!(text.contains("disruption: a restart\n\n  - route-table/dc1/c\n\n"), "{text}");
}

/// A mark on every object of a datacenter is shown once.
#[test]
fn records_of_one_protection_are_shown_together() {
    let record = |text: &str, block: &str| {
        let fields = vec![fixture::field(&["protected_by"], Value::Null, block.into())];
        let mut change = fixture::change(text, Action::Update, fields);
        change.planned_because_of = format!("why {text} exists");
        change
    };
    let plan = fixture::plan(vec![
        record("virtual-network/dc1/a", "datacenters.dc1"),
        record("nat-gateway/dc1/b", "datacenters.dc1"),
        record("virtual-machine/dc2/c", "datacenters.dc2"),
    ]);
    let text = plain(&plan);
    let listed = "  ~ virtual-network/dc1/a\n  ~ nat-gateway/dc1/b\n      protected_by: (none) -> \
                  \"datacenters.dc1\"\n\n  ~ virtual-machine/dc2/c\n";
    assert!(text.contains(listed), "{text}");
    assert!(!text.contains("why "), "{text}");
}
