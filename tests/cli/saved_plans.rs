//! Saved plans are applied exactly or refused.

use serde_json::Value;

use super::location::{EXAMPLE, TestFolder};

/// A deployment with drift, and a saved plan to correct it.
fn planned() -> TestFolder {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    location.run("plan --sandbox --out plan.json").exits(0);
    location
}

/// Replaces the saved plan; it must be refused without a change.
#[track_caller]
fn refused(location: &TestFolder, plan: impl AsRef<[u8]>, exit: i32, code: &str, words: &str) {
    location.write("plan.json", plan);
    let before = location.contents();
    location.run("apply --sandbox plan.json").fails(exit, code, words);
    assert_eq!(location.contents(), before);
}

#[test]
fn a_saved_plan_is_applied_once() {
    let location = planned();
    location.run("apply --sandbox plan.json").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
    let again = location.run("apply --sandbox plan.json");
    assert!(again.code == 0 || again.code == 4, "{again:?}");
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

#[test]
fn invalid_plans_are_refused() {
    let location = planned();
    let plan = location.read("plan.json");
    for end in [0, 1, plan.len() / 3, plan.len() / 2, plan.len() - 3] {
        refused(&location, &plan[..end], 1, "SG0505", "not a saved plan or is damaged");
    }
    refused(&location, "{}", 1, "SG0505", "it is not a saved plan");
    refused(&location, "[1, 2]", 1, "SG0505", "it is not a saved plan");
    refused(&location, b"\xff\xfe\0", 1, "SG0505", "it is not UTF-8");
    refused(&location, EXAMPLE, 1, "SG0505", "not a saved plan or is damaged");
    let edited = plan.replacen("10.237.0.4", "10.237.0.5", 1);
    assert_ne!(edited, plan);
    refused(&location, edited, 1, "SG0505", "checksum mismatch");
    let missing = location.run("apply --sandbox nothing.json");
    missing.fails(1, "SG0115", "the plan `nothing.json` cannot be read");
    location.run("apply --sandbox .stargate").fails(1, "SG0115", "cannot be read");
}

#[test]
fn a_plan_of_another_version_is_refused() {
    let location = planned();
    let sealed: Value = serde_json::from_str(&location.read("plan.json")).expect("JSON");
    let mut other = sealed.clone();
    other["saved_plan"]["stargate_version"] = "9.9.9".into();
    refused(&location, other.to_string(), 1, "SG0506", "made by stargate 9.9.9");
    let mut other = sealed;
    other["saved_plan"]["format_version"] = 99.into();
    refused(&location, other.to_string(), 1, "SG0506", "(format 99)");
}

#[test]
fn a_plan_of_another_topology_is_refused() {
    let location = planned();
    let plan = location.read("plan.json");
    location.write("stargate.toml", EXAMPLE.replace("10.244.66.0/24", "10.244.67.0/24"));
    refused(&location, &plan, 4, "SG0507", "the topology file was changed since");
    let other = EXAMPLE.replacen("name = \"stargate-aks-e2e-2\"", "name = \"another\"", 1);
    location.write("stargate.toml", other);
    refused(&location, &plan, 4, "SG0507", "it is for `stargate-aks-e2e-2`");
}

#[test]
fn a_plan_is_stale_after_the_infrastructure_changed() {
    let location = planned();
    location.run("sandbox break route-wrong-hop").exits(0);
    let ran = location.run("apply --sandbox plan.json").exits(4);
    assert!(ran.err.contains("SG0504") && ran.err.contains("create a new plan"), "{}", ran.err);
    location.run("apply --sandbox --yes").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// An error that forbids all changes now forbids those of an earlier saved plan, too.
#[test]
fn an_error_found_since_stops_a_saved_plan() {
    let location = planned();
    let state_file = location.read(".stargate/sandbox/state.json");
    let unfit =
        state_file.replace(r#""networkPluginMode":"overlay""#, r#""networkPluginMode":"none""#);
    assert_ne!(unfit, state_file);
    location.write(".stargate/sandbox/state.json", unfit);
    location.run("apply --sandbox plan.json").fails(5, "SG0410", "Azure CNI without the");
    let fit = location.read(".stargate/sandbox/state.json");
    let fit = fit.replace(r#""networkPluginMode":"none""#, r#""networkPluginMode":"overlay""#);
    location.write(".stargate/sandbox/state.json", fit);
    location.run("plan --sandbox --detailed-exitcode").exits(2);
    location.run("apply --sandbox plan.json").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

#[test]
fn a_plan_that_cannot_be_saved_is_an_error() {
    let location = TestFolder::new();
    let ran = location.run("plan --sandbox --out nowhere/plan.json").exits(1);
    assert!(ran.err.contains("could not write") && ran.err.contains("help: "), "{}", ran.err);
}

#[test]
fn foreign_objects_change_only_after_adoption() {
    let location = TestFolder::applied();
    location.run("sandbox break tag-removed").exits(0);
    let plan = location.run("plan --sandbox").exits(5);
    assert!(plan.out.contains("SG0501"), "{}", plan.out);
    assert!(plan.out.contains("--adopt"), "{}", plan.out);
    location.run("apply --sandbox --yes").exits(5);
    location.run("apply --sandbox --yes --adopt route-table/cluster/stargate-workers-rt").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// Resources that drifted after the plan was saved stay unchanged, and the output does not
/// claim a match.
#[test]
fn newer_drift_is_reported_beside_the_saved_changes() {
    let location = planned();
    location.run("sandbox break forwarding-off").exits(0);
    location.run("sandbox break cilium-node-empty").exits(0);
    for (count, made) in [("1 change made", 0), ("0 changes made", 1)] {
        let ran = location.run("apply --sandbox plan.json").exits(0);
        let err = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "contains 2 other changes that the saved plan does not, and that this apply does not make",
            "router-host/dc1/stargate-aks-e2e-2-dc-router updated",
            "cilium-node/dc1/stargate-aks-e2e-2-worker-1 updated",
            count,
            "2 other changes remain: `stargate plan` shows them.",
        ] {
            assert!(err.contains(part), "{made}: no `{part}` in\n{}", ran.err);
        }
        assert!(!ran.err.contains("matches the topology"), "{}", ran.err);
        assert!(!ran.out.contains("matches the topology"), "{}", ran.out);
    }
    location.run("plan --sandbox --detailed-exitcode").exits(2);
}

/// The later iterations of a saved plan make its deferred changes, and leave drift of others for
/// a plan of its own.
#[test]
fn drift_beside_deferred_changes_of_a_saved_plan_remains() {
    let location = TestFolder::applied();
    location.write("stargate.toml", EXAMPLE.replace("\nmin = 2 ", "\nmin = 3 "));
    let plan = location.run("plan --sandbox --out plan.json").exits(0);
    assert!(plan.out.contains("Deferred: "), "{}", plan.out);
    location.run("sandbox break forwarding-off stargate-aks-e2e-2-dc-router").exits(0);
    location.run("sandbox break cilium-node-empty").exits(0);
    for made in ["changes made", "0 changes made"] {
        let ran = location.run("apply --sandbox plan.json").exits(0);
        let err = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "cilium-node/dc1/stargate-aks-e2e-2-worker-1 updated",
            "1 other change remains: `stargate plan` shows it.",
            made,
        ] {
            assert!(err.contains(part), "no `{part}` in\n{}", ran.err);
        }
        assert!(!err.contains("matches the topology"), "{}", ran.err);
    }
    let left = location.run("plan --sandbox --detailed-exitcode").exits(2);
    assert!(left.out.contains("0 to add, 1 to change, 0 to replace"), "{}", left.out);
}

/// Pairs that only an omitted change would restore are no failure of what was applied.
#[test]
fn broken_pairs_beside_a_saved_plan_of_several_iterations_remain() {
    let location = TestFolder::applied();
    location.write("stargate.toml", EXAMPLE.replace("\nmin = 2 ", "\nmin = 3 "));
    location.run("plan --sandbox --out plan.json").exits(0);
    location.run("sandbox break tailnet-route-unapproved stargate-aks-e2e-2-dc-router").exits(0);
    let ran = location.run("apply --sandbox plan.json").exits(0);
    let err = ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(err.contains("other change remains: `stargate plan` shows it."), "{}", ran.err);
    assert!(!err.contains("matches the topology"), "{}", ran.err);
    location.run("apply --sandbox --yes").exits(0);
    location.run("drift --sandbox").exits(0);
}

/// A reviewer sees the interruptions of deferred deletions in a comment, too.
#[test]
fn a_comment_lists_deferred_deletions_and_their_interruptions() {
    let location = TestFolder::applied();
    let other =
        EXAMPLE.replace("\nvm_size = \"Standard_D2ads_v5\"", "\nvm_size = \"Standard_D8s_v5\"");
    location.write("stargate.toml", &other);
    let text = location.run("plan --sandbox").out;
    let comment = location.run("plan --sandbox --format markdown").out;
    let interruption = "the nodes of pool nodepool1 are drained and deleted";
    assert!(text.contains(interruption), "{text}");
    assert!(comment.contains(&format!("**interrupts** {interruption}")), "{comment}");
    assert!(comment.contains("**deleted**: `node-pool/cluster/nodepool1"), "{comment}");
}
