//! The rules that requests to the API server need.

/// A verb on a resource, as RBAC has them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) verb: &'static str,
    pub(crate) namespace: Option<String>,
}

/// The use that a request makes, or `None` for discovery, which every account may read.
pub(crate) fn use_of(method: &http::Method, path: &str, is_watch: bool) -> Option<Use> {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let group = match *parts.first()? {
        "api" => String::new(),
        "apis" => (parts.len() > 2).then(|| parts.remove(1).to_owned())?,
        _ => return None,
    };
    let mut rest = parts.get(2..)?.to_vec();
    let mut namespace = None;
    if rest.len() > 2 && rest[0] == "namespaces" {
        namespace = Some(rest[1].to_owned());
        rest.drain(..2);
    }
    let resource = match rest.get(2) {
        Some(subresource) => format!("{}/{subresource}", rest[0]),
        None => (*rest.first()?).to_owned(),
    };
    let verb = match (method.as_str(), rest.len()) {
        ("GET", 1) if is_watch => "watch",
        ("GET", 1) => "list",
        ("GET", _) => "get",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        ("DELETE", _) => "delete",
        ("PUT", _) => "update",
        _ => "unknown",
    };
    Some(Use { group, resource, verb, namespace })
}
