use std::collections::BTreeMap;

use serde_json::json;

use super::super::fixture::{self, address, change, field};
use super::*;
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Source};
use crate::plan::impact::{Between, Disruption, Loss, Reachability};
use crate::plan::{Blocked, Finding, FindingSeverity, PlanContents};
use crate::resource::Kind;

/// Changes of the large plans.
const CHANGES: usize = 500;

const TARGET: &str = "Target: Azure subscription Production (1-2), tenant 3-4, cluster lab";

/// Text that markdown, GitHub or terminals would interpret, in one word.
const HOSTILE: &str = "@org/team`</details>![x](https://e.test/p)|www.e.test#12<img>";

#[test]
fn a_plan_with_everything() {
    insta::assert_snapshot!(render(&fixture::everything(), Purpose::Plan, TARGET));
}

#[test]
fn a_drift_without_changes() {
    insta::assert_snapshot!(render(&fixture::nothing(), Purpose::Drift, TARGET));
}

/// Where each part of a comment begins, in the order of the comment.
fn order(text: &str, parts: &[&str]) -> Vec<usize> {
    let place = |part: &&str| text.find(*part).unwrap_or_else(|| panic!("no `{part}` in {text}"));
    parts.iter().map(place).collect()
}

#[track_caller]
fn fits_and_begins_with(text: &str, parts: &[&str]) {
    assert!(text.len() < 60_000, "{} bytes", text.len());
    let found = order(text, parts);
    assert!(found.is_sorted(), "{parts:?} at {found:?} in {text}");
    let fences = text.lines().filter(|line| line.starts_with("```")).count();
    assert_eq!(fences % 2, 0, "a block is not closed");
    assert_eq!(text.matches("<details>").count(), text.matches("\n</details>\n").count());
    let details = text.find("<details>").unwrap_or(text.len());
    let last = found.last().copied().unwrap_or_default();
    assert!(last < details, "a consequence is below the details");
}

fn of(contents: PlanContents) -> String {
    render(&fixture::with_contents(contents), Purpose::Plan, TARGET)
}

fn numbered(kind: &str, number: usize) -> String {
    format!("{kind}/dc{}/name-{number}", number % 7)
}

#[test]
fn a_deletion_of_everything_begins_with_the_deletions() {
    let delete = |number: usize| {
        let fields = vec![field(&[&format!("key-{number}")], json!("a"), json!("b"))];
        let mut change = change(&numbered("virtual-machine", number), Action::Delete, fields);
        change.interrupts = Some(format!("every pod on name-{number}"));
        change
    };
    let losses = (0..40).map(|number| Loss {
        pairs: 40 - number,
        example: (format!("worker-{number}"), "aks-node-1".to_owned()),
        resource: Some(address(&format!("virtual-machine/dc1/name-{number}"))),
    });
    let text = of(PlanContents {
        reachability: Reachability { lost: 820, losses: losses.collect(), ..Default::default() },
        ..fixture::contents((0..CHANGES).map(delete).collect())
    });
    fits_and_begins_with(
        &text,
        &[
            TARGET,
            "**Plan: 0 to add, 0 to change, 0 to replace, 500 to destroy",
            "**deleted** (500): `virtual-machine/dc0/name-0`",
            " and 480 more\n",
            "**interrupts** every pod on name-0",
            "more interruptions\n",
            "**refused**: permit the loss",
            "**loses** 40 pairs, for example worker-0 to aks-node-1",
            "| add | change |",
        ],
    );
    let listed = text.lines().filter(|line| line.starts_with("- virtual-machine/")).count();
    assert_eq!(listed, CHANGES, "each deletion has a name of its own");
}

#[test]
fn replacements_list_interruptions_before_blocked_changes() {
    let replace = |number: usize| {
        let mut cidr =
            field(&["pod_cidr"], json!("10.1.0.0/24"), json!(format!("10.2.{number}.0")));
        cidr.forces_replacement = true;
        let mut change = change(&numbered("worker", number), Action::Replace, vec![cidr]);
        change.interrupts = Some("every pod on it, until they run on another node".to_owned());
        change
    };
    let disruption = Disruption {
        pairs: 12,
        example: ("worker-1".to_owned(), "worker-2".to_owned()),
        between: Vec::<Between>::new(),
        during: vec![address("route-table/cluster/lab-workers-rt")],
        seconds: 40,
        waves: None,
        is_rolling: false,
    };
    let text = of(PlanContents {
        reachability: Reachability {
            kept: 900,
            disruptions: vec![disruption],
            ..Reachability::default()
        },
        blocked: (0..CHANGES).map(|number| blocked(&numbered("subnet", number), "why")).collect(),
        ..fixture::contents((0..CHANGES).map(replace).collect())
    });
    fits_and_begins_with(
        &text,
        &[
            TARGET,
            "**replaced** (500): `worker/dc0/name-0`",
            "disrupts 12 pairs for about 40 s",
            "**interrupts** every pod on it",
            "| add | change |",
            "**blocked** `subnet/dc0/name-0`",
        ],
    );
    assert_eq!(text.matches("**blocked**").count(), 1, "one reason is one note");
    assert!(text.contains(" and 490 more (SG0502): why."), "{text}");
}

fn blocked(text: &str, reason: &str) -> Blocked {
    Blocked {
        address: address(text),
        action: Action::Delete,
        fields: Vec::new(),
        failure: Failure::new(Code::Protected, reason, "unprotect it"),
        caused_by: None,
        planned_because_of: String::new(),
    }
}

#[test]
fn errors_and_unread_sources_come_before_many_blocked_changes() {
    let create = |number| change(&numbered("subnet", number), Action::Create, Vec::new());
    let blocked = (0..CHANGES)
        .map(|number| blocked(&numbered("virtual-machine", number), &format!("reason {number}")));
    let error = Finding {
        severity: FindingSeverity::Error,
        address: None,
        failure: Failure::new(Code::RouterOffline, "an error", "help"),
    };
    let gap = Gap {
        source: Source::Azure,
        failure: Failure::new(Code::AzureRefused, "403", "log in"),
        explained: false,
        in_part: false,
    };
    let text = of(PlanContents {
        blocked: blocked.collect(),
        findings: vec![error],
        gaps: vec![gap],
        ..fixture::contents((0..CHANGES).map(create).collect())
    });
    fits_and_begins_with(
        &text,
        &[
            TARGET,
            "| add |",
            "**error**",
            "**not read**",
            "**blocked** `virtual-machine/dc0/name-0`",
        ],
    );
    assert!(text.contains(" more notes\n"), "the notes that are left out are counted");
}

/// However long names are, each consequence has its place.
#[test]
fn hostile_names_of_any_length_leave_room_for_every_consequence() {
    let long = format!("{}{}", HOSTILE.replace('/', "_"), "@".repeat(3_000));
    let actions = [Action::Delete, Action::Replace, Action::Reboot, Action::Create, Action::Adopt];
    let one = |number: usize| {
        let mut address = address(&numbered("virtual-machine", number));
        address.name = format!("{number}{long}").into();
        let mut change = change("subnet/dc1/x", actions[number % 5], Vec::new());
        change.address = address;
        change.interrupts = Some(format!("{number} {long}"));
        change.planned_because_of.clone_from(&long);
        change
    };
    let changes: Vec<Change> = (0..CHANGES).map(one).collect();
    let loss = |pairs: u64| Loss {
        pairs,
        example: (long.clone(), long.clone()),
        resource: Some(changes[0].address.clone()),
    };
    let contents = PlanContents {
        blocked: changes
            .iter()
            .map(|it| Blocked { address: it.address.clone(), ..blocked("subnet/dc1/x", &long) })
            .collect(),
        reachability: Reachability {
            lost: 9,
            losses: (1..50).map(loss).collect(),
            removals: (1..50).map(loss).collect(),
            ..Reachability::default()
        },
        ..fixture::contents(changes.clone())
    };
    let text = render(&fixture::with_contents(contents), Purpose::Plan, &format!("Target: {long}"));
    fits_and_begins_with(
        &text,
        &[
            "Target: ",
            "**deleted** (100): ",
            "**replaced** (100): ",
            "**rebooted** (100): ",
            "**interrupts** 0 ",
            "**refused**",
            "**loses** 1 pair",
            "| add |",
            "**blocked** ",
        ],
    );
    let mut is_code = false;
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        let prose = if is_code || is_fence { String::new() } else { without_code(line) };
        let prose = prose.replace("\\]", "");
        for markup in ["@org", "@@", "<img", "](", "www.", "#1", "://"] {
            assert!(!prose.contains(markup), "`{markup}` in {prose}");
        }
    }
}

/// A line without its spans of code; each ends with a run of as many backticks.
fn without_code(line: &str) -> String {
    let run = |text: &str| text.len() - text.trim_start_matches('`').len();
    let (mut prose, mut rest) = (String::new(), line);
    while let Some(at) = rest.find('`') {
        prose.push_str(&rest[..at]);
        let length = run(&rest[at..]);
        let inside = &rest[at + length..];
        let ends = inside.match_indices('`').map(|(end, _)| end);
        let is_end = |end: &usize| run(&inside[*end..]) == length && !inside[..*end].ends_with('`');
        let end =
            ends.into_iter().find(is_end).unwrap_or_else(|| panic!("a span has no end in {line}"));
        rest = &inside[end + length..];
    }
    prose + rest
}

#[test]
fn a_comment_never_exceeds_its_maximum_size() {
    let text = render(&fixture::many_kinds(4_000), Purpose::Plan, TARGET);
    assert!(text.len() <= MAX_SIZE, "{}", text.len());
    assert!(text.contains("truncated to the size of a comment"), "the comment is truncated");
    let fences = text.lines().filter(|line| line.starts_with("```")).count();
    assert_eq!(fences % 2, 0, "every block is closed");
    assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
}

#[test]
fn every_kind_that_goes_away_is_counted() {
    let kinds = [Kind::VirtualMachine, Kind::Subnet, Kind::RouteTable];
    let delete = |number: usize| {
        let kind = kinds[number % kinds.len()].as_str();
        change(&numbered(kind, number), Action::Delete, Vec::new())
    };
    let text = of(fixture::contents((0..CHANGES).map(delete).collect()));
    let line = text.lines().find(|line| line.contains("**deleted**")).expect("a line");
    let mut count: BTreeMap<bool, usize> = BTreeMap::new();
    line.split(", ").for_each(|name| *count.entry(name.contains('`')).or_default() += 1);
    assert_eq!(count[&true], 20);
    assert!(line.ends_with(" and 480 more"), "{line}");
}
