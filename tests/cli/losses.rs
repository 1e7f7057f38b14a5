//! A plan that cuts pods off from each other is refused, unless it is allowed.

use serde_json::Value;

use super::location::{EXAMPLE, Ran, TestFolder};

/// The router is to move, and the table that leads to it may not be changed.
fn losing() -> TestFolder {
    let location = TestFolder::applied();
    location.run("sandbox break tag-removed").exits(0);
    let moved = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    assert_ne!(moved, EXAMPLE);
    location.write("stargate.toml", moved);
    location
}

/// Which pairs, and for which fact.
#[track_caller]
fn names_the_losses(text: &str) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("loses"), "{text}");
    assert!(text.contains("such as") && text.contains(", for "), "{text}");
    assert!(text.contains("--allow-loss"), "{text}");
}

#[track_caller]
fn is_refused(ran: Ran) {
    let ran = ran.exits(5);
    assert!(ran.err.contains("error[SG0513]"), "{}", ran.err);
    names_the_losses(&ran.err);
}

/// What is left is blocked: the table is somebody else's. But it was begun.
#[track_caller]
fn goes_through(location: &TestFolder, before: &Value, ran: &Ran) {
    assert!(!ran.err.contains("SG0513"), "{}", ran.err);
    assert!(ran.err.contains("changes: "), "{}", ran.err);
    assert_ne!(*before, changes(location), "{}", ran.err);
}

fn changes(location: &TestFolder) -> Value {
    let ran = location.run("plan --sandbox --format json");
    let plan: Value = serde_json::from_str(&ran.out).expect("JSON");
    plan["changes"].clone()
}

#[test]
fn a_plan_tells_what_it_would_lose() {
    let location = losing();
    let plan = location.run("plan --sandbox").exits(5);
    names_the_losses(&plan.out);
    let json: Value =
        serde_json::from_str(&location.run("plan --sandbox --format json").out).expect("JSON");
    let found = &json["reachability"];
    let lost = found["lost"].as_u64().expect("a count");
    let reasons = found["losses"].as_array().expect("a list");
    let pairs: u64 = reasons.iter().filter_map(|loss| loss["pairs"].as_u64()).sum();
    assert!(lost > 0 && pairs == lost, "{found}");
    assert!(reasons.iter().all(|loss| loss["resource"].is_string()), "{found}");
    let comment = location.run("plan --sandbox --format markdown").out;
    assert!(comment.contains("Reachability: ") && comment.contains("**loses**"), "{comment}");
    let allowed = location.run("plan --sandbox --allow-loss");
    assert!(!allowed.out.contains("--allow-loss"), "{}", allowed.out);
}

#[test]
fn an_apply_refuses_to_lose_pairs_unless_it_is_allowed() {
    let location = losing();
    let before = changes(&location);
    is_refused(location.run("apply --sandbox --yes"));
    assert_eq!(changes(&location), before);
    let ran = location.run("apply --sandbox --yes --allow-loss");
    goes_through(&location, &before, &ran);
}

#[test]
fn a_kept_plan_that_loses_pairs_is_refused_unless_it_was_allowed() {
    let location = losing();
    let before = changes(&location);
    location.run("plan --sandbox --out plan.json").exits(5);
    is_refused(location.run("apply --sandbox plan.json"));
    assert_eq!(changes(&location), before);
    location.run("plan --sandbox --allow-loss --out plan.json");
    let ran = location.run("apply --sandbox plan.json");
    goes_through(&location, &before, &ran);
}
