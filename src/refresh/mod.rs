//! Reads live state into an inventory, by lists; writes nothing.

mod azure;
pub(crate) mod cluster;
mod groups;
mod hosts;
pub mod measure;
mod single;
mod tailnet;
pub(crate) mod targets;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::desired::Facts;
use crate::desired::facts::Held;
use crate::diagnostics::Failure;
use crate::inventory::{Gap, Inventory, Source};
use crate::plan::preflight::TailnetFacts;
use crate::plan::{Finding, ManagedNodeFields, PlanOptions};
use crate::provider::access::ClusterAccess;
use crate::provider::clients::ReadClients;
use crate::provider::cluster::LiveManifest;
use crate::resource::{ObjectKey, Owner, Side};
use crate::topology::model::{Site, Topology};
use crate::topology::names::{SubscriptionId, WorkerName};

pub use single::{Current, read_one};
pub(crate) use single::{find_device, no_cluster};

/// What is looked for, and how closely.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The public key given to new machines.
    pub ssh_public_key: String,
    /// What is asked of the plan that is made from it.
    pub options: PlanOptions,
    /// The names of all workers of the topology.
    pub worker_names: BTreeSet<String>,
    /// The fields of Nodes that stargate manages.
    pub managed: ManagedNodeFields,
}

impl<'a> Scope<'a> {
    /// The scope of a topology.
    pub fn new(
        topology: &'a Topology,
        subscription: SubscriptionId,
        ssh_public_key: String,
    ) -> Self {
        let workers = topology.datacenters.iter().flat_map(|datacenter| &datacenter.workers);
        Self {
            topology,
            subscription,
            ssh_public_key,
            options: PlanOptions::default(),
            worker_names: workers.map(|worker| worker.name.to_string()).collect(),
            managed: ManagedNodeFields::of(topology),
        }
    }

    /// Whose marks are looked for.
    pub fn owner(&self) -> Owner {
        Owner { topology: self.topology.name.clone(), tag: self.topology.tailnet.tag.clone() }
    }

    /// The side that a router belongs to; a router that the topology does not
    /// know is the cluster's.
    fn side_of_router(&self, name: &str) -> Side {
        self.topology
            .datacenters
            .iter()
            .find(|datacenter| datacenter.router.name.as_str() == name)
            .map_or(Side::Cluster, |datacenter| Side::Datacenter(datacenter.name.clone()))
    }
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Observation {
    /// The objects.
    pub inventory: Inventory,
    /// The facts from which the desired resources are built.
    pub facts: Facts,
    /// Facts about the tailnet that only the lints need.
    pub tailnet: TailnetFacts,
    /// Problems that were found while reading.
    pub findings: Vec<Finding>,
    /// When the refresh started.
    pub time: Timestamp,
    /// When each source answered.
    pub read_at: BTreeMap<Source, Timestamp>,
    /// The cluster's objects, whole.
    manifests: BTreeMap<ObjectKey, LiveManifest>,
    /// The client of the cluster, if it could be read.
    access: Option<ClusterAccess>,
}

/// Reads Azure and the tailnet side by side, then the cluster (whose
/// credentials Azure gives), then the hosts (which the tailnet leads to).
pub async fn observe(clients: &ReadClients, scope: &Scope<'_>, now: &Clock) -> Observation {
    let mut observation = Observation {
        inventory: Inventory::default(),
        facts: Facts {
            subscription: scope.subscription.clone(),
            ssh_public_key: scope.ssh_public_key.clone(),
            cluster: None,
            nodes: Vec::new(),
            router_addresses: BTreeMap::new(),
            held: BTreeMap::new(),
            untold_nodes: Vec::new(),
        },
        tailnet: TailnetFacts::default(),
        findings: Vec::new(),
        time: now(),
        read_at: BTreeMap::new(),
        manifests: BTreeMap::new(),
        access: None,
    };
    let ((azure, azure_at), (tailnet, tailnet_at)) = tokio::join!(
        timed(azure::read(clients, scope), now),
        timed(tailnet::read(clients, scope), now)
    );
    observation.read_at.insert(Source::Azure, azure_at);
    observation.read_at.insert(Source::Tailscale, tailnet_at);
    azure::note(azure, scope, &mut observation);
    let devices = tailnet::note(tailnet, scope, &mut observation);
    cluster::read(clients, scope, &mut observation).await;
    observation.read_at.insert(Source::Kubernetes, now());
    hosts::read(clients, scope, (&devices, now), &mut observation).await;
    observation
}

/// What tells the time.
pub type Clock = dyn Fn() -> Timestamp + Send + Sync;

/// An answer, and when it came.
async fn timed<T>(answer: impl Future<Output = T>, now: &Clock) -> (T, Timestamp) {
    let answer = answer.await;
    (answer, now())
}

impl Observation {
    /// Records that a source could not be read.
    fn gap(&mut self, source: Source, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.inventory.note_gap(Gap { source, failure, explained: false });
    }

    fn held(&mut self, worker: &str) -> &mut Held {
        self.facts.held.entry(WorkerName::new(worker)).or_default()
    }
}

/// Whether a datacenter's machines were there before us.
fn is_existing(topology: &Topology, side: &Side) -> bool {
    match side {
        Side::Cluster => false,
        Side::Datacenter(name) => topology.datacenters.iter().any(|datacenter| {
            datacenter.name == *name && matches!(datacenter.site, Site::Existing(_))
        }),
    }
}
