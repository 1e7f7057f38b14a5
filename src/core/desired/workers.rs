//! Workers: their membership in the cluster, and their CiliumNodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::context::DesiredContext;
use super::set::{DesiredResource, DesiredSet, ResourceBuilder};
use super::{AddressAssignment, digest, kubernetes_objects, labels, node_pools, versions};
use crate::net::prefix::TAILNET_RANGE;
use crate::resource::host::{JoinedWorker, KernelRoute, WorkerHost, describe_routes};
use crate::resource::kubernetes::{CiliumNode, ObjectName};
use crate::resource::version::KubernetesVersion;
use crate::resource::{Address, Kind, ObjectKey, Observable, Resource, Shared, Site};
use crate::topology::model::{self, Datacenter, DatacenterKind, Profile};
use crate::topology::names::{ProfileName, ResourceGroupName};

/// The membership and the CiliumNode of each worker of a datacenter.
pub(super) fn join(context: &DesiredContext<'_>, datacenter: &Datacenter, set: &mut DesiredSet) {
    let site = Site::Datacenter(datacenter.name.clone());
    let routes = kernel_routes(context, datacenter).into();
    let upgraded_pools = node_pools::upgraded(context);
    let cluster = context.cluster_dependencies();
    let router = context.router_host_address(datacenter);
    let (binding, namespace) =
        (kubernetes_objects::bootstrap_binding(), kubernetes_objects::namespace());
    let mut all_common: BTreeMap<&ProfileName, Common<'_>> = BTreeMap::new();
    for (worker, place) in context.worker_places(datacenter) {
        let Some(profile) = context.topology.profiles.get(&worker.profile) else { continue };
        let common = all_common
            .entry(&worker.profile)
            .or_insert_with(|| Common::new(context, datacenter, profile, &routes));
        let name = worker.name.as_str();
        let address = Address::new(Kind::Worker, site.clone(), &worker.name);
        let mut membership = ResourceBuilder::new(
            address.clone(),
            node_key(context, "Node", name),
            Resource::Worker(common.membership(context, datacenter, worker, place).into()),
        )
        .contained_in_all(cluster.iter().cloned())
        .depends_on_all(upgraded_pools.iter().cloned())
        .depends_on(router.clone())
        .depends_on(kubernetes_objects::profile_address(&worker.profile))
        .depends_on(binding.clone())
        .depends_on(namespace.clone())
        .depends_on(Address { kind: Kind::Server, ..address.clone() });
        if let DatacenterKind::Azure(_) = &datacenter.kind {
            let machine = Address { kind: Kind::VirtualMachine, ..address.clone() };
            membership = membership.contained_in(machine);
        }
        set.add(membership.protected(worker.protect).planned_because_of(format!(
            "[datacenters.{}] lists {name} with profile {}",
            datacenter.name, worker.profile
        )));
        if profile.managed_cilium {
            set.add(cilium_node(context, address, place));
        }
    }
}

/// The CiliumNode of a worker.
fn cilium_node(
    context: &DesiredContext<'_>,
    worker: Address,
    place: AddressAssignment,
) -> DesiredResource {
    let name = worker.name.clone();
    ResourceBuilder::new(
        Address { kind: Kind::CiliumNode, ..worker.clone() },
        node_key(context, "CiliumNode", &name),
        Resource::CiliumNode(
            CiliumNode { name: name.to_string(), pod_cidrs: vec![place.pod_cidr] }.into(),
        ),
    )
    .contained_in(worker)
    .planned_because_of("pod CIDR of the worker for Cilium")
}

fn node_key(context: &DesiredContext<'_>, kind: &'static str, name: &str) -> Option<ObjectKey> {
    context.facts.cluster.as_ref()?;
    Some(ObjectKey::Kubernetes(ObjectName {
        kind: kind.into(),
        namespace: None,
        name: name.to_owned(),
    }))
}

/// Values that all workers of one profile in one datacenter share.
struct Common<'a> {
    profile: &'a Profile,
    labels: Shared<BTreeMap<String, String>>,
    taints: Shared<BTreeSet<String>>,
    kernel_routes: &'a Shared<BTreeMap<Ipv4Net, KernelRoute>>,
    /// The profile's digest, by the kubelet's version and the number of pods that a
    /// worker has room for.
    digests: BTreeMap<(KubernetesVersion, u32), String>,
    /// The routes of the workers behind each gateway, and of those behind none.
    routes: BTreeMap<Option<Ipv4Addr>, HostRoutes>,
}

/// The routes on a worker's host, and the text that its Node is annotated with.
#[derive(Clone)]
struct HostRoutes {
    routes: Shared<BTreeMap<Ipv4Net, KernelRoute>>,
    description: String,
}

impl HostRoutes {
    fn new(routes: Shared<BTreeMap<Ipv4Net, KernelRoute>>) -> Self {
        let description = describe_routes(&routes);
        Self { routes, description }
    }
}

impl<'a> Common<'a> {
    fn new(
        context: &DesiredContext<'_>,
        datacenter: &Datacenter,
        profile: &'a Profile,
        kernel_routes: &'a Shared<BTreeMap<Ipv4Net, KernelRoute>>,
    ) -> Self {
        let node_group = context.node_group();
        let node_group = node_group.known().and_then(|group| group.resource_group_name());
        let labels = labels::node_labels(
            &context.topology.name,
            &datacenter.name,
            &ResourceGroupName::new(node_group.unwrap_or_default()),
            profile,
        );
        let taints = profile.taints.iter().cloned().collect();
        let (digests, routes) = (BTreeMap::new(), BTreeMap::new());
        Self { profile, labels: labels.into(), taints, kernel_routes, digests, routes }
    }

    fn digest(&mut self, kubelet: KubernetesVersion, max_pods: u32) -> String {
        let digest = self.digests.entry((kubelet, max_pods));
        digest
            .or_insert_with(|| {
                digest::profile_digest(self.profile, kubelet, &self.labels, max_pods)
            })
            .clone()
    }

    /// A worker that is not on the router's segment reaches it through its gateway.
    fn routes_of(&mut self, worker: &model::Worker) -> HostRoutes {
        let own = self.kernel_routes;
        let routes = self.routes.entry(worker.gateway).or_insert_with(|| match worker.gateway {
            None => HostRoutes::new(own.clone()),
            Some(gateway) => {
                let via_gateway = own.keys().map(|prefix| (*prefix, KernelRoute::Via(gateway)));
                HostRoutes::new(via_gateway.collect())
            }
        });
        routes.clone()
    }

    fn membership(
        &mut self,
        context: &DesiredContext<'_>,
        datacenter: &Datacenter,
        worker: &model::Worker,
        place: AddressAssignment,
    ) -> JoinedWorker {
        let kubelet = versions::kubelet(context, &worker.name, self.profile);
        let profile_digest = self.digest(kubelet, labels::max_pods(self.profile, place.pod_cidr));
        let HostRoutes { routes: kernel_routes, description } = self.routes_of(worker);
        JoinedWorker {
            name: worker.name.to_string(),
            ip: place.ip,
            pod_cidr: place.pod_cidr,
            provider_id: labels::provider_id(&datacenter.name, &worker.name),
            labels: self.labels.clone(),
            taints: self.taints.clone(),
            kubelet_version: kubelet,
            host: Observable::Observed(WorkerHost {
                cni_configuration: Some(place.pod_cidr),
                cni_chosen: Some(CNI_CONFIGURATION.to_owned()),
                ip_forwarding: true,
                wrong_sysctls: BTreeMap::new(),
                swap: BTreeSet::new(),
                persistent: true,
                container_runtime_active: true,
                kubelet_active: true,
                kernel_routes,
                stamp: Some(profile_digest.clone()),
            }),
            profile_digest,
            routes: description,
            ready: true,
            cordoned_for_work: false,
            protected_by: None,
        }
    }
}

/// The name of our CNI configuration; it sorts before the one that AKS's own
/// agent may write.
const CNI_CONFIGURATION: &str = "00-stargate.conflist";

/// Machines without a fabric hold their own routes through their router.
fn kernel_routes(
    context: &DesiredContext<'_>,
    datacenter: &Datacenter,
) -> BTreeMap<Ipv4Net, KernelRoute> {
    if matches!(datacenter.kind, DatacenterKind::Azure(_)) {
        return BTreeMap::new();
    }
    let hop = KernelRoute::Via(datacenter.router.ip);
    let aks = context.facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets);
    aks.map(|subnet| subnet.prefix)
        .chain([context.topology.cluster.pod_cidr, TAILNET_RANGE])
        .chain(context.remote_prefixes(Some(datacenter)))
        .map(|prefix| (prefix, hop))
        .collect()
}
