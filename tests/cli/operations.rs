//! Operations that are requested in the cluster, run by `stargate watch` as a process.

use std::time::Duration;

use serde_json::{Value, json};

use super::location::TestFolder;
use super::one_meaning::edit;
use super::sandbox_folder::Serving;
use super::watch::Watch;

const WORKER: &str = "stargate-aks-e2e-2-worker-1";

/// Creates an Operation in the state of a sandbox that no process uses.
fn request(location: &TestFolder, name: &str, operation: &str) {
    edit(location, |sandbox| {
        let operations = &mut sandbox["kubernetes"]["objects"]["operations.stargate.io"];
        assert!(operations.is_object(), "the records of the joins");
        operations[format!("stargate/{name}")] = json!({
            "apiVersion": "stargate.io/v1alpha1", "kind": "Operation",
            "metadata": {
                "name": name, "namespace": "stargate", "uid": format!("uid-of-{name}"),
                "generation": 1, "resourceVersion": "1",
                "creationTimestamp": "2026-01-02T03:04:05Z",
            },
            "spec": {
                "serverRef": { "name": WORKER },
                "provisioningProfileRef": { "name": "azure-k8s-worker" },
                "operation": operation,
            },
        });
    });
}

fn status(location: &TestFolder, name: &str) -> Value {
    let state = location.read(".stargate/sandbox/state.json");
    let state: Value = serde_json::from_str(&state).expect("JSON");
    let operations = &state["sandbox"]["kubernetes"]["objects"]["operations.stargate.io"];
    operations[format!("stargate/{name}")]["status"].clone()
}

/// Waits until an attempt runs.
fn runs(location: &TestFolder, name: &str, attempt: u64) {
    for _ in 0..6_000 {
        let status = status(location, name);
        if status["phase"] == "Running" && status["attempts"] == attempt {
            return;
        }
        assert_ne!(status["phase"], "Succeeded", "it was not interrupted: {status}");
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("attempt {attempt} does not begin");
}

#[test]
fn a_repave_survives_kills_of_the_process() {
    let location = TestFolder::applied();
    request(&location, "new-image", "repave");
    // The sandbox outlives the process that is killed.
    let serving = Serving::start(&location);
    // A process that is killed leaves its leases until they expire.
    for attempt in 1..=3 {
        let watch = Watch::with(&location, &["--no-lease"]);
        runs(&location, "new-image", attempt);
        watch.send("KILL");
        assert_eq!(watch.ends(), None, "a signal ended it");
    }
    let mut watch = Watch::with(&location, &["--no-lease"]);
    let ended = watch.awaits("operation", |event| event["phase"] == "Succeeded");
    assert_eq!((&ended["name"], &ended["server"]), (&json!("new-image"), &json!(WORKER)));
    watch.send("TERM");
    assert_eq!(watch.ends(), Some(0));
    drop(serving);
    let status = status(&location, "new-image");
    assert_eq!(
        (&status["phase"], &status["attempts"]),
        (&json!("Succeeded"), &json!(4)),
        "{status}"
    );
    location.run("plan --sandbox --detailed-exitcode").exits(0);
    let table = location.run("status --sandbox").exits(0).out;
    assert!(table.contains("repave"), "the last operation of the worker:\n{table}");
}
