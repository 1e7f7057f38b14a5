//! A newcomer's first hour.

use super::place::{Place, applied};

#[test]
fn the_first_command_of_the_readme_does_what_it_says() {
    let ran = &applied().1;
    assert!(ran.out.contains("\nPlan: "), "{}", ran.out);
    assert!(ran.err.trim_end().ends_with("the world matches the topology."), "{}", ran.err);
}

#[test]
fn after_an_apply_there_is_nothing_left_to_do() {
    let place = Place::applied();
    let plan = place.run("plan --sandbox --detailed-exitcode").exits(0);
    assert_eq!(plan.out, "No changes. The world matches the topology.\n");
    let drift = place.run("drift --sandbox").exits(0);
    assert_eq!(drift.out, "No drift. The world matches the topology.\n");
    let again = place.run("apply --sandbox").exits(0);
    assert_eq!(again.out, plan.out, "no approval is needed for nothing");
}

#[test]
fn what_is_broken_is_found_and_mended() {
    let place = Place::applied();
    place.run("sandbox break route-missing").exits(0);
    let drift = place.run("drift --sandbox").exits(2);
    assert!(drift.out.contains("  ~ route-table/cluster/stargate-workers-rt\n"), "{}", drift.out);
    assert!(drift.out.ends_with("Drift: 0 to add, 1 to change, 0 to replace, 0 to destroy.\n"));
    place.run("plan --sandbox").exits(0);
    place.run("plan --sandbox --detailed-exitcode").exits(2);
    let refused = place.run("apply --sandbox").exits(1);
    assert!(refused.err.contains("SG0508") && refused.err.contains("--yes"), "{}", refused.err);
    place.run("apply --sandbox --yes").exits(0);
    place.run("drift --sandbox").exits(0);
}

#[test]
fn a_new_topology_is_valid_and_is_not_overwritten() {
    let place = Place::empty();
    let written = place.run("init").exits(0);
    assert_eq!(written.out, "");
    assert!(written.err.contains("stargate validate"), "{}", written.err);
    let valid = place.run("validate").exits(0);
    assert_eq!(valid.out, "stargate.toml is valid: 1 datacenter, 2 workers\n");
    let before = place.contents();
    let refused = place.run("init").exits(1);
    assert!(refused.err.contains("is there already") && refused.err.contains("help: "));
    assert_eq!(place.contents(), before);
    let planned = place.run("plan --sandbox").exits(0);
    assert!(planned.out.contains("topology `my-stargate`"), "{}", planned.out);
}

#[test]
fn nothing_is_left_after_a_destroy() {
    let place = Place::applied();
    let refused = place.run("destroy --sandbox").exits(1);
    assert!(refused.err.contains("SG0508"), "{}", refused.err);
    place.run("destroy --sandbox --yes").exits(0);
    let again = place.run("destroy --sandbox --yes").exits(0);
    assert_eq!(again.out, "Nothing to destroy. Nothing of the topology is left.\n");
}
