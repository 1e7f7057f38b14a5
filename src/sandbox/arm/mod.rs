//! Azure Resource Manager in memory.
//!
//! It answers as the real one where a client could stumble: writes that go on
//! after their answer, etags that change once more at the end, children that
//! live in their parent's body, locks below one parent, ids in another letter
//! case, refusals in ARM's shape. It waits for nothing and reads no clock.
//!
//! Children (subnets, routes, rules, agent pools) are stored where the parent's
//! body shows them, and nowhere else.

mod aks;
mod aks_network;
mod aks_pools;
mod answers;
mod compute;
mod credentials;
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
mod removal;
mod render;
mod request;
#[cfg(test)]
mod testing;
mod write;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use errors::Failure;

use crate::resource::ArmId;
use index::{Index, Reference, key};
use kind::{ChildKind, Kind};
use operations::Operation;

/// The subscription that is always there.
pub const SUBSCRIPTION: &str = "5a6d0c1e-0000-4000-8000-000000000001";
/// The tenant of every subscription.
pub const TENANT: &str = "7e6a0c1e-0000-4000-8000-000000000002";

/// Azure's objects and their running operations.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArmStore {
    objects: BTreeMap<String, Stored>,
    index: Index,
    operations: BTreeMap<String, Operation>,
    /// The operation of each locked object.
    running: BTreeMap<String, String>,
    /// Ended operations, the oldest first.
    ended: VecDeque<String>,
    planned_failures: BTreeMap<String, Failure>,
    custom_data: BTreeMap<String, String>,
    kubeconfigs: BTreeMap<String, String>,
    subscriptions: BTreeSet<String>,
    version: u64,
    /// The keys of objects that changed since somebody last asked.
    #[serde(skip)]
    touched: BTreeSet<String>,
}

/// An object with its id in the letters of its creation.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    id: ArmId,
    kind: Kind,
    body: Value,
}

/// What one request brings along.
pub struct ArmContext<'a> {
    /// Where the service is reached, without a slash at the end.
    pub base_url: &'a str,
    /// The time of the request.
    pub now: jiff::Timestamp,
    /// How many seconds a client is told to wait before it polls again.
    pub pause: u32,
    /// Makes GUIDs.
    pub guid: &'a mut dyn FnMut() -> String,
}

impl ArmStore {
    /// Answers one request.
    pub fn handle(
        &mut self,
        request: &http::Request<Bytes>,
        context: &mut ArmContext<'_>,
    ) -> http::Response<Bytes> {
        let mut response = match dispatch::answer(self, request, context) {
            Ok(response) => response,
            Err(error) => error.into_response(),
        };
        // Operations end by being looked at: our own client need not wait even
        // before its first look.
        if response.headers().contains_key("azure-asyncoperation")
            || response.status() == http::StatusCode::ACCEPTED
        {
            answers::header(&mut response, "retry-after", &context.pause.to_string());
        }
        if request.method() == http::Method::HEAD {
            *response.body_mut() = Bytes::new();
        }
        let id = (context.guid)();
        answers::header(&mut response, "x-ms-request-id", &id);
        response
    }

    /// A number that grows with every change of an object.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// An object or a child as it is stored: without what is only drawn when it
    /// is shown, such as the interfaces that a subnet lists.
    pub fn get(&self, id: &ArmId) -> Option<&Value> {
        if let Some(stored) = self.objects.get(&key(id)) {
            return Some(&stored.body);
        }
        let (parent, child) = self.child_of(id)?;
        find_child(&parent.body, child, id.name())
    }

    /// All objects of a type, such as `Microsoft.Compute/virtualMachines`;
    /// children are found in their parents' bodies.
    pub fn list(&self, resource_type: &str) -> impl Iterator<Item = (&ArmId, &Value)> + use<'_> {
        self.index
            .of_type(resource_type)
            .filter_map(|key| self.objects.get(key))
            .map(|stored| (&stored.id, &stored.body))
    }

    /// Puts an object or a child as it is, past all checks and operations.
    ///
    /// A type that the service does not serve is kept and shown in the lists of
    /// its group. A child whose parent is not there is not kept.
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
        self.place(id.clone(), kind, body);
    }

    /// Changes an object or a child, past all checks and operations. Says
    /// whether it was there.
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
        let Some(Stored { id: cased, kind, mut body }) = self.objects.get(&key(&owner)).cloned()
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
        // What was put into the body by hand gets its id and type, too.
        let mut body = draft::name(kind, &cased, body);
        etags::stamp(kind, &mut body, guid);
        self.place(cased, kind, body);
        true
    }

    /// Takes an object or a child away at once, with all that a group holds and
    /// what goes with a VM. Says whether it was there.
    pub fn remove(&mut self, id: &ArmId, guid: &mut dyn FnMut() -> String) -> bool {
        if self.get(id).is_none() {
            return false;
        }
        if self.objects.contains_key(&key(id)) {
            compute::delete_along(self, id, guid);
            self.drop_tree(id);
        } else {
            self.drop_child(id);
        }
        true
    }

    /// The cloud-init of a VM, decoded; no answer ever shows it.
    pub fn custom_data(&self, vm: &ArmId) -> Option<&str> {
        self.custom_data.get(&key(vm)).map(String::as_str)
    }

    /// What `listClusterUserCredential` and its sibling answer for a cluster.
    pub fn set_kubeconfig(&mut self, cluster: &ArmId, kubeconfig: String) {
        self.kubeconfigs.insert(key(cluster), kubeconfig);
    }

    /// Lets the next operation on an object or a child end as failed.
    pub fn fail_next(&mut self, id: &ArmId, failure: Failure) {
        self.planned_failures.insert(key(id), failure);
    }

    /// Gives an address of a subnet to something that is no interface of the
    /// store, such as a node of AKS. Everything the holder had before is given up.
    pub fn occupy(&mut self, subnet: &ArmId, address: Ipv4Addr, holder: &ArmId) {
        self.vacate(holder);
        let reference =
            Reference { source: holder.clone(), target: subnet.clone(), address: Some(address) };
        self.index.refer(&key(holder), vec![reference]);
    }

    /// Gives up the addresses of a holder.
    pub fn vacate(&mut self, holder: &ArmId) {
        self.index.forget(&key(holder));
    }

    /// Who holds an address of a subnet.
    pub fn holder(&self, subnet: &ArmId, address: Ipv4Addr) -> Option<&ArmId> {
        self.index.holder(subnet, address)
    }

    fn place(&mut self, id: ArmId, kind: Kind, body: Value) {
        let owner = key(&id);
        let resource_type = type_of(kind, &id);
        self.index.remove(&owner, &resource_type);
        self.index.insert(&owner, &resource_type, index::references(kind, &id, &body));
        self.objects.insert(owner.clone(), Stored { id, kind, body });
        self.touch(owner);
    }

    /// Notes that an object changed.
    fn touch(&mut self, key: String) {
        self.version += 1;
        self.touched.insert(key);
    }

    /// The ids, in small letters, of objects that changed or went since this
    /// was last asked; nothing is known of before the store was loaded.
    pub(in crate::sandbox) fn take_touched(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.touched)
    }

    /// The id of an object in the letters of its creation.
    pub(in crate::sandbox) fn id_as_created(&self, id: &ArmId) -> Option<&ArmId> {
        self.stored(id).map(|stored| &stored.id)
    }

    /// All that refer to an object; children under their own ids.
    pub(in crate::sandbox) fn users<'a>(
        &'a self,
        target: &ArmId,
    ) -> impl Iterator<Item = &'a ArmId> + use<'a> {
        self.index.users(target)
    }

    fn stored(&self, id: &ArmId) -> Option<&Stored> {
        self.objects.get(&key(id))
    }

    fn child_of(&self, id: &ArmId) -> Option<(&Stored, ChildKind)> {
        let parent = self.objects.get(&key(&id.parent()?))?;
        let resource_type = id.resource_type()?;
        let child = parent.kind.child(resource_type.rsplit('/').next()?)?;
        Some((parent, child))
    }

    /// The object that is locked by a write to the given one: itself or its parent.
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
