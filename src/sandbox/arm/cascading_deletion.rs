//! Deletes objects at once, with everything below them and the resources that belong to them.

use std::ops::Bound;

use serde_json::{Value, json};

use super::children::{find_child, is_named};
use super::index::key;
use super::kind::ArmKind;
use super::store::type_of;
use super::vm_attachments::{self, INTERFACES};
use super::{ArmStore, etags, json};
use crate::resource::ArmId;

impl ArmStore {
    /// Deletes an object or child at once, with the contents of a group and the resources that a VM
    /// deletes with itself. Returns whether it existed.
    pub fn remove(&mut self, id: &ArmId, guid: &mut dyn FnMut() -> String) -> bool {
        if self.get(id).is_none() {
            return false;
        }
        if self.objects.contains_key(&key(id)) {
            self.delete_with_vm(id, guid);
            self.drop_tree(id);
        } else {
            self.drop_child(id);
        }
        true
    }

    /// Deletes the resources whose `deleteOption` in the VM's body is `Delete`, and detaches the
    /// rest.
    pub(super) fn delete_with_vm(&mut self, id: &ArmId, guid: &mut dyn FnMut() -> String) {
        let Some(vm) =
            self.stored(id).filter(|stored| stored.kind == ArmKind::VirtualMachine).cloned()
        else {
            return;
        };
        let deleted_with_vm = |option: Option<&str>| {
            option.is_some_and(|option| option.eq_ignore_ascii_case("Delete"))
        };
        for interface in json::items(&vm.body, INTERFACES) {
            let Some(interface_id) = json::text(interface, "/id").map(ArmId::new) else { continue };
            if deleted_with_vm(json::text(interface, "/properties/deleteOption")) {
                self.drop_tree(&interface_id);
            } else if let Some(stored) = self.objects.get_mut(&key(&interface_id)) {
                json::take(&mut stored.body, &["properties", "virtualMachine"]);
                etags::stamp(stored.kind, &mut stored.body, guid);
            }
        }
        let disk = json::text(&vm.body, "/properties/storageProfile/osDisk/managedDisk/id")
            .map(ArmId::new);
        let Some(disk) = disk else { return };
        if deleted_with_vm(json::text(&vm.body, "/properties/storageProfile/osDisk/deleteOption")) {
            self.drop_tree(&disk);
        } else if let Some(stored) = self.objects.get_mut(&key(&disk)) {
            json::take(&mut stored.body, &["managedBy"]);
            json::set(&mut stored.body, &["properties", "diskState"], json!("Unattached"));
        }
    }

    /// The keys of all objects below an id.
    pub(super) fn keys_below(&self, id: &ArmId) -> impl Iterator<Item = &String> {
        let front = format!("{}/", key(id));
        let from = Bound::Excluded(front.clone());
        self.objects
            .range((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(move |key| key.starts_with(&front))
    }

    /// The key prefix of the objects in a cluster's node resource group.
    pub(super) fn node_group_of(&self, cluster: &str) -> Option<String> {
        let stored = self.objects.get(cluster)?;
        if stored.kind != ArmKind::ManagedCluster {
            return None;
        }
        let name = json::text(&stored.body, "/properties/nodeResourceGroup")?;
        let group = ArmId::resource_group(stored.id.subscription()?, name);
        Some(format!("{}/", key(&group)))
    }

    /// Deletes an object with everything below it and the resources that AKS created for it.
    pub(super) fn drop_tree(&mut self, id: &ArmId) {
        let mut keys: Vec<String> = self.keys_below(id).cloned().collect();
        keys.push(key(id));
        let node_groups: Vec<String> =
            keys.iter().filter_map(|cluster| self.node_group_of(cluster)).collect();
        for owner in keys {
            self.drop_one(&owner);
        }
        for front in node_groups {
            self.drop_tree(&ArmId::new(front.trim_end_matches('/')));
        }
    }

    fn drop_one(&mut self, owner: &str) {
        let Some(stored) = self.objects.remove(owner) else { return };
        self.index.remove(owner, &type_of(stored.kind, &stored.id));
        self.running.remove(owner);
        self.custom_data.remove(owner);
        self.kubeconfigs.remove(owner);
        self.touch(owner.to_owned());
        if stored.kind == ArmKind::VirtualMachine {
            vm_attachments::detach_interfaces(self, &stored);
        }
    }

    /// Removes a child from the body of its parent.
    pub(super) fn drop_child(&mut self, id: &ArmId) {
        let Some((parent, child)) = self.child_of(id) else { return };
        let (parent, kind, mut body) = (parent.id.clone(), parent.kind, parent.body.clone());
        if find_child(&body, child, id.name()).is_none() {
            return;
        }
        if let Some(Value::Array(values)) = body.pointer_mut(&child.pointer()) {
            values.retain(|value| !is_named(value, id.name()));
        }
        self.insert_object(parent, kind, body);
    }
}
