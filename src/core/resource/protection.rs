//! The record of protection on objects: the block of the topology that has
//! `protect = true`. It outlives the block.

use serde_json::{Value, json};

use super::kubernetes::{Manifest, ManifestKind};
use super::{Resource, Site};

/// The Azure tag with the record.
pub const PROTECT_TAG: &str = "stargate-protect";
/// The annotation with the record, on Nodes and Servers.
pub const PROTECT_ANNOTATION: &str = "stargate.io/protect";

/// Names the block of a whole site, as in `datacenters.dc1`.
pub fn site_block(site: &Site) -> String {
    match site {
        Site::Cluster => "cluster".to_owned(),
        Site::Datacenter(name) => format!("datacenters.{name}"),
    }
}

/// The site of which a block protects everything; `None` for the block of one machine.
pub fn protected_site(block: &str) -> Option<Site> {
    if block == "cluster" {
        return Some(Site::Cluster);
    }
    let name = block.strip_prefix("datacenters.")?;
    (!name.is_empty() && !name.contains('.')).then(|| Site::from(name))
}

/// The record in the text of a tag, an annotation or a stamp. An object whose mark is
/// empty or says `false` is not protected.
pub fn record(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty() && !text.eq_ignore_ascii_case("false")).then(|| text.to_owned())
}

/// Whether a field of an object holds the record of its protection.
pub fn is_record(path: &[String]) -> bool {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    path == ["protected_by"] || path == ["metadata", "annotations", PROTECT_ANNOTATION]
}

impl Resource {
    /// The block of the topology whose protection is recorded on the object.
    pub fn protected_by(&self) -> Option<&str> {
        match self {
            Self::ResourceGroup(it) => it.protected_by.as_deref(),
            Self::ManagedCluster(it) => it.protected_by.as_deref(),
            Self::VirtualNetwork(it) => it.protected_by.as_deref(),
            Self::NatGateway(it) => it.protected_by.as_deref(),
            Self::NetworkSecurityGroup(it) => it.protected_by.as_deref(),
            Self::PublicIpAddress(it) => it.protected_by.as_deref(),
            Self::NetworkInterface(it) => it.protected_by.as_deref(),
            Self::VirtualMachine(it) => it.protected_by.as_deref(),
            Self::RouteTable(it) => it.protected_by.as_deref(),
            Self::RouterHost(it) => it.protected_by.as_deref(),
            Self::Worker(it) => it.protected_by.as_deref(),
            Self::Manifest(manifest) => {
                manifest.body["metadata"]["annotations"][PROTECT_ANNOTATION].as_str()
            }
            // Others share the record of their container or of their machine.
            _ => None,
        }
    }

    /// Records protection on the value, or removes the record. A kind whose objects
    /// cannot carry it stays as it is.
    pub fn record_protection(&mut self, block: Option<String>) {
        let field = match self {
            Self::ResourceGroup(it) => &mut it.protected_by,
            Self::ManagedCluster(it) => &mut it.protected_by,
            Self::VirtualNetwork(it) => &mut it.protected_by,
            Self::NatGateway(it) => &mut it.protected_by,
            Self::NetworkSecurityGroup(it) => &mut it.protected_by,
            Self::PublicIpAddress(it) => &mut it.protected_by,
            Self::NetworkInterface(it) => &mut it.protected_by,
            Self::VirtualMachine(it) => &mut it.protected_by,
            Self::RouteTable(it) => &mut it.protected_by,
            Self::RouterHost(it) => &mut it.protected_by,
            Self::Worker(it) => &mut it.protected_by,
            Self::Manifest(manifest) => return annotate(manifest, block),
            _ => return,
        };
        *field = block;
    }
}

/// Only Servers represent protected blocks of the topology. Other objects of the cluster
/// can be created again.
fn annotate(manifest: &mut Manifest, block: Option<String>) {
    if manifest.kind != ManifestKind::Server {
        return;
    }
    if let Some(block) = block {
        manifest.body["metadata"]["annotations"][PROTECT_ANNOTATION] = json!(block);
        return;
    }
    if manifest.body.get("metadata").is_none() {
        // Nothing is copied for it.
        return;
    }
    let Some(metadata) = manifest.body.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
    let is_empty = annotations.is_some_and(|annotations| {
        annotations.remove(PROTECT_ANNOTATION);
        annotations.is_empty()
    });
    if is_empty {
        metadata.remove("annotations");
    }
    if metadata.is_empty()
        && let Some(body) = manifest.body.as_object_mut()
    {
        body.remove("metadata");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_of_a_site_protects_everything_of_it() {
        for site in [Site::Cluster, Site::from("dc1")] {
            assert_eq!(protected_site(&site_block(&site)), Some(site));
        }
        for block in ["cluster.router", "datacenters.dc1.workers.w", "true", "datacenters."] {
            assert_eq!(protected_site(block), None, "{block}");
        }
    }

    #[test]
    fn the_record_of_a_server_is_an_annotation() {
        let body = json!({ "spec": { "a": 1 } });
        let manifest = |kind| Manifest {
            kind,
            namespace: None,
            name: "w".to_owned(),
            body: body.clone().into(),
        };
        let mut server = Resource::Manifest(manifest(ManifestKind::Server));
        server.record_protection(Some("cluster".to_owned()));
        assert_eq!(server.protected_by(), Some("cluster"));
        server.record_protection(None);
        assert_eq!(server, Resource::Manifest(manifest(ManifestKind::Server)));
        let mut other = Resource::Manifest(manifest(ManifestKind::Namespace));
        other.record_protection(Some("cluster".to_owned()));
        assert_eq!(other.protected_by(), None);
    }

    #[test]
    fn an_empty_mark_is_no_record() {
        assert_eq!(record("datacenters.dc1").as_deref(), Some("datacenters.dc1"));
        assert_eq!(record("true").as_deref(), Some("true"));
        assert_eq!((record(" "), record("False")), (None, None));
    }
}
