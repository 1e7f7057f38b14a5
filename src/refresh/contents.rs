//! Foreign objects in the cluster's containers that the topology owns.

use super::{Observation, Scope};
use crate::desired::DesiredSet;
use crate::inventory::Source;
use crate::resource::kubernetes::{ManifestKind, ObjectName};
use crate::resource::{ObjectKey, Resource};

impl Observation {
    /// Looks into the namespaces and definitions that may have to go, also if the cluster
    /// is to be deleted with all that it holds: its deletion may be blocked.
    pub(super) async fn note_foreign_contents(&mut self, scope: &Scope<'_>, desired: &DesiredSet) {
        let destroys = scope.options.destroy;
        let Some(access) = self.access.clone() else { return };
        let is_desired =
            |key: &ObjectKey| desired.iter().any(|desired| desired.key.as_ref() == Some(key));
        let leaving: Vec<(ObjectKey, ObjectName)> = self
            .inventory
            .iter()
            .filter(|(_, observed)| observed.ownership.is_ours())
            .filter_map(|(key, observed)| Some((key, container(&observed.resource)?)))
            .filter(|(key, _)| destroys || !is_desired(key))
            .map(|(key, name)| (key.clone(), name))
            .collect();
        for (key, name) in leaving {
            match access.client.foreign_contents(&name).await {
                Ok(contents) if contents.is_empty() => {}
                Ok(contents) => {
                    self.inventory.foreign_contents.insert(key, contents);
                }
                Err(error) => {
                    self.unlisted(key, Source::Kubernetes, error.is_refused(), &error);
                }
            }
        }
    }
}

fn container(resource: &Resource) -> Option<ObjectName> {
    let Resource::Manifest(manifest) = resource else { return None };
    let contains =
        matches!(manifest.kind, ManifestKind::Namespace | ManifestKind::CustomResourceDefinition);
    contains.then(|| manifest.object_name())
}
