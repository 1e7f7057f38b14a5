//! Requests for collections: list, watch and delete.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::collect::Deletion;
use super::handle::ResourceRequest;
use super::path::Propagation;
use super::representation::ListMetadata;
use super::status::{StatusError, StatusReason, respond, respond_bytes};
use super::store::KubernetesStore;
use super::value::{at, name, namespace, text};
use super::watch::{Selection, WatchRequest};
use super::write::WriteOutcome;

fn selection(call: &ResourceRequest<'_>) -> Result<Selection, StatusError> {
    let mut fields = call.parameters.fields.clone();
    if call.definition.is_custom() {
        fields.check_custom()?;
    }
    if let Some(name) = &call.path.name {
        fields = fields.with_name(name);
    }
    Ok(Selection {
        definition: call.definition.clone(),
        namespace: call.path.namespace.clone(),
        labels: call.parameters.labels.clone(),
        fields,
    })
}

/// Decodes a continue token: the version of the list and the key to continue from.
fn read_token(token: &str) -> Option<(u64, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token: Value = serde_json::from_slice(&bytes).ok()?;
    Some((token.get("rv")?.as_u64()?, token.get("start")?.as_str()?.to_owned()))
}

fn write_token(version: u64, start: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": version, "start": start});
    URL_SAFE_NO_PAD.encode(token.to_string())
}

impl KubernetesStore {
    pub(super) fn answer_list(
        &self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
        let selection = selection(call)?;
        let (version, start) = match &call.parameters.token {
            Some(token) => {
                let (version, start) = read_token(token)
                    .ok_or_else(|| StatusError::bad_request("continue key is not valid"))?;
                if version < self.horizon() {
                    return Err(StatusError::new(
                        StatusReason::Expired,
                        "The provided continue parameter is too old to display a consistent list result.",
                    ));
                }
                (version, Some(start))
            }
            None => (self.resource_version, None),
        };
        let collection = call.definition.qualified_resource();
        let mut matching = self
            .scan(&collection, selection.namespace.as_deref(), start.as_deref())
            .filter(|(_, object)| selection.matches(object));
        let limit = call.parameters.limit.unwrap_or(usize::MAX);
        let objects: Vec<&Value> =
            matching.by_ref().take(limit).map(|(_, object)| &**object).collect();
        let mut page = ListMetadata { resource_version: version, ..ListMetadata::default() };
        if let Some((next, _)) = matching.next() {
            page.token = Some(write_token(version, next));
            page.remaining = Some(matching.count() + 1);
        }
        let body = call.view.list(&call.definition, &objects, &page);
        Ok(respond_bytes(StatusCode::OK, "application/json", body))
    }

    pub(super) fn begin_watch(
        &self,
        call: &ResourceRequest<'_>,
    ) -> Result<WatchRequest, StatusError> {
        let parameters = &call.parameters;
        let position = match parameters.resource_version.as_deref() {
            None | Some("0") => None,
            Some(_) if parameters.send_initial_events => None,
            Some(version) => Some(version.parse::<u64>().map_err(|_| {
                let message = format!(
                    "resourceVersion: Invalid value: {version:?}: strconv.ParseUint: parsing \
                     {version:?}: invalid syntax"
                );
                StatusError::new(StatusReason::InternalError, message)
            })?),
        };
        Ok(WatchRequest {
            selection: selection(call)?,
            view: call.view.clone(),
            position,
            last_sent: position.unwrap_or_default(),
            bookmarks: parameters.bookmarks,
            initial_bookmark: parameters.bookmarks && parameters.send_initial_events,
            timeout_seconds: parameters.timeout_seconds,
            finished: false,
        })
    }

    pub(super) fn answer_delete(
        &mut self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
        if call.path.subresource.is_some() {
            return Err(StatusError::method_not_allowed());
        }
        let options = DeleteOptions::of(call)?;
        let live = std::sync::Arc::clone(self.live(call)?);
        options.check(call, &live)?;
        let deletion = if options.dry_run {
            Some(Deletion::Removed(live))
        } else {
            let (place, named) = (call.place(), call.name());
            self.remove(&call.definition, place, named, options.propagation, call.now)
        };
        match deletion {
            None => Err(StatusError::not_found(&call.definition, call.name())),
            Some(Deletion::Pending(object)) => {
                Ok(call.show(StatusCode::OK, &WriteOutcome { object, warnings: Vec::new() }))
            }
            Some(Deletion::Removed(object)) => {
                let definition = &call.definition;
                let status = json!({
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                    "details": {"name": call.name(), "group": definition.group,
                        "kind": definition.plural, "uid": at(&object, &["metadata", "uid"])},
                });
                Ok(respond(StatusCode::OK, &status))
            }
        }
    }

    pub(super) fn answer_delete_collection(
        &mut self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
        let options = DeleteOptions::of(call)?;
        let selection = selection(call)?;
        let objects: Vec<Value> = self.select(&selection).cloned().collect();
        if !options.dry_run {
            for object in &objects {
                let (place, named) = (namespace(object), name(object));
                self.remove(&call.definition, place, named, options.propagation, call.now);
            }
        }
        let page =
            ListMetadata { resource_version: self.resource_version, ..ListMetadata::default() };
        let rendered: Vec<&Value> = objects.iter().collect();
        let body = call.view.list(&call.definition, &rendered, &page);
        Ok(respond_bytes(StatusCode::OK, "application/json", body))
    }
}

/// The options of a deletion, from its query or its body.
struct DeleteOptions {
    propagation: Propagation,
    dry_run: bool,
    uid: Option<String>,
    resource_version: Option<String>,
}

impl DeleteOptions {
    fn of(call: &ResourceRequest<'_>) -> Result<Self, StatusError> {
        let body = if call.body.is_empty() { Value::Null } else { call.json()? };
        let word = |path: &[&str]| text(&body, path).map(str::to_owned);
        let requested = text(&body, &["propagationPolicy"]).map(Propagation::parse).transpose()?;
        let dry = at(&body, &["dryRun"]).is_some_and(|it| *it == json!(["All"]));
        Ok(Self {
            propagation: requested.or(call.parameters.propagation).unwrap_or_default(),
            dry_run: dry || call.parameters.dry_run,
            uid: word(&["preconditions", "uid"]),
            resource_version: word(&["preconditions", "resourceVersion"]),
        })
    }

    fn check(&self, call: &ResourceRequest<'_>, live: &Value) -> Result<(), StatusError> {
        for (word, expected, field) in [
            ("UID", &self.uid, "uid"),
            ("ResourceVersion", &self.resource_version, "resourceVersion"),
        ] {
            let found = text(live, &["metadata", field]).unwrap_or_default();
            if let Some(expected) = expected.as_deref().filter(|&expected| expected != found) {
                let detail = format!(
                    "Precondition failed: {word} in precondition: {expected}, {word} in object meta: {found}"
                );
                return Err(StatusError::conflict(&call.definition, call.name(), &detail));
            }
        }
        Ok(())
    }
}
