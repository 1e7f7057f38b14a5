//! Gaps of an inventory: whole sources, all objects of a kind, or single objects.

use std::collections::{BTreeMap, BTreeSet};

use super::{Gap, Inventory, Source};
use crate::resource::{self, Address, Kind, ObjectKey, Service, Site};

/// The unread part, and the reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gaps {
    sources: BTreeMap<Source, Vec<Gap>>,
    /// Kinds whose list could not be read, while others of their source could.
    kinds: BTreeMap<Kind, Gap>,
    /// Facts without a kind of their own that could not be read.
    facts: Vec<Gap>,
    /// Objects that are or may be there and could not be read: neither present nor absent.
    objects: BTreeMap<ObjectKey, Gap>,
    /// Objects that their service answered do not exist.
    absent: BTreeSet<ObjectKey>,
    /// Why nothing is known of what the cluster consists of.
    cluster: Option<ClusterGap>,
}

/// The facts of the AKS cluster could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClusterGap {
    gap: Gap,
    /// Whether its own object and its node pools count as unread, too.
    hides_object: bool,
}

impl Inventory {
    /// Notes that a source could not be read. Each reason is kept.
    pub fn note_gap(&mut self, gap: Gap) {
        let of_source = self.gaps.sources.entry(gap.source.clone()).or_default();
        if !of_source.contains(&gap) {
            of_source.push(gap);
        }
    }

    /// Records that the objects of a kind could not be listed, although their source could
    /// be read: an object of the kind is known only if it was read by ID.
    pub fn note_kind_gap(&mut self, kind: Kind, gap: Gap) {
        self.gaps.kinds.entry(kind).or_insert(Gap { in_part: true, ..gap });
    }

    /// Notes that facts could not be read that are no objects of a kind.
    pub fn note_fact_gap(&mut self, gap: Gap) {
        self.gaps.facts.push(Gap { in_part: true, ..gap });
    }

    /// Notes that one object could not be read, while its source could.
    pub fn note_unread(&mut self, key: ObjectKey, gap: Gap) {
        self.objects.remove(&key);
        self.gaps.objects.insert(key, Gap { in_part: true, ..gap });
    }

    /// Notes that the facts of the AKS cluster could not be read, while the rest of Azure
    /// could: neither its node pools nor the ids of what is in its network are known.
    pub fn note_cluster_gap(&mut self, cluster: ObjectKey, gap: Gap) {
        self.note_unread(cluster, gap.clone());
        self.gaps.cluster = Some(ClusterGap { gap, hides_object: true });
    }

    /// Notes the same, without hiding the cluster's own object, which was read.
    pub fn note_gap_of_cluster_facts(&mut self, gap: Gap) {
        self.note_fact_gap(gap.clone());
        self.gaps.cluster = Some(ClusterGap { gap, hides_object: false });
    }

    /// The gap that hides the facts of the AKS cluster, if Azure could be read without them.
    pub fn cluster_gap(&self) -> Option<&Gap> {
        self.gaps.cluster.as_ref().map(|cluster| &cluster.gap)
    }

    /// Whether one object is noted as unread.
    pub fn is_unread(&self, key: &ObjectKey) -> bool {
        self.gaps.objects.contains_key(key)
    }

    /// Notes that an object does not exist, by the answer to a read of this object.
    pub fn note_absent(&mut self, key: ObjectKey) {
        self.gaps.absent.insert(key);
    }

    /// All gaps: those of sources, of kinds, of facts, then those of single objects.
    pub fn gaps(&self) -> impl Iterator<Item = &Gap> {
        let Gaps { sources, kinds, facts, objects, .. } = &self.gaps;
        sources.values().flatten().chain(kinds.values()).chain(facts).chain(objects.values())
    }

    /// The gap that hides objects of this kind and key, if there is one. An
    /// object that is not in the inventory is absent only if no gap hides it.
    pub fn gap_for(&self, kind: Kind, key: Option<&ObjectKey>) -> Option<&Gap> {
        let is_known =
            |key: &ObjectKey| self.objects.contains_key(key) || self.gaps.absent.contains(key);
        let of_object = key.and_then(|key| self.gaps.objects.get(key));
        let of_cluster = || {
            let is_of_cluster = matches!(kind, Kind::ManagedCluster | Kind::NodePool);
            let of_object = self.gaps.cluster.as_ref().filter(|cluster| cluster.hides_object);
            of_object.map(|cluster| &cluster.gap).filter(|_| is_of_cluster)
        };
        let of_table = || key.filter(|_| kind == Kind::Route).and_then(|key| self.table_gap(key));
        let of_source = || sources_of(kind, key).into_iter().find_map(|it| self.gap_at(&it));
        let of_kind = || self.kind_gap(kind).filter(|_| !key.is_some_and(is_known));
        of_object.or_else(of_table).or_else(of_source).or_else(of_cluster).or_else(of_kind)
    }

    /// The gap that hides a route: that of its table, which answers all of them or none.
    fn table_gap(&self, route: &ObjectKey) -> Option<&Gap> {
        let ObjectKey::Azure(id) = route else { return None };
        self.gap_for(Kind::RouteTable, Some(&ObjectKey::Azure(id.parent()?)))
    }

    /// The gap that hides all objects of a kind that were not read by themselves, if their
    /// source could be read and their list could not.
    pub fn kind_gap(&self, kind: Kind) -> Option<&Gap> {
        self.gaps.kinds.get(&kind)
    }

    /// A gap that hides at least one object of a kind.
    pub fn gap_among(&self, kind: Kind) -> Option<&Gap> {
        self.gap_for(kind, None).or_else(|| self.unread_objects(kind).next().map(|(_, gap)| gap))
    }

    /// The objects of a kind that could not be read, while their source could.
    pub fn unread_objects(&self, kind: Kind) -> impl Iterator<Item = (&ObjectKey, &Gap)> {
        self.gaps.objects.iter().filter(move |(key, _)| is_of_kind(key, kind))
    }

    /// The first gap of a source, if it could not be read.
    pub fn gap_at(&self, source: &Source) -> Option<&Gap> {
        self.gaps.sources.get(source).and_then(|gaps| gaps.first())
    }

    /// The gap in the source of a resource's value. The tables of a datacenter, the records
    /// of its workers and their CiliumNodes contain the pod CIDR of each worker, which only
    /// its Node records: without the Nodes they would be written with wrong ranges.
    pub fn gap_behind(&self, address: &Address) -> Option<&Gap> {
        let names_pod_ranges = match address.kind {
            Kind::RouteTable => address.site != Site::Cluster,
            Kind::Server | Kind::CiliumNode => true,
            _ => false,
        };
        self.gap_for(Kind::Worker, None).filter(|_| names_pod_ranges)
    }
}

/// Whether a key is one of a kind's objects.
fn is_of_kind(key: &ObjectKey, kind: Kind) -> bool {
    match (key, &kind.facts().service) {
        (ObjectKey::Azure(id), Service::Azure(arm)) => {
            let group = Kind::ResourceGroup.arm_type();
            let name = id.resource_type().unwrap_or_else(|| group.to_owned());
            arm.name.eq_ignore_ascii_case(&name)
        }
        (ObjectKey::AzureAssociation(_), Service::AzureProperty(_)) => true,
        (ObjectKey::Kubernetes(object), Service::Kubernetes(api)) => object.kind == api.kind,
        (ObjectKey::Device(_), Service::Tailnet) => kind == Kind::TailnetDevice,
        (ObjectKey::DeviceAdvertised(_), Service::Tailnet) => kind == Kind::AdvertisedRoutes,
        (ObjectKey::DeviceApproved(_), Service::Tailnet) => kind == Kind::ApprovedRoutes,
        (ObjectKey::Host(_), Service::Host) => true,
        _ => false,
    }
}

/// The sources that return objects of a kind.
fn sources_of(kind: Kind, key: Option<&ObjectKey>) -> Vec<Source> {
    match (&kind.facts().service, key) {
        // A router is reached by its address in the tailnet.
        (resource::Service::Host, Some(ObjectKey::Host(name))) => {
            vec![Source::Tailscale, Source::Host(name.clone())]
        }
        (resource::Service::Host, _) => vec![Source::Tailscale],
        (service, _) => vec![Source::of(service, "")],
    }
}
