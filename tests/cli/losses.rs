//! A plan that loses reachability is refused without `--allow-loss`.

use serde_json::Value;

use super::location::{EXAMPLE, Ran, TestFolder};

/// The option that permits the move.
const MOVE: &str = "--replace subnet/cluster/stargate-aks-router-subnet";

/// The topology moves the router, but the route table to it is not owned.
fn losing() -> TestFolder {
    let location = TestFolder::applied();
    location.run("sandbox break tag-removed").exits(0);
    let moved = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    assert_ne!(moved, EXAMPLE);
    location.write("stargate.toml", moved);
    location
}

/// The output names lost pairs and the resource that drops them.
#[track_caller]
fn names_the_losses(text: &str) {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("loses"), "{text}");
    assert!(text.contains(", for example ") && text.contains(", because of "), "{text}");
    assert!(text.contains("--allow-loss"), "{text}");
}

#[track_caller]
fn is_refused(ran: Ran) {
    let ran = ran.exits(5);
    assert!(ran.err.contains("error[SG0513]"), "{}", ran.err);
    names_the_losses(&ran.err);
}

/// The apply makes changes; what remains is blocked by the foreign route table.
#[track_caller]
fn goes_through(location: &TestFolder, before: &Value, ran: &Ran) {
    assert!(!ran.err.contains("SG0513"), "{}", ran.err);
    assert!(ran.err.contains(" changes made."), "{}", ran.err);
    assert_ne!(*before, changes(location), "{}", ran.err);
}

fn changes(location: &TestFolder) -> Value {
    let ran = location.run(&format!("plan {MOVE} --sandbox --format json"));
    let plan: Value = serde_json::from_str(&ran.out).expect("JSON");
    plan["changes"].clone()
}

#[test]
fn a_plan_shows_lost_pairs() {
    let location = losing();
    let plan = location.run(&format!("plan {MOVE} --sandbox")).exits(5);
    names_the_losses(&plan.out);
    let json: Value =
        serde_json::from_str(&location.run(&format!("plan {MOVE} --sandbox --format json")).out)
            .expect("JSON");
    let found = &json["reachability"];
    let lost = found["lost"].as_u64().expect("a count");
    let reasons = found["losses"].as_array().expect("a list");
    let pairs: u64 = reasons.iter().filter_map(|loss| loss["pairs"].as_u64()).sum();
    assert!(lost > 0 && pairs == lost, "{found}");
    assert!(reasons.iter().all(|loss| loss["resource"].is_string()), "{found}");
    let comment = location.run(&format!("plan {MOVE} --sandbox --format markdown")).out;
    assert!(comment.contains("Reachability: ") && comment.contains("**loses**"), "{comment}");
    let allowed = location.run(&format!("plan {MOVE} --sandbox --allow-loss"));
    assert!(!allowed.out.contains("--allow-loss"), "{}", allowed.out);
}

#[test]
fn an_apply_that_loses_pairs_needs_permission() {
    let location = losing();
    let before = changes(&location);
    is_refused(location.run(&format!("apply {MOVE} --sandbox --yes")));
    assert_eq!(changes(&location), before);
    let ran = location.run(&format!("apply {MOVE} --sandbox --yes --allow-loss"));
    goes_through(&location, &before, &ran);
}

#[test]
fn a_saved_plan_that_loses_pairs_needs_permission() {
    let location = losing();
    let before = changes(&location);
    location.run(&format!("plan {MOVE} --sandbox --out plan.json")).exits(5);
    is_refused(location.run(&format!("apply --sandbox {MOVE} plan.json")));
    assert_eq!(changes(&location), before);
    location.run(&format!("plan {MOVE} --sandbox --allow-loss --out plan.json"));
    // The file permits neither the replacement nor the loss.
    location.run("apply --sandbox plan.json").fails(5, "SG0532", "--replace subnet/cluster/");
    is_refused(location.run(&format!("apply --sandbox {MOVE} plan.json")));
    assert_eq!(changes(&location), before);
    let ran = location.run(&format!("apply --sandbox {MOVE} --allow-loss plan.json"));
    goes_through(&location, &before, &ran);
}

#[test]
fn a_signed_plan_keeps_its_permissions() {
    let location = losing();
    let before = changes(&location);
    let signed = |line: &str| {
        Ran::of(
            location.command(line).env("STARGATE_PLAN_KEY", "a key of at least thirty-two bytes"),
        )
    };
    signed(&format!("plan {MOVE} --sandbox --allow-loss --out plan.json"));
    let ran = signed("apply --sandbox plan.json");
    goes_through(&location, &before, &ran);
}
