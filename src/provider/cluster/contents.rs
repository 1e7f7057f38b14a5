//! Objects of others in a namespace, or of a definition: deleting the
//! container deletes it.

use serde_json::Value;

use super::error::About;
use super::{ClusterClient, ClusterError, text_at};
use crate::diagnostics::service_text::{Breaks, make_safe};
use crate::resource::custom_resources::VERSION;
use crate::resource::kubernetes::ObjectName;

/// The group of objects that are computed when they are read, and never stored.
const METRICS_GROUP: &str = "metrics.k8s.io";

/// Kinds that Kubernetes derives from others: events are records, and endpoints follow a
/// Service, which is an object of its own.
const DERIVED_KINDS: [&str; 3] = ["Event", "Endpoints", "EndpointSlice"];

/// A kind of object and the path of its collection.
struct Contained {
    kind: String,
    path: String,
}

impl ClusterClient {
    /// The objects in a namespace, or of a definition of stargate's, that the topology
    /// does not own, as kind and name. Empty for every other object.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused one of the lists.
    pub async fn foreign_contents(
        &self,
        container: &ObjectName,
    ) -> Result<Vec<String>, ClusterError> {
        let kinds = match (&*container.kind, container.name.split_once('.')) {
            ("Namespace", _) => self.namespaced_kinds(&container.name).await?,
            ("CustomResourceDefinition", Some((plural, group))) => vec![Contained {
                kind: String::new(),
                path: format!("/apis/{group}/{VERSION}/{plural}"),
            }],
            _ => Vec::new(),
        };
        let lists = kinds.iter().map(|contained| self.foreign_objects(contained));
        let found = futures::future::try_join_all(lists).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Every kind of object that a namespace can hold, by the API server's discovery.
    async fn namespaced_kinds(&self, namespace: &str) -> Result<Vec<Contained>, ClusterError> {
        let mut versions = vec!["/api/v1".to_owned()];
        let groups = self.read_path("/apis").await?;
        // An answer of another form must not make a namespace look empty.
        let Some(groups) = groups["groups"].as_array() else {
            return Err(about("/apis").malformed("the discovery has no groups"));
        };
        for group in groups.iter().filter(|group| group["name"] != METRICS_GROUP) {
            let Some(served) = group["versions"].as_array() else {
                return Err(about("/apis").malformed("a group of the discovery has no versions"));
            };
            let names = served.iter().filter_map(|version| version["groupVersion"].as_str());
            versions.extend(names.map(|version| format!("/apis/{version}")));
        }
        let lists = versions.iter().map(|path| self.read_path(path));
        let lists = futures::future::try_join_all(lists).await?;
        let mut kinds = Vec::new();
        for (path, list) in versions.iter().zip(&lists) {
            let Some(resources) = list["resources"].as_array() else {
                return Err(about(path).malformed("the discovery has no resources"));
            };
            for resource in resources.iter().filter(|it| it["namespaced"] == true && is_listed(it))
            {
                let plural = text_at(resource, "name");
                let path = format!("{path}/namespaces/{namespace}/{plural}");
                kinds.push(Contained { kind: text_at(resource, "kind"), path });
            }
        }
        Ok(kinds)
    }

    async fn foreign_objects(&self, contained: &Contained) -> Result<Vec<String>, ClusterError> {
        let list = match self.read_path(&contained.path).await {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            list => list?,
        };
        let Some(items) = list["items"].as_array() else {
            return Err(about(&contained.path).malformed("the list has no items"));
        };
        let mut names = Vec::new();
        for object in items {
            let metadata = &object["metadata"];
            let has_owner = metadata["ownerReferences"].as_array().is_some_and(|it| !it.is_empty());
            let name = text_at(metadata, "name");
            let is_ours = self.ownership_of(object).is_ours();
            if !is_ours && !has_owner && !is_made_by_cluster(&contained.kind, &name) {
                names.push(format!("{} {name}", contained.kind).trim_start().to_owned());
            }
        }
        Ok(names)
    }

    async fn read_path(&self, path: &str) -> Result<Value, ClusterError> {
        let about = about(path);
        let request = http::Request::get(path).body(Vec::new());
        let request = request.map_err(|error| about.malformed(error.to_string()))?;
        let response = self.client.request(request).await;
        let mut response: Value = response.map_err(|error| about.failed(error))?;
        make_safe(&mut response, Breaks::Escape);
        Ok(response)
    }
}

fn about(path: &str) -> About {
    About::new("list", "objects at", path)
}

/// Whether others can keep objects of a kind; a review is only created.
fn is_listed(resource: &Value) -> bool {
    let mut verbs = resource["verbs"].as_array().into_iter().flatten();
    let is_derived = DERIVED_KINDS.contains(&resource["kind"].as_str().unwrap_or_default());
    verbs.any(|verb| verb == "list") && !is_derived
}

/// Whether Kubernetes itself puts an object into every namespace.
fn is_made_by_cluster(kind: &str, name: &str) -> bool {
    match kind {
        "ServiceAccount" => name == "default",
        "ConfigMap" => name == "kube-root-ca.crt",
        _ => false,
    }
}
