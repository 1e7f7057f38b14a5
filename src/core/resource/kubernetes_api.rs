//! The APIs of a Kubernetes server.

/// One API of a Kubernetes server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KubernetesApi {
    /// The group, empty for the core.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind.
    pub kind: &'static str,
    /// The plural, as in the URL.
    pub plural: &'static str,
    /// Whether objects are in a namespace.
    pub namespaced: bool,
}

impl KubernetesApi {
    /// The API of objects in namespaces.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self { group, version, kind, plural, namespaced: true }
    }

    /// The API of objects that are in no namespace.
    pub const fn cluster_wide(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self { group, version, kind, plural, namespaced: false }
    }

    /// Group and version as an object writes them.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }
}
