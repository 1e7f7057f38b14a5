//! Objects in the cluster: definitions, namespaces, RBAC, Servers, profiles, Goldpinger and
//! the optional route manager.

use super::context::DesiredContext;
use super::manifests::{self, ServerFacts};
use super::names;
use super::set::{DesiredSet, ResourceBuilder};
use crate::resource::kubernetes::{Manifest, ManifestKind};
use crate::resource::{Address, Kind, ObjectKey, Pending, Resource, Site};
use crate::topology::model::Datacenter;
use crate::topology::names::ProfileName;

/// The objects that belong to no datacenter.
pub(super) fn shared(context: &DesiredContext<'_>, set: &mut DesiredSet) {
    let mut manifests = manifests::custom_resource_definitions();
    manifests.extend(manifests::namespaces());
    manifests.extend(manifests::bootstrap_rbac());
    for (name, profile) in &context.topology.profiles {
        manifests.push(manifests::provisioning_profile(name, profile));
    }
    if context.topology.network.goldpinger {
        manifests.extend(manifests::goldpinger());
    }
    if context.topology.network.route_manager {
        let hop = context.cluster_router_ip();
        let routes: Vec<_> =
            context.remote_prefixes(None).into_iter().map(|prefix| (prefix, hop)).collect();
        manifests.extend(manifests::route_manager(&routes));
    }
    for manifest in manifests {
        let planned_because_of = reason(&manifest);
        let address = Address::new(manifest.kind.into(), Site::Cluster, &manifest.name);
        let place = Place::of(context, &manifest);
        let object = object(context, address, manifest, &place);
        set.add(object.planned_because_of(planned_because_of));
    }
}

fn reason(manifest: &Manifest) -> &'static str {
    match (manifest.kind, manifest.namespace.as_deref()) {
        (ManifestKind::CustomResourceDefinition, _) => "CRDs of stargate",
        (ManifestKind::ProvisioningProfile, _) => "[profiles] defines it",
        (_, Some(manifests::GOLDPINGER_NAMESPACE)) => "Goldpinger, which measures pod connectivity",
        (ManifestKind::ClusterRoleBinding, _) => "RBAC",
        _ => "objects of stargate in the cluster",
    }
}

/// The Server of each worker of a datacenter.
pub(super) fn servers(context: &DesiredContext<'_>, datacenter: &Datacenter, set: &mut DesiredSet) {
    let router = datacenter.router.name.as_str();
    let router_ip = match context.facts.router_address(router) {
        Some(address) => Pending::Known(address),
        None => Pending::after(context.device_address(datacenter)),
    };
    let site = Site::Datacenter(datacenter.name.clone());
    let mut place = None;
    for (worker, addresses) in context.worker_places(datacenter) {
        let manifest = manifests::server(
            datacenter,
            &ServerFacts {
                name: &worker.name,
                ip: addresses.ip,
                pod_cidr: addresses.pod_cidr,
                mac: worker.mac.as_deref(),
                profile: &worker.profile,
                router_ip: &router_ip,
            },
        );
        let place = place.get_or_insert_with(|| Place::of(context, &manifest));
        let address = Address::new(Kind::Server, site.clone(), &worker.name);
        let object = object(context, address, manifest, place).protected(worker.protect);
        let reason = format!("[datacenters.{}] names {}", datacenter.name, worker.name);
        set.add(object.planned_because_of(reason));
    }
}

/// The containers and dependencies of objects of one kind in one namespace.
struct Place {
    cluster: Option<Address>,
    namespace: Option<Address>,
    definition: Option<Address>,
}

impl Place {
    fn of(context: &DesiredContext<'_>, manifest: &Manifest) -> Self {
        let namespace = manifest.namespace.as_deref();
        let definition = match manifest.kind {
            ManifestKind::Server => Some("servers.stargate.io"),
            ManifestKind::ProvisioningProfile => Some("provisioningprofiles.stargate.io"),
            _ => None,
        };
        let of_cluster = |kind, name: &str| Address::new(kind, Site::Cluster, name);
        Self {
            cluster: context.cluster_dependencies().pop(),
            namespace: namespace.map(|name| of_cluster(Kind::Namespace, name)),
            definition: definition.map(|name| of_cluster(Kind::CustomResourceDefinition, name)),
        }
    }
}

/// An object with the definition and the namespace that it needs.
fn object(
    context: &DesiredContext<'_>,
    address: Address,
    manifest: Manifest,
    place: &Place,
) -> ResourceBuilder {
    let key =
        context.facts.cluster.is_some().then(|| ObjectKey::Kubernetes(manifest.object_name()));
    ResourceBuilder::new(address, key, Resource::Manifest(manifest))
        .contained_in_all(place.cluster.clone())
        .depends_on_all(place.namespace.clone())
        .depends_on_all(place.definition.clone())
}

/// The address of a worker's profile in the cluster.
pub(super) fn profile_address(name: &ProfileName) -> Address {
    Address::new(Kind::ProvisioningProfile, Site::Cluster, name)
}

/// The address of the right to join.
pub(super) fn bootstrap_binding() -> Address {
    Address::new(Kind::ClusterRoleBinding, Site::Cluster, manifests::BOOTSTRAP_BINDING)
}

/// The namespace of stargate's own objects.
pub(super) fn namespace() -> Address {
    Address::new(Kind::Namespace, Site::Cluster, names::NAMESPACE)
}
