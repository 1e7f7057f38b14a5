//! PATCH requests of all four formats.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;

use super::apply::apply;
use super::handle::ResourceRequest;
use super::patch::{self, PatchFormat};
use super::schema;
use super::status::{StatusCause, StatusError, StatusReason};
use super::store::KubernetesStore;
use super::structure::Structure;
use super::value::{metadata, name, text};
use super::write::{address, check_configuration, check_identity};

impl KubernetesStore {
    pub(super) fn answer_patch(
        &mut self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
        let kind = PatchFormat::parse(call.media)?;
        let body = call.json()?;
        if kind == PatchFormat::Apply {
            return self.answer_apply(call, body);
        }
        let old = Arc::clone(self.live(call)?);
        let object = match kind {
            PatchFormat::Strategic if call.definition.is_custom() => {
                return Err(StatusError::new(
                    StatusReason::UnsupportedMediaType,
                    "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
                ));
            }
            PatchFormat::Strategic => {
                patch::strategic(&old, &body, Structure::of(&call.definition))
            }
            PatchFormat::Merge | PatchFormat::Apply => {
                let mut object = (*old).clone();
                patch::merge(&mut object, &body);
                object
            }
            PatchFormat::Json => {
                let mut object = (*old).clone();
                patch::json(&mut object, &body)?;
                object
            }
        };
        let object = checked_uid(call, &old, object)?;
        let rendered = object.to_string();
        let written = self.update(&call.write_context(false), &old, object);
        let written = written.map_err(|error| patch_error(error, &rendered))?;
        Ok(call.show(StatusCode::OK, &written))
    }

    fn answer_apply(
        &mut self,
        call: &ResourceRequest<'_>,
        mut config: Value,
    ) -> Result<Response<Bytes>, StatusError> {
        if call.parameters.field_manager.is_none() {
            return Err(StatusError::new(
                StatusReason::Invalid,
                "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch",
            ));
        }
        check_configuration(&config)?;
        address(&call.definition, call.place(), &mut config)?;
        if name(&config).is_empty() {
            metadata(&mut config).insert("name".to_owned(), Value::from(call.name()));
        }
        check_fields(call, &config)?;
        let how = call.write_context(true);
        let force = call.parameters.force;
        let live = self.find(&call.definition, call.place(), call.name()).map(Arc::clone);
        match live {
            Some(live) => {
                check_identity(&call.definition, &live, &config)?;
                let object = apply(&call.definition, Some(&live), config, &how.writer, force)?;
                let written = self.update(&how, &live, object)?;
                Ok(call.show(StatusCode::OK, &written))
            }
            None if call.path.subresource.is_some() => {
                Err(StatusError::not_found(&call.definition, call.name()))
            }
            None => {
                check_new(call, &config)?;
                let object = apply(&call.definition, None, config, &how.writer, force)?;
                let written = self.create(&how, call.place(), object)?;
                Ok(call.show(StatusCode::CREATED, &written))
            }
        }
    }
}

/// Refuses a patch that names another uid. A uid in the patch of a subresource is ignored: only
/// replacing an object makes it a precondition.
fn checked_uid(
    call: &ResourceRequest<'_>,
    old: &Value,
    mut object: Value,
) -> Result<Value, StatusError> {
    let (before, after) = (&old["metadata"]["uid"], &object["metadata"]["uid"]);
    if before == after {
        return Ok(object);
    }
    if call.path.subresource.is_none() {
        let cause = StatusCause::invalid("metadata.uid", after, "field is immutable");
        let name = old["metadata"]["name"].as_str().unwrap_or_default();
        return Err(StatusError::invalid(&call.definition, name, &[cause]));
    }
    let uid = before.clone();
    object["metadata"]["uid"] = uid;
    Ok(object)
}

/// Blames the patch for an object that is invalid after the patch.
fn patch_error(error: StatusError, patched: &str) -> StatusError {
    let Some((_, detail)) = error.message.split_once(": strict decoding error: ") else {
        return error;
    };
    let detail = format!("strict decoding error: {detail}");
    let cause = StatusCause::invalid("patch", &Value::from(patched), &detail);
    let message = format!(" \"\" is invalid: {}: {}", cause.field, cause.message);
    StatusError::new(StatusReason::Invalid, message).with_causes(&[cause])
}

fn check_new(call: &ResourceRequest<'_>, config: &Value) -> Result<(), StatusError> {
    let set = |field: &str| text(config, &["metadata", field]).is_some_and(|it| !it.is_empty());
    if set("uid") || set("resourceVersion") {
        let detail = "the object does not exist: a uid or resourceVersion was given to apply to";
        return Err(StatusError::conflict(&call.definition, call.name(), detail));
    }
    if name(config) != call.name() {
        return Err(StatusError::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            name(config),
            call.name()
        )));
    }
    Ok(())
}

/// Returns an error for fields that are not in the schema: no manager can own them.
fn check_fields(call: &ResourceRequest<'_>, config: &Value) -> Result<(), StatusError> {
    let Some(schema) = call.definition.schema() else { return Ok(()) };
    match schema::prune(schema, &mut config.clone()).first() {
        None => Ok(()),
        Some(field) => Err(StatusError::new(
            StatusReason::InternalError,
            format!(
                "failed to create typed patch object ({}/{}; {}, Kind={}): .{field}: field not declared in schema",
                call.place().unwrap_or_default(),
                call.name(),
                call.definition.api_version(),
                call.definition.kind,
            ),
        )),
    }
}
