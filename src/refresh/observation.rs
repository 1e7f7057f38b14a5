//! Everything that a refresh read, and when.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Scope;
use crate::desired::Facts;
use crate::desired::facts::AssignedAddresses;
use crate::diagnostics::Failure;
use crate::inventory::{Gap, Inventory, Source};
use crate::plan::Finding;
use crate::plan::preflight::TailnetFacts;
use crate::provider::access::ClusterAccess;
use crate::provider::cluster::LiveManifest;
use crate::resource::{Kind, ObjectKey, Ownership};
use crate::topology::names::WorkerName;

/// A source of the current time.
pub type Clock = dyn Fn() -> Timestamp + Send + Sync;

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
    /// Whether everything that the topology owns is to be deleted.
    pub(super) destroys: bool,
    /// Foreign objects of Azure that could not be decoded, each with the reason.
    pub(super) undecodable: BTreeMap<ObjectKey, Failure>,
    /// Objects that an earlier version may have created, each with the ownership that its
    /// tags name: proven at the addresses that the topology gives to its objects.
    pub(super) without_name: BTreeMap<ObjectKey, Ownership>,
    /// The cluster's objects, whole.
    pub(super) manifests: BTreeMap<ObjectKey, LiveManifest>,
    /// The client of the cluster, if it could be read.
    pub(super) access: Option<ClusterAccess>,
}

impl Observation {
    /// An observation that nothing was read for yet.
    pub(super) fn begin(scope: &Scope<'_>, time: Timestamp) -> Self {
        Self {
            inventory: Inventory::default(),
            facts: Facts {
                subscription: scope.subscription.clone(),
                ssh_public_key: scope.ssh_public_key.clone(),
                cluster: None,
                nodes: Vec::new(),
                router_addresses: BTreeMap::new(),
                unauthorized_routers: BTreeMap::new(),
                departed: BTreeMap::new(),
                present_routers: BTreeMap::new(),
                request: None,
                egress_addresses: BTreeMap::new(),
                assigned: BTreeMap::new(),
                joined: BTreeMap::new(),
                nodes_without_pod_cidr: Vec::new(),
                offered_versions: None,
                upgrade_patches: scope.options.upgrade_patches,
                today: time.to_zoned(TimeZone::UTC).date(),
            },
            tailnet: TailnetFacts::default(),
            findings: Vec::new(),
            time,
            read_at: BTreeMap::new(),
            destroys: scope.options.destroy,
            undecodable: BTreeMap::new(),
            without_name: BTreeMap::new(),
            manifests: BTreeMap::new(),
            access: None,
        }
    }

    /// Records that a source could not be read.
    pub(super) fn gap(&mut self, source: Source, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.inventory.note_gap(Gap { source, failure, explained: false, in_part: false });
    }

    /// Records that a source could not be read, for a reason that a finding gives or that the
    /// plan's changes remove.
    pub(super) fn explained_gap(&mut self, source: Source, failure: Failure) {
        self.inventory.note_gap(Gap { source, failure, explained: true, in_part: false });
    }

    /// Records that the objects of a kind could not be listed.
    pub(super) fn kind_gap(&mut self, kind: Kind, source: Source, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.inventory
            .note_kind_gap(kind, Gap { source, failure, explained: false, in_part: false });
    }

    /// Records that facts could not be read that are no objects of a kind.
    pub(super) fn fact_gap(&mut self, source: Source, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.inventory.note_fact_gap(Gap { source, failure, explained: false, in_part: false });
    }

    /// Records that one object could not be read, while its source could.
    pub(super) fn unread(&mut self, key: ObjectKey, source: Source, failure: impl Into<Failure>) {
        let failure = failure.into();
        self.inventory.note_unread(key, Gap { source, failure, explained: false, in_part: false });
    }

    /// Records that what an object contains could not be listed, so that it must not be
    /// deleted. A refusal says nothing about the object itself, and does not end by itself.
    pub(super) fn unlisted(
        &mut self,
        key: ObjectKey,
        source: Source,
        is_refused: bool,
        failure: impl Into<Failure>,
    ) {
        if is_refused {
            self.inventory.unlisted_contents.insert(key, failure.into());
        } else {
            self.unread(key, source, failure);
        }
    }

    /// Records that the facts of the cluster could not be read, while the rest of Azure could.
    /// `explained` says that a finding has the reason already.
    pub(super) fn cluster_gap(&mut self, cluster: ObjectKey, failure: Failure, explained: bool) {
        let gap = Gap { source: Source::Azure, failure, explained, in_part: true };
        self.inventory.note_cluster_gap(cluster, gap);
    }

    /// Records the same of a cluster whose own object was read.
    pub(super) fn gap_of_cluster_facts(&mut self, failure: Failure) {
        let gap = Gap { source: Source::Azure, failure, explained: false, in_part: true };
        self.inventory.note_gap_of_cluster_facts(gap);
    }

    /// Makes a foreign object that could not be decoded unknown, now that something
    /// depends on it.
    pub(super) fn mark_undecodable_unread(&mut self, key: &ObjectKey) {
        if let Some(failure) = self.undecodable.remove(key) {
            self.unread(key.clone(), Source::Azure, failure);
        }
    }

    /// Takes an object at an address of the topology for the topology's if its tags say so
    /// and an earlier version may have written them.
    pub(super) fn recognise_without_name(&mut self, key: &ObjectKey) {
        let Some(ownership) = self.without_name.remove(key) else { return };
        let Some(observed) = self.inventory.get(key) else { return };
        if observed.ownership.is_foreign() {
            let resource = observed.resource.clone();
            self.inventory.note(key.clone(), resource, ownership);
        }
    }

    /// The addresses that a worker holds.
    pub(super) fn assigned(&mut self, worker: &str) -> &mut AssignedAddresses {
        self.facts.assigned.entry(WorkerName::new(worker)).or_default()
    }
}
