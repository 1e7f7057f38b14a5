//! `stargate watch` as a process: its triggers, its output and its end.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::location::{EXAMPLE, PROGRAM, Ran, TestFolder};
use super::promtool;

/// A running watch whose events are read one after another.
pub(crate) struct Watch {
    child: Child,
    events: std::io::Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(location: &TestFolder) -> Self {
        Self::with(location, &[])
    }

    pub(crate) fn with(location: &TestFolder, options: &[&str]) -> Self {
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
    pub(crate) fn awaits(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let line = self.events.next().expect("another event").expect("a line");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            assert!(event["time"].is_string(), "{event}");
            if event["event"] == name && fits(&event) {
                return event;
            }
        }
    }

    /// The next event of a topology.
    pub(crate) fn next_of(&mut self, topology: &str) -> Value {
        loop {
            let line = self.events.next().expect("another event").expect("a line");
            let event: Value = serde_json::from_str(&line).expect("JSON");
            if event["topology"] == topology {
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

    pub(crate) fn send(&self, signal: &str) {
        let id = self.child.id().to_string();
        let kill = Command::new("kill").args([&format!("-{signal}"), &id]).status();
        assert!(kill.expect("kill").success());
    }

    pub(crate) fn ends(mut self) -> Option<i32> {
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

/// The names of Leases in a document.
fn leases(document: &Value, found: &mut Vec<String>) {
    match document {
        Value::Array(list) => list.iter().for_each(|it| leases(it, found)),
        Value::Object(fields) => {
            let name = document["metadata"]["name"].as_str();
            found.extend(name.filter(|_| document["kind"] == "Lease").map(str::to_owned));
            fields.values().for_each(|it| leases(it, found));
        }
        _ => {}
    }
}

/// The Leases of stargate in the sandbox, as it was saved.
fn saved_leases(location: &TestFolder) -> Vec<String> {
    let state = location.read(".stargate/sandbox/state.json");
    let mut found = Vec::new();
    leases(&serde_json::from_str(&state).expect("JSON"), &mut found);
    found.retain(|name| name.starts_with("stargate-"));
    found
}

/// An edit makes new clients. In the sandbox, the API server has another address then.
#[test]
fn the_lease_of_the_leader_follows_an_edit_of_the_file() {
    let location = TestFolder::applied();
    let mut watch = Watch::start(&location);
    watch.finishes(has_no_changes);
    let begun = Instant::now();
    while saved_leases(&location).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the watch takes no lease");
        sleep(Duration::from_millis(20));
    }
    for apply in ["none", "routes"] {
        location.write("stargate.toml", format!("{EXAMPLE}\n[watch]\napply = \"{apply}\"\n"));
        watch.awaits("topology-loaded", |event| event["apply"] == apply);
        watch.finishes(has_no_changes);
    }
    watch.send("TERM");
    assert_eq!(watch.ends(), Some(0));
    assert_eq!(saved_leases(&location), Vec::<String>::new(), "it is released");
}

/// The listener's answer to a request: the status, the headers and the body.
pub(crate) fn answer(address: &str, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "{request} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a body");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, head.to_lowercase(), body.to_owned())
}

/// The value of a sample, whose name and labels are given as they stand.
pub(crate) fn sample(metrics: &str, name: &str) -> Option<f64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(line.parse().expect("a number"))
}

#[test]
fn probes_and_metrics_follow_the_watch() {
    let location = TestFolder::applied();
    let mut watch = Watch::with(&location, &["--listen", "127.0.0.1:0"]);
    let listening = watch.awaits("listening", |_| true);
    let address = listening["address"].as_str().expect("an address").to_owned();
    assert_eq!(answer(&address, "GET /livez").0, 200);
    watch.finishes(has_no_changes);
    let (status, _, text) = answer(&address, "GET /readyz");
    assert_eq!(status, 200, "{text}");
    assert!(text.contains("first refresh: done\nleader lease: held"), "{text}");
    let (status, head, metrics) = answer(&address, "GET /metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let value = |name: &str| sample(&metrics, name);
    let started = "stargate_reconciles_total{result=\"matches\",trigger=\"start\"}";
    assert_eq!(value(started), Some(1.0), "{metrics}");
    assert_eq!(value("stargate_reconcile_duration_seconds_count"), Some(1.0), "{metrics}");
    assert_eq!(value("stargate_leader"), Some(1.0));
    assert_eq!(value("stargate_topology_valid"), Some(1.0));
    assert_eq!(value("stargate_pending_approvals"), Some(0.0));
    assert!(value("stargate_pairs{state=\"reached\"}") > Some(0.0), "{metrics}");
    let requests = "stargate_requests_total{api=\"azure\",status=\"2xx\"}";
    assert!(value(requests) > Some(0.0), "{metrics}");
    assert_eq!(value("stargate_workers{health=\"ready\"}"), Some(2.0), "{metrics}");
    assert_eq!(value("stargate_workers{health=\"missing\"}"), Some(0.0), "{metrics}");
    for phase in ["pending", "running", "succeeded", "failed", "refused"] {
        let operations = format!("stargate_operations{{phase=\"{phase}\"}}");
        assert_eq!(value(&operations), Some(0.0), "{metrics}");
    }
    // An event of the cluster may have arrived since.
    assert!(value("stargate_queue_triggers") <= Some(1.0), "{metrics}");
    assert!(value("stargate_queue_triggers").is_some(), "{metrics}");
    assert_eq!(value("stargate_changes_paused"), Some(0.0), "{metrics}");
    promtool::checks_metrics(&location, &metrics);
    assert!(value("stargate_last_success_timestamp_seconds") > Some(1e9), "{metrics}");
    assert!(value("stargate_last_progress_timestamp_seconds") > Some(1e9), "{metrics}");
    assert!(metrics.contains("stargate_build_info{version="), "{metrics}");

    location.write("stargate.toml", format!("{EXAMPLE}\n[watch]\napply = \"none\"\n"));
    watch.awaits("topology-loaded", |event| event["apply"] == "none");
    watch.finishes(has_no_changes);
    location.run("sandbox break route-missing").exits(0);
    watch.send("HUP");
    watch.finishes(|event| event["result"] == "awaits-approval");
    location.write("stargate.toml", "[stargate");
    watch.awaits("topology-invalid", |_| true);
    let metrics = answer(&address, "GET /metrics").2;
    let drift = "stargate_drift_resources{kind=\"route-table\"}";
    assert_eq!(sample(&metrics, drift), Some(1.0), "{metrics}");
    assert_eq!(sample(&metrics, "stargate_pending_approvals"), Some(1.0), "{metrics}");
    assert_eq!(sample(&metrics, "stargate_topology_valid"), Some(0.0), "{metrics}");

    assert_eq!(answer(&address, "POST /metrics").0, 405, "it is read-only");
    assert_eq!(answer(&address, "GET /other").0, 404);
    watch.send("TERM");
    assert_eq!(watch.ends(), Some(0));
    assert!(TcpStream::connect(&address).is_err(), "it listens no more");
}

#[test]
fn a_reconcile_is_requested_over_the_socket() {
    use std::os::unix::fs::PermissionsExt as _;

    let location = TestFolder::applied();
    let request = |location: &TestFolder| {
        let mut command = location.command("watch --now");
        Ran::of(command.env_remove("XDG_RUNTIME_DIR").env("HOME", location.path("")))
    };
    let alone = request(&location);
    assert_eq!(alone.code, 1, "{}", alone.err);
    assert!(alone.err.contains("start `stargate watch`"), "{}", alone.err);
    let mut watch = Watch::start(&location);
    watch.finishes(has_no_changes);
    let socket = location.path(".stargate/run/watch-stargate-aks-e2e-2.sock");
    let mode = std::fs::metadata(&socket).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    request(&location).exits(0);
    // An event of the cluster may have started another one before.
    watch.awaits("reconcile-started", |event| event["triggers"].to_string().contains("request"));
    watch.finishes(has_no_changes);
    // The last valid version of the file stays in force.
    location.write("stargate.toml", "[stargate");
    let ran = request(&location).exits(0);
    assert!(ran.err.contains("with the last valid version"), "{}", ran.err);
    watch.awaits("reconcile-started", |event| event["triggers"].to_string().contains("request"));
    location.write("other.toml", "[stargate");
    let mut other = location.command("watch --now -f other.toml");
    let other = Ran::of(other.env_remove("XDG_RUNTIME_DIR").env("HOME", location.path("")));
    assert_ne!(other.code, 0, "no watch has that file");
    assert!(other.err.contains("other.toml"), "{}", other.err);
    location.write("stargate.toml", EXAMPLE);
    watch.send("KILL");
    assert_eq!(watch.ends(), None);
    assert_eq!(request(&location).code, 1, "the process is gone");
    // Another one takes the place of the socket that was left.
    let mut watch = Watch::start(&location);
    watch.finishes(|event| event["result"] == "standing-by" || has_no_changes(event));
    request(&location).exits(0);
    watch.send("TERM");
    assert_eq!(watch.ends(), Some(0));
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn a_watch_of_an_invalid_file_does_not_begin() {
    let location = TestFolder::with("[stargate");
    let ran = location.run("watch --sandbox");
    assert_ne!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("help: "), "{}", ran.err);
}

/// `status` says whether a watch is alive and what awaits approval.
#[test]
fn status_shows_the_watch() {
    let location = TestFolder::applied();
    let status = |location: &TestFolder| {
        let ran = location.run("status --sandbox --format json").exits(0);
        serde_json::from_str::<Value>(&ran.out).expect("JSON")["watcher"].clone()
    };
    assert_eq!(status(&location), Value::Null, "none was ever there");
    location.write("stargate.toml", format!("{EXAMPLE}\n[watch]\napply = \"none\"\n"));
    location.run("sandbox break route-missing").exits(0);
    let mut watch = Watch::start(&location);
    watch.finishes(|event| event["result"] == "awaits-approval");
    let alive = status(&location);
    assert_eq!(alive["state"], "alive", "{alive:#}");
    assert!(alive["holder"].as_str().is_some_and(|it| it.contains("pid")), "{alive:#}");
    assert_eq!(alive["reason"], "AwaitsApproval", "{alive:#}");
    assert_eq!(alive["pending_approval"]["total"], 1, "{alive:#}");
    for time in ["last_success", "next_reconcile", "last_renewed"] {
        assert!(alive[time].is_string(), "{time}: {alive:#}");
    }
    watch.send("KILL");
    assert_eq!(watch.ends(), None);
    let killed = status(&location);
    assert_eq!(killed["state"], "not-renewed", "{killed:#}");
    assert_eq!(killed["last_success"], alive["last_success"], "{killed:#}");
    assert!(killed["next_reconcile"].is_null(), "it does not come: {killed:#}");
    let text = location.run("status --sandbox").exits(0).out;
    assert!(text.contains("Result when a watcher last reported: AwaitsApproval"), "{text}");
    assert!(!text.contains("Next reconcile"), "{text}");
    assert!(text.contains("does not renew its lease"), "{text}");
    assert!(text.contains("stargate.io/approve="), "{text}");
}
