//! One request, one answer.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;

use super::definition::{BUILT_IN, CERTIFICATES, CORE, Definition, Scope};
use super::managers::Writer;
use super::path::{self, Parameters, ResourcePath, Subresource, Target, Verb};
use super::rbac::UserInfo;
use super::status::{ApiError, Reason, respond, respond_bytes};
use super::store::KubernetesStore;
use super::value::text;
use super::view::View;
use super::watch::WatchRequest;
use super::write::{Circumstances, Written};

/// The answer to a request.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Complete(Response<Bytes>),
    /// A stream of lines: ask [`KubernetesStore::watch_events`] for them.
    Watch(Box<WatchRequest>),
}

/// A request about a resource, read.
pub(super) struct Call<'a> {
    pub(super) definition: Definition,
    pub(super) path: ResourcePath,
    pub(super) parameters: Parameters,
    pub(super) view: View,
    pub(super) body: &'a Bytes,
    pub(super) media: &'a str,
    pub(super) user: &'a UserInfo,
    pub(super) manager: String,
    pub(super) now: &'a str,
}

impl Call<'_> {
    pub(super) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    pub(super) fn place(&self) -> Option<&str> {
        self.path.namespace.as_deref()
    }

    pub(super) fn circumstances(&self, applied: bool) -> Circumstances<'_> {
        Circumstances {
            definition: &self.definition,
            writer: Writer {
                manager: &self.manager,
                subresource: self.path.subresource,
                now: self.now,
            },
            user: self.user,
            dry_run: self.parameters.dry_run,
            validation: self.parameters.field_validation,
            applied,
        }
    }

    pub(super) fn json(&self) -> Result<Value, ApiError> {
        if self.media.contains("protobuf") {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json";
            return super::protobuf::read(self.body)
                .ok_or_else(|| ApiError::new(Reason::UnsupportedMediaType, message));
        }
        serde_json::from_slice(self.body).map_err(|error| {
            ApiError::bad_request(format!("the object provided is unrecognized: {error}"))
        })
    }

    pub(super) fn show(&self, code: StatusCode, written: &Written) -> Response<Bytes> {
        let mut response = respond(code, &self.view.one(&self.definition, &written.object));
        for warning in &written.warnings {
            let text = format!("299 - \"{}\"", warning.replace('"', "\\\""));
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().append(header::WARNING, value);
            }
        }
        response
    }
}

impl KubernetesStore {
    /// Answers one request of a user. `now` is the time, in RFC 3339.
    pub fn handle(&mut self, request: &Request<Bytes>, user: &UserInfo, now: &str) -> Reply {
        self.answer(request, user, now).unwrap_or_else(|error| Reply::Complete(error.to_response()))
    }

    fn answer(
        &mut self,
        request: &Request<Bytes>,
        user: &UserInfo,
        now: &str,
    ) -> Result<Reply, ApiError> {
        let target = path::parse(request.uri().path())?;
        let Target::Object(path) = target else {
            if request.method() != Method::GET {
                return Err(ApiError::method_not_allowed());
            }
            return self.answer_discovery(&target).map(Reply::Complete);
        };
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default())?;
        let verb = Verb::of(request.method(), path.name.is_some(), parameters.watch)
            .ok_or_else(ApiError::method_not_allowed)?;
        self.check_access(user, &path, verb)?;
        let definition = self
            .definition(&path.group, &path.version, &path.plural)
            .ok_or_else(|| unknown(&path))?;
        check_path(&definition, &path)?;
        let word = |name: header::HeaderName| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let agent = word(header::USER_AGENT).split('/').next().unwrap_or_default();
        let manager = parameters.field_manager.clone().unwrap_or_else(|| match agent {
            "" => "unknown".to_owned(),
            agent => agent.to_owned(),
        });
        let call = Call {
            definition,
            path,
            parameters,
            view: View::of(request.headers(), now),
            body: request.body(),
            media: word(header::CONTENT_TYPE),
            user,
            manager,
            now,
        };
        self.dispatch(verb, &call)
    }

    fn answer_discovery(&self, target: &Target) -> Result<Response<Bytes>, ApiError> {
        let body = match target {
            Target::Version => self.version(),
            Target::CoreVersions => Self::core_versions(),
            Target::Groups => self.groups(),
            Target::Group(group) => self.group(group)?,
            Target::Resources { group, version } => self.resources(group, version)?,
            Target::Descriptions => self.described_groups(),
            Target::Description { group, version } => self.described_group(group, version)?,
            Target::Health | Target::Object(_) => {
                return Ok(respond_bytes(
                    StatusCode::OK,
                    "text/plain; charset=utf-8",
                    Bytes::from_static(b"ok"),
                ));
            }
        };
        Ok(respond(StatusCode::OK, &body))
    }

    fn dispatch(&mut self, verb: Verb, call: &Call<'_>) -> Result<Reply, ApiError> {
        if !call.definition.traits.stored {
            return match verb {
                Verb::Create => {
                    let answer = self.review(&call.definition, call.user, &call.json()?);
                    Ok(Reply::Complete(respond(StatusCode::CREATED, &answer)))
                }
                _ => Err(ApiError::method_not_allowed()),
            };
        }
        let response = match verb {
            Verb::Watch => return self.begin_watch(call).map(|it| Reply::Watch(Box::new(it))),
            Verb::Get => {
                let object = Arc::clone(self.live(call)?);
                call.show(StatusCode::OK, &Written { object, warnings: Vec::new() })
            }
            Verb::List => self.answer_list(call)?,
            Verb::Create => self.answer_create(call)?,
            Verb::Update => self.answer_update(call)?,
            Verb::Patch => self.answer_patch(call)?,
            Verb::Delete => self.answer_delete(call)?,
            Verb::DeleteCollection => self.answer_delete_collection(call)?,
        };
        Ok(Reply::Complete(response))
    }

    /// The object the path names.
    pub(super) fn live(&self, call: &Call<'_>) -> Result<&Arc<Value>, ApiError> {
        self.find(&call.definition, call.place(), call.name())
            .ok_or_else(|| ApiError::not_found(&call.definition, call.name()))
    }

    fn answer_create(&mut self, call: &Call<'_>) -> Result<Response<Bytes>, ApiError> {
        match (&call.path.name, call.path.subresource) {
            (None, None) => {}
            (Some(_), Some(Subresource::Eviction)) => return self.evict(call),
            _ => return Err(ApiError::method_not_allowed()),
        }
        let object = call.json()?;
        let written = self.create(&call.circumstances(false), call.place(), object)?;
        Ok(call.show(StatusCode::CREATED, &written))
    }

    fn answer_update(&mut self, call: &Call<'_>) -> Result<Response<Bytes>, ApiError> {
        let old = Arc::clone(self.live(call)?);
        let object = call.json()?;
        let version = text(&object, &["metadata", "resourceVersion"]).unwrap_or_default();
        if call.definition.is_custom() && version.is_empty() {
            let cause = super::status::Cause::invalid(
                "metadata.resourceVersion",
                &Value::from(0),
                "must be specified for an update",
            );
            return Err(ApiError::invalid(&call.definition, call.name(), &[cause]));
        }
        let written = self.update(&call.circumstances(false), &old, object)?;
        Ok(call.show(StatusCode::OK, &written))
    }
}

/// Groups of Kubernetes' own say that a resource is none of theirs; for others
/// nobody speaks.
fn unknown(path: &ResourcePath) -> ApiError {
    match BUILT_IN.iter().any(|it| it.group == path.group) {
        true => ApiError::unknown_path(),
        false => ApiError::no_such_page(),
    }
}

/// Refuses paths that no object of the resource can have.
fn check_path(definition: &Definition, path: &ResourcePath) -> Result<(), ApiError> {
    let fits = match definition.scope {
        Scope::Cluster => path.namespace.is_none(),
        Scope::Namespaced => path.namespace.is_some() || path.name.is_none(),
    };
    let part = match path.subresource {
        None => true,
        Some(Subresource::Status) => definition.traits.status,
        Some(Subresource::Approval) => definition.group == CERTIFICATES,
        Some(Subresource::Eviction) => definition.is(CORE, "pods"),
    };
    if fits && part { Ok(()) } else { Err(ApiError::unknown_path()) }
}
