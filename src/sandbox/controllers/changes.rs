//! Finds the changes since the last reconciliation, and records that all are handled.

use std::collections::BTreeSet;

use crate::sandbox::hosts::{EmulatedHost, Hosts, Touched, is_label_of};
use crate::sandbox::kubernetes::{KubernetesStore, ObjectDelta};
use crate::sandbox::state::SandboxState;

/// The resource version after which changes of the cluster's objects are unreconciled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since(Option<u64>);

impl Since {
    /// The changes in this state that are not reconciled yet.
    pub(super) fn last_reconcile(sandbox: &SandboxState) -> Self {
        let instance = sandbox.cluster_access.as_ref().map(|access| access.instance.as_str());
        let last = sandbox.reconciled.kubernetes.as_ref();
        Self(last.filter(|(of, _)| Some(of.as_str()) == instance).map(|(_, version)| *version))
    }

    /// The changed objects of a kind, or `None` if all of them may have changed.
    pub(super) fn deltas(
        self,
        store: &KubernetesStore,
        kind: (&str, &str),
    ) -> Option<Vec<ObjectDelta>> {
        store.deltas(kind, self.0?)
    }
}

/// Records that the current state is reconciled.
pub(super) fn mark_reconciled(sandbox: &mut SandboxState) {
    let version = sandbox.kubernetes.as_ref().map(KubernetesStore::resource_version);
    let instance = sandbox.cluster_access.as_ref().map(|access| access.instance.clone());
    sandbox.reconciled.azure = Some(sandbox.arm.version());
    sandbox.reconciled.kubernetes = instance.zip(version);
}

/// Updates a set of labels of hosts with the hosts that were touched.
pub(super) fn follow(
    list: &mut BTreeSet<String>,
    hosts: &Hosts,
    touched: &Touched,
    belongs: impl Fn(&EmulatedHost) -> bool,
) {
    match touched {
        Touched::All => {
            let all = hosts.iter().filter(|(_, host)| belongs(host));
            *list = all.map(|(label, _)| label.clone()).collect();
        }
        Touched::Some(names) => {
            for name in names {
                list.remove(name);
                list.retain(|label| !is_label_of(label, name));
                let fitting = hosts.named(name).filter(|(_, host)| belongs(host));
                list.extend(fitting.map(|(label, _)| label.to_owned()));
            }
        }
    }
}
