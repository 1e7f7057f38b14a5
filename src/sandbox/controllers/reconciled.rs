//! Up to where consequences are drawn, and what is new since.

use std::collections::BTreeSet;

use serde_json::Value;

use super::machines::Machines;
use crate::sandbox::hosts::{Host, Hosts, Touched};
use crate::sandbox::kubernetes::{KubernetesStore, ObjectNews};
use crate::sandbox::world::World;

/// What the last settling saw. A world that was just loaded has none, and is
/// settled as a whole.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    /// The version of Azure's objects.
    pub(super) azure: Option<u64>,
    /// What VMs became.
    pub(super) machines: Machines,
    /// The AKS cluster whose nodes were scaled.
    pub(super) cluster: Option<Value>,
    /// The identity of the API server and the version of its objects.
    kubernetes: Option<(String, u64)>,
    /// Kubelets that have no certificate yet.
    pub(super) waiting: BTreeSet<String>,
    /// Machines with Tailscale.
    pub(super) members: BTreeSet<String>,
}

/// From where on the cluster's objects are news.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(Option<u64>);

impl Since {
    /// What is new in this world.
    pub(super) fn of(world: &World) -> Self {
        let instance = world.cluster_access.as_ref().map(|access| access.instance.as_str());
        let seen = world.reconciled.kubernetes.as_ref();
        Self(seen.filter(|(of, _)| Some(of.as_str()) == instance).map(|(_, version)| *version))
    }

    /// The changed objects of a kind, or nothing if all may have changed.
    pub(super) fn news(
        self,
        store: &KubernetesStore,
        kind: (&str, &str),
    ) -> Option<Vec<ObjectNews>> {
        store.news(kind, self.0?)
    }
}

/// Notes that all consequences of the world as it is are drawn.
pub(super) fn note(world: &mut World) {
    let version = world.kubernetes.as_ref().map(KubernetesStore::resource_version);
    let instance = world.cluster_access.as_ref().map(|access| access.instance.clone());
    world.reconciled.azure = Some(world.arm.version());
    world.reconciled.kubernetes = instance.zip(version);
}

/// Brings a list of machines up to date with those that were touched.
pub(super) fn follow(
    list: &mut BTreeSet<String>,
    hosts: &Hosts,
    touched: &Touched,
    belongs: impl Fn(&Host) -> bool,
) {
    match touched {
        Touched::All => {
            let all = hosts.values().filter(|host| belongs(host));
            *list = all.map(|host| host.name.clone()).collect();
        }
        Touched::Some(names) => {
            for name in names {
                if hosts.get(name).is_some_and(&belongs) {
                    list.insert(name.clone());
                } else {
                    list.remove(name);
                }
            }
        }
    }
}
