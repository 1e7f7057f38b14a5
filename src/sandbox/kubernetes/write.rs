//! Creation and update of objects.

use std::sync::Arc;

use serde_json::{Value, json};

use super::admission;
use super::definition::{CERTIFICATES, CORE, Definition, ResourceScope};
use super::managers::{self, Writer};
use super::path::{FieldValidation, Subresource};
use super::prepare::prepare;
use super::rbac::UserInfo;
use super::status::{StatusError, StatusReason};
use super::store::KubernetesStore;
use super::validate;
use super::value::{assign, at, copy_field, fields, items, metadata, name, namespace, text};

/// The context of a write.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriteContext<'a> {
    pub(super) definition: &'a Definition,
    pub(super) writer: Writer<'a>,
    pub(super) user: &'a UserInfo,
    pub(super) dry_run: bool,
    pub(super) validation: FieldValidation,
    /// Whether the object already contains its managed fields.
    pub(super) applied: bool,
}

/// The stored object and the warnings for the writer.
#[derive(Debug, Clone)]
pub(super) struct WriteOutcome {
    pub(super) object: Arc<Value>,
    pub(super) warnings: Vec<String>,
}

/// The metadata that only the server writes.
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
        context: &WriteContext<'_>,
        place: Option<&str>,
        mut object: Value,
    ) -> Result<WriteOutcome, StatusError> {
        let definition = context.definition;
        self.generate_name(context, &mut object);
        address(definition, place, &mut object)?;
        if text(&object, &["metadata", "resourceVersion"])
            .is_some_and(|version| !version.is_empty())
        {
            return Err(StatusError::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        self.check_namespace(definition, &object)?;
        admission::check(definition, context.user, None, &object)?;
        // A kubelet registers its node together with its status.
        if definition.traits.status && !definition.is(CORE, "nodes") {
            fields(&mut object).remove("status");
        }
        let warnings = prepare(definition, &mut object, context.validation, context.writer.now)?;
        let named = name(&object).to_owned();
        if self.find(definition, namespace(&object), &named).is_some() {
            return Err(StatusError::already_exists(definition, &named));
        }
        record_requester(context, &mut object);
        validate::object(definition, None, &object)?;
        if !context.applied {
            metadata(&mut object).remove("managedFields");
            managers::track_update(definition, None, &mut object, &context.writer);
        }
        let uid = self.new_uid(&named);
        let map = metadata(&mut object);
        map.insert("uid".to_owned(), Value::from(uid));
        map.insert("creationTimestamp".to_owned(), Value::from(context.writer.now));
        map.remove("deletionTimestamp");
        assign(map, "generation", definition.traits.generation.then(|| Value::from(1)));
        let object = self.store_object(context, object);
        Ok(WriteOutcome { object, warnings })
    }

    fn generate_name(&mut self, context: &WriteContext<'_>, object: &mut Value) {
        let start = text(object, &["metadata", "generateName"]).unwrap_or_default().to_owned();
        if name(object).is_empty() && !start.is_empty() {
            let uid = self.new_uid(context.writer.now);
            let end: String = uid.chars().filter(|letter| *letter != '-').take(5).collect();
            metadata(object).insert("name".to_owned(), Value::from(format!("{start}{end}")));
        }
    }

    fn check_namespace(&self, definition: &Definition, object: &Value) -> Result<(), StatusError> {
        let Some(place) =
            namespace(object).filter(|_| definition.scope == ResourceScope::Namespaced)
        else {
            return Ok(());
        };
        let namespaces = self.definition(CORE, "v1", "namespaces");
        let namespaces = namespaces.ok_or_else(StatusError::unknown_path)?;
        let found = self
            .find(&namespaces, None, place)
            .ok_or_else(|| StatusError::not_found(&namespaces, place))?;
        if at(found, &["metadata", "deletionTimestamp"]).is_some() {
            let detail = format!(
                "unable to create new content in namespace {place} because it is being terminated"
            );
            return Err(StatusError::forbidden(definition, name(object), &detail));
        }
        Ok(())
    }

    fn store_object(&mut self, context: &WriteContext<'_>, object: Value) -> Arc<Value> {
        if context.dry_run { Arc::new(object) } else { self.commit(context.definition, object) }
    }

    /// Updates the stored object, as far as the endpoint allows.
    pub(super) fn update(
        &mut self,
        context: &WriteContext<'_>,
        old: &Arc<Value>,
        mut object: Value,
    ) -> Result<WriteOutcome, StatusError> {
        let definition = context.definition;
        address(definition, namespace(old), &mut object)?;
        check_identity(definition, old, &object)?;
        restrict(definition, context.writer.subresource, old, &mut object);
        admission::check(definition, context.user, Some(old), &object)?;
        let given = managers_of(&object);
        let warnings = prepare(definition, &mut object, context.validation, context.writer.now)?;
        for field in SERVER_FIELDS {
            copy_field(&old["metadata"], metadata(&mut object), field);
        }
        validate::object(definition, Some(old), &object)?;
        if context.applied {
            assign(metadata(&mut object), "managedFields", given);
        } else {
            copy_field(&old["metadata"], metadata(&mut object), "managedFields");
            managers::track_update(definition, Some(old), &mut object, &context.writer);
        }
        if same(old, &object) {
            return Ok(WriteOutcome { object: Arc::clone(old), warnings });
        }
        count_generation(definition, old, &mut object);
        let object = self.store_object(context, object);
        self.delete_if_released(context, &object);
        Ok(WriteOutcome { object, warnings })
    }

    /// Deletes a terminating object whose last finalizer was removed.
    fn delete_if_released(&mut self, context: &WriteContext<'_>, object: &Value) {
        let leaving = at(object, &["metadata", "deletionTimestamp"]).is_some();
        let held = !items(object, &["metadata", "finalizers"]).is_empty();
        if leaving && !held && !context.dry_run {
            self.finish(context.definition, namespace(object), name(object), context.writer.now);
        }
    }
}

fn managers_of(object: &Value) -> Option<Value> {
    at(object, &["metadata", "managedFields"]).cloned()
}

/// Whether the objects differ only in the time of a manager's entry.
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

/// Increments the generation if the spec changed: everything except the metadata and, if it is a
/// subresource, the status.
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

/// Checks that the object matches the path, and fills in what it omits.
pub(super) fn address(
    definition: &Definition,
    place: Option<&str>,
    object: &mut Value,
) -> Result<(), StatusError> {
    if !object.is_object() {
        return Err(StatusError::bad_request("the object provided is not a JSON object"));
    }
    for (field, expected) in
        [("apiVersion", definition.api_version()), ("kind", definition.kind.clone())]
    {
        match text(object, &[field]) {
            Some(given) if !given.is_empty() && given != expected => {
                return Err(StatusError::bad_request(format!(
                    "the {field} in the data ({given}) does not match the expected {field} ({expected})"
                )));
            }
            _ => assign(fields(object), field, Some(Value::from(expected))),
        }
    }
    match (definition.scope, place) {
        (ResourceScope::Cluster, _) => {
            metadata(object).remove("namespace");
        }
        (ResourceScope::Namespaced, Some(place)) => {
            if namespace(object).is_some_and(|given| given != place) {
                return Err(StatusError::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            metadata(object).insert("namespace".to_owned(), Value::from(place));
        }
        (ResourceScope::Namespaced, None) => {
            return Err(StatusError::bad_request(
                "an empty namespace may not be set during creation",
            ));
        }
    }
    Ok(())
}

pub(super) fn check_identity(
    definition: &Definition,
    old: &Value,
    new: &Value,
) -> Result<(), StatusError> {
    let given = name(new);
    if given != name(old) {
        return Err(StatusError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({})",
            name(old)
        )));
    }
    let differs = |field: &str| {
        let given = text(new, &["metadata", field]).filter(|given| !given.is_empty());
        given.is_some() && given != text(old, &["metadata", field])
    };
    if differs("uid") {
        return Err(StatusError::conflict(
            definition,
            name(old),
            "Precondition failed: UID in precondition does not match the UID in object meta",
        ));
    }
    if differs("resourceVersion") {
        return Err(StatusError::modified(definition, name(old)));
    }
    Ok(())
}

/// Takes the fields that the endpoint may write from the new object, and the rest from the
/// old one.
fn restrict(
    definition: &Definition,
    subresource: Option<Subresource>,
    old: &Value,
    object: &mut Value,
) {
    match subresource {
        None if definition.traits.status => copy_field(old, fields(object), "status"),
        None | Some(Subresource::Eviction | Subresource::Proxy) => {}
        Some(Subresource::Status | Subresource::Approval) => {
            let mut restricted = old.clone();
            copy_field(object, fields(&mut restricted), "status");
            let managers = at(object, &["metadata", "managedFields"]).cloned();
            assign(metadata(&mut restricted), "managedFields", managers);
            *object = restricted;
        }
    }
}

/// Records the requester in a certificate request. Clients cannot set it.
fn record_requester(context: &WriteContext<'_>, object: &mut Value) {
    if !context.definition.is(CERTIFICATES, "certificatesigningrequests") {
        return;
    }
    let spec = super::value::nested(object, "spec");
    spec.insert("username".to_owned(), Value::from(context.user.name.as_str()));
    spec.insert("groups".to_owned(), json!(context.user.groups));
}

/// Returns an error if a body lacks a field that apply requires.
pub(super) fn check_configuration(config: &Value) -> Result<(), StatusError> {
    if !items(config, &["metadata", "managedFields"]).is_empty() {
        return Err(StatusError::bad_request("metadata.managedFields must be nil"));
    }
    for field in ["apiVersion", "kind"] {
        if text(config, &[field]).is_none_or(str::is_empty) {
            return Err(StatusError::new(StatusReason::BadRequest, format!("{field} must be set")));
        }
    }
    Ok(())
}
