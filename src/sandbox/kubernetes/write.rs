//! How an object comes in and changes.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admission;
use super::definition::{CERTIFICATES, CORE, Definition, Scope};
use super::managers::{self, Writer};
use super::path::{FieldValidation, Subresource};
use super::prepare::prepare;
use super::rbac::UserInfo;
use super::status::{ApiError, Reason};
use super::store::KubernetesStore;
use super::validate;
use super::value::{assign, at, carry, fields, items, metadata, name, namespace, text};

/// The circumstances of a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    pub(super) definition: &'a Definition,
    pub(super) writer: Writer<'a>,
    pub(super) user: &'a UserInfo,
    pub(super) dry_run: bool,
    pub(super) validation: FieldValidation,
    /// The managers are already written into the object.
    pub(super) applied: bool,
}

/// What was stored, and what the writer should hear about it.
#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) object: Arc<Value>,
    pub(super) warnings: Vec<String>,
}

/// What of an object's metadata the server alone writes.
const SERVER_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
    "name",
    "namespace",
    "selfLink",
];

impl KubernetesStore {
    pub(super) fn create(
        &mut self,
        how: &Circumstances<'_>,
        place: Option<&str>,
        mut object: Value,
    ) -> Result<Written, ApiError> {
        let definition = how.definition;
        self.generate_name(how, &mut object);
        address(definition, place, &mut object)?;
        if text(&object, &["metadata", "resourceVersion"])
            .is_some_and(|version| !version.is_empty())
        {
            return Err(ApiError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.check_namespace(definition, &object)?;
        admission::check(definition, how.user, None, &object)?;
        // A kubelet registers its node together with its state.
        if definition.traits.status && !definition.is(CORE, "nodes") {
            fields(&mut object).remove("status");
        }
        let warnings = prepare(definition, &mut object, how.validation, how.writer.now)?;
        let named = name(&object).to_owned();
        if self.find(definition, namespace(&object), &named).is_some() {
            return Err(ApiError::already_exists(definition, &named));
        }
        record_requester(how, &mut object);
        validate::object(definition, None, &object)?;
        if !how.applied {
            metadata(&mut object).remove("managedFields");
            managers::track_update(definition, None, &mut object, &how.writer);
        }
        let uid = self.fresh_uid(&named);
        let map = metadata(&mut object);
        map.insert("uid".to_owned(), Value::from(uid));
        map.insert("creationTimestamp".to_owned(), Value::from(how.writer.now));
        map.remove("deletionTimestamp");
        assign(map, "generation", definition.traits.generation.then(|| Value::from(1)));
        let object = self.keep(how, object);
        Ok(Written { object, warnings })
    }

    fn generate_name(&mut self, how: &Circumstances<'_>, object: &mut Value) {
        let start = text(object, &["metadata", "generateName"]).unwrap_or_default().to_owned();
        if name(object).is_empty() && !start.is_empty() {
            let uid = self.fresh_uid(how.writer.now);
            let end: String = uid.chars().filter(|letter| *letter != '-').take(5).collect();
            metadata(object).insert("name".to_owned(), Value::from(format!("{start}{end}")));
        }
    }

    fn check_namespace(&self, definition: &Definition, object: &Value) -> Result<(), ApiError> {
        let Some(place) = namespace(object).filter(|_| definition.scope == Scope::Namespaced)
        else {
            return Ok(());
        };
        let namespaces = self.definition(CORE, "v1", "namespaces");
        let namespaces = namespaces.ok_or_else(ApiError::unknown_path)?;
        let found = self
            .find(&namespaces, None, place)
            .ok_or_else(|| ApiError::not_found(&namespaces, place))?;
        if at(found, &["metadata", "deletionTimestamp"]).is_some() {
            let detail = format!(
                "unable to create new content in namespace {place} because it is being terminated"
            );
            return Err(ApiError::forbidden(definition, name(object), &detail));
        }
        Ok(())
    }

    fn keep(&mut self, how: &Circumstances<'_>, object: Value) -> Arc<Value> {
        if how.dry_run { Arc::new(object) } else { self.commit(how.definition, object) }
    }

    /// Makes the stored object into another, as far as the door lets through.
    pub(super) fn update(
        &mut self,
        how: &Circumstances<'_>,
        old: &Arc<Value>,
        mut object: Value,
    ) -> Result<Written, ApiError> {
        let definition = how.definition;
        address(definition, namespace(old), &mut object)?;
        check_identity(definition, old, &object)?;
        restrict(definition, how.writer.subresource, old, &mut object);
        admission::check(definition, how.user, Some(old), &object)?;
        let given = managers_of(&object);
        let warnings = prepare(definition, &mut object, how.validation, how.writer.now)?;
        for field in SERVER_FIELDS {
            carry(&old["metadata"], metadata(&mut object), field);
        }
        validate::object(definition, Some(old), &object)?;
        if how.applied {
            assign(metadata(&mut object), "managedFields", given);
        } else {
            carry(&old["metadata"], metadata(&mut object), "managedFields");
            managers::track_update(definition, Some(old), &mut object, &how.writer);
        }
        if same(old, &object) {
            return Ok(Written { object: Arc::clone(old), warnings });
        }
        count_generation(definition, old, &mut object);
        let object = self.keep(how, object);
        self.finish_if_released(how, &object);
        Ok(Written { object, warnings })
    }

    /// An object on its way out goes when its last finalizer does.
    fn finish_if_released(&mut self, how: &Circumstances<'_>, object: &Value) {
        let leaving = at(object, &["metadata", "deletionTimestamp"]).is_some();
        let held = !items(object, &["metadata", "finalizers"]).is_empty();
        if leaving && !held && !how.dry_run {
            self.finish(how.definition, namespace(object), name(object), how.writer.now);
        }
    }
}

fn managers_of(object: &Value) -> Option<Value> {
    at(object, &["metadata", "managedFields"]).cloned()
}

/// Whether nothing would change but the time in a manager's entry.
fn same(old: &Value, new: &Value) -> bool {
    let timeless = |object: &Value| {
        let mut managers = managers::read(object);
        managers.iter_mut().for_each(|manager| manager.time.clear());
        managers
    };
    let stripped = |object: &Value| {
        let mut object = object.clone();
        metadata(&mut object).remove("managedFields");
        object
    };
    stripped(old) == stripped(new) && timeless(old) == timeless(new)
}

/// Counts up when the specification changed: all but metadata and, where it is
/// a subresource, the status.
pub(super) fn count_generation(definition: &Definition, old: &Value, new: &mut Value) {
    if !definition.traits.generation {
        return;
    }
    let specification = |object: &Value| {
        let mut map = object.as_object().cloned().unwrap_or_default();
        map.remove("metadata");
        if definition.traits.status {
            map.remove("status");
        }
        map
    };
    if specification(old) != specification(new) {
        let generation = at(old, &["metadata", "generation"]).and_then(Value::as_u64);
        let next = generation.unwrap_or_default() + 1;
        metadata(new).insert("generation".to_owned(), Value::from(next));
    }
}

/// Checks that the object says what the path says, and fills in what it leaves out.
pub(super) fn address(
    definition: &Definition,
    place: Option<&str>,
    object: &mut Value,
) -> Result<(), ApiError> {
    if !object.is_object() {
        return Err(ApiError::bad_request("the object provided is not a JSON object"));
    }
    for (field, wanted) in
        [("apiVersion", definition.api_version()), ("kind", definition.kind.clone())]
    {
        match text(object, &[field]) {
            Some(given) if !given.is_empty() && given != wanted => {
                return Err(ApiError::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({wanted})"
                )));
            }
            _ => assign(fields(object), field, Some(Value::from(wanted))),
        }
    }
    match (definition.scope, place) {
        (Scope::Cluster, _) => {
            metadata(object).remove("namespace");
        }
        (Scope::Namespaced, Some(place)) => {
            if namespace(object).is_some_and(|given| given != place) {
                return Err(ApiError::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            metadata(object).insert("namespace".to_owned(), Value::from(place));
        }
        (Scope::Namespaced, None) => {
            return Err(ApiError::bad_request("an empty namespace may not be set during creation"));
        }
    }
    Ok(())
}

pub(super) fn check_identity(
    definition: &Definition,
    old: &Value,
    new: &Value,
) -> Result<(), ApiError> {
    let given = name(new);
    if given != name(old) {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            name(old)
        )));
    }
    let differs = |field: &str| {
        let given = text(new, &["metadata", field]).filter(|given| !given.is_empty());
        given.is_some() && given != text(old, &["metadata", field])
    };
    if differs("uid") {
        return Err(ApiError::conflict(
            definition,
            name(old),
            "Precondition failed: UID in precondition does not match the UID in object meta",
        ));
    }
    if differs("resourceVersion") {
        return Err(ApiError::modified(definition, name(old)));
    }
    Ok(())
}

/// Keeps of the new object what its door lets through, the rest from the old one.
fn restrict(
    definition: &Definition,
    subresource: Option<Subresource>,
    old: &Value,
    object: &mut Value,
) {
    match subresource {
        None if definition.traits.status => carry(old, fields(object), "status"),
        None | Some(Subresource::Eviction) => {}
        Some(Subresource::Status | Subresource::Approval) => {
            let mut restricted = old.clone();
            carry(object, fields(&mut restricted), "status");
            let managers = at(object, &["metadata", "managedFields"]).cloned();
            assign(metadata(&mut restricted), "managedFields", managers);
            *object = restricted;
        }
    }
}

/// A certificate request carries who asked for it; no client can say otherwise.
fn record_requester(how: &Circumstances<'_>, object: &mut Value) {
    if !how.definition.is(CERTIFICATES, "certificatesigningrequests") {
        return;
    }
    let spec = super::value::nested(object, "spec");
    spec.insert("username".to_owned(), Value::from(how.user.name.as_str()));
    spec.insert("groups".to_owned(), json!(how.user.groups));
}

/// Refuses a body that lacks what apply needs.
pub(super) fn check_configuration(config: &Value) -> Result<(), ApiError> {
    if !items(config, &["metadata", "managedFields"]).is_empty() {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    for field in ["apiVersion", "kind"] {
        if text(config, &[field]).is_none_or(str::is_empty) {
            return Err(ApiError::new(Reason::BadRequest, format!("{field} must be set")));
        }
    }
    Ok(())
}
