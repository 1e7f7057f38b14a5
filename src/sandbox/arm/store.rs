//! The objects of Azure: how they are found, inserted and changed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::account::ArmAccount;
use super::children::{self, find_child, is_named};
use super::directory::Directory;
use super::errors::OperationFailure;
use super::index::{self, Index, IndexedReference, key};
use super::kind::{ArmKind, ChildKind};
use super::operation::Operation;
use super::power_state::PowerOff;
use super::{etags, json, resource_body};
use crate::resource::ArmId;

/// The objects of Azure and their running operations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArmStore {
    pub(super) objects: BTreeMap<String, StoredResource>,
    pub(super) index: Index,
    pub(super) operations: BTreeMap<String, Operation>,
    /// The running operation of each locked object.
    pub(super) running: BTreeMap<String, String>,
    /// Ended operations, oldest first.
    pub(super) ended: VecDeque<String>,
    pub(super) planned_failures: BTreeMap<String, OperationFailure>,
    pub(super) custom_data: BTreeMap<String, String>,
    pub(super) kubeconfigs: BTreeMap<String, String>,
    pub(super) subscriptions: BTreeSet<String>,
    /// The rules of the subscription.
    #[serde(default)]
    pub account: ArmAccount,
    /// The identities of the tenant.
    #[serde(default)]
    pub directory: Directory,
    /// The VMs that do not run.
    #[serde(default)]
    pub(super) off: BTreeMap<String, PowerOff>,
    /// The VMs that were restarted and whose hosts do not yet know it.
    #[serde(default)]
    pub(super) restarted: BTreeSet<String>,
    /// The deployments of each group, by path.
    #[serde(default)]
    pub(super) deployments: BTreeMap<String, Value>,
    version: u64,
    /// The keys of objects that changed since the last call of `take_touched`.
    #[serde(skip)]
    touched: BTreeSet<String>,
}

/// An object and its id in the letter case of its creation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredResource {
    pub(super) id: ArmId,
    pub(super) kind: ArmKind,
    pub(super) body: Value,
}

impl ArmStore {
    /// A counter that increases with every change of an object.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// An object or child as stored, without the fields that are computed when it is shown, such as
    /// the interfaces that a subnet lists.
    pub fn get(&self, id: &ArmId) -> Option<&Value> {
        if let Some(stored) = self.objects.get(&key(id)) {
            return Some(&stored.body);
        }
        let (parent, child) = self.child_of(id)?;
        find_child(&parent.body, child, id.name())
    }

    /// All objects of a type, such as `Microsoft.Compute/virtualMachines`. Children are found in
    /// the bodies of their parents.
    pub fn list(&self, resource_type: &str) -> impl Iterator<Item = (&ArmId, &Value)> + use<'_> {
        self.index
            .of_type(resource_type)
            .filter_map(|key| self.objects.get(key))
            .map(|stored| (&stored.id, &stored.body))
    }

    /// Inserts an object or child unchanged, bypassing validation and operations.
    ///
    /// A type that the emulation does not serve is stored and shown in the lists of its group. A
    /// child whose parent does not exist is not stored.
    pub fn upsert(&mut self, id: &ArmId, body: Value, guid: &mut dyn FnMut() -> String) {
        if let Some((parent, child)) = self.child_of(id) {
            let (owner, name) = (parent.id.clone(), id.name().to_owned());
            self.modify(
                &owner,
                |parent| children::put_child(parent, &owner, child, &name, body),
                guid,
            );
            return;
        }
        let kind = id.resource_type().map_or(ArmKind::ResourceGroup, |resource_type| {
            ArmKind::parse(&resource_type).unwrap_or(ArmKind::Foreign)
        });
        let mut body = resource_body::set_identity(kind, id, body);
        etags::stamp(kind, &mut body, guid);
        self.insert_object(id.clone(), kind, body);
    }

    /// Changes an object or child, bypassing validation and operations. Returns whether it existed.
    pub fn modify(
        &mut self,
        id: &ArmId,
        change: impl FnOnce(&mut Value),
        guid: &mut dyn FnMut() -> String,
    ) -> bool {
        let owner = match self.owner_of(id) {
            Some(owner) => owner,
            None => return false,
        };
        let Some(StoredResource { id: cased, kind, mut body }) =
            self.objects.get(&key(&owner)).cloned()
        else {
            return false;
        };
        if owner == *id {
            change(&mut body);
        } else {
            let Some((_, child)) = self.child_of(id) else { return false };
            let found = json::items_mut(&mut body, &child.pointer())
                .iter_mut()
                .find(|value| is_named(value, id.name()));
            let Some(value) = found else { return false };
            change(value);
        }
        // Children inserted directly into the body get their id and type, too.
        let mut body = resource_body::set_identity(kind, &cased, body);
        etags::stamp(kind, &mut body, guid);
        self.insert_object(cased, kind, body);
        true
    }

    /// The decoded cloud-init of a VM, which no response contains.
    pub fn custom_data(&self, vm: &ArmId) -> Option<&str> {
        self.custom_data.get(&key(vm)).map(String::as_str)
    }

    /// Sets the kubeconfig that `listClusterUserCredential` and `listClusterAdminCredential` return
    /// for a cluster.
    pub fn set_kubeconfig(&mut self, cluster: &ArmId, kubeconfig: String) {
        self.kubeconfigs.insert(key(cluster), kubeconfig);
    }

    /// Makes the next operation on an object or child fail.
    pub fn fail_next(&mut self, id: &ArmId, failure: OperationFailure) {
        self.planned_failures.insert(key(id), failure);
    }

    /// Assigns an address of a subnet to a holder that is not an interface in the store, such as an
    /// AKS node. The holder's previous addresses are released.
    pub fn reserve_address(&mut self, subnet: &ArmId, address: Ipv4Addr, holder: &ArmId) {
        self.release_addresses(holder);
        let reference = IndexedReference {
            source: holder.clone(),
            target: subnet.clone(),
            address: Some(address),
        };
        self.index.refer(&key(holder), vec![reference]);
    }

    /// Releases the addresses of a holder.
    pub fn release_addresses(&mut self, holder: &ArmId) {
        self.index.forget(&key(holder));
    }

    /// The holder of an address in a subnet.
    pub fn holder(&self, subnet: &ArmId, address: Ipv4Addr) -> Option<&ArmId> {
        self.index.holder(subnet, address)
    }

    pub(super) fn insert_object(&mut self, id: ArmId, kind: ArmKind, body: Value) {
        let owner = key(&id);
        let resource_type = type_of(kind, &id);
        self.index.remove(&owner, &resource_type);
        self.index.insert(&owner, &resource_type, index::references(kind, &id, &body));
        self.objects.insert(owner.clone(), StoredResource { id, kind, body });
        self.touch(owner);
    }

    /// Marks an object as changed.
    pub(super) fn touch(&mut self, key: String) {
        self.version += 1;
        self.touched.insert(key);
    }

    /// The lower-case ids of objects that changed or were deleted since the last call. Changes
    /// before the store was loaded are not included.
    pub(in crate::sandbox) fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }

    /// The id of an object in the letter case of its creation.
    pub(in crate::sandbox) fn id_as_created(&self, id: &ArmId) -> Option<&ArmId> {
        self.stored(id).map(|stored| &stored.id)
    }

    /// The references to an object. References from children appear under the ids of the children.
    pub(in crate::sandbox) fn users<'a>(
        &'a self,
        target: &ArmId,
    ) -> impl Iterator<Item = &'a ArmId> + use<'a> {
        self.index.users(target)
    }

    pub(super) fn stored(&self, id: &ArmId) -> Option<&StoredResource> {
        self.objects.get(&key(id))
    }

    pub(super) fn child_of(&self, id: &ArmId) -> Option<(&StoredResource, ChildKind)> {
        let parent = self.objects.get(&key(&id.parent()?))?;
        let resource_type = id.resource_type()?;
        let child = parent.kind.child(resource_type.rsplit('/').next()?)?;
        Some((parent, child))
    }

    /// The object that a write to the given id locks: the object itself or its parent.
    pub(super) fn owner_of(&self, id: &ArmId) -> Option<ArmId> {
        match self.objects.get(&key(id)) {
            Some(stored) => Some(stored.id.clone()),
            None => self.child_of(id).map(|(parent, _)| parent.id.clone()),
        }
    }

    /// The region of an object, for the URLs of its operations.
    pub(super) fn location(&self, id: &ArmId) -> String {
        self.get(id).and_then(|body| json::text(body, "/location")).unwrap_or("global").to_owned()
    }
}

/// Namespace and type of an object.
pub(super) fn type_of(kind: ArmKind, id: &ArmId) -> String {
    match kind {
        ArmKind::Foreign => id.resource_type().unwrap_or_default(),
        known => known.resource_type().to_owned(),
    }
}
