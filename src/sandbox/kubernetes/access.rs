//! Authorisation of requests.

use serde_json::{Value, json};

use super::definition::{CORE, qualified};
use super::path::{ResourcePath, Verb};
use super::rbac::{Attributes, UserInfo};
use super::status::{StatusError, StatusReason};
use super::store::KubernetesStore;

const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";
const NODE_ROLE: &str = "system:node";

/// The node name of a node's user.
pub(super) fn node_of(user: &UserInfo) -> Option<&str> {
    let is_node = user.groups.iter().any(|group| group == NODES);
    user.name.strip_prefix(NODE_PREFIX).filter(|_| is_node)
}

impl KubernetesStore {
    /// Returns an error if the user may not make the request. This is checked before anything is
    /// looked up.
    pub(super) fn check_access(
        &self,
        user: &UserInfo,
        path: &ResourcePath,
        verb: Verb,
    ) -> Result<(), StatusError> {
        let attributes = Attributes {
            verb: verb.word().to_owned(),
            group: path.group.clone(),
            resource: path.plural.clone(),
            subresource: path.subresource.map(|part| part.word().to_owned()).unwrap_or_default(),
            namespace: path.namespace.clone().unwrap_or_default(),
            name: path.name.clone().unwrap_or_default(),
            path: String::new(),
        };
        let node_may = || node_of(user).is_some_and(|node| self.node_may(node, &attributes));
        if self.authorize(user, &attributes).is_some() || node_may() {
            return Ok(());
        }
        Err(forbidden(user, &attributes))
    }

    /// Permissions of every node, beyond its role bindings: its own Node only, and no Secret or
    /// ConfigMap that none of its pods needs.
    fn node_may(&self, node: &str, attributes: &Attributes) -> bool {
        if attributes.group == CORE {
            let elsewhere = !attributes.name.is_empty() && attributes.name != node;
            match attributes.resource.as_str() {
                "nodes" if attributes.verb == "get" && elsewhere => return false,
                "secrets" | "configmaps" => return false,
                _ => {}
            }
        }
        self.role_allows(NODE_ROLE, attributes)
    }
}

fn forbidden(user: &UserInfo, attributes: &Attributes) -> StatusError {
    let Attributes { verb, group, resource, subresource, namespace, name, .. } = attributes;
    let object = match name.as_str() {
        "" => qualified(resource, group),
        name => format!("{} {name:?}", qualified(resource, group)),
    };
    let part = match subresource.as_str() {
        "" => resource.clone(),
        part => format!("{resource}/{part}"),
    };
    let place = match namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let message = format!(
        "{object} is forbidden: User {:?} cannot {verb} resource {part:?} in API group {group:?} {place}",
        user.name
    );
    let mut details = json!({ "kind": resource });
    for (field, value) in [("name", name), ("group", group)] {
        if !value.is_empty() {
            details[field] = Value::from(value.as_str());
        }
    }
    StatusError { details: Box::new(details), ..StatusError::new(StatusReason::Forbidden, message) }
}
