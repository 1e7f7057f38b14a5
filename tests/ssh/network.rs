//! The links between the hosts.
//!
//! ```text
//!   this process (the operator)      far (the AKS side of the tunnel)
//!        up0 192.0.2.1                   far0, a node and a pod on lo
//!         |                               |
//!        wan0 192.0.2.2 - router - tailscale0 100.64.0.x
//!                           | eth0 10.60.0.4
//!                          lan (a bridge without addresses)
//!                           | eth0 10.60.1.5, 10.60.1.6
//!                          workers
//! ```
//!
//! The operator has a route to the router's own addresses only.

use super::machine::{Machine, ip};

/// The operator's end of the link to the router.
const OPERATOR: &str = "192.0.2.1/30";
const ROUTER_OUTSIDE: &str = "192.0.2.2/30";

/// Creates the bridge that represents the datacenter's switch, and the remote side.
pub(crate) fn lay_out() {
    ip("link set lo up
         link add lan type bridge
         link set lan up
         netns add far
         -n far link set lo up");
}

/// Connects the router, after every boot.
pub(crate) fn plug_in_router(router: &Machine) {
    let name = router.name();
    // The other end is deleted with the router's namespace, with a short delay.
    for end in ["up0", "lan-router"] {
        let _ = std::process::Command::new("ip").args(["link", "del", end]).output();
    }
    ip(&format!(
        "link add up0 type veth peer name wan0 netns {name}
         address add {OPERATOR} dev up0
         link set up0 up
         -n {name} address add {ROUTER_OUTSIDE} dev wan0
         -n {name} link set wan0 up
         link add lan-router type veth peer name eth0 address 52:54:00:00:00:04 netns {name}
         link set lan-router master lan up
         -n {name} address add 10.60.0.4/16 dev eth0
         -n {name} link set eth0 up"
    ));
}

/// Connects a worker, after every boot. It has a route to its own network only.
pub(crate) fn plug_in_worker(worker: &Machine, address: &str) {
    let name = worker.name();
    let port = format!("lan-{}", &name[name.len() - 1..]);
    // The MAC address is the same after a boot, because other hosts cache it.
    let mac = format!("52:54:00:00:00:{:0>2}", &address[address.len() - 1..]);
    let _ = std::process::Command::new("ip").args(["link", "del", &port]).output();
    ip(&format!(
        "link add {port} type veth peer name eth0 address {mac} netns {name}
         link set {port} master lan up
         -n {name} address add {address}/16 dev eth0
         -n {name} link set eth0 up"
    ));
}

/// Emulates the start of tailscaled on the router: its device with the remote side behind it, its
/// rules, and the routes of others in table 52.
pub(crate) fn start_tunnel(router: &Machine, address: &str) {
    let name = router.name();
    stop_tunnel(router);
    ip(&format!(
        "-n {name} link add tailscale0 mtu 1280 type veth peer name far0 mtu 1280 netns far
         -n {name} address add {address}/32 dev tailscale0
         -n {name} link set tailscale0 up
         -n far link set far0 up
         -n far address replace 10.224.0.4/32 dev lo
         -n far address replace 10.244.0.10/32 dev lo
         -n far address replace 100.64.0.99/32 dev lo
         -n far route replace 10.60.0.0/16 via {address} dev far0 onlink src 10.244.0.10
         -n far route replace 10.244.128.0/20 via {address} dev far0 onlink src 10.244.0.10
         -n far route replace {address}/32 dev far0 src 100.64.0.99
         -n {name} route replace 100.64.0.99/32 dev tailscale0 table 52
         -n {name} route replace 10.224.0.0/16 dev tailscale0 table 52
         -n {name} rule add priority 5210 fwmark 0x80000/0xff0000 lookup main
         -n {name} rule add priority 5270 lookup 52
         route replace {address}/32 via 192.0.2.2 dev up0"
    ));
}

/// Emulates the stop of tailscaled, which removes everything that it added.
pub(crate) fn stop_tunnel(router: &Machine) {
    router.sh("ip link del tailscale0 2>/dev/null || true
         ip route flush table 52 2>/dev/null || true
         ip rule del priority 5210 2>/dev/null || true
         ip rule del priority 5270 2>/dev/null || true");
    // The kernel removes the devices of a namespace some time after it has ended: the remote side
    // of a machine that was rebooted may still be there.
    let remote = ["-n", "far", "link", "del", "far0"];
    drop(std::process::Command::new("ip").args(remote).output());
}

/// Whether a TCP connection from the remote pod reaches a pod address on a worker and gets a reply.
pub(crate) fn reachable_from_far(address: &str) -> bool {
    let ask = format!("exec 3<>/dev/tcp/{address}/22 && head -c 4 <&3");
    let worker_request = std::process::Command::new("ip")
        .args(["netns", "exec", "far", "timeout", "3", "bash", "-c", &ask])
        .output()
        .unwrap();
    worker_request.stdout == b"SSH-"
}

/// Whether the operator can reach an address without the router's sshd.
pub(crate) fn reachable_by_operator(address: &str) -> bool {
    let ask = format!("exec 3<>/dev/tcp/{address}/22");
    let worker_request =
        std::process::Command::new("timeout").args(["2", "bash", "-c", &ask]).output();
    worker_request.unwrap().status.success()
}
