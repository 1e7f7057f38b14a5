//! RBAC authorisation with the stored roles and bindings.

use serde_json::Value;

use super::definition::qualified;
use super::store::KubernetesStore;
use super::value::{items, text, texts};

/// The user of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's name.
    pub name: String,
    /// The groups the user is in.
    pub groups: Vec<String>,
}

/// The attributes of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `get`, `list`, `create` and so on.
    pub verb: String,
    /// The API group of the resource; empty for the core group.
    pub group: String,
    /// The plural name of the resource.
    pub resource: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
    /// The namespace; empty for all namespaces.
    pub namespace: String,
    /// The name of the object; empty for all objects.
    pub name: String,
    /// The path of a non-resource request; empty for a resource.
    pub path: String,
}

const ROLES: &str = "rbac.authorization.k8s.io";

impl KubernetesStore {
    /// Whether the stored roles allow the request, and the binding that does.
    #[must_use]
    pub fn authorize(&self, user: &UserInfo, attributes: &Attributes) -> Option<String> {
        if user.groups.iter().any(|group| group == "system:masters") {
            return Some("RBAC: allowed by group \"system:masters\"".to_owned());
        }
        self.bound(user, attributes, "clusterrolebindings", None).or_else(|| {
            let namespace = Some(attributes.namespace.as_str()).filter(|it| !it.is_empty())?;
            self.bound(user, attributes, "rolebindings", Some(namespace))
        })
    }

    fn bound(
        &self,
        user: &UserInfo,
        attributes: &Attributes,
        plural: &str,
        namespace: Option<&str>,
    ) -> Option<String> {
        let bindings = self.scan(&qualified(plural, ROLES), namespace, None);
        bindings.map(|(_, binding)| binding).find_map(|binding| {
            let rbac_subjects = items(binding, &["subjects"]);
            if !rbac_subjects.iter().any(|subject| is_subject(subject, user, namespace)) {
                return None;
            }
            let role = self.role(binding, namespace)?;
            let rules = items(role, &["rules"]);
            rules.iter().any(|rule| allows(rule, attributes)).then(|| {
                let name = super::value::name(binding);
                format!("RBAC: allowed by binding {name:?} to role {:?}", super::value::name(role))
            })
        })
    }

    /// Whether a ClusterRole allows the request.
    pub(super) fn role_allows(&self, role: &str, attributes: &Attributes) -> bool {
        let roles = self.objects.get(&qualified("clusterroles", ROLES));
        let role = roles.and_then(|roles| roles.get(&super::store::key(None, role)));
        role.is_some_and(|stored| {
            items(&stored.0, &["rules"]).iter().any(|rule| allows(rule, attributes))
        })
    }

    fn role(&self, binding: &Value, namespace: Option<&str>) -> Option<&Value> {
        let name = text(binding, &["roleRef", "name"])?;
        let (plural, namespace) = match text(binding, &["roleRef", "kind"])? {
            "ClusterRole" => ("clusterroles", None),
            _ => ("roles", Some(namespace?)),
        };
        let roles = self.objects.get(&qualified(plural, ROLES))?;
        roles.get(&super::store::key(namespace, name)).map(|stored| &*stored.0)
    }
}

fn is_subject(subject: &Value, user: &UserInfo, namespace: Option<&str>) -> bool {
    let name = text(subject, &["name"]).unwrap_or_default();
    match text(subject, &["kind"]) {
        Some("User") => user.name == name,
        Some("Group") => user.groups.iter().any(|group| group == name),
        Some("ServiceAccount") => {
            let place = text(subject, &["namespace"]).or(namespace).unwrap_or_default();
            user.name == format!("system:serviceaccount:{place}:{name}")
        }
        _ => false,
    }
}

fn allows(rule: &Value, attributes: &Attributes) -> bool {
    let lists = |field: &str, expected: &str| {
        texts(rule, &[field]).into_iter().any(|item| item == "*" || item == expected)
    };
    if !lists("verbs", &attributes.verb) {
        return false;
    }
    if !attributes.path.is_empty() {
        return texts(rule, &["nonResourceURLs"]).into_iter().any(|pattern| {
            match pattern.strip_suffix('*') {
                Some(start) => attributes.path.starts_with(start),
                None => pattern == attributes.path,
            }
        });
    }
    let names = texts(rule, &["resourceNames"]);
    lists("apiGroups", &attributes.group)
        && texts(rule, &["resources"]).into_iter().any(|pattern| is_resource(pattern, attributes))
        && (names.is_empty() || names.contains(&attributes.name.as_str()))
}

fn is_resource(pattern: &str, attributes: &Attributes) -> bool {
    if pattern == "*" {
        return true;
    }
    match pattern.split_once('/') {
        None => pattern == attributes.resource && attributes.subresource.is_empty(),
        Some(("*", part)) => part == attributes.subresource,
        Some((resource, part)) => resource == attributes.resource && part == attributes.subresource,
    }
}
