//! The set of desired resources.

use std::collections::BTreeMap;

use crate::resource::{Address, ObjectKey, Resource};

/// A resource that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredResource {
    /// Its address.
    pub address: Address,
    /// Where it stands; absent while the object that holds it has no name yet.
    pub key: Option<ObjectKey>,
    /// Its value.
    pub resource: Resource,
    /// What must exist before it.
    pub depends_on: Vec<Address>,
    /// What it lives in: if that is replaced, this is replaced with it.
    pub contained_in: Vec<Address>,
    /// The resource whose creation brings it about, where it is not made by a
    /// call of its own (a device comes with its machine).
    pub created_by: Option<Address>,
    /// Never replace or delete it.
    pub protect: bool,
    /// The rule of the topology that requires it, as text.
    pub planned_because_of: String,
}

/// All desired resources by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredSet {
    resources: BTreeMap<Address, DesiredResource>,
}

impl DesiredSet {
    /// Adds a resource.
    pub fn add(&mut self, resource: DesiredResource) {
        self.resources.insert(resource.address.clone(), resource);
    }

    /// The resource at an address.
    pub fn get(&self, address: &Address) -> Option<&DesiredResource> {
        self.resources.get(address)
    }

    /// All of them in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &DesiredResource> {
        self.resources.values()
    }

    /// What must be neither replaced nor deleted: each protected resource, and
    /// all that it lives in. Each stands with the protected one that it is
    /// there for.
    pub fn protected(&self) -> BTreeMap<Address, Address> {
        let mut found = BTreeMap::new();
        for protected in self.iter().filter(|resource| resource.protect) {
            let mut homes = vec![&protected.address];
            while let Some(home) = homes.pop() {
                if found.contains_key(home) && *home != protected.address {
                    continue;
                }
                found.insert(home.clone(), protected.address.clone());
                homes.extend(self.get(home).into_iter().flat_map(|home| &home.contained_in));
            }
        }
        found
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}

/// Puts a desired resource together, a clause at a time.
pub(super) struct Builder {
    resource: DesiredResource,
}

impl Builder {
    pub(super) fn new(address: Address, key: Option<ObjectKey>, resource: Resource) -> Self {
        Self {
            resource: DesiredResource {
                address,
                key,
                resource,
                depends_on: Vec::new(),
                contained_in: Vec::new(),
                created_by: None,
                protect: false,
                planned_because_of: String::new(),
            },
        }
    }

    pub(super) fn after(mut self, address: Address) -> Self {
        self.resource.depends_on.push(address);
        self
    }

    pub(super) fn after_all(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.resource.depends_on.extend(addresses);
        self
    }

    pub(super) fn living_in_all(self, addresses: impl IntoIterator<Item = Address>) -> Self {
        addresses.into_iter().fold(self, Self::living_in)
    }

    pub(super) fn living_in(mut self, address: Address) -> Self {
        self.resource.contained_in.push(address.clone());
        self.after(address)
    }

    pub(super) fn created_by(mut self, address: Address) -> Self {
        self.resource.created_by = Some(address.clone());
        self.living_in(address)
    }

    pub(super) fn protected(mut self, protect: bool) -> Self {
        self.resource.protect = protect;
        self
    }

    pub(super) fn planned_because_of(mut self, reason: impl Into<String>) -> DesiredResource {
        self.resource.planned_because_of = reason.into();
        self.resource
    }
}
