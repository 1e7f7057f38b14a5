//! What people and machines read.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::place::{Place, Ran, too_wide};

fn json(ran: &Ran) -> Value {
    let value: Value = serde_json::from_str(&ran.out).expect("JSON");
    assert_eq!(value["format_version"], "1.0");
    value
}

#[test]
fn the_plan_of_a_new_world() {
    let place = Place::new();
    let ran = place.run("plan --sandbox").exits(0);
    assert_eq!((too_wide(&ran.out), ran.err.as_str()), (vec![], ""));
    insta::assert_snapshot!("plan_of_a_new_world", ran.out);
    let full = place.run("plan --sandbox --full").exits(0);
    assert!(full.out.lines().count() > ran.out.lines().count());
}

#[test]
fn the_plan_for_machines_and_for_a_comment() {
    let place = Place::new();
    let text = place.run("plan --sandbox").exits(0).out;
    let plan = json(&place.run("plan --sandbox --format json").exits(0));
    let schema = json_of(&place.run("plan --sandbox --format json"));
    assert_eq!(schema, plan, "the same world gives the same plan");
    let added = plan["summary"]["add"].as_u64().expect("a count");
    assert!(added > 0 && text.contains(&format!("Plan: {added} to add")), "{text}");
    assert!(plan["deferred"].as_array().expect("a list").len() > 10);
    let comment = place.run("plan --sandbox --format markdown").exits(0).out;
    assert!(comment.starts_with("### Plan for `stargate-aks-e2e-2`\n"), "{comment}");
    assert!(comment.len() < 60_000);
    insta::assert_snapshot!("plan_as_a_comment", comment);
}

fn json_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).expect("JSON")
}

#[test]
fn status_and_routes_before_and_after() {
    let new = Place::new();
    insta::assert_snapshot!("status_of_a_new_world", new.run("status --sandbox").exits(0).out);
    let place = Place::applied();
    let status = place.run("status --sandbox").exits(0);
    let routes = place.run("routes --sandbox").exits(0);
    assert_eq!(too_wide(&status.out), Vec::<&str>::new());
    insta::assert_snapshot!("status", status.out);
    let number = regex::Regex::new("-[0-9]{8}-").expect("a pattern");
    insta::assert_snapshot!("routes", number.replace_all(&routes.out, "-00000000-"));
    for line in ["status --sandbox --format json", "routes --sandbox --format json"] {
        assert!(json(&place.run(line).exits(0))["rows"].as_array().expect("rows").len() >= 5);
    }
}

/// Machines that are there already have no fabric that would need their routes.
#[test]
fn bare_metal_is_applied_and_lacks_nothing() {
    let place = Place::with(include_str!("../../examples/bare-metal/stargate.toml"));
    place.run("apply --sandbox --yes").exits(0);
    place.run("plan --sandbox --deep --detailed-exitcode").exits(0);
    let routes = place.run("routes --sandbox").exits(0).out;
    assert!(!routes.contains("MISSING") && !routes.contains("WRONG"), "{routes}");
    assert!(routes.lines().any(|line| line.contains("press-line")), "{routes}");
}

#[test]
fn routes_show_what_is_missing_and_where() {
    for (fault, prefix, word) in [
        ("route-missing", "10.", "MISSING"),
        ("route-wrong-hop", "10.", "WRONG"),
        ("tailnet-route-unapproved", "10.", "MISSING"),
        ("kernel-route-missing", "10", "MISSING"),
        ("cilium-node-empty", "10.244.6", "MISSING"),
        ("dc-route-missing", "10.244.6", "MISSING"),
    ] {
        let place = Place::applied();
        place.run(&format!("sandbox break {fault}")).exits(0);
        let routes = place.run("routes --sandbox").exits(0).out;
        let hit = routes.lines().any(|line| line.starts_with(prefix) && line.contains(word));
        assert!(hit, "{fault}:\n{routes}");
    }
}

#[test]
fn an_apply_for_machines_is_a_line_for_each_event() {
    let place = Place::applied();
    place.run("sandbox break route-missing").exits(0);
    let ran = place.run("apply --sandbox --yes --format json").exits(0);
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.len() > 2, "{}", ran.out);
    assert_eq!(lines[0]["format_version"], "1.0");
}

#[test]
fn what_a_service_hides_is_not_called_a_match() {
    let place = Place::applied();
    // Nor is it waited for much longer than a pause of the service's would take.
    place.run("sandbox break source-down kubernetes").exits(0);
    let started = Instant::now();
    let plan = place.run("plan --sandbox").exits(1);
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(plan.out.contains("warning[SG0409]: Kubernetes could not be read"), "{}", plan.out);
    assert!(!plan.out.contains("The world matches"), "{}", plan.out);
    place.run("sandbox break source-down none").exits(0);
    place.run("plan --sandbox --detailed-exitcode").exits(0);
}
