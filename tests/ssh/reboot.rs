//! After a reboot, or a restart of tailscaled, the state is restored without stargate.

use super::apply::iterate;
use super::harness::{RefreshOptions, summary};
use super::lab::{Lab, ROUTER, WORKERS};
use super::namespaces::run_isolated;
use super::network;

/// Everything of stargate's in a host's kernel.
const STARGATE_CONFIGURATION: &str = "ip -4 route show table all proto 117; ip -4 rule show;
    nft list ruleset; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/rp_filter
    cat /proc/sys/net/ipv4/conf/*/send_redirects";

fn stargate_configuration(lab: &Lab) -> Vec<String> {
    [ROUTER, WORKERS[0].0, WORKERS[1].0]
        .map(|host| lab.machines.sh(host, STARGATE_CONFIGURATION))
        .to_vec()
}

async fn assert_as_expected(lab: &Lab, before: &[String], event: &str) {
    assert_eq!(stargate_configuration(lab), before, "{event}");
    for (worker, _, pod) in WORKERS {
        assert!(network::reachable_from_far(pod), "{event}: {worker}");
    }
    let plan = lab.deployment.refresh_and_plan(&RefreshOptions::default()).await.plan;
    assert!(plan.is_empty(), "{event}: {}", summary(&plan));
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn the_state_survives_a_reboot() {
    run_isolated(async |lab| {
        iterate(lab).await;
        let before = stargate_configuration(lab);
        for _ in 0..2 {
            lab.machines.restart_tailscaled();
            assert_as_expected(lab, &before, "tailscaled was restarted").await;
        }
        lab.machines.reboot(ROUTER);
        assert_as_expected(lab, &before, "the router was rebooted").await;
        for (worker, ..) in WORKERS {
            lab.machines.reboot(worker);
            assert_as_expected(lab, &before, "a worker was rebooted").await;
        }
    });
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn a_router_without_its_tunnel_device_drops_packets() {
    run_isolated(async |lab| {
        iterate(lab).await;
        lab.machines.sh(ROUTER, "ip link del tailscale0");
        // Packets without a route into the tunnel are dropped at the router instead of being sent
        // back to the worker.
        let worker_request = lab
            .machines
            .sh(ROUTER, "ip route get 10.244.0.10 from 10.60.1.5 iif eth0 2>&1 || true");
        assert!(
            worker_request.contains("unreachable") || worker_request.contains("No route"),
            "{worker_request}"
        );
    });
}
