//! One lock a parent: Azure serialises writes below one VNet, one route table,
//! one cluster, and answers a second one with an error.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::plan::Change;
use crate::resource::{ArmId, ObjectKey, Resource};

/// Locks by the ID of the object that they protect.
#[derive(Debug, Default)]
pub(super) struct Locks(Mutex<BTreeMap<ArmId, Arc<AsyncMutex<()>>>>);

impl Locks {
    /// Takes all the locks that a write needs, in one order for everybody, so
    /// that no two writes can wait for each other.
    pub(super) async fn take(&self, change: &Change) -> Vec<OwnedMutexGuard<()>> {
        // The object that it refers to now is written as well, because the reference is
        // removed there.
        let values = change.before.iter().chain(&change.after);
        let mut names = parents(&change.key, values);
        names.sort();
        names.dedup();
        let mut guards = Vec::with_capacity(names.len());
        for name in names {
            let lock = {
                let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(locks.entry(name).or_default())
            };
            guards.push(lock.lock_owned().await);
        }
        guards
    }
}

/// The objects that a write locks: itself, the VNet around a subnet, and the objects that a
/// subnet refers to (Azure writes back-references there).
fn parents<'a>(key: &ObjectKey, values: impl Iterator<Item = &'a Resource>) -> Vec<ArmId> {
    let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = key else { return Vec::new() };
    let mut names = vec![id.clone()];
    for value in values {
        if value.kind().facts().locks_container {
            names.extend(id.parent());
        }
        let written = value.references().into_iter().filter(|reference| reference.writes_back);
        names.extend(written.map(|reference| reference.id.clone()));
    }
    names
}
