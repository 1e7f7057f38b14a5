//! The output of `plan`, `status`, `routes` and `apply`.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::location::{Ran, TestFolder, too_wide};

fn json(ran: &Ran) -> Value {
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    let version = value["format_version"].as_str();
    // The format of plans has a minor version of its own.
    let expected = if value["changes"].is_array() { "2.1" } else { "2.0" };
    assert_eq!(version, Some(expected));
    value
}

#[test]
fn the_plan_of_a_new_deployment() {
    let location = TestFolder::new();
    let ran = location.run("plan --sandbox").exits(0);
    assert_eq!((too_wide(&ran.out), ran.err.as_str()), (vec![], ""));
    insta::assert_snapshot!("plan_of_a_new_deployment", ran.out);
    let full = location.run("plan --sandbox --full").exits(0);
    assert!(full.out.lines().count() > ran.out.lines().count());
}

#[test]
fn the_plan_as_json_and_markdown() {
    let location = TestFolder::new();
    let text = location.run("plan --sandbox").exits(0).out;
    let plan = json(&location.run("plan --sandbox --format json").exits(0));
    let schema = json_of(&location.run("plan --sandbox --format json"));
    assert_eq!(schema, plan, "the same state gives the same plan");
    let target = &plan["target"];
    assert_eq!(
        (&target["cloud"], &target["cluster"]),
        (&"sandbox".into(), &"stargate-aks-e2e-2".into()),
        "{target}"
    );
    let added = plan["summary"]["add"].as_u64().expect("a count");
    assert!(added > 0 && text.contains(&format!("Plan: {added} to add")), "{text}");
    assert!(plan["deferred"].as_array().expect("a list").len() > 10);
    let comment = location.run("plan --sandbox --format markdown").exits(0).out;
    assert!(comment.starts_with("### Plan for `stargate-aks-e2e-2`\n"), "{comment}");
    assert!(comment.len() < 60_000);
    insta::assert_snapshot!("plan_as_markdown", comment);
}

fn json_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).expect("JSON")
}

#[test]
fn status_and_routes_before_and_after() {
    let new = TestFolder::new();
    insta::assert_snapshot!("status_of_a_new_deployment", new.run("status --sandbox").exits(0).out);
    let location = TestFolder::applied();
    let status = location.run("status --sandbox").exits(0);
    let routes = location.run("routes --sandbox").exits(0);
    assert_eq!(too_wide(&status.out), Vec::<&str>::new());
    insta::assert_snapshot!("status", status.out);
    let number = regex::Regex::new("-[0-9]{8}-").expect("a pattern");
    insta::assert_snapshot!("routes", number.replace_all(&routes.out, "-00000000-"));
    for (command, rows) in [("status", "resources"), ("routes", "routes")] {
        let output = location.run(&format!("{command} --sandbox --format json")).exits(0);
        assert!(json(&output)[rows].as_array().expect("rows").len() >= 5);
    }
}

/// Sites of existing machines need no Azure route tables.
#[test]
fn bare_metal_has_all_its_routes() {
    let location = TestFolder::with(include_str!("../../examples/bare-metal/stargate.toml"));
    location.run("apply --sandbox --yes").exits(0);
    location.run("plan --sandbox --deep --detailed-exitcode").exits(0);
    let routes = location.run("routes --sandbox").exits(0).out;
    assert!(!routes.contains("MISSING") && !routes.contains("WRONG"), "{routes}");
    assert!(routes.lines().any(|line| line.contains("press-line")), "{routes}");
}

#[test]
fn routes_show_missing_and_wrong_entries() {
    for (fault, prefix, word) in [
        ("route-missing", "10.", "MISSING"),
        ("route-wrong-hop", "10.", "WRONG"),
        ("tailnet-route-unapproved", "10.", "MISSING"),
        ("kernel-route-missing", "10", "MISSING"),
        ("cilium-node-empty", "10.244.6", "MISSING"),
        ("dc-route-missing", "10.244.6", "MISSING"),
    ] {
        let location = TestFolder::applied();
        location.run(&format!("sandbox break {fault}")).exits(0);
        let routes = location.run("routes --sandbox").exits(0).out;
        let hit = routes.lines().any(|line| line.starts_with(prefix) && line.contains(word));
        assert!(hit, "{fault}:\n{routes}");
    }
}

#[test]
fn an_apply_writes_one_json_line_for_each_event() {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    let ran = location.run("apply --sandbox --yes --format json").exits(0);
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() > 2, "{}", ran.out);
    assert_eq!(lines[0]["format_version"], "2.2");
    let last = lines.last().expect("a line");
    assert_eq!((&last["type"], &last["outcome"]), (&"step-finished".into(), &"done".into()));
    assert!(last["duration_ms"].is_u64(), "{last}");
}

#[test]
fn an_unread_source_is_not_reported_as_a_match() {
    let location = TestFolder::applied();
    // Retries end within a minute.
    location.run("sandbox break source-down kubernetes").exits(0);
    let started = Instant::now();
    let plan = location.run("plan --sandbox").exits(1);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(plan.out.contains("warning[SG0618]: Kubernetes could not be read"), "{}", plan.out);
    assert!(!plan.out.contains("infrastructure matches"), "{}", plan.out);
    location.run("sandbox break source-down none").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}
