//! `stargate watch` as a process: its triggers, its output and its end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::location::{EXAMPLE, PROGRAM, TestFolder};

/// A running watch whose events are read one after another.
struct Watch {
    child: Child,
    events: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(location: &TestFolder) -> Self {
        Self::with(location, &[])
    }

    fn with(location: &TestFolder, options: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["watch", "--sandbox", "--format", "json"]).args(options);
        command.current_dir(location.path(""));
        command.env_clear().env("HOME", location.path(""));
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let events = BufReader::new(child.stdout.take().expect("its events")).lines();
        Self { child, events }
    }

    /// The next event of that name that fits.
    fn awaits(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.events.next().expect("another event").expect("a line");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            assert!(event["time"].is_string(), "{event}");
            if event["event"] == name && fits(&event) {
                return event;
            }
        }
    }

    /// All events until the end.
    fn rest(&mut self) -> Vec<Value> {
        let lines = self.events.by_ref().map(|line| line.expect("a line"));
        lines.map(|line| serde_json::from_str(&line).expect("JSON")).collect()
    }

    fn finishes(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        self.awaits("reconcile-finished", fits)
    }

    fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(kill.expect("kill").success());
    }

    fn ends(mut self) -> Option<i32> {
        self.events.by_ref().for_each(drop);
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A failed test leaves no watch behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_no_changes(event: &Value) -> bool {
    event["result"] == "matches" && event["changes"] == 0
}

#[test]
fn a_watch_follows_the_cluster_the_file_and_signals_and_ends_with_success() {
    let location = TestFolder::applied();
    let mut watch = Watch::start(&location);
    let loaded = watch.awaits("topology-loaded", |_| true);
    assert_eq!((&loaded["apply"], &loaded["interval_seconds"]), (&"routes".into(), &300.into()));
    watch.finishes(has_no_changes);

    location.run("sandbox break aks-scale-out").exits(0);
    let healed = watch.finishes(|event| event["changes"].as_u64() > Some(0));
    assert_eq!(healed["result"], "matches", "{healed}");

    location.write("stargate.toml", "[stargate");
    let invalid = watch.awaits("topology-invalid", |_| true);
    assert!(invalid["failure"]["code"].is_string(), "{invalid}");
    watch.send("HUP");
    let requested = |event: &Value| event["triggers"].to_string().contains("request");
    watch.awaits("reconcile-started", requested);
    watch.finishes(has_no_changes);

    location.write("stargate.toml", format!("{EXAMPLE}\n[watch]\napply = \"none\"\n"));
    watch.awaits("topology-loaded", |event| event["apply"] == "none");
    watch.finishes(has_no_changes);
    location.run("sandbox break route-missing").exits(0);
    watch.send("HUP");
    let waiting = watch.finishes(|event| event["result"] == "awaits-approval");
    assert_eq!(waiting["awaiting_approval"][0]["reason"]["because"], "report-only", "{waiting}");

    watch.send("TERM");
    watch.awaits("stopping", |_| true);
    assert_eq!(watch.ends(), Some(0));
    location.run("apply --sandbox --yes").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// Everything is created, and a change of that kind has begun.
fn creating(kind: &str, options: &[&str]) -> (TestFolder, Watch) {
    let location = TestFolder::with(&format!("{EXAMPLE}\n[watch]\napply = \"all\"\n"));
    let mut watch = Watch::with(&location, options);
    watch.awaits("change-started", |event| event["address"].to_string().contains(kind));
    (location, watch)
}

/// The next apply does the rest, and finds no lease of the watch.
fn apply_continues(location: &TestFolder) {
    let applied = location.run("apply --sandbox --yes").exits(0);
    let printed = applied.out + &applied.err;
    assert!(!printed.contains("Waiting for the lease"), "{printed}");
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// Running steps finish, no other starts, and the next apply does the rest.
#[test]
fn a_signal_during_changes_lets_running_steps_finish() {
    for signal in ["TERM", "INT"] {
        let (location, mut watch) = creating("worker", &[]);
        watch.send(signal);
        let mut running: BTreeSet<String> = BTreeSet::new();
        let mut is_stopping = false;
        for event in watch.rest() {
            let address = event["address"].to_string();
            match event["event"].as_str() {
                Some("stopping") => is_stopping = true,
                Some("change-started") => {
                    assert!(!is_stopping, "{event} after the signal");
                    running.insert(address);
                }
                Some("change-finished") => {
                    running.remove(&address);
                }
                _ => {}
            }
        }
        assert!(is_stopping, "the signal is reported");
        assert_eq!(running, BTreeSet::new(), "each step that began has ended");
        assert_eq!(watch.ends(), Some(0), "{signal}");
        apply_continues(&location);
    }
}

/// Steps that take longer than the grace time are left, and the lease is released.
#[test]
fn no_lease_remains_after_the_grace_time() {
    let (location, watch) = creating("worker", &["--grace-seconds", "0"]);
    watch.send("TERM");
    assert_eq!(watch.ends(), Some(3));
    apply_continues(&location);
}

#[test]
fn a_watch_of_an_invalid_file_does_not_begin() {
    let location = TestFolder::with("[stargate");
    let ran = location.run("watch --sandbox");
    assert_ne!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("help: "), "{}", ran.err);
}
