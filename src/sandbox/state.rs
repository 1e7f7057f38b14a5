//! The state of the sandbox.
//!
//! It has independent parts for Azure, the tailnet, the cluster and the hosts.
//! [`super::controllers`] connect them after every change: a VM boots and joins the tailnet, an AKS
//! cluster gets nodes. The state neither sleeps nor reads a clock: the time is a parameter of each
//! request.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::arm::ArmStore;
use super::controllers::ReconciledVersions;
use super::entropy::Entropy;
use super::hosts::{EmulatedHost, HostKind, Hosts};
use super::kubernetes::KubernetesStore;
use super::log::RequestLog;
use super::tailnet::TailnetStore;
use crate::provider::http::Api;
use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::topology::model::Topology;
use crate::topology::names::TailnetTag;

/// The complete state of a sandbox.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxState {
    /// Azure's objects and their running operations.
    pub arm: ArmStore,
    /// Devices, keys and the policy of the tailnet.
    pub tailnet: TailnetStore,
    /// The cluster's API server, if there is an AKS cluster.
    pub kubernetes: Option<KubernetesStore>,
    /// The credentials of the cluster, if there is one.
    #[serde(default)]
    pub cluster_access: Option<SandboxClusterAccess>,
    /// All hosts: booted VMs, and machines that existed before stargate.
    pub hosts: Hosts,
    /// The log of requests.
    pub log: RequestLog,
    /// Services that answer 503 (the fault `source-down`).
    pub down: BTreeSet<Api>,
    /// The URLs of the three APIs; empty while they are not served over HTTP.
    #[serde(skip)]
    pub endpoints: SandboxEndpoints,
    /// The `Retry-After` that Azure sends, in seconds. stargate's own client polls at once if it is
    /// 0. Other clients ignore 0 and wait for their default interval.
    #[serde(skip)]
    pub pause: u32,
    /// How far the clocks of the services are ahead of this machine's, in seconds.
    #[serde(default)]
    pub clock_ahead_seconds: i64,
    /// Generates names and ids that look random and are the same in every run.
    pub entropy: Entropy,
    /// The reconciled state.
    #[serde(skip)]
    pub(super) reconciled: ReconciledVersions,
}

/// The base URLs of the APIs, without a trailing slash.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxEndpoints {
    /// Azure Resource Manager.
    pub azure: String,
    /// The Tailscale API, without `/api/v2`.
    pub tailscale: String,
    /// The cluster's API server.
    pub kubernetes: String,
    /// The certificate in PEM, if the APIs use TLS.
    pub certificate: Option<String>,
}

/// The credentials of the cluster.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SandboxClusterAccess {
    /// The id of the AKS cluster.
    pub cluster: ArmId,
    /// The unique id of the cluster: a later cluster of the same name has a different one.
    pub instance: String,
    /// The bearer token of `clusterUser`.
    pub token: String,
    /// The digest of the facts that the kubeconfig was made of.
    pub kubeconfig: String,
}

impl SandboxState {
    /// An empty sandbox.
    pub fn new(seed: u64) -> Self {
        Self {
            arm: ArmStore::default(),
            tailnet: TailnetStore::default(),
            kubernetes: None,
            cluster_access: None,
            hosts: Hosts::default(),
            log: RequestLog::default(),
            down: BTreeSet::new(),
            endpoints: SandboxEndpoints::default(),
            pause: 0,
            clock_ahead_seconds: 0,
            entropy: Entropy::new(seed),
            reconciled: ReconciledVersions::default(),
        }
    }

    /// Continues with a later state from another process. Values of this process stay: its
    /// endpoints, its command in the log, and the log of changes for its watches.
    pub(super) fn continue_with(&mut self, read: Self) {
        let earlier = std::mem::replace(self, read);
        self.endpoints = earlier.endpoints;
        self.pause = earlier.pause;
        self.log.continue_run_of(&earlier.log);
        let same_cluster =
            |access: &Option<SandboxClusterAccess>| access.as_ref().map(|it| it.instance.clone());
        if same_cluster(&self.cluster_access) == same_cluster(&earlier.cluster_access)
            && let (Some(store), Some(before)) = (&mut self.kubernetes, earlier.kubernetes)
        {
            store.continue_log(before);
        }
    }

    /// Adds an owner for a tag to the policy, as the administrator of a real tailnet does before
    /// stargate can use it.
    pub fn seed_tag(&mut self, tag: &TailnetTag) {
        if !self.tailnet.unowned_tags.contains(tag.as_str()) {
            self.tailnet.policy_mut().add_tag(tag.as_str());
        }
    }

    /// Adds a machine that existed before stargate, unless it is already there. A machine with the
    /// MAC address gets the host name if it has another one, as from its operator.
    pub fn seed_machine(&mut self, hostname: &str, ip: Ipv4Addr, mac: Option<&str>, router: bool) {
        let role = if router { MachineRole::Router } else { MachineRole::Worker };
        let kind = HostKind::Existing { mac: mac.map(str::to_owned) };
        if mac.is_some_and(|mac| self.hosts.rename_by_mac(mac, hostname)) {
            return;
        }
        let is_known = |host: &EmulatedHost| matches!(&host.kind, HostKind::Existing { mac: known } if known.is_none() || mac.is_none() || host.ip == ip);
        if !self.hosts.named(hostname).any(|(_, host)| is_known(host)) {
            self.hosts.insert(EmulatedHost::bare(hostname, ip, kind, role));
        }
    }

    /// Makes a host reachable by SSH from outside under a name or an address, as the firewall of
    /// its site does.
    pub fn seed_ssh_address(&mut self, hostname: &str, address: &str) {
        if let Some(host) = self.hosts.get_mut(hostname) {
            host.public_address = Some(address.to_owned());
        }
    }

    /// Adds what a topology expects to exist: an owner for its tag, and its existing machines.
    pub fn seed(&mut self, topology: &Topology) {
        self.seed_tag(&topology.tailnet.tag);
        let datacenters = topology.datacenters.iter();
        for datacenter in datacenters.filter(|it| it.is_existing()) {
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
}
