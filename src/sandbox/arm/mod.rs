//! An in-memory emulation of Azure Resource Manager.
//!
//! It reproduces the behaviour that clients depend on: writes that continue after the response,
//! etags that change once more at the end of an operation, children stored in their parent's body,
//! one write at a time below a parent, ids in a different letter case, errors in ARM's format. It
//! never sleeps and reads no clock.
//!
//! Children (subnets, routes, rules, agent pools) are stored only in the body of their parent.

mod aks;
mod aks_network;
mod aks_pools;
mod compute;
mod credentials;
mod deletion;
mod dispatch;
mod draft;
mod errors;
mod etags;
mod groups;
mod index;
mod json;
mod kind;
mod list;
mod network;
mod operations;
mod path;
mod render;
mod request;
mod responses;
#[cfg(test)]
mod test_client;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use errors::OperationFailure;

use crate::resource::ArmId;
use index::{Index, Reference, key};
use kind::{ChildKind, Kind};
use operations::Operation;

/// The subscription that always exists.
pub const SUBSCRIPTION: &str = "5a6d0c1e-0000-4000-8000-000000000001";
/// The tenant of every subscription.
pub const TENANT: &str = "7e6a0c1e-0000-4000-8000-000000000002";

/// The objects of Azure and their running operations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArmStore {
    objects: BTreeMap<String, StoredResource>,
    index: Index,
    operations: BTreeMap<String, Operation>,
    /// The running operation of each locked object.
    running: BTreeMap<String, String>,
    /// Ended operations, oldest first.
    ended: VecDeque<String>,
    planned_failures: BTreeMap<String, OperationFailure>,
    custom_data: BTreeMap<String, String>,
    kubeconfigs: BTreeMap<String, String>,
    subscriptions: BTreeSet<String>,
    version: u64,
    /// The keys of objects that changed since the last call of `take_touched`.
    #[serde(skip)]
    touched: BTreeSet<String>,
}

/// An object and its id in the letter case of its creation.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredResource {
    id: ArmId,
    kind: Kind,
    body: Value,
}

/// The context of one request.
pub struct ArmContext<'a> {
    /// The base URL of the service, without a trailing slash.
    pub base_url: &'a str,
    /// The time of the request.
    pub now: jiff::Timestamp,
    /// The `Retry-After` sent to clients, in seconds.
    pub pause: u32,
    /// Generates GUIDs.
    pub guid: &'a mut dyn FnMut() -> String,
}

impl ArmStore {
    /// Handles one request.
    pub fn handle(
        &mut self,
        request: &http::Request<Bytes>,
        context: &mut ArmContext<'_>,
    ) -> http::Response<Bytes> {
        let mut response = match dispatch::answer(self, request, context) {
            Ok(response) => response,
            Err(error) => error.into_response(),
        };
        // Operations advance when they are read. This client need not wait even before its first
        // poll.
        if response.headers().contains_key("azure-asyncoperation")
            || response.status() == http::StatusCode::ACCEPTED
        {
            responses::header(&mut response, "retry-after", &context.pause.to_string());
        }
        if request.method() == http::Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        let id = (context.guid)();
        responses::header(&mut response, "x-ms-request-id", &id);
        response
    }

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
                |parent| draft::put_child(parent, &owner, child, &name, body),
                guid,
            );
            return;
        }
        let kind = id.resource_type().map_or(Kind::ResourceGroup, |resource_type| {
            Kind::parse(&resource_type).unwrap_or(Kind::Foreign)
        });
        let mut body = draft::name(kind, id, body);
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
        let mut body = draft::name(kind, &cased, body);
        etags::stamp(kind, &mut body, guid);
        self.insert_object(cased, kind, body);
        true
    }

    /// Deletes an object or child at once, with the contents of a group and the resources that a VM
    /// deletes with itself. Returns whether it existed.
    pub fn remove(&mut self, id: &ArmId, guid: &mut dyn FnMut() -> String) -> bool {
        if self.get(id).is_none() {
            return false;
        }
        if self.objects.contains_key(&key(id)) {
            compute::delete_with_vm(self, id, guid);
            self.drop_tree(id);
        } else {
            self.drop_child(id);
        }
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
        let reference =
            Reference { source: holder.clone(), target: subnet.clone(), address: Some(address) };
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

    fn insert_object(&mut self, id: ArmId, kind: Kind, body: Value) {
        let owner = key(&id);
        let resource_type = type_of(kind, &id);
        self.index.remove(&owner, &resource_type);
        self.index.insert(&owner, &resource_type, index::references(kind, &id, &body));
        self.objects.insert(owner.clone(), StoredResource { id, kind, body });
        self.touch(owner);
    }

    /// Marks an object as changed.
    fn touch(&mut self, key: String) {
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

    fn stored(&self, id: &ArmId) -> Option<&StoredResource> {
        self.objects.get(&key(id))
    }

    fn child_of(&self, id: &ArmId) -> Option<(&StoredResource, ChildKind)> {
        let parent = self.objects.get(&key(&id.parent()?))?;
        let resource_type = id.resource_type()?;
        let child = parent.kind.child(resource_type.rsplit('/').next()?)?;
        Some((parent, child))
    }

    /// The object that a write to the given id locks: the object itself or its parent.
    fn owner_of(&self, id: &ArmId) -> Option<ArmId> {
        match self.objects.get(&key(id)) {
            Some(stored) => Some(stored.id.clone()),
            None => self.child_of(id).map(|(parent, _)| parent.id.clone()),
        }
    }
}

fn type_of(kind: Kind, id: &ArmId) -> String {
    match kind {
        Kind::Foreign => id.resource_type().unwrap_or_default(),
        known => known.resource_type().to_owned(),
    }
}

fn find_child<'a>(parent: &'a Value, child: ChildKind, name: &str) -> Option<&'a Value> {
    json::items(parent, &child.pointer()).iter().find(|value| is_named(value, name))
}

fn is_named(value: &Value, name: &str) -> bool {
    json::text(value, "/name").is_some_and(|present| present.eq_ignore_ascii_case(name))
}
