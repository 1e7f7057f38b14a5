//! Edits of the topology that are not applied yet: what exists is shown and traced under the
//! names that it has.

use super::location::{EXAMPLE, Ran, TestFolder, too_wide};

const LIVE: &str = "stargate-aks-e2e-2-worker-2";
const EDITED: &str = "edited-worker";

/// The example as applied, with another name for its second worker in the file.
fn renamed() -> TestFolder {
    let location = TestFolder::applied();
    location.write("stargate.toml", EXAMPLE.replace(LIVE, EDITED));
    location
}

#[test]
fn a_renamed_worker_is_traced_by_its_live_name() {
    let location = renamed();
    let trace = |line: &str| location.run(&format!("trace --sandbox {line}"));
    for line in [format!("pod/{LIVE} 10.244.1.10"), format!("10.244.1.10 pod/{LIVE}")] {
        let out = trace(&line).exits(0).out;
        assert!(out.contains(&format!("10.244.66.10 ({LIVE})")), "{out}");
    }
    let words = |ran: Ran| ran.err.split_whitespace().collect::<Vec<_>>().join(" ");
    let new = words(trace(&format!("pod/{EDITED} 10.244.1.10")).exits(64));
    assert!(new.contains("exists once the plan is applied"), "{new}");
    let old = words(trace(&format!("10.244.1.10 pod/{LIVE} --planned")).exits(64));
    assert!(old.contains("exists until the plan is applied"), "{old}");
    let out = trace(&format!("10.244.1.10 pod/{EDITED} --planned")).exits(0).out;
    assert!(out.contains(&format!("({EDITED})")), "{out}");
    // A name that neither state has is an error without such a hint.
    let neither = words(trace("pod/nowhere 10.244.1.10").exits(64));
    assert!(!neither.contains("the plan is applied"), "{neither}");
}

/// Services are traced in the same state.
#[test]
fn a_renamed_worker_reaches_services_by_its_live_name() {
    let location = renamed();
    let line = format!("trace pod/{LIVE} 10.0.0.10 --protocol udp --sandbox");
    let out = location.run(&line).exits(0).out;
    assert!(out.contains("2 of 2 endpoints reached"), "{out}");
}

#[test]
fn status_shows_both_names_of_a_renamed_worker() {
    let location = renamed();
    let status = location.run("status --sandbox").exits(0).out;
    assert_eq!(too_wide(&status), Vec::<&str>::new());
    let words = status.split_whitespace().collect::<Vec<_>>().join(" ");
    let live = format!("{LIVE} Degraded not in the topology: it is to be deleted");
    for row in [format!("worker {EDITED} Missing does not exist"), format!("worker {live}")] {
        assert!(words.contains(&row), "{status}");
    }
    assert!(status.lines().any(|line| line.starts_with(LIVE) && line.contains("Ready")));
    location.run("apply --sandbox --yes").exits(0);
    let status = location.run("status --sandbox").exits(0).out;
    assert!(!status.contains(LIVE), "{status}");
}

/// Until the plan is applied, packets go through the cluster that is there.
#[test]
fn a_renamed_cluster_is_traced_by_its_live_name() {
    let location = TestFolder::applied();
    let before = location.run("routes --sandbox").exits(0).out;
    assert!(before.contains("10.244.66.0/24") && before.contains("AKS VNet"), "{before}");
    let (head, cluster) = EXAMPLE.split_once("[cluster]").expect("a cluster");
    let name = "name = \"stargate-aks-e2e-2\"";
    let cluster = cluster.replacen(name, "name = \"another-cluster\"", 1);
    location.write("stargate.toml", format!("{head}[cluster]{cluster}"));
    let after = location.run("routes --sandbox").out;
    assert_eq!(before, after);
    for line in [
        format!("trace pod/{LIVE} 10.244.1.10"),
        format!("trace 10.244.1.10 pod/{LIVE}"),
        format!("trace pod/{LIVE} 10.0.0.10 --protocol udp"),
    ] {
        location.run(&format!("{line} --sandbox")).exits(0);
    }
}
