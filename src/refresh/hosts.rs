//! Hosts: every router, and the workers with `--deep`.

use std::net::Ipv4Addr;

use futures::StreamExt;

use super::router_devices::{self, Devices};
use super::{Clock, Observation, Scope, host_findings, targets};
use crate::inventory::Source;
use crate::plan::HostRoute;
use crate::provider::clients::ReadClients;
use crate::provider::host::{HostError, HostTarget, RouterProbe, WorkerProbe};
use crate::resource::host::{JoinedWorker, RouterHost};
use crate::resource::ownership::SiteName;
use crate::resource::{Kind, ObjectKey, Observable, Ownership, Pending, Resource, Site};
use crate::topology::version::KubernetesVersion;

/// How many hosts are looked at side by side.
const WIDTH: usize = 32;

/// Probes the routers, and the workers if requested.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    (devices, now): (&mut Devices, &Clock),
    observation: &mut Observation,
) {
    let targets = routers(scope, observation);
    let probes: Vec<(Site, HostTarget, Result<RouterProbe, HostError>)> =
        futures::stream::iter(targets)
            .map(|(site, target)| async move {
                let probe = clients.hosts.probe_router(&target).await;
                (site, target, probe)
            })
            .buffer_unordered(WIDTH)
            .collect()
            .await;
    let probed = probes.iter().map(|(_, target, _)| target.hostname.clone()).collect();
    router_devices::leave_unconfirmed(devices, &probed, observation);
    for (site, target, probe) in probes {
        let name = target.hostname.as_str();
        router_devices::confirm(name, probe.as_ref(), devices, scope, observation);
        match probe {
            Ok(probe) => {
                observation.read_at.insert(Source::Host(target.hostname.clone()), now());
                note_router(scope, &site, probe, observation);
            }
            Err(error) => {
                let offline = devices.get(&target.hostname).is_some_and(|device| !device.online);
                let is_other = matches!(error, HostError::WrongHost { .. });
                let is_former = serves_under_former_name(scope, &site, name);
                gap(name, &error, offline || is_other || is_former, observation);
                retain_device(scope, &site, &target.hostname, &error, observation);
            }
        }
    }
    if scope.options.deep {
        read_workers(clients, scope, now, observation).await;
    }
    if scope.options.destroy {
        read_hosts_without_nodes(clients, scope, observation).await;
    }
}

/// Before a destroy: reads existing machines whose Nodes are deleted. There is no other
/// record of the files that stargate left on them.
async fn read_hosts_without_nodes(
    clients: &ReadClients,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let hosts = hosts_without_nodes(scope, observation);
    let probes: Vec<(Leftover, Result<WorkerProbe, HostError>)> = futures::stream::iter(hosts)
        .map(|host| async move {
            let probe = clients.hosts.probe_worker(&host.target).await;
            (host, probe)
        })
        .buffer_unordered(WIDTH)
        .collect()
        .await;
    for (host, probe) in probes {
        match probe {
            Ok(probe) => note_leftover(host, probe, observation),
            Err(error) => gap(&host.target.hostname, &error, false, observation),
        }
    }
}

/// A host that may have files of stargate.
struct Leftover {
    site: Site,
    target: HostTarget,
    ip: Ipv4Addr,
    /// The version of its profile.
    version: KubernetesVersion,
}

/// The hosts behind routers that are in the tailnet.
fn hosts_without_nodes(scope: &Scope<'_>, observation: &Observation) -> Vec<Leftover> {
    let addresses = &observation.facts.router_addresses;
    let mut found = Vec::new();
    for datacenter in &scope.topology.datacenters {
        let is_existing = datacenter.is_existing();
        if !is_existing || !addresses.contains_key(datacenter.router.name.as_str()) {
            continue;
        }
        for worker in &datacenter.workers {
            let name = worker.name.as_str();
            let key = ObjectKey::node(name);
            let is_unread = observation.inventory.gap_for(Kind::Worker, Some(&key)).is_some();
            let (Some(ip), false) = (worker.ip, is_unread) else { continue };
            if observation.inventory.get(&key).is_some() {
                continue;
            }
            let host_key = worker.host_key.as_ref();
            let route = HostRoute::worker(scope.topology, datacenter, name, host_key, ip);
            let profile = scope.topology.profiles.get(&worker.profile);
            let target = targets::resolve(&route, addresses);
            let (Some(target), Some(profile)) = (target, profile) else { continue };
            let (site, version) =
                (Site::Datacenter(datacenter.name.clone()), profile.kubernetes_version);
            found.push(Leftover { site, target, ip, version });
        }
    }
    found
}

fn note_leftover(host: Leftover, probe: WorkerProbe, observation: &mut Observation) {
    let has_leftovers = probe.host.stamp.is_some()
        || probe.host.cni_configuration.is_some()
        || probe.kubelet_configuration_digest.is_some();
    if !has_leftovers {
        return;
    }
    let name = host.target.hostname;
    let worker = JoinedWorker {
        name: name.clone(),
        ip: host.ip,
        pod_cidr: probe.host.cni_configuration.unwrap_or(JoinedWorker::NO_POD_CIDR),
        provider_id: String::new(),
        labels: Default::default(),
        taints: Default::default(),
        kubelet_version: probe.kubelet_version.unwrap_or(host.version),
        profile_digest: probe.host.stamp.clone().unwrap_or_default(),
        routes: String::new(),
        ready: false,
        cordoned_for_work: false,
        protected_by: None,
        host: Observable::Observed(probe.host),
    };
    let ownership = Ownership::Ours { site: SiteName::from(&host.site) };
    observation.inventory.note(ObjectKey::Host(name), Resource::Worker(worker.into()), ownership);
}

fn gap(name: &str, error: &HostError, explained: bool, observation: &mut Observation) {
    observation.inventory.note_gap(crate::inventory::Gap {
        source: Source::Host(name.to_owned()),
        failure: error.into(),
        explained,
        in_part: false,
    });
}

/// Keeps the device of a router that continues without stargate while its host cannot be
/// read: without the device its configuration could not be removed.
fn retain_device(
    scope: &Scope<'_>,
    site: &Site,
    name: &str,
    error: &HostError,
    observation: &mut Observation,
) {
    let leaves = scope.options.destroy || observation.facts.departed.contains_key(site);
    if leaves && is_existing(scope, site, observation) {
        let key = ObjectKey::Device(name.to_owned());
        observation.unread(key, Source::Host(name.to_owned()), error);
    }
}

/// Whether the machines of a site existed before stargate, also if it left the topology.
fn is_existing(scope: &Scope<'_>, site: &Site, observation: &Observation) -> bool {
    let departed = observation.facts.departed.get(site);
    scope.is_existing(site) || departed.is_some_and(|site| site.is_existing)
}

/// Routers that can be reached: through the tailnet, or as the topology says.
fn routers(scope: &Scope<'_>, observation: &Observation) -> Vec<(Site, HostTarget)> {
    let mut found = Vec::new();
    let addresses = &observation.facts.router_addresses;
    let route = HostRoute::cluster_router(scope.topology);
    if let Some(target) = targets::resolve(&route, addresses) {
        found.push((Site::Cluster, target));
    }
    for datacenter in &scope.topology.datacenters {
        let route = HostRoute::datacenter_router(scope.topology, datacenter);
        if let Some(target) = targets::resolve(&route, addresses) {
            found.push((Site::Datacenter(datacenter.name.clone()), target));
        }
    }
    // Until the router of another name serves, packets pass the present one.
    let present = observation.facts.present_routers.iter();
    for (site, router) in
        present.filter(|(site, router)| serves_under_former_name(scope, site, router))
    {
        let route = HostRoute::departed_router(scope.topology, router);
        found.extend(targets::resolve(&route, addresses).map(|target| (site.clone(), target)));
    }
    // A VM is deleted as a whole; an existing machine is cleaned up.
    let departed = observation.facts.departed.iter().filter(|(_, found)| found.is_existing);
    for (site, departed_site) in departed {
        let router = departed_site.router.as_deref().filter(|name| !scope.is_router(name));
        let route = router.map(|name| HostRoute::departed_router(scope.topology, name));
        let target = route.and_then(|route| targets::resolve(&route, addresses));
        found.extend(target.map(|target| (site.clone(), target)));
    }
    found
}

/// Whether the topology has another router on its site than the live one.
fn serves_under_former_name(scope: &Scope<'_>, site: &Site, router: &str) -> bool {
    let is_listed = match site {
        Site::Cluster => true,
        Site::Datacenter(name) => scope.topology.datacenters.iter().any(|it| it.name == *name),
    };
    is_listed && !scope.is_router(router)
}

fn note_router(scope: &Scope<'_>, site: &Site, probe: RouterProbe, observation: &mut Observation) {
    let name = probe.hostname.clone();
    // An existing machine is cleaned up if stargate configured it; a VM is deleted as a
    // whole.
    let touched = !probe.kernel_routes.is_empty() || !probe.local_prefixes.is_empty();
    let is_former = serves_under_former_name(scope, site, &name);
    let ownership = if touched && !is_former && is_existing(scope, site, observation) {
        Ownership::Ours { site: SiteName::from(site) }
    } else {
        Ownership::Inherited
    };
    if let Some(tailscale) = &probe.tailscale {
        let primary = tailscale.primary_routes.clone();
        observation.inventory.primary_routes.insert(name.clone(), primary);
        host_findings::note_tailscale(&name, tailscale, observation);
    }
    host_findings::note_rules(&name, &probe.foreign_rules, scope, observation);
    observation.inventory.router_interfaces.insert(name.clone(), probe.addresses.clone());
    let key = ObjectKey::Host(name);
    observation.inventory.foreign_routes.insert(key.clone(), probe.routes_of_others.clone());
    observation.inventory.note(key, Resource::RouterHost(router_host(probe).into()), ownership);
}

/// The configuration that a probe saw.
pub(super) fn router_host(probe: RouterProbe) -> RouterHost {
    let tailscale = probe.tailscale.as_ref();
    RouterHost {
        hostname: probe.hostname,
        ip_forwarding: probe.ip_forwarding,
        reverse_path_filter: probe.reverse_path_filter,
        send_redirects: probe.send_redirects,
        masquerade: probe.masquerade,
        snat_subnet_routes: tailscale.is_some_and(|settings| settings.snat_subnet_routes),
        mss_clamp: probe.mss_clamp,
        accept_routes: tailscale.is_some_and(|settings| settings.accept_routes),
        local_prefixes: probe.local_prefixes,
        kernel_routes: Pending::Known(probe.kernel_routes),
        persistent: probe.persistent,
        protected_by: probe.protected_by,
    }
}

async fn read_workers(
    clients: &ReadClients,
    scope: &Scope<'_>,
    now: &Clock,
    observation: &mut Observation,
) {
    let addresses = &observation.facts.router_addresses;
    let mut desired = Vec::new();
    for datacenter in &scope.topology.datacenters {
        let existing = datacenter.is_existing();
        for worker in &datacenter.workers {
            let key = ObjectKey::node(worker.name.as_str());
            let Some(observed) = observation.inventory.get(&key) else { continue };
            let Resource::Worker(node) = &observed.resource else { continue };
            let (name, host_key) = (worker.name.as_str(), worker.host_key.as_ref());
            let route = HostRoute::worker(scope.topology, datacenter, name, host_key, node.ip);
            if let Some(target) = targets::resolve(&route, addresses) {
                desired.push((existing, target));
            }
        }
    }
    let probes: Vec<(HostTarget, Result<WorkerProbe, HostError>)> = futures::stream::iter(desired)
        .map(|(_, target)| async move {
            let probe = clients.hosts.probe_worker(&target).await;
            (target, probe)
        })
        .buffer_unordered(WIDTH)
        .collect()
        .await;
    for (target, probe) in probes {
        match probe {
            Ok(probe) => {
                observation.read_at.insert(Source::Host(target.hostname.clone()), now());
                let rules = &probe.foreign_rules;
                host_findings::note_rules(&target.hostname, rules, scope, observation);
                note_worker(&target.hostname, probe, observation);
            }
            Err(error) => gap(&target.hostname, &error, false, observation),
        }
    }
}

fn note_worker(name: &str, probe: WorkerProbe, observation: &mut Observation) {
    let key = ObjectKey::node(name);
    let Some(observed) = observation.inventory.get(&key).cloned() else { return };
    if let Resource::Worker(mut worker) = observed.resource {
        worker.host = Observable::Observed(probe.host);
        observation.inventory.note(key, Resource::Worker(worker), observed.ownership);
    }
}
