//! Handles one request.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;

use super::definition::{BUILT_IN, CERTIFICATES, CORE, Definition, ResourceScope};
use super::managers::Writer;
use super::path::{self, Parameters, RequestTarget, ResourcePath, Subresource, Verb};
use super::rbac::UserInfo;
use super::representation::View;
use super::status::{StatusError, StatusReason, respond, respond_bytes};
use super::store::KubernetesStore;
use super::value::text;
use super::watch::WatchRequest;
use super::write::{WriteContext, WriteOutcome};

/// The response to a request.
#[derive(Debug)]
pub enum KubernetesResponse {
    /// A complete response.
    Complete(Response<Bytes>),
    /// A stream of lines, obtained with [`KubernetesStore::watch_events`].
    Watch(Box<WatchRequest>),
    /// A request to be proxied to a pod.
    Proxied(Proxied),
}

/// A request that is proxied to a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxied {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The port, if the request names one.
    pub port: u16,
    /// The path of the proxied request.
    pub path: String,
}

/// A parsed request for a resource.
pub(super) struct ResourceRequest<'a> {
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

impl ResourceRequest<'_> {
    pub(super) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    pub(super) fn place(&self) -> Option<&str> {
        self.path.namespace.as_deref()
    }

    pub(super) fn write_context(&self, applied: bool) -> WriteContext<'_> {
        WriteContext {
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

    pub(super) fn json(&self) -> Result<Value, StatusError> {
        if self.media.contains("protobuf") {
            let message = "the body of the request was in an unknown format - accepted media types include: application/json";
            return super::protobuf::read(self.body)
                .ok_or_else(|| StatusError::new(StatusReason::UnsupportedMediaType, message));
        }
        serde_json::from_slice(self.body).map_err(|error| {
            StatusError::bad_request(format!("the object provided is unrecognized: {error}"))
        })
    }

    pub(super) fn show(&self, code: StatusCode, written: &WriteOutcome) -> Response<Bytes> {
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
    /// Handles one request of a user. `now` is the time, in RFC 3339.
    pub fn handle(
        &mut self,
        request: &Request<Bytes>,
        user: &UserInfo,
        now: &str,
    ) -> KubernetesResponse {
        self.handle_call(request, user, now)
            .unwrap_or_else(|error| KubernetesResponse::Complete(error.to_response()))
    }

    fn handle_call(
        &mut self,
        request: &Request<Bytes>,
        user: &UserInfo,
        now: &str,
    ) -> Result<KubernetesResponse, StatusError> {
        let target = path::parse(request.uri().path())?;
        let RequestTarget::Object(path) = target else {
            if request.method() != Method::GET {
                return Err(StatusError::method_not_allowed());
            }
            return self.answer_discovery(&target).map(KubernetesResponse::Complete);
        };
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default())?;
        let verb = Verb::of(request.method(), path.name.is_some(), parameters.watch)
            .ok_or_else(StatusError::method_not_allowed)?;
        self.check_access(user, &path, verb)?;
        let definition = self
            .definition(&path.group, &path.version, &path.plural)
            .ok_or_else(|| unknown(&path))?;
        check_path(&definition, &path)?;
        if path.subresource == Some(Subresource::Proxy) {
            return self.proxy(&definition, path).map(KubernetesResponse::Proxied);
        }
        let word = |name: header::HeaderName| {
            request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let agent = word(header::USER_AGENT).split('/').next().unwrap_or_default();
        let manager = parameters.field_manager.clone().unwrap_or_else(|| match agent {
            "" => "unknown".to_owned(),
            agent => agent.to_owned(),
        });
        let call = ResourceRequest {
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

    fn answer_discovery(&self, target: &RequestTarget) -> Result<Response<Bytes>, StatusError> {
        let body = match target {
            RequestTarget::Version => self.version(),
            RequestTarget::CoreVersions => Self::core_versions(),
            RequestTarget::Groups => self.groups(),
            RequestTarget::Group(group) => self.group(group)?,
            RequestTarget::Resources { group, version } => self.resources(group, version)?,
            RequestTarget::Descriptions => self.described_groups(),
            RequestTarget::Description { group, version } => {
                self.described_group(group, version)?
            }
            RequestTarget::Health | RequestTarget::Object(_) => {
                return Ok(respond_bytes(
                    StatusCode::OK,
                    "text/plain; charset=utf-8",
                    Bytes::from_static(b"ok"),
                ));
            }
        };
        Ok(respond(StatusCode::OK, &body))
    }

    /// The name of the pod may be followed by a port. The default is the pod's first port.
    fn proxy(&self, definition: &Definition, path: ResourcePath) -> Result<Proxied, StatusError> {
        let name = path.name.unwrap_or_default();
        let (pod, port) = name.split_once(':').unwrap_or((&name, ""));
        let object = self
            .find(definition, path.namespace.as_deref(), pod)
            .ok_or_else(|| StatusError::not_found(definition, pod))?;
        let first = object.pointer("/spec/containers/0/ports/0/containerPort");
        let first = first.and_then(Value::as_u64).and_then(|port| u16::try_from(port).ok());
        let port = port.parse().ok().or(first).unwrap_or(80);
        let namespace = path.namespace.unwrap_or_default();
        Ok(Proxied { namespace, pod: pod.to_owned(), port, path: path.rest })
    }

    fn dispatch(
        &mut self,
        verb: Verb,
        call: &ResourceRequest<'_>,
    ) -> Result<KubernetesResponse, StatusError> {
        if !call.definition.traits.stored {
            return match verb {
                Verb::Create => {
                    let response = self.review(&call.definition, call.user, &call.json()?);
                    Ok(KubernetesResponse::Complete(respond(StatusCode::CREATED, &response)))
                }
                _ => Err(StatusError::method_not_allowed()),
            };
        }
        let response = match verb {
            Verb::Watch => {
                return self.begin_watch(call).map(|it| KubernetesResponse::Watch(Box::new(it)));
            }
            Verb::Get => {
                let object = Arc::clone(self.live(call)?);
                call.show(StatusCode::OK, &WriteOutcome { object, warnings: Vec::new() })
            }
            Verb::List => self.answer_list(call)?,
            Verb::Create => self.answer_create(call)?,
            Verb::Update => self.answer_update(call)?,
            Verb::Patch => self.answer_patch(call)?,
            Verb::Delete => self.answer_delete(call)?,
            Verb::DeleteCollection => self.answer_delete_collection(call)?,
        };
        Ok(KubernetesResponse::Complete(response))
    }

    /// The stored object that the path names.
    pub(super) fn live(&self, call: &ResourceRequest<'_>) -> Result<&Arc<Value>, StatusError> {
        self.find(&call.definition, call.place(), call.name())
            .ok_or_else(|| StatusError::not_found(&call.definition, call.name()))
    }

    fn answer_create(
        &mut self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
        match (&call.path.name, call.path.subresource) {
            (None, None) => {}
            (Some(_), Some(Subresource::Eviction)) => return self.evict(call),
            _ => return Err(StatusError::method_not_allowed()),
        }
        let object = call.json()?;
        let written = self.create(&call.write_context(false), call.place(), object)?;
        Ok(call.show(StatusCode::CREATED, &written))
    }

    fn answer_update(
        &mut self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
        let old = Arc::clone(self.live(call)?);
        let object = call.json()?;
        let version = text(&object, &["metadata", "resourceVersion"]).unwrap_or_default();
        if call.definition.is_custom() && version.is_empty() {
            let cause = super::status::StatusCause::invalid(
                "metadata.resourceVersion",
                &Value::from(0),
                "must be specified for an update",
            );
            return Err(StatusError::invalid(&call.definition, call.name(), &[cause]));
        }
        let written = self.update(&call.write_context(false), &old, object)?;
        Ok(call.show(StatusCode::OK, &written))
    }
}

/// For an unknown resource, Kubernetes' own groups return a Status. Other groups return 404 with
/// plain text.
fn unknown(path: &ResourcePath) -> StatusError {
    match BUILT_IN.iter().any(|it| it.group == path.group) {
        true => StatusError::unknown_path(),
        false => StatusError::no_such_page(),
    }
}

/// Returns an error for paths that no object of the resource can have.
fn check_path(definition: &Definition, path: &ResourcePath) -> Result<(), StatusError> {
    let fits = match definition.scope {
        ResourceScope::Cluster => path.namespace.is_none(),
        ResourceScope::Namespaced => path.namespace.is_some() || path.name.is_none(),
    };
    let part = match path.subresource {
        None => true,
        Some(Subresource::Status) => definition.traits.status,
        Some(Subresource::Approval) => definition.group == CERTIFICATES,
        Some(Subresource::Eviction | Subresource::Proxy) => definition.is(CORE, "pods"),
    };
    if fits && part { Ok(()) } else { Err(StatusError::unknown_path()) }
}
