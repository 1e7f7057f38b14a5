//! Parses the path and query of a request.

use http::Method;
use url::form_urlencoded;

use super::selector::{FieldSelector, LabelSelector};
use super::status::StatusError;

/// The target of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestTarget {
    Version,
    Health,
    CoreVersions,
    Groups,
    Group(String),
    Resources {
        group: String,
        version: String,
    },
    /// The index of the OpenAPI description, or the part for one group.
    Descriptions,
    Description {
        group: String,
        version: String,
    },
    Object(ResourcePath),
}

/// A part of an object with its own endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subresource {
    Status,
    Approval,
    Eviction,
    Proxy,
}

impl Subresource {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "status" => Some(Self::Status),
            "approval" => Some(Self::Approval),
            "eviction" => Some(Self::Eviction),
            "proxy" => Some(Self::Proxy),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Approval => "approval",
            Self::Eviction => "eviction",
            Self::Proxy => "proxy",
        }
    }
}

/// A resource, or one object of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ResourcePath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<Subresource>,
    /// The path of a proxied request.
    pub(super) rest: String,
}

/// The verb of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    /// The verb as written in roles.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// The verb for an HTTP method on one object or on a collection.
    pub(super) fn of(method: &Method, named: bool, watch: bool) -> Option<Self> {
        match (method.as_str(), named) {
            ("GET", _) if watch => Some(Self::Watch),
            ("GET", true) => Some(Self::Get),
            ("GET", false) => Some(Self::List),
            ("POST", _) => Some(Self::Create),
            ("PUT", true) => Some(Self::Update),
            ("PATCH", true) => Some(Self::Patch),
            ("DELETE", true) => Some(Self::Delete),
            ("DELETE", false) => Some(Self::DeleteCollection),
            _ => None,
        }
    }
}

/// Decodes percent-encoding: clients encode names such as `system:node`.
fn decode(segment: &str) -> String {
    // A plus sign stands for itself in a path, and for a space only in a query.
    let query = format!("segment={}", segment.replace('+', "%2B").replace('&', "%26"));
    form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Parses a path.
pub(super) fn parse(path: &str) -> Result<RequestTarget, StatusError> {
    let segments: Vec<String> =
        path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let words: Vec<&str> = segments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version"] => Ok(RequestTarget::Version),
        ["healthz" | "readyz" | "livez", ..] => Ok(RequestTarget::Health),
        ["openapi", "v3"] => Ok(RequestTarget::Descriptions),
        ["openapi", "v3", "api", version] => Ok(description("", version)),
        ["openapi", "v3", "apis", group, version] => Ok(description(group, version)),
        ["api"] => Ok(RequestTarget::CoreVersions),
        ["apis"] => Ok(RequestTarget::Groups),
        ["apis", group] => Ok(RequestTarget::Group((*group).to_owned())),
        ["api", version] => Ok(resources("", version)),
        ["apis", group, version] => Ok(resources(group, version)),
        ["api", version, rest @ ..] => resource("", version, rest).map(RequestTarget::Object),
        ["apis", group, version, rest @ ..] => {
            resource(group, version, rest).map(RequestTarget::Object)
        }
        _ => Err(StatusError::no_such_page()),
    }
}

fn resources(group: &str, version: &str) -> RequestTarget {
    RequestTarget::Resources { group: group.to_owned(), version: version.to_owned() }
}

fn description(group: &str, version: &str) -> RequestTarget {
    RequestTarget::Description { group: group.to_owned(), version: version.to_owned() }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Result<ResourcePath, StatusError> {
    let mut path = ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        ..ResourcePath::default()
    };
    // `namespaces/x/status` addresses the namespace itself, `namespaces/x/pods` does not.
    let rest = match rest {
        ["namespaces", namespace, plural, more @ ..] if Subresource::parse(plural).is_none() => {
            path.namespace = Some((*namespace).to_owned());
            path.plural = (*plural).to_owned();
            more
        }
        [plural, more @ ..] => {
            path.plural = (*plural).to_owned();
            more
        }
        [] => return Err(StatusError::unknown_path()),
    };
    match rest {
        [] => {}
        [name] => path.name = Some((*name).to_owned()),
        [name, part] => {
            path.name = Some((*name).to_owned());
            let part = Subresource::parse(part).ok_or_else(StatusError::unknown_path)?;
            path.subresource = Some(part);
        }
        [name, "proxy", rest @ ..] => {
            path.name = Some((*name).to_owned());
            path.subresource = Some(Subresource::Proxy);
            path.rest = format!("/{}", rest.join("/"));
        }
        _ => return Err(StatusError::unknown_path()),
    }
    Ok(path)
}

/// How fields that are not in the schema are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// How dependents of a deleted object are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

impl Propagation {
    pub(super) fn parse(word: &str) -> Result<Self, StatusError> {
        match word {
            "Background" => Ok(Self::Background),
            "Foreground" => Ok(Self::Foreground),
            "Orphan" => Ok(Self::Orphan),
            other => Err(StatusError::bad_request(format!("invalid propagationPolicy: {other:?}"))),
        }
    }
}

/// The query of a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters {
    pub(super) watch: bool,
    pub(super) labels: LabelSelector,
    pub(super) fields: FieldSelector,
    pub(super) limit: Option<usize>,
    pub(super) token: Option<String>,
    pub(super) resource_version: Option<String>,
    pub(super) timeout_seconds: Option<u64>,
    pub(super) bookmarks: bool,
    pub(super) send_initial_events: bool,
    pub(super) field_manager: Option<String>,
    pub(super) force: bool,
    pub(super) dry_run: bool,
    pub(super) field_validation: FieldValidation,
    pub(super) propagation: Option<Propagation>,
}

impl Parameters {
    /// Parses a query. Unknown parameters are ignored, as real servers do.
    pub(super) fn parse(query: &str) -> Result<Self, StatusError> {
        let mut parameters = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            parameters.set(&key, &value)?;
        }
        Ok(parameters)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), StatusError> {
        match key {
            "watch" => self.watch = boolean(value),
            "labelSelector" => self.labels = LabelSelector::parse(value)?,
            "fieldSelector" => self.fields = FieldSelector::parse(value)?,
            "limit" => self.limit = number(key, value)?.filter(|&limit| limit > 0),
            "continue" => self.token = filled(value),
            "resourceVersion" => self.resource_version = filled(value),
            "timeoutSeconds" => {
                self.timeout_seconds = number(key, value)?.map(|seconds| seconds as u64);
            }
            "allowWatchBookmarks" => self.bookmarks = boolean(value),
            "sendInitialEvents" => self.send_initial_events = boolean(value),
            "fieldManager" => self.field_manager = filled(value),
            "force" => self.force = boolean(value),
            "dryRun" if value == "All" => self.dry_run = true,
            "dryRun" if !value.is_empty() => {
                return Err(StatusError::bad_request(format!("invalid dryRun value {value:?}")));
            }
            "fieldValidation" => self.field_validation = validation(value)?,
            "propagationPolicy" => self.propagation = Some(Propagation::parse(value)?),
            _ => {}
        }
        Ok(())
    }
}

fn boolean(value: &str) -> bool {
    matches!(value, "" | "true" | "1" | "True" | "TRUE" | "t")
}

fn filled(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn number(key: &str, value: &str) -> Result<Option<usize>, StatusError> {
    if value.is_empty() {
        return Ok(None);
    }
    let wrong = |_| StatusError::bad_request(format!("{key}: {value:?} is not a number"));
    value.parse().map(Some).map_err(wrong)
}

fn validation(value: &str) -> Result<FieldValidation, StatusError> {
    match value {
        "Ignore" => Ok(FieldValidation::Ignore),
        "" | "Warn" => Ok(FieldValidation::Warn),
        "Strict" => Ok(FieldValidation::Strict),
        other => Err(StatusError::bad_request(format!("invalid fieldValidation: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str) -> ResourcePath {
        match parse(path).unwrap() {
            RequestTarget::Object(path) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_namespace_is_an_object_and_contains_objects() {
        assert_eq!(object("/api/v1/namespaces/shop").name.as_deref(), Some("shop"));
        let status = object("/api/v1/namespaces/shop/status");
        assert_eq!(status.plural, "namespaces");
        assert_eq!(status.subresource, Some(Subresource::Status));
        let pod = object("/api/v1/namespaces/shop/pods/till/eviction");
        assert_eq!(pod.namespace.as_deref(), Some("shop"));
        assert_eq!((pod.plural.as_str(), pod.name.as_deref()), ("pods", Some("till")));
        assert_eq!(pod.subresource, Some(Subresource::Eviction));
    }

    #[test]
    fn encoded_names_are_decoded() {
        let path = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode";
        assert_eq!(object(path).name.as_deref(), Some("system:node"));
    }

    #[test]
    fn unknown_paths_and_values_are_refused() {
        assert!(parse("/openapi/v2").is_err());
        assert!(Parameters::parse("limit=many").is_err());
        assert!(Parameters::parse("dryRun=Some").is_err());
    }
}
