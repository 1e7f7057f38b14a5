//! Every manual change of a router is reported and repaired. Foreign configuration is kept.

use super::apply::iterate;
use super::harness::{RefreshOptions, summary};
use super::lab::{Lab, ROUTER};
use super::namespaces::run_isolated;
use stargate::apply::ApplyStatus;

const HOST: &str = "router-host/attic/attic-router";
const ADVERTISED_ROUTES: &str = "advertised-routes/attic/attic-router";

/// A shell command, and the resource and field that then differ.
const MANUAL_CHANGES: [(&str, &str, &str); 25] = [
    ("echo 0 >/proc/sys/net/ipv4/ip_forward", HOST, "ip_forwarding"),
    ("echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter", HOST, "reverse_path_filter"),
    ("echo 1 >/proc/sys/net/ipv4/conf/eth0/send_redirects", HOST, "send_redirects"),
    ("rm /etc/sysctl.d/zz-stargate.conf", HOST, "persistent"),
    ("nft delete table inet stargate", HOST, "masquerade"),
    ("nft flush chain inet stargate source", HOST, "masquerade"),
    ("nft flush chain inet stargate segment", HOST, "mss_clamp"),
    ("rm /etc/stargate/router/firewall.nft", HOST, "persistent"),
    ("ip rule del to 10.60.0.0/16 priority 5200", HOST, "local_prefixes"),
    ("ip rule add to 10.66.0.0/16 priority 5200 lookup main protocol 117", HOST, "local_prefixes"),
    ("rm /etc/stargate/router/rules", HOST, "persistent"),
    ("ip route del 10.244.129.0/24", HOST, "kernel_routes[10.244.129.0/24].via"),
    ("ip route del unreachable 10.244.0.0/16", HOST, "kernel_routes[10.244.0.0/16]"),
    (
        "ip route replace 10.244.129.0/24 via 10.60.1.6 proto 117",
        HOST,
        "kernel_routes[10.244.129.0/24].via",
    ),
    ("ip route add 10.66.0.0/16 dev eth0 proto 117", HOST, "persistent"),
    ("ip route add 10.66.0.0/16 dev tailscale0 proto 117", HOST, "kernel_routes[10.66.0.0/16]"),
    ("ip route add 10.244.129.0/24 dev eth0 metric 9 proto 117", HOST, "persistent"),
    ("sed -i 2d /etc/stargate/router/routes", HOST, "persistent"),
    ("echo 'exit 0' >>/etc/stargate/router/apply", HOST, "persistent"),
    ("systemctl disable stargate-router.service", HOST, "persistent"),
    ("rm /etc/systemd/system/stargate-router.service", HOST, "persistent"),
    ("tailscale set --accept-routes=false", HOST, "accept_routes"),
    ("tailscale set --snat-subnet-routes=false", HOST, "snat_subnet_routes"),
    ("tailscale set --advertise-routes=10.60.0.0/16", ADVERTISED_ROUTES, "prefixes"),
    ("tailscale set --advertise-routes=10.60.0.0/16,10.0.0.0/8", ADVERTISED_ROUTES, "prefixes"),
];

/// Foreign routes and rules on every layer that stargate configures.
const FOREIGN_CONFIGURATION: &str = "ip route add 10.77.0.0/16 via 10.60.1.9 proto static
    ip route add 10.78.0.0/16 via 10.60.1.9
    ip route add 10.79.0.0/16 dev tailscale0 table 52
    ip rule add to 10.80.0.0/16 priority 4711 lookup 52
    nft add table ip other; nft add chain ip other forward";
const SHOW_FOREIGN_CONFIGURATION: &str = "ip route show proto static; ip route show table 52;
    ip rule show | grep 4711; ip route show 10.78.0.0/16; nft list table ip other";

/// The changes of a plan, each with its fields.
async fn drift(lab: &Lab) -> Vec<(String, Vec<String>)> {
    lab.report_to_control_server().await;
    let plan = lab.deployment.plan().await;
    assert!(plan.blocked.is_empty() && plan.gaps.is_empty(), "{}", summary(&plan));
    let fields = |change: &stargate::plan::Change| {
        change.fields().iter().map(|field| field.path.to_string()).collect()
    };
    plan.changes.iter().map(|change| (change.address.to_string(), fields(change))).collect()
}

#[test]
#[ignore = "needs root: cargo test --test ssh -- --ignored"]
fn every_setting_of_a_router_is_reported_and_repaired() {
    run_isolated(async |lab| {
        iterate(lab).await;
        lab.machines.sh(ROUTER, FOREIGN_CONFIGURATION);
        let theirs = lab.machines.sh(ROUTER, SHOW_FOREIGN_CONFIGURATION);
        let whole = "ip route show proto 117; ip rule | sort; nft list table inet stargate";
        let before = lab.machines.sh(ROUTER, whole);
        for (command, address, field) in MANUAL_CHANGES {
            lab.machines.sh(ROUTER, command);
            let found = drift(lab).await;
            let [(changed, fields)] = found.as_slice() else {
                panic!("{command}: {found:#?}");
            };
            assert_eq!(changed, address, "{command}");
            assert!(fields.iter().any(|it| it == field), "{command}: {fields:?}");
            let applied = lab.deployment.apply(&RefreshOptions::default()).await;
            assert_eq!(applied.status, ApplyStatus::Converged, "{command}");
            assert_eq!(drift(lab).await, [], "{command}");
        }
        assert_foreign_route_blocks(lab).await;
        assert_eq!(lab.machines.sh(ROUTER, SHOW_FOREIGN_CONFIGURATION), theirs);
        assert_eq!(lab.machines.sh(ROUTER, whole), before);
    });
}

/// A route of another protocol number with the prefix of one of stargate's: it is reported before
/// anything is changed, and kept.
async fn assert_foreign_route_blocks(lab: &Lab) {
    let ours = "10.244.129.0/24";
    lab.machines.sh(
        ROUTER,
        &format!("ip route del {ours}; ip route add {ours} via 10.60.1.6 proto static"),
    );
    let plan = lab.deployment.plan().await;
    let [blocked] = plan.blocked.as_slice() else { panic!("{}", summary(&plan)) };
    assert_eq!((blocked.address.to_string().as_str(), plan.changes.len()), (HOST, 0));
    let rendered = "10.244.129.0/24 via 10.60.1.6 dev eth0 proto static";
    assert!(blocked.failure.message.contains(rendered), "{}", blocked.failure.message);
    let applied = lab.deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked);
    lab.machines.sh(ROUTER, &format!("ip route del {ours} proto static"));
    let applied = lab.deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
}
