//! `stargate watch DIR` as a process: each topology of a folder has a watch of its own.

use std::collections::BTreeSet;

use serde_json::Value;

use super::location::{EXAMPLE, TestFolder};
use super::promtool;
use super::watch::{Watch, answer, sample};

pub(crate) const FIRST: &str = "stargate-aks-e2e-2";
pub(crate) const SECOND: &str = "stargate-aks-e2e-3";

fn text(topology: &str) -> String {
    EXAMPLE.replace("aks-e2e-2", topology.trim_start_matches("stargate-"))
}

/// A folder of two topologies that are applied, each with a sandbox of its own.
pub(crate) fn folder() -> TestFolder {
    let location = TestFolder::new();
    for (file, topology) in [("a", FIRST), ("b", SECOND)] {
        location.write(&format!("lab/{file}.toml"), text(topology));
        location
            .run(&format!(
                "apply -f lab/{file}.toml --sandbox=lab/.stargate/sandbox/{topology} --yes"
            ))
            .exits(0);
    }
    location
}

/// Waits until an event of that name that fits has come from each topology.
pub(crate) fn from_both(watch: &mut Watch, name: &str, fits: impl Fn(&Value) -> bool) {
    let mut missing = BTreeSet::from([FIRST, SECOND]);
    while !missing.is_empty() {
        let event = watch.awaits(name, &fits);
        missing.remove(event["topology"].as_str().unwrap_or_default());
    }
}

#[test]
fn each_topology_of_a_folder_is_watched_by_itself() {
    let location = folder();
    let mut watch = Watch::with(&location, &["lab", "--listen", "127.0.0.1:0"]);
    let listening = watch.awaits("listening", |_| true);
    let address = listening["address"].as_str().expect("an address").to_owned();
    from_both(&mut watch, "reconcile-finished", |event| event["result"] == "matches");
    let (status, _, readiness) = answer(&address, "GET /readyz");
    assert_eq!(status, 200, "{readiness}");
    assert!(readiness.contains(&format!("{SECOND}: leader lease: held")), "{readiness}");
    assert!(readiness.ends_with("topologies: 2\ninvalid files: 0\n"), "{readiness}");
    let metrics = answer(&address, "GET /metrics").2;
    for topology in [FIRST, SECOND] {
        let leader = format!("stargate_leader{{topology=\"{topology}\"}}");
        assert_eq!(sample(&metrics, &leader), Some(1.0), "{metrics}");
    }
    assert_eq!(metrics.matches("# TYPE stargate_leader gauge").count(), 1, "{metrics}");
    promtool::checks_metrics(&location, &metrics);

    location.write("lab/c.toml", "[stargate");
    let invalid = watch.awaits("file-invalid", |_| true);
    assert!(invalid["file"].as_str().is_some_and(|it| it.ends_with("c.toml")), "{invalid}");
    let metrics = answer(&address, "GET /metrics").2;
    assert_eq!(sample(&metrics, "stargate_invalid_files"), Some(1.0), "{metrics}");
    std::fs::remove_file(location.path("lab/c.toml")).expect("it is removed");
    std::fs::rename(location.path("lab/a.toml"), location.path("lab/z.toml")).expect("a rename");
    let moved = watch.awaits("file-moved", |_| true);
    assert_eq!(moved["topology"], FIRST, "{moved}");
    location.run("watch lab --now").exits(0);
    let requested = |event: &Value| event["triggers"].to_string().contains("request");
    from_both(&mut watch, "reconcile-started", requested);

    // Its last valid version stays in force; the other one goes on.
    location.write("lab/b.toml", "[stargate");
    let broken = watch.awaits("topology-invalid", |_| true);
    assert_eq!(broken["topology"], SECOND, "{broken}");
    let ran = location.run("watch lab --now").exits(0);
    assert!(ran.err.contains("b.toml"), "{}", ran.err);
    from_both(&mut watch, "reconcile-started", requested);
    // A file that was never valid has no watch, and a second file of a topology none of its own.
    location.write("lab/never.toml", "[stargate");
    location.write("lab/second.toml", text(FIRST));
    let ran = location.run("watch lab --now");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("never.toml"), "{}", ran.err);
    let first = format!("Requested a reconcile of {FIRST}.");
    assert_eq!(ran.err.matches(&first).count(), 1, "{}", ran.err);
    std::fs::remove_file(location.path("lab/never.toml")).expect("it is removed");
    std::fs::remove_file(location.path("lab/second.toml")).expect("it is removed");
    location.write("lab/z.toml", text(FIRST) + "\n[watch]\napply = \"none\"\n");
    let loaded = watch.awaits("topology-loaded", |event| event["apply"] == "none");
    assert_eq!(loaded["topology"], FIRST, "{loaded}");
    watch.send("TERM");
    watch.awaits("stopping", |_| true);
    assert_eq!(watch.ends(), Some(0));
    for (file, topology) in [("z", FIRST), ("b", SECOND)] {
        location.write(&format!("lab/{file}.toml"), text(topology));
        let sandbox = format!("--sandbox=lab/.stargate/sandbox/{topology}");
        let planned =
            location.run(&format!("plan -f lab/{file}.toml {sandbox} --detailed-exitcode"));
        assert_eq!(planned.code, 0, "nothing is destroyed: {}", planned.out);
    }
}

/// A topology whose services cannot be read does not keep the others from being ready.
#[test]
fn a_folder_is_ready_with_a_topology_that_cannot_be_read() {
    let location = folder();
    let sandbox = format!("--sandbox=lab/.stargate/sandbox/{SECOND}");
    location.run(&format!("sandbox break source-down -f lab/b.toml {sandbox}")).exits(0);
    let mut watch = Watch::with(&location, &["lab", "--listen", "127.0.0.1:0"]);
    let listening = watch.awaits("listening", |_| true);
    let address = listening["address"].as_str().expect("an address").to_owned();
    let mut missing = BTreeSet::from([(FIRST, "matches"), (SECOND, "failed")]);
    while !missing.is_empty() {
        let ended = watch.awaits("reconcile-finished", |_| true);
        missing.retain(|(topology, result)| {
            ended["topology"] != *topology || ended["result"] != *result
        });
    }
    let (status, _, readiness) = answer(&address, "GET /readyz");
    assert_eq!(status, 200, "{readiness}");
    assert!(readiness.contains(&format!("{SECOND}: first refresh: failed")), "{readiness}");
    assert!(readiness.contains(&format!("{FIRST}: first refresh: done")), "{readiness}");
    watch.send("TERM");
    assert_eq!(watch.ends(), Some(0));
}

#[test]
fn a_file_is_no_folder() {
    let location = TestFolder::with(EXAMPLE);
    let ran = location.run("watch stargate.toml --sandbox");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("`stargate.toml` is not a folder"), "{}", ran.err);
    assert!(ran.err.contains("-f FILE"), "{}", ran.err);
}

#[test]
fn the_manifests_of_a_folder_have_each_valid_file() {
    let location = TestFolder::new();
    let manifests = |location: &TestFolder| {
        location.run(
            "manifests lab --image registry.example/stargate:1 --monitoring \
                      prometheus-operator",
        )
    };
    location.write("lab/east.toml", text(FIRST));
    location.write("lab/west.toml", text(SECOND));
    location.write("lab/.hidden.toml", "[stargate");
    let printed = manifests(&location).exits(0).out;
    for expected in ["east.toml: |", "west.toml: |", "- /etc/stargate\n", "stargate-topologies"] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    assert!(!printed.contains("hidden"), "{printed}");
    location.write("lab/west.toml", text(FIRST));
    let ran = manifests(&location);
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("west.toml and east.toml have the same topology"), "{}", ran.err);
    location.write("lab/west.toml", "[stargate");
    assert_ne!(manifests(&location).code, 0, "an invalid file");
    location.write("lab/west space.toml", text(SECOND));
    std::fs::remove_file(location.path("lab/west.toml")).expect("it is removed");
    let ran = manifests(&location);
    assert!(ran.err.contains("cannot be a key of a ConfigMap"), "{}", ran.err);
    std::fs::create_dir(location.path("none")).expect("a folder");
    let ran = location.run("manifests none --image x");
    assert!(ran.err.contains("`none` has no topology files"), "{}", ran.err);
}
