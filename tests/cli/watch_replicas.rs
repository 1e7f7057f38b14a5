//! Two `stargate watch DIR` as processes: they share the topologies, and each follows the other
//! one when that is paused or killed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::location::TestFolder;
use super::watch::Watch;
use super::watch_folder::{FIRST, SECOND, folder, from_both};

/// The time in which another replica has to lead.
const MAX_FAILOVER: Duration = Duration::from_secs(20);
/// A process that is paused stays so for longer than its Leases are valid.
const PAUSE: Duration = Duration::from_secs(25);

fn is_of(event: &Value, topology: &str) -> bool {
    event["topology"] == topology
}

/// Waits until a replica reconciles a topology because it leads now, and returns how long it took
/// since `begin`.
fn leads(watch: &mut Watch, topology: &str, begin: Instant) -> Duration {
    watch.awaits("reconcile-started", |event| {
        is_of(event, topology) && event["triggers"].to_string().contains("leadership")
    });
    let passed = begin.elapsed();
    watch.awaits("reconcile-finished", |event| {
        is_of(event, topology) && event["result"] == "matches"
    });
    passed
}

fn break_route(location: &TestFolder, topology: &str) {
    let file = if topology == FIRST { "a" } else { "b" };
    let sandbox = format!("--sandbox=lab/.stargate/sandbox/{topology}");
    location.run(&format!("sandbox break route-missing -f lab/{file}.toml {sandbox}")).exits(0);
}

#[test]
fn replicas_share_topologies_and_follow_each_other() {
    let location = folder();
    let mut first = Watch::with(&location, &["lab"]);
    from_both(&mut first, "reconcile-finished", |event| event["result"] == "matches");
    let begin = Instant::now();
    let mut second = Watch::with(&location, &["lab"]);
    let started = second
        .awaits("reconcile-started", |event| event["triggers"].to_string().contains("leadership"));
    let passed = begin.elapsed();
    let moved = if is_of(&started, FIRST) { FIRST } else { SECOND };
    let kept = if moved == FIRST { SECOND } else { FIRST };
    first.awaits("standing-by", |event| is_of(event, moved));
    second
        .awaits("reconcile-finished", |event| is_of(event, moved) && event["result"] == "matches");
    let _ = writeln!(std::io::stderr(), "the second process leads {moved} after {passed:?}");

    // While it is paused, the other one leads; then it begins nothing before it leads again.
    second.send("STOP");
    let begin = Instant::now();
    break_route(&location, moved);
    let passed = leads(&mut first, moved, begin);
    let _ = writeln!(std::io::stderr(), "a paused process was followed after {passed:?}");
    assert!(passed < MAX_FAILOVER, "{passed:?}");
    std::thread::sleep(PAUSE.saturating_sub(begin.elapsed()));
    second.send("CONT");
    let next = second.next_of(moved);
    assert_eq!(next["event"], "standing-by", "{next}");

    // Killed: nothing releases its Leases.
    let begin = Instant::now();
    first.send("KILL");
    break_route(&location, kept);
    let passed = leads(&mut second, kept, begin);
    let _ = writeln!(std::io::stderr(), "a killed process was followed after {passed:?}");
    assert!(passed < MAX_FAILOVER, "{passed:?}");
    drop(first);
    second.send("TERM");
    assert_eq!(second.ends(), Some(0));
    for (topology, file) in [(FIRST, "a"), (SECOND, "b")] {
        let sandbox = format!("--sandbox=lab/.stargate/sandbox/{topology}");
        let line = format!("plan -f lab/{file}.toml {sandbox} --detailed-exitcode");
        let planned = location.run(&line);
        assert_eq!(planned.code, 0, "the route of {topology} is there again: {}", planned.out);
    }
}
