//! The node pools of a cluster of ours. Those of a new cluster are created with it;
//! afterwards each is an object of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::context::DesiredContext;
use super::facts::{ClusterFacts, LivePool};
use super::set::{DesiredSet, ResourceBuilder};
use super::versions;
use crate::resource::azure::{NodePool, Provisioning};
use crate::resource::settings::NodePoolMode;
use crate::resource::{Address, Kind, ObjectKey, Observable, Resource, Site};
use crate::topology::model;
use crate::topology::names::NodePoolName;

/// The maximum length of the name of a Linux pool in AKS.
const MAX_POOL_NAME: usize = 12;

/// The pools that are created with a cluster, by their names in Azure.
pub(super) fn of_new_cluster(context: &DesiredContext<'_>) -> BTreeMap<String, NodePool> {
    if context.facts.cluster.is_some() {
        return BTreeMap::new();
    }
    let none = BTreeMap::new();
    let pools = Pools::of(context, &none);
    let created = context.topology.cluster.node_pools.iter();
    created.map(|(key, pool)| (key.to_string(), pools.value(key, pool, None))).collect()
}

/// The pools of a cluster that exists.
pub(super) fn existing(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    let Some(cluster) = &context.facts.cluster else { return };
    if context.topology.cluster.existing {
        return;
    }
    let pools = Pools::of(context, &cluster.node_pools);
    let id = context
        .group(context.topology.cluster.resource_group.as_str())
        .in_group(Kind::ManagedCluster.arm_type(), context.topology.cluster.name.as_str());
    for (key, pool) in &context.topology.cluster.node_pools {
        let name = pools.name(key, pool);
        let live = cluster.node_pools.get(&name).and_then(|live| live.value.as_ref());
        let value = pools.value(key, pool, live);
        let becomes_user = live.is_some_and(|live| live.mode == NodePoolMode::System)
            && value.mode == NodePoolMode::User;
        // There must be a system pool at all times.
        let before = if becomes_user { pools.new_system_pools() } else { Vec::new() };
        set.add(
            ResourceBuilder::new(
                address(key),
                Some(ObjectKey::Azure(id.child("agentPools", &name))),
                Resource::NodePool(value.into()),
            )
            .contained_in(context.cluster_address())
            .depends_on_all(before)
            .planned_because_of(reason(key, &name, cluster)),
        );
    }
}

/// The pools with a pending change of version: workers follow them.
pub(super) fn upgraded(context: &DesiredContext<'_>) -> Vec<Address> {
    let Some(cluster) = &context.facts.cluster else { return Vec::new() };
    let pools = Pools::of(context, &cluster.node_pools);
    let is_upgraded = |(key, pool): &(&NodePoolName, &model::NodePoolSettings)| {
        let live = cluster.node_pools.get(&pools.name(key, pool));
        live.and_then(|live| live.value.as_ref()).is_some_and(|live| {
            !live.kubernetes_version.satisfies(versions::node_pool(context, Some(live)))
        })
    };
    let all = context.topology.cluster.node_pools.iter();
    all.filter(is_upgraded).map(|(key, _)| address(key)).collect()
}

fn address(key: &NodePoolName) -> Address {
    Address::new(Kind::NodePool, Site::Cluster, key.as_str())
}

fn reason(key: &NodePoolName, name: &str, cluster: &ClusterFacts) -> String {
    if name == key.as_str() || cluster.node_pools.contains_key(name) {
        return format!("[cluster.node_pools.{key}]");
    }
    format!(
        "[cluster.node_pools.{key}] changes a field that AKS cannot change in place: the pool \
         {name} replaces the old one"
    )
}

/// The pools of the topology beside those that exist.
struct Pools<'a> {
    context: &'a DesiredContext<'a>,
    live: &'a BTreeMap<String, LivePool>,
    /// The pool that becomes a system pool because no other one is.
    default_system: Option<&'a NodePoolName>,
}

impl<'a> Pools<'a> {
    fn of(context: &'a DesiredContext<'a>, live: &'a BTreeMap<String, LivePool>) -> Self {
        let mut pools = Self { context, live, default_system: None };
        let all = || context.topology.cluster.node_pools.iter();
        let has_system = all().any(|(key, pool)| pools.mode(key, pool) == NodePoolMode::System);
        if !has_system {
            let open = all().filter(|(_, pool)| pool.mode.is_none());
            let usable = open.filter(|(_, pool)| pool.scale.min_nodes() > 0);
            let first = usable.min_by_key(|(_, pool)| pool.position);
            pools.default_system = first.map(|(key, _)| key);
        }
        pools
    }

    /// The pools of ours with a key.
    fn with_key(&self, key: &'a NodePoolName) -> impl Iterator<Item = (&'a String, &'a NodePool)> {
        let ours = self.live.iter().filter(|(_, pool)| pool.is_ours);
        ours.filter_map(|(name, pool)| Some((name, pool.value.as_ref()?)))
            .filter(move |(_, pool)| pool.key == key.as_str())
    }

    /// A pool that exists keeps its mode unless the topology sets it.
    fn mode(&self, key: &'a NodePoolName, pool: &model::NodePoolSettings) -> NodePoolMode {
        let live = || self.with_key(key).map(|(_, pool)| pool.mode);
        let has_live = |mode| live().any(|live| live == mode);
        match pool.mode {
            Some(mode) => mode,
            None if has_live(NodePoolMode::System) || self.default_system == Some(key) => {
                NodePoolMode::System
            }
            None => NodePoolMode::User,
        }
    }

    /// Pools that are system pools in the topology, and not yet.
    fn new_system_pools(&self) -> Vec<Address> {
        let is_new = |(key, pool): &(&'a NodePoolName, &model::NodePoolSettings)| {
            self.mode(key, pool) == NodePoolMode::System
                && self.with_key(key).all(|(_, live)| live.mode != NodePoolMode::System)
        };
        let all = self.context.topology.cluster.node_pools.iter();
        all.filter(is_new).map(|(key, _)| address(key)).collect()
    }

    /// The name in Azure: that of the pool that fits, else that of a successor to one
    /// that does not, else the key.
    fn name(&self, key: &'a NodePoolName, pool: &model::NodePoolSettings) -> String {
        if self.with_key(key).next().is_none() {
            return key.to_string();
        }
        let exact = self.with_key(key).find(|(_, live)| unfit_fields(pool, live).is_empty());
        let fitting = exact.or_else(|| {
            let mut all = self.with_key(key);
            all.find(|(_, live)| {
                unfit_fields(pool, live).into_iter().all(|field| self.is_ignored(key, field))
            })
        });
        match fitting {
            Some((name, _)) => name.clone(),
            None => self.successor(key),
        }
    }

    /// Whether known drift of a field is ignored, so that no successor takes the place of
    /// a pool because of it.
    fn is_ignored(&self, key: &NodePoolName, field: &str) -> bool {
        let (address, path) = (address(key), [field.to_owned()]);
        self.context.topology.ignores.iter().any(|rule| {
            !rule.has_expired(self.context.facts.today)
                && rule.address.matches(&address)
                && rule.field.matching_prefix(&path).is_some()
        })
    }

    /// The key plus the first letter that is free. Without one, the pool itself: it
    /// cannot be changed, and the plan says so.
    fn successor(&self, key: &'a NodePoolName) -> String {
        let free = |name: &String| !self.live.keys().any(|it| it.eq_ignore_ascii_case(name));
        let names = ('a'..='z').map(|letter| format!("{key}{letter}"));
        let usable = names.filter(|name| name.len() <= MAX_POOL_NAME).find(free);
        usable
            .or_else(|| self.with_key(key).next().map(|(name, _)| name.clone()))
            .unwrap_or_else(|| key.to_string())
    }

    /// A field that the topology omits keeps its current value.
    fn value(
        &self,
        key: &'a NodePoolName,
        pool: &model::NodePoolSettings,
        live: Option<&NodePool>,
    ) -> NodePool {
        // A successor is where the pool is whose place it takes.
        let subnet_of_predecessor = || self.with_key(key).find_map(|(_, pool)| pool.subnet.clone());
        let subnet_of_any = || {
            let ours = self.live.values().filter(|pool| pool.is_ours);
            let all = ours.filter_map(|pool| pool.value.as_ref());
            all.filter_map(|pool| pool.subnet.clone()).next()
        };
        NodePool {
            key: key.to_string(),
            mode: self.mode(key, pool),
            vm_size: pool.vm_size.to_string(),
            scale: pool.scale,
            kubernetes_version: versions::node_pool(self.context, live),
            labels: pool.labels.clone(),
            taints: pool.taints.clone(),
            max_surge: observable(pool.max_surge.clone()),
            max_pods: observable(pool.max_pods),
            os_disk_gb: observable(pool.os_disk_gb),
            zones: observable(pool.zones.clone()),
            subnet: match live {
                Some(live) => live.subnet.clone(),
                None => subnet_of_predecessor().or_else(subnet_of_any),
            },
            provisioning: Provisioning::Ready,
        }
    }
}

fn observable<T>(value: Option<T>) -> Observable<T> {
    value.map_or_else(Observable::unobserved, Observable::Observed)
}

/// The fields that AKS cannot change in place and in which a pool differs, as far as the
/// topology sets them.
fn unfit_fields(desired: &model::NodePoolSettings, live: &NodePool) -> Vec<&'static str> {
    fn differs<T: PartialEq>(desired: Option<&T>, live: &Observable<T>) -> bool {
        desired.is_some_and(|desired| live.observed().is_some_and(|live| live != desired))
    }
    let zones: Option<&BTreeSet<String>> = desired.zones.as_ref();
    let fields = [
        ("vm_size", !live.vm_size.eq_ignore_ascii_case(desired.vm_size.as_str())),
        ("max_pods", differs(desired.max_pods.as_ref(), &live.max_pods)),
        ("os_disk_gb", differs(desired.os_disk_gb.as_ref(), &live.os_disk_gb)),
        ("zones", differs(zones, &live.zones)),
    ];
    fields.into_iter().filter(|(_, differs)| *differs).map(|(field, _)| field).collect()
}
