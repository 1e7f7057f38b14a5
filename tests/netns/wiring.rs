//! The namespaces and the links between them, which stay unchanged.
//!
//! Both ends of a link to a fabric have the same MAC address and use no ARP: as in Azure, the
//! fabric accepts every packet of a host.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;

use super::network_spec::{CLAIMS, HOSTS, ROUTERS, pod};
use super::remote::Remote;

/// The namespaces of the fabrics, by segment number.
pub(crate) const FABRICS: [(usize, &str); 2] = [(0, "aks-vnet"), (1, "site-vnet")];
/// The device to which a fabric sends packets for unused addresses.
pub(crate) const SINK: &str = "sink";
/// The MTU of every device: packets are identified by their size and must not be fragmented.
pub(crate) const MTU: &str = "16384";
const TUNNEL_PORT: u16 = 41_641;

/// Disables redirects and filters, which the model does not cover. On a LAN a host answers ARP only
/// for addresses of the same interface. The TTL is low, because looping packets fill the queues
/// that other packets use.
const DISABLE_FILTERS: &str = "for each in all default; do
    cd /proc/sys/net/ipv4/conf/$each
    echo 0 >rp_filter; echo 0 >send_redirects; echo 0 >accept_redirects; echo 1 >arp_ignore
done
echo 40 >/proc/sys/net/ipv4/ip_default_ttl
ip link set lo up\n";

/// All namespaces by name.
pub(crate) type Remotes = BTreeMap<String, Remote>;

/// The namespace of a host's pods.
pub(crate) fn pods_of(host: usize) -> String {
    format!("{}-pods", HOSTS[host].name)
}

/// The namespace of the pods that a host wrongly claims.
pub(crate) fn claimed_pods_of(host: usize) -> String {
    format!("{}-claimed", HOSTS[host].name)
}

/// The MAC address of a host.
pub(crate) fn mac_address(host: usize) -> String {
    format!("52:54:00:00:00:{host:02x}")
}

/// The outer address of a router's tunnel.
fn outside(router: usize) -> String {
    format!("192.0.2.{}", router + 1)
}

fn sh(text: &str) {
    let status = Command::new("sh").args(["-euc", text]).status().unwrap();
    assert!(status.success(), "{text}");
}

/// Creates all namespaces and links.
pub(crate) fn lay_out() -> Remotes {
    sh("ip link set lo up
        for bridge in lan internet; do ip link add $bridge mtu 16384 type bridge; done
        ip link set lan up; ip link set internet up");
    let mut remotes = Remotes::new();
    for (_, name) in FABRICS {
        let fabric = remotes.entry(name.to_owned()).or_insert(Remote::new(name));
        fabric.sh(&format!(
            "{DISABLE_FILTERS} ip link add {SINK} mtu {MTU} type veth peer name sink-peer
             ip link set {SINK} arp off up; ip link set sink-peer arp off up
             echo 1 >/proc/sys/net/ipv4/ip_forward"
        ));
    }
    for (id, host) in HOSTS.iter().enumerate() {
        let mut remote = Remote::new(host.name);
        remote.sh(DISABLE_FILTERS);
        remotes.insert(host.name.to_owned(), remote);
        plug_in(&mut remotes, id);
        if host.pods.is_some() {
            add_pods(&mut remotes, id, "pods", &pods_of(id), pod(id));
        }
    }
    for (id, other) in CLAIMS {
        add_pods(&mut remotes, id, "claimed", &claimed_pods_of(id), pod(other));
    }
    start_tunnel(&mut remotes);
    remotes
}

fn plug_in(remotes: &mut Remotes, id: usize) {
    let (host, mac_address) = (&HOSTS[id], mac_address(id));
    let name = host.name;
    let fabric = FABRICS.iter().find(|(segment, _)| *segment == host.segment);
    let (device, put) = match fabric {
        Some((_, fabric)) => (
            "eth0 arp off",
            format!(
                "ip link set {name} netns {fabric}
                 ip -n {fabric} link set {name} address {mac_address} arp off up"
            ),
        ),
        None => ("eth0", format!("ip link set {name} master lan up")),
    };
    sh(&format!(
        "ip link add {name} mtu {MTU} type veth peer name eth0 mtu {MTU} address {mac_address} netns {name}
         {put}"
    ));
    let remote = remotes.get_mut(name).unwrap();
    remote.sh(&format!("ip link set {device} up; ip address add {}/32 dev eth0", host.address));
    if fabric.is_none() {
        let others = HOSTS.iter().enumerate().filter(|(other, _)| *other != id);
        for (other, neighbour) in others.filter(|(_, other)| other.segment == host.segment) {
            let (address, mac_address) = (neighbour.address, self::mac_address(other));
            remote
                .sh(&format!("ip neigh add {address} lladdr {mac_address} dev eth0 nud permanent"));
        }
    }
}

/// The pods of a host are behind a separate device, as with CNI plugins.
fn add_pods(remotes: &mut Remotes, id: usize, device: &str, pods: &str, pod: Ipv4Addr) {
    let host = HOSTS[id].name;
    let mut remote = Remote::new(pods);
    sh(&format!(
        "ip link add {device} mtu {MTU} netns {host} type veth peer name eth0 mtu {MTU} netns {pods}
         ip -n {host} link set {device} address 52:54:00:00:01:{id:02x} arp off up"
    ));
    remote.sh(&format!(
        "{DISABLE_FILTERS} ip link set eth0 address 52:54:00:00:01:{id:02x} arp off up
         ip address add {pod}/32 dev eth0; ip route add default dev eth0"
    ));
    remotes.insert(pods.to_owned(), remote);
}

/// The routers are connected only through the internet.
fn start_tunnel(remotes: &mut Remotes) {
    for id in ROUTERS {
        let (name, outside) = (HOSTS[id].name, outside(id));
        sh(&format!(
            "ip link add out-{id} mtu {MTU} type veth peer name wan0 mtu {MTU} netns {name}
             ip link set out-{id} master internet up"
        ));
        // Encrypted packets are larger than their content.
        sh(&format!(
            "ip link set out-{id} mtu 20000; ip -n {name} link set wan0 mtu 20000
             ip link set internet mtu 20000"
        ));
        let remote = remotes.get_mut(name).unwrap();
        remote.sh(&format!(
            "ip address add {outside}/32 dev wan0; ip link set wan0 up
             ip route add 192.0.2.0/24 dev wan0 table 600
             wireguard-go tailscale0 >/dev/null 2>&1
             until [ -S /run/wireguard/tailscale0.sock ]; do sleep 0.02; done
             umask 077; wg genkey >/run/wireguard/key
             wg set tailscale0 listen-port {TUNNEL_PORT} private-key /run/wireguard/key
             ip link set tailscale0 mtu {MTU} up
             ip address add {}/32 dev tailscale0",
            HOSTS[id].in_tunnel.unwrap()
        ));
    }
}

/// The public keys of the routers.
pub(crate) fn keys(remotes: &mut Remotes) -> BTreeMap<usize, String> {
    let mut key = |id: usize| {
        let key = remotes.get_mut(HOSTS[id].name).unwrap().sh("wg show tailscale0 public-key");
        (id, key.trim().to_owned())
    };
    ROUTERS.into_iter().map(&mut key).collect()
}

/// Discards the sessions of all routers, and configures them as peers.
pub(crate) fn configure_peers(remotes: &mut Remotes, keys: &BTreeMap<usize, String>) {
    for id in ROUTERS {
        let remote = remotes.get_mut(HOSTS[id].name).unwrap();
        for (peer, key) in keys.iter().filter(|(peer, _)| **peer != id) {
            let to = outside(*peer);
            remote.sh(&format!(
                "wg set tailscale0 peer {key} remove
                 wg set tailscale0 peer {key} endpoint {to}:{TUNNEL_PORT}"
            ));
        }
    }
}

/// Starts the handshake at one of each two routers. If both started it at once, each could end up
/// with a session that the other one has discarded.
pub(crate) fn shake_hands(remotes: &mut Remotes, keys: &BTreeMap<usize, String>) {
    for (id, own_key) in keys {
        for (peer, key) in keys.range(id + 1..) {
            let keepalive = |seconds: &str| {
                format!("wg set tailscale0 peer {key} persistent-keepalive {seconds}")
            };
            let met = |key: &str| {
                format!(
                    "for each in $(seq 200); do
                         set -- $(wg show tailscale0 latest-handshakes | grep -F '{key}')
                         [ \"$2\" = 0 ] || exit 0
                         sleep 0.02
                     done"
                )
            };
            let remote = remotes.get_mut(HOSTS[*id].name).unwrap();
            remote.sh(&keepalive("1"));
            remote.sh(&met(key));
            remote.sh(&keepalive("off"));
            remotes.get_mut(HOSTS[*peer].name).unwrap().sh(&met(own_key));
        }
    }
}
