//! `status` does not call a router healthy that does not do its work.

use super::location::TestFolder;

const ROUTER: &str = "stargate-aks-e2e-2-dc-router";

/// The row of a router, in one line.
fn row(text: &str, router: &str) -> String {
    let is_row = |line: &&str| line.starts_with("router") && line.contains(router);
    let mut lines = text.lines().skip_while(|line| !is_row(line));
    let first = lines.next().unwrap_or_default().to_owned();
    let rest = lines.take_while(|line| line.starts_with("  "));
    let words: Vec<&str> = rest.flat_map(str::split_whitespace).collect();
    [first.split_whitespace().collect::<Vec<_>>().join(" "), words.join(" ")].join(" ")
}

#[test]
fn a_router_that_does_not_do_its_work_is_not_healthy() {
    for (fault, health) in [
        ("router-locked-out", "Degraded kept out by tailnet lock: its key is not signed"),
        ("router-shields-up", "Degraded refuses connections from the tailnet (shields up)"),
        ("device-unauthorized", "Degraded not authorized in the tailnet"),
        ("device-key-expired", "Degraded not connected to the tailnet: its node key has expired"),
        ("router-offline", "Degraded not connected to the tailnet"),
        ("device-deleted", "Missing does not exist"),
        ("device-renamed", "Degraded differs from the topology: it is to be updated"),
        (
            "kernel-route-missing",
            "Degraded differs from the topology: router-host is to be updated",
        ),
        (
            "tailnet-route-unapproved",
            "Degraded differs from the topology: approved-routes is to be updated",
        ),
    ] {
        let location = TestFolder::applied();
        let target = match fault {
            "tailnet-route-unapproved" => "",
            _ => ROUTER,
        };
        location.run(&format!("sandbox break {fault} {target}")).exits(0);
        let status = location.run("status --sandbox").exits(0);
        let found = row(&status.out, ROUTER);
        assert!(found.contains(health), "{fault}: {found}\n{}", status.out);
        let other = row(&status.out, "stargate-aks-e2e-2-router");
        assert!(other.contains("Healthy connected"), "{fault}: {other}");
    }
}

/// A service that does not answer is an error with its cause, not a healthy deployment.
#[test]
fn an_unread_service_is_named_with_its_cause() {
    let location = TestFolder::applied();
    location.run("sandbox break source-down tailscale").exits(0);
    let status = location.run("status --sandbox").exits(1);
    let found = row(&status.out, ROUTER);
    assert!(found.contains("Unknown Tailscale could not be read: [SG0618]"), "{found}");
    assert!(status.err.contains("error[SG0618]: Tailscale could not be read"), "{}", status.err);
    assert!(status.err.contains("help: "), "{}", status.err);
}

/// `check` prints it too, with a code and a remedy.
#[test]
fn a_check_names_the_cause_of_unknown_results() {
    let location = TestFolder::applied();
    let brief = location.run("check --sandbox").exits(0);
    assert!(!brief.out.contains("I12"), "{}", brief.out);
    let verbose = location.run("check --sandbox -v").exits(0);
    assert!(verbose.out.contains("not checked: I12 when"), "{}", verbose.out);
    location.run("sandbox break source-down tailscale").exits(0);
    let check = location.run("check --sandbox").exits(1);
    let joined = check.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "error[SG0618]: Tailscale could not be read: GET devices of the tailnet: Tailscale \
         answered 503",
        "help: wait, then run the same command again",
    ] {
        assert!(joined.contains(part), "no `{part}` in\n{}", check.out);
    }
}

/// A target that a fault does not have is invalid usage; a sandbox without one is not.
#[test]
fn a_fault_of_another_target_is_invalid_usage() {
    let location = TestFolder::applied();
    let words = "the targets are stargate-aks-e2e-2-worker-1, stargate-aks-e2e-2-worker-2";
    location.run("sandbox break worker-swap nothing").fails(64, "SG0704", words);
    location.run("sandbox break nothing").fails(64, "SG0703", "there is no fault `nothing`");
    let words = "no target for `worker-swap` yet";
    TestFolder::new().run("sandbox break worker-swap").fails(1, "SG0704", words);
}
