//! The first commands of a new user.

use super::location::{TestFolder, applied};

#[test]
fn the_first_command_of_the_readme_applies_the_example() {
    let ran = &applied().1;
    assert!(ran.out.contains("\nPlan: "), "{}", ran.out);
    assert!(
        ran.err.trim_end().ends_with("The infrastructure matches the topology."),
        "{}",
        ran.err
    );
}

#[test]
fn after_an_apply_there_are_no_changes() {
    let location = TestFolder::applied();
    let plan = location.run("plan --sandbox --detailed-exitcode").exits(0);
    assert_eq!(plan.out, "No changes. The infrastructure matches the topology.\n");
    let drift = location.run("drift --sandbox").exits(0);
    let reached = "Reachability: all 12 pairs reached";
    assert_eq!(
        drift.out,
        format!("{reached}\n\nNo drift. The infrastructure matches the topology.\n")
    );
    let again = location.run("apply --sandbox").exits(0);
    assert_eq!(again.out, plan.out, "an empty plan needs no approval");
}

#[test]
fn drift_is_found_and_corrected() {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    let drift = location.run("drift --sandbox").exits(2);
    assert!(drift.out.contains("  ~ route-table/cluster/stargate-workers-rt\n"), "{}", drift.out);
    assert!(drift.out.ends_with("Drift: 0 to add, 1 to change, 0 to replace, 0 to destroy.\n"));
    location.run("plan --sandbox").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(2);
    let refused = location.run("apply --sandbox").exits(1);
    assert!(refused.err.contains("SG0508") && refused.err.contains("--yes"), "{}", refused.err);
    location.run("apply --sandbox --yes").exits(0);
    location.run("drift --sandbox").exits(0);
}

#[test]
fn a_new_topology_is_valid_and_is_not_overwritten() {
    let location = TestFolder::empty();
    let written = location.run("init").exits(0);
    assert_eq!(written.out, "");
    assert!(written.err.contains("stargate validate"), "{}", written.err);
    let valid = location.run("validate").exits(0);
    assert_eq!(valid.out, "stargate.toml is valid: 1 datacenter, 2 workers\n");
    let before = location.contents();
    let refused = location.run("init").exits(1);
    assert!(refused.err.contains("already exists") && refused.err.contains("help: "));
    assert_eq!(location.contents(), before);
    let planned = location.run("plan --sandbox").exits(0);
    assert!(planned.out.contains("topology `my-stargate`"), "{}", planned.out);
}

#[test]
fn after_a_destroy_no_resources_exist() {
    let location = TestFolder::applied();
    let refused = location.run("destroy --sandbox").exits(1);
    assert!(refused.err.contains("SG0508"), "{}", refused.err);
    location.run("destroy --sandbox --yes").exits(0);
    let status = location.run("status --sandbox").exits(0);
    assert!(status.out.ends_with("Nothing is deployed: `stargate apply` creates the resources.\n"));
    assert!(!status.out.contains("Reachability"), "{}", status.out);
    let again = location.run("destroy --sandbox --yes").exits(0);
    assert_eq!(again.out, "No changes. No resources of the topology exist.\n");
}

/// A foreign prefix in the tailnet does not concern a topology without remaining resources.
#[test]
fn a_repeated_destroy_succeeds_beside_a_foreign_prefix() {
    let location = TestFolder::applied();
    location.run("sandbox break prefix-served-twice").exits(0);
    location.run("plan --sandbox").exits(5);
    let first = location.run("destroy --sandbox --yes").exits(0);
    assert!(!first.out.contains("SG0407"), "{}", first.out);
    assert!(!first.out.contains("office-router"), "{}", first.out);
    let second = location.run("destroy --sandbox --yes").exits(0);
    assert_eq!(second.out, "No changes. No resources of the topology exist.\n");
}
