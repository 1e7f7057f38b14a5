//! The sandbox's one world.
//!
//! It holds four parts that know nothing of each other; [`super::controllers`]
//! draws the consequences between them (a VM boots and joins the tailnet, an
//! AKS cluster brings nodes) after every change. Nothing in here waits or reads
//! a clock: the time comes with each request.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::arm::ArmStore;
use super::controllers::Reconciled;
use super::hosts::{Host, HostKind, Hosts};
use super::kubernetes::KubernetesStore;
use super::log::RequestLog;
use super::tailnet::TailnetStore;
use crate::provider::http::Api;
use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::topology::model::{Site, Topology};
use crate::topology::names::TailnetTag;

/// Everything that exists in the sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct World {
    /// Azure's objects and their running operations.
    pub arm: ArmStore,
    /// Devices, keys and the policy of the tailnet.
    pub tailnet: TailnetStore,
    /// The cluster's API server, once an AKS cluster is there.
    pub kubernetes: Option<KubernetesStore>,
    /// How the cluster is got into, while there is one.
    #[serde(default)]
    pub cluster_access: Option<ClusterAccess>,
    /// All machines by host name: VMs that booted, and those that were there before.
    pub hosts: Hosts,
    /// The requests that the world got.
    pub log: RequestLog,
    /// Services that answer 503 (the fault `source-down`).
    pub down: BTreeSet<Api>,
    /// Where the three faces are reached; empty while nothing serves them.
    #[serde(skip)]
    pub endpoints: Endpoints,
    /// How many seconds Azure tells a client to wait before it polls again. Our
    /// own client takes none at its word; others read none as none given, and
    /// wait for as long as they please.
    #[serde(skip)]
    pub pause: u32,
    /// Makes names and ids that look random and are the same in every run.
    pub entropy: Entropy,
    /// Up to where consequences are drawn.
    #[serde(skip)]
    pub(super) reconciled: Reconciled,
}

/// The base URLs of the faces, without a slash at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Azure Resource Manager.
    pub azure: String,
    /// The Tailscale API, without `/api/v2`.
    pub tailscale: String,
    /// The cluster's API server.
    pub kubernetes: String,
    /// The certificate in PEM, where the faces speak TLS.
    pub certificate: Option<String>,
}

/// How the cluster is got into.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClusterAccess {
    /// The AKS cluster.
    pub cluster: ArmId,
    /// The identity of this very cluster: another of the same name has another.
    pub instance: String,
    /// The bearer token of `clusterUser`.
    pub token: String,
    /// The digest of what the kubeconfig was made of.
    pub kubeconfig: String,
}

/// A stream of numbers that looks random and replays from its seed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entropy {
    state: u64,
}

impl Entropy {
    /// Starts the stream.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number (SplitMix64).
    pub fn next_number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The next GUID.
    pub fn next_guid(&mut self) -> String {
        let high = u128::from(self.next_number());
        let low = u128::from(self.next_number());
        uuid::Builder::from_random_bytes(((high << 64) | low).to_be_bytes()).into_uuid().to_string()
    }
}

impl World {
    /// An empty world.
    pub fn new(seed: u64) -> Self {
        Self {
            arm: ArmStore::default(),
            tailnet: TailnetStore::default(),
            kubernetes: None,
            cluster_access: None,
            hosts: Hosts::default(),
            log: RequestLog::default(),
            down: BTreeSet::new(),
            endpoints: Endpoints::default(),
            pause: 0,
            entropy: Entropy::new(seed),
            reconciled: Reconciled::default(),
        }
    }

    /// Gives a tag an owner in the policy, as an administrator of a real
    /// tailnet does before stargate may use it.
    pub fn seed_tag(&mut self, tag: &TailnetTag) {
        self.tailnet.policy_mut().add_tag(tag.as_str());
    }

    /// Puts a machine that was there before stargate, unless it is known.
    pub fn seed_machine(&mut self, hostname: &str, ip: Ipv4Addr, mac: Option<&str>, router: bool) {
        let role = if router { MachineRole::Router } else { MachineRole::Worker };
        let kind = HostKind::Existing { mac: mac.map(str::to_owned) };
        if !self.hosts.contains_key(hostname) {
            self.hosts.insert(Host::bare(hostname, ip, kind, role));
        }
    }

    /// Lets SSH reach a machine from outside under a name or an address, as the
    /// firewall of its site does.
    pub fn seed_ssh_address(&mut self, hostname: &str, address: &str) {
        if let Some(host) = self.hosts.get_mut(hostname) {
            host.outside = Some(address.to_owned());
        }
    }

    /// Puts in what a topology expects to find: an owner for its tag, and the
    /// machines that were there before stargate.
    pub fn seed(&mut self, topology: &Topology) {
        self.seed_tag(&topology.tailnet.tag);
        let datacenters = topology.datacenters.iter();
        for datacenter in datacenters.filter(|it| matches!(it.site, Site::Existing(_))) {
            let router = &datacenter.router;
            self.seed_machine(router.name.as_str(), router.ip, None, true);
            if let Some(address) = &router.ssh_address {
                self.seed_ssh_address(router.name.as_str(), address);
            }
            for worker in &datacenter.workers {
                if let Some(ip) = worker.ip {
                    self.seed_machine(worker.name.as_str(), ip, worker.mac.as_deref(), false);
                }
            }
        }
    }

    /// Answers one request to one of the faces and draws the consequences.
    ///
    /// The URI may be absolute or only a path with its query.
    pub fn handle(
        &mut self,
        api: Api,
        request: &http::Request<Bytes>,
        now: Timestamp,
    ) -> super::Answer {
        super::dispatch::handle(self, api, request, now)
    }
}
