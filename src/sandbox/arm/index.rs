//! An index of references between objects, and of the addresses they hold.
//!
//! The index is stored beside the objects so that a write does not scan all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json;
use super::kind::ArmKind;
use crate::resource::ArmId;

/// A reference from one object to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct IndexedReference {
    pub(super) source: ArmId,
    pub(super) target: ArmId,
    /// The address that the source holds in the target, if the target is a subnet.
    pub(super) address: Option<Ipv4Addr>,
}

/// The references of all objects, in both directions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Index {
    by_type: BTreeMap<String, BTreeSet<String>>,
    uses: BTreeMap<String, Vec<IndexedReference>>,
    users: BTreeMap<String, BTreeMap<String, ArmId>>,
    addresses: BTreeMap<String, BTreeMap<Ipv4Addr, ArmId>>,
}

/// The lookup key of an id. Ids that differ only in letter case have the same key.
pub(super) fn key(id: &ArmId) -> String {
    id.as_str().to_ascii_lowercase()
}

impl Index {
    pub(super) fn insert(
        &mut self,
        owner: &str,
        resource_type: &str,
        references: Vec<IndexedReference>,
    ) {
        self.by_type
            .entry(resource_type.to_ascii_lowercase())
            .or_default()
            .insert(owner.to_owned());
        self.refer(owner, references);
    }

    pub(super) fn refer(&mut self, owner: &str, references: Vec<IndexedReference>) {
        for reference in &references {
            let target = key(&reference.target);
            if let Some(address) = reference.address {
                let held = self.addresses.entry(target.clone()).or_default();
                held.insert(address, reference.source.clone());
            }
            let users = self.users.entry(target).or_default();
            users.insert(key(&reference.source), reference.source.clone());
        }
        self.uses.entry(owner.to_owned()).or_default().extend(references);
    }

    pub(super) fn remove(&mut self, owner: &str, resource_type: &str) {
        if let Some(keys) = self.by_type.get_mut(&resource_type.to_ascii_lowercase()) {
            keys.remove(owner);
        }
        self.forget(owner);
    }

    /// Removes all references that the owner makes.
    pub(super) fn forget(&mut self, owner: &str) {
        for reference in self.uses.remove(owner).unwrap_or_default() {
            let target = key(&reference.target);
            if let (Some(address), Some(held)) =
                (reference.address, self.addresses.get_mut(&target))
            {
                held.remove(&address);
            }
            if let Some(users) = self.users.get_mut(&target) {
                users.remove(&key(&reference.source));
            }
        }
    }

    pub(super) fn of_type<'a>(
        &'a self,
        resource_type: &str,
    ) -> impl Iterator<Item = &'a String> + use<'a> {
        self.by_type.get(&resource_type.to_ascii_lowercase()).into_iter().flatten()
    }

    /// The references to an object.
    pub(super) fn users<'a>(&'a self, target: &ArmId) -> impl Iterator<Item = &'a ArmId> + use<'a> {
        self.users.get(&key(target)).into_iter().flat_map(BTreeMap::values)
    }

    pub(super) fn holder(&self, subnet: &ArmId, address: Ipv4Addr) -> Option<&ArmId> {
        self.addresses.get(&key(subnet))?.get(&address)
    }
}

/// The references in a body of the given kind.
pub(super) fn references(kind: ArmKind, id: &ArmId, body: &Value) -> Vec<IndexedReference> {
    let mut found = Vec::new();
    let mut note = |source: &ArmId, value: &Value, pointer: &str, address: Option<Ipv4Addr>| {
        if let Some(target) = json::text(value, pointer) {
            let target = ArmId::new(target);
            found.push(IndexedReference { source: source.clone(), target, address });
        }
    };
    match kind {
        ArmKind::VirtualNetwork => {
            for subnet in json::items(body, "/properties/subnets") {
                let source = child_id(id, "subnets", subnet);
                for member in ["routeTable", "natGateway", "networkSecurityGroup"] {
                    note(&source, subnet, &format!("/properties/{member}/id"), None);
                }
            }
        }
        ArmKind::NetworkInterface => {
            note(id, body, "/properties/networkSecurityGroup/id", None);
            for configuration in json::items(body, "/properties/ipConfigurations") {
                let source = child_id(id, "ipConfigurations", configuration);
                let address = json::text(configuration, "/properties/privateIPAddress");
                let address = address.and_then(|address| address.parse().ok());
                note(&source, configuration, "/properties/subnet/id", address);
                note(&source, configuration, "/properties/publicIPAddress/id", None);
            }
        }
        ArmKind::NatGateway => {
            for address in json::items(body, "/properties/publicIpAddresses") {
                note(id, address, "/id", None);
            }
        }
        ArmKind::VirtualMachine => {
            for interface in json::items(body, "/properties/networkProfile/networkInterfaces") {
                note(id, interface, "/id", None);
            }
        }
        ArmKind::ManagedCluster => {
            for pool in json::items(body, "/properties/agentPoolProfiles") {
                note(id, pool, "/vnetSubnetID", None);
            }
        }
        _ => {}
    }
    found
}

fn child_id(parent: &ArmId, segment: &str, child: &Value) -> ArmId {
    parent.child(segment, json::text(child, "/name").unwrap_or_default())
}
