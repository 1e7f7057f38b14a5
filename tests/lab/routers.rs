//! Two routers with real tailscaled, configured by stargate over SSH, join two LANs.
//!
//! ```text
//!              this process: control server 192.0.2.1
//!                  |                    |
//!  cloud-host - cloud-router ~~~~~~ attic-router - attic-host
//!  10.237.0.10   10.237.0.4         10.60.0.4      10.60.0.10
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ipnet::Ipv4Net;
use stargate::provider::host::{HostWrite, RouterChange};
use stargate::provider::tailnet::TailnetClient;
use stargate::resource::host::KernelRoute;

use super::control_server::{ADDRESS, ControlServer};
use super::host::Image;
use super::isolation::say;
use super::machine::{Machine, ip, run};
use super::namespaces::run_isolated;
use super::packets::{End, Listener, Passed};
use super::programs::Programs;
use super::remote;
use super::trust::Authority;

const TAG: &str = "tag:stargate-lab";

/// A router and the LAN behind it.
struct Site {
    router: &'static str,
    /// The router's address on the link to the control server.
    outside: Ipv4Addr,
    inside: &'static str,
    lan: &'static str,
    host: &'static str,
    host_address: &'static str,
}

const SITES: [Site; 2] = [
    Site {
        router: "cloud-router",
        outside: Ipv4Addr::new(192, 0, 2, 11),
        inside: "10.237.0.4",
        lan: "10.237.0.0/24",
        host: "cloud-host",
        host_address: "10.237.0.10",
    },
    Site {
        router: "attic-router",
        outside: Ipv4Addr::new(192, 0, 2, 12),
        inside: "10.60.0.4",
        lan: "10.60.0.0/24",
        host: "attic-host",
        host_address: "10.60.0.10",
    },
];

/// The two sites and the clients of stargate.
struct Lab {
    routers: Vec<Machine>,
    tailnet: TailnetClient,
    hosts: Arc<dyn HostWrite>,
    ends: [End; 2],
    _control: ControlServer,
    _listeners: [Listener; 2],
}

impl Lab {
    fn new(folder: &Path, programs: &Programs) -> Self {
        let authority = Authority::new(folder);
        ip(&format!(
            "link set lo up
             link add internet type bridge
             link set internet up
             address add {ADDRESS}/24 dev internet"
        ));
        let control = ControlServer::start(folder, programs, &authority, TAG);
        let key = folder.join("key");
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        let tools = programs.stand_ins(folder);
        let (disks, public) = (folder.join("hosts"), key.with_extension("pub"));
        let authority = authority.certificate;
        let image = Image { folder: disks, tools, key: public, authority };
        let routers = SITES.iter().map(|site| connect(site, image.boot(site.router))).collect();
        let ends = SITES.map(|site| End::named(site.host, site.host_address));
        Self {
            routers,
            tailnet: control.client(),
            hosts: remote::client(folder, &key, "lab"),
            _control: control,
            _listeners: ends.each_ref().map(|end| end.listen(folder)),
            ends,
        }
    }

    /// Makes a change of both routers.
    async fn change(&self, change: impl Fn(&Site, &Site) -> RouterChange) {
        for (site, other) in [(&SITES[0], &SITES[1]), (&SITES[1], &SITES[0])] {
            self.change_router(site, &change(site, other)).await;
        }
    }

    async fn change_router(&self, site: &Site, change: &RouterChange) {
        let target = remote::target(site.router, site.outside);
        self.hosts.change_router(&target, change).await.unwrap();
    }

    async fn approve(&self, router: &str, routes: &[&str]) {
        let devices = self.tailnet.devices().await.unwrap();
        let device = devices.iter().find(|device| device.hostname == router).unwrap();
        assert_eq!(device.tags, BTreeSet::from([TAG.to_owned()]));
        let routes = routes.iter().map(|route| prefix(route)).collect();
        self.tailnet.set_enabled_routes(&device.node_id, &routes).await.unwrap();
    }

    /// Asserts what passes between the hosts behind the routers, in both directions.
    fn expect(&self, state: &str, expected: Passed) {
        let [cloud, attic] = &self.ends;
        std::thread::scope(|scope| {
            for (from, to) in [(cloud, attic), (attic, cloud)] {
                scope.spawn(move || {
                    let (passed, after) = from.send_until(to, expected);
                    let names = format!("{state}: {} → {}", from.name, to.name);
                    say(&format!("{names}: {passed} ({:.1} s)", after.as_secs_f64()));
                    assert_eq!(passed, expected, "{names}");
                });
            }
        });
    }
}

fn prefix(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// Connects a router to the control server's link and to its LAN with one host.
fn connect(site: &Site, router: Machine) -> Machine {
    let Site { router: name, outside, inside, host, host_address, .. } = site;
    ip(&format!(
        "link add {name}0 type veth peer name wan0 netns {name}
         link set {name}0 master internet up
         -n {name} address add {outside}/24 dev wan0
         -n {name} link set wan0 up
         netns add {host}
         link add eth0 netns {name} type veth peer name eth0 netns {host}
         -n {name} address add {inside}/24 dev eth0
         -n {name} link set eth0 up
         -n {host} link set lo up
         -n {host} address add {host_address}/24 dev eth0
         -n {host} link set eth0 up
         -n {host} route add default via {inside}"
    ));
    router
}

#[test]
#[ignore = "needs root: tests/lab/run"]
fn lans_are_joined_by_real_tailscaled() {
    run_isolated(async |folder, programs| {
        let begun = Instant::now();
        let lab = Lab::new(folder, programs);
        say(&format!("two routers after {:.1} s", begun.elapsed().as_secs_f64()));
        for site in &SITES {
            let description = format!("stargate {}", site.router);
            let auth_key = lab.tailnet.create_auth_key(TAG, &description).await.unwrap();
            lab.change_router(site, &RouterChange::JoinTailnet { auth_key }).await;
            assert!(!lab.tailnet.has_unused_key(&description, TAG).await.unwrap());
        }
        say(&format!("both joined after {:.1} s", begun.elapsed().as_secs_f64()));
        configure(&lab).await;
        lab.expect("advertised, not approved", Passed::NOTHING);
        for site in &SITES {
            lab.approve(site.router, &[site.lan]).await;
        }
        lab.expect("approved", Passed::ALL);
        probes(&lab).await;
        faults(&lab).await;
        for site in &SITES {
            lab.change_router(site, &RouterChange::Remove).await;
        }
        removed(&lab);
    });
}

/// Configures the routers as an apply does.
async fn configure(lab: &Lab) {
    lab.change(|_, _| RouterChange::Sysctls {
        ip_forwarding: true,
        reverse_path_filter: 2,
        send_redirects: false,
    })
    .await;
    lab.change(|_, _| RouterChange::Firewall { masquerade: false, mss_clamp: true }).await;
    lab.change(|site, _| RouterChange::LocalPrefixes(BTreeSet::from([prefix(site.lan)]))).await;
    lab.change(|_, other| {
        RouterChange::KernelRoutes(BTreeMap::from([(prefix(other.lan), KernelRoute::Tunnel)]))
    })
    .await;
    lab.change(|_, _| RouterChange::TailscaleSettings {
        accept_routes: true,
        snat_subnet_routes: false,
    })
    .await;
    lab.change(|site, _| RouterChange::AdvertisedRoutes(BTreeSet::from([prefix(site.lan)]))).await;
}

/// Stargate reads from the routers the settings that it has made.
async fn probes(lab: &Lab) {
    for (site, other) in [(&SITES[0], &SITES[1]), (&SITES[1], &SITES[0])] {
        let target = remote::target(site.router, site.outside);
        let probe = lab.hosts.probe_router(&target).await.unwrap();
        assert!(probe.persistent && probe.ip_forwarding && probe.mss_clamp, "{probe:?}");
        assert_eq!(probe.local_prefixes, BTreeSet::from([prefix(site.lan)]));
        let routes = BTreeMap::from([(prefix(other.lan), KernelRoute::Tunnel)]);
        assert_eq!(probe.kernel_routes, routes);
        let tailscale = probe.tailscale.unwrap();
        assert!(tailscale.running && tailscale.accept_routes && !tailscale.snat_subnet_routes);
        assert_eq!(tailscale.advertised_routes, BTreeSet::from([prefix(site.lan)]));
        assert_eq!(tailscale.primary_routes, BTreeSet::from([prefix(site.lan)]));
        assert_eq!(probe.foreign_rules, Vec::new());
    }
}

/// Each fault of a real part cuts the sites off from each other, and its remedy joins them again.
async fn faults(lab: &Lab) {
    let attic = &SITES[1];
    lab.approve(attic.router, &[]).await;
    lab.expect("approval withdrawn", Passed::NOTHING);
    lab.approve(attic.router, &[attic.lan]).await;
    lab.expect("approved again", Passed::ALL);

    let by_hand = [
        ("accept-routes=false", "tailscale set --accept-routes=false", ""),
        ("advertise-routes empty", "tailscale set --advertise-routes=", ""),
        ("ip_forward=0", "echo 0 >/proc/sys/net/ipv4/ip_forward", ""),
        (
            "a rule for forwarded packets",
            "nft 'add table ip by-hand
                add chain ip by-hand forward { type filter hook forward priority 0; policy drop; }'",
            "nft delete table ip by-hand",
        ),
        ("tailscaled stopped", "systemctl stop tailscaled", "systemctl start tailscaled"),
    ];
    for (fault, command, remedy) in by_hand {
        lab.routers[1].sh(command);
        lab.expect(fault, Passed::NOTHING);
        lab.routers[1].sh(remedy);
        configure(lab).await;
        lab.expect("repaired", Passed::ALL);
    }
}

/// Nothing that stargate or tailscaled made is left on the routers.
fn removed(lab: &Lab) {
    for router in &lab.routers {
        router.sh("tries=0
            while ip link show tailscale0 >/dev/null 2>&1 && [ $tries -lt 100 ]; do
                tries=$((tries + 1)); sleep 0.1
            done");
        let left = router.sh("ip rule show; ip route show table all; nft list tables
            find /etc/stargate /etc/systemd/system -type f 2>/dev/null || true");
        for word in ["117", "52", "tailscale", "stargate"] {
            assert!(!left.contains(word), "{word}: {left}");
        }
    }
}
