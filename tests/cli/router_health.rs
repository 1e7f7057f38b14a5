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
        (
            "device-key-expired",
            "Degraded not connected to the tailnet: its node key has expired",
        ),
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
