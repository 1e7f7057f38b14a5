//! The objects, their versions and the log of their changes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::definition::{BUILT_IN, CORE, Definition, EXTENSIONS, ResourceScope};
use super::owner_index::OwnerIndex;
use super::value::{metadata, name, namespace};

/// The length of the change log for watches.
pub(super) const MAX_CHANGES: usize = 4_096;

/// An object, shared with the entries of the change log.
#[derive(Debug, Clone)]
pub(super) struct StoredObject(pub(super) Arc<Value>);

impl Serialize for StoredObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(Arc::new(value)))
    }
}

/// One change: an object existed before, exists after, or both.
#[derive(Debug, Clone)]
pub(super) struct StoreChange {
    pub(super) resource_version: u64,
    pub(super) collection: String,
    pub(super) before: Option<Arc<Value>>,
    pub(super) after: Option<Arc<Value>>,
    /// The object that watches receive: for a deletion, the last state at the version of the
    /// deletion.
    pub(super) emitted: Arc<Value>,
}

/// The state of an API server. It serialises to JSON without the change log, so a watch from before
/// a restart must start again.
#[derive(Serialize, Deserialize, Clone, Debug, Default)]
pub struct KubernetesStore {
    pub(super) server_version: String,
    pub(super) resource_version: u64,
    identities: u64,
    pub(super) objects: Objects,
    #[serde(skip)]
    pub(super) changes: VecDeque<StoreChange>,
    /// The version after which the change log is complete; the current one if nothing is logged.
    #[serde(skip)]
    logged_after: Option<u64>,
    #[serde(skip)]
    pub(super) by_owner: OwnerIndex,
}

/// The key of an object in its collection. Objects of a namespace are adjacent.
pub(super) fn key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

impl KubernetesStore {
    /// A new server with the initial objects of every cluster.
    #[must_use]
    pub fn new(server_version: &str) -> Self {
        let mut store = Self { server_version: server_version.to_owned(), ..Self::default() };
        super::initial::fill(&mut store);
        store
    }

    /// Changes the version that the server reports, as an upgrade of the control plane does.
    pub(crate) fn set_server_version(&mut self, server_version: &str) {
        if self.server_version != server_version {
            server_version.clone_into(&mut self.server_version);
        }
    }

    /// The version of the last change.
    #[must_use]
    pub fn resource_version(&self) -> u64 {
        self.resource_version
    }

    /// The version at which the change log starts.
    pub(super) fn horizon(&self) -> u64 {
        self.logged_after.unwrap_or(self.resource_version)
    }

    /// A uid that is unique in this store.
    pub(super) fn new_uid(&mut self, seed: &str) -> String {
        self.identities += 1;
        let digest = Sha256::digest(format!("{seed}/{}", self.identities));
        let mut bytes = [0_u8; 16];
        bytes.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    pub(super) fn custom_definitions(&self) -> impl Iterator<Item = Definition> {
        let crds = self.objects.get("customresourcedefinitions.apiextensions.k8s.io");
        crds.into_iter().flat_map(BTreeMap::values).flat_map(|crd| Definition::custom(&crd.0))
    }

    /// All served resources.
    pub(super) fn definitions(&self) -> Vec<Definition> {
        let built_in = BUILT_IN.iter().map(Definition::built_in);
        built_in.chain(self.custom_definitions()).collect()
    }

    pub(super) fn definition(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<Definition> {
        let built_in = BUILT_IN.iter().find(|it| it.group == group && it.plural == plural);
        if let Some(built_in) = built_in.filter(|_| version == "v1") {
            return Some(Definition::built_in(built_in));
        }
        self.custom_definitions().find(|it| it.is(group, plural) && it.version == version)
    }

    pub(super) fn definition_of_kind(&self, api_version: &str, kind: &str) -> Option<Definition> {
        let (group, version) = api_version.split_once('/').unwrap_or((CORE, api_version));
        let built_in = BUILT_IN.iter().find(|it| it.group == group && it.kind == kind);
        if let Some(built_in) = built_in.filter(|_| version == "v1") {
            return Some(Definition::built_in(built_in));
        }
        self.custom_definitions()
            .find(|it| it.group == group && it.version == version && it.kind == kind)
    }

    pub(super) fn find(
        &self,
        definition: &Definition,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&Arc<Value>> {
        let collection = self.objects.get(&definition.qualified_resource())?;
        collection.get(&key(namespace, name)).map(|stored| &stored.0)
    }

    /// The objects of a collection, in one namespace or in all, ordered by key and starting at the
    /// given key.
    pub(super) fn scan<'a>(
        &'a self,
        collection: &str,
        namespace: Option<&str>,
        from: Option<&str>,
    ) -> impl Iterator<Item = (&'a str, &'a Arc<Value>)> + use<'a> {
        let prefix = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let start = from.map_or_else(|| prefix.clone(), str::to_owned);
        self.objects
            .get(collection)
            .into_iter()
            .flat_map(move |objects| objects.range(start.clone()..))
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(key, stored)| (key.as_str(), &stored.0))
    }

    /// Stores an object with a new version and logs the change.
    pub(super) fn commit(&mut self, definition: &Definition, mut object: Value) -> Arc<Value> {
        self.resource_version += 1;
        let version = self.resource_version.to_string();
        metadata(&mut object).insert("resourceVersion".to_owned(), Value::from(version));
        let place = match definition.scope {
            ResourceScope::Namespaced => namespace(&object),
            ResourceScope::Cluster => None,
        };
        let key = key(place, name(&object));
        let collection = definition.qualified_resource();
        let after = Arc::new(object);
        let objects = self.objects.entry(collection.clone()).or_default();
        let before =
            objects.insert(key.clone(), StoredObject(Arc::clone(&after))).map(|stored| stored.0);
        self.by_owner.note((&collection, &key), before.as_deref(), Some(&after));
        let emitted = Arc::clone(&after);
        self.remember(collection, before, Some(after), Arc::clone(&emitted));
        emitted
    }

    /// Deletes an object and logs the change.
    pub(super) fn erase(
        &mut self,
        collection: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<Arc<Value>> {
        let key = key(namespace, name);
        let before = self.objects.get_mut(collection)?.remove(&key)?.0;
        self.by_owner.note((collection, &key), Some(&before), None);
        self.resource_version += 1;
        let mut emitted = (*before).clone();
        let version = self.resource_version.to_string();
        metadata(&mut emitted).insert("resourceVersion".to_owned(), Value::from(version));
        let emitted = Arc::new(emitted);
        self.remember(collection.to_owned(), Some(before), None, Arc::clone(&emitted));
        Some(emitted)
    }

    fn remember(
        &mut self,
        collection: String,
        before: Option<Arc<Value>>,
        after: Option<Arc<Value>>,
        emitted: Arc<Value>,
    ) {
        let resource_version = self.resource_version;
        self.log(StoreChange { resource_version, collection, before, after, emitted });
    }

    fn log(&mut self, change: StoreChange) {
        self.logged_after.get_or_insert(change.resource_version.saturating_sub(1));
        self.changes.push_back(change);
        while self.changes.len() > MAX_CHANGES {
            self.logged_after = self.changes.pop_front().map(|it| it.resource_version);
        }
    }

    /// Continues the change log of an earlier state of the same store, from which this one was made
    /// by another process. An object that was changed several times has one change in the log.
    pub(in crate::sandbox) fn continue_log(&mut self, earlier: Self) {
        let mut changes = differences(&earlier.objects, &self.objects, self.resource_version);
        changes.retain(|change| change.resource_version > earlier.resource_version);
        changes.sort_by_key(|change| change.resource_version);
        self.logged_after = Some(earlier.horizon());
        self.changes = earlier.changes;
        for change in changes {
            self.log(change);
        }
    }

    pub(super) fn crd_definition() -> Option<Definition> {
        BUILT_IN.iter().find(|it| it.group == EXTENSIONS).map(Definition::built_in)
    }
}

type Objects = BTreeMap<String, BTreeMap<String, StoredObject>>;

/// The changes that made one set of objects of another. Objects that are gone were deleted at the
/// last version, for the deletion's own is not known.
fn differences(before: &Objects, after: &Objects, last_version: u64) -> Vec<StoreChange> {
    let empty = BTreeMap::new();
    let mut found = Vec::new();
    let collections: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for collection in collections {
        let old = before.get(collection).unwrap_or(&empty);
        let new = after.get(collection).unwrap_or(&empty);
        for (key, object) in new {
            let resource_version = version_of(&object.0);
            let before = old.get(key).map(|it| Arc::clone(&it.0));
            if before.as_ref().is_none_or(|it| version_of(it) != resource_version) {
                found.push(StoreChange {
                    resource_version,
                    collection: collection.clone(),
                    before,
                    after: Some(Arc::clone(&object.0)),
                    emitted: Arc::clone(&object.0),
                });
            }
        }
        for (_, object) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
            let mut emitted = (*object.0).clone();
            metadata(&mut emitted)
                .insert("resourceVersion".to_owned(), last_version.to_string().into());
            found.push(StoreChange {
                resource_version: last_version,
                collection: collection.clone(),
                before: Some(Arc::clone(&object.0)),
                after: None,
                emitted: Arc::new(emitted),
            });
        }
    }
    found
}

fn version_of(object: &Value) -> u64 {
    let version = object["metadata"]["resourceVersion"].as_str();
    version.and_then(|it| it.parse().ok()).unwrap_or_default()
}
