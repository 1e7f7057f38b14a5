//! `repave` and `reboot`.

use serde_json::Value;

use super::location::{TestFolder, too_wide};

const FIRST: &str = "stargate-aks-e2e-2-worker-1";

#[test]
fn an_unknown_worker_is_an_error_with_a_suggestion() {
    let location = TestFolder::new();
    for command in ["repave", "reboot"] {
        let line = format!("{command} stargate-aks-e2e-2-worker-3 --sandbox --yes");
        let ran =
            location.run(&line).fails(64, "SG0516", "has no worker `stargate-aks-e2e-2-worker-3`");
        assert!(ran.err.contains("did you mean `stargate-aks-e2e-2-worker-1`?"), "{}", ran.err);
        location.run(&format!("{command} --sandbox")).exits(64);
        // The worker does not exist yet.
        let ran = location.run(&format!("{command} {FIRST} --sandbox --yes")).exits(5);
        assert!(ran.out.contains("SG0515"), "{}", ran.out);
    }
}

#[test]
fn a_repave_and_a_reboot() {
    let location = TestFolder::applied();
    let requested = location.run(&format!("repave {FIRST} --sandbox")).exits(1);
    assert!(requested.err.contains("[SG0508]"), "{}", requested.err);
    assert_eq!(too_wide(&requested.out), Vec::<&str>::new());
    insta::assert_snapshot!("repave", requested.out);
    let ran = location.run(&format!("repave {FIRST} --sandbox --yes -v")).exits(0);
    for part in ["drain", "reset", "removal of the Node", "container runtime", "node ready"] {
        let line = format!("    worker/dc1/{FIRST}: {part} (");
        assert!(ran.err.contains(&line), "no `{line}` in:\n{}", ran.err);
    }
    assert!(ran.err.ends_with("Repave complete: 2 changes made.\n"), "{}", ran.err);
    let ran = location.run(&format!("reboot {FIRST} stargate-aks-e2e-2-worker-2 --sandbox --yes"));
    let ran = ran.exits(0);
    insta::assert_snapshot!("reboot", ran.out);
    assert!(ran.err.ends_with("Reboot complete: 2 changes made.\n"), "{}", ran.err);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
    let status = location.run("status --sandbox").exits(0).out;
    assert!(status.contains("Ready  1.33.5   applied  reboot succeeded"), "{status}");
    let status = location.run("status --sandbox --format json").exits(0).out;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let rows = status["resources"].as_array().expect("rows");
    let row = rows.iter().find(|row| row["name"] == FIRST).expect("the worker");
    assert_eq!(row["worker"]["node_ready"], true);
    assert_eq!(row["worker"]["profile_applied"], true);
    assert_eq!(row["worker"]["last_operation"]["kind"], "reboot");
    assert!(row["worker"]["last_operation"]["completed"].is_string());
}

#[test]
fn phases_of_a_reboot_are_json_events() {
    let location = TestFolder::applied();
    let ran = location.run(&format!("reboot {FIRST} --sandbox --yes --format json")).exits(0);
    let lines: Vec<Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let phases: Vec<&str> = lines
        .iter()
        .filter(|line| line["type"] == "phase-finished")
        .filter_map(|line| line["phase"].as_str())
        .collect();
    assert_eq!(phases, ["cordon", "drain", "restart", "node ready"]);
}

#[test]
fn the_waves_of_a_plan_are_shown_in_every_format() {
    let location = TestFolder::applied();
    let profile = "[profiles.azure-k8s-worker]\nkubernetes_version = \"1.33";
    let topology = location.read("stargate.toml");
    assert!(topology.contains(profile));
    location.write("stargate.toml", topology.replace(profile, &format!("{profile}.8")));
    let plan = location.run("plan --sandbox --format json").exits(0).out;
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    let workers = [1, 2].map(|number| format!("worker/dc1/stargate-aks-e2e-2-worker-{number}"));
    assert_eq!(plan["rollout"]["waves"], serde_json::json!([[workers[0]], [workers[1]]]));
    assert_eq!((&plan["rollout"]["canary"], &plan["rollout"]["width"]), (&1.into(), &1.into()));
    let changes = plan["changes"].as_array().expect("changes");
    let wave = |address: &str| {
        let change = changes.iter().find(|change| change["address"] == address);
        change.expect("a change")["wave"].clone()
    };
    assert_eq!([wave(&workers[0]), wave(&workers[1])], [1, 2]);
    let text = location.run("plan --sandbox").exits(0).out;
    assert!(text.contains("Rollout: 2 workers in 2 waves, one after the other;"), "{text}");
    let markdown = location.run("plan --sandbox --format markdown").exits(0).out;
    let note = "**rollout**: 2 workers in 2 waves: 1 first, then at most 1 of a datacenter \
                disturbed at the same time";
    assert!(markdown.contains(note), "{markdown}");
}
