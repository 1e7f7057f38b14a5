//! Hosts: every router, and the workers where a deep look is asked for.

use futures::StreamExt;

use super::router_devices::{self, Devices};
use super::{Clock, Observation, Scope, host_findings, targets};
use crate::inventory::Source;
use crate::plan::HostRoute;
use crate::provider::clients::ReadClients;
use crate::provider::host::{HostError, HostTarget, RouterProbe, WorkerProbe};
use crate::resource::host::RouterHost;
use crate::resource::kubernetes::ObjectName;
use crate::resource::ownership::SiteName;
use crate::resource::{ObjectKey, Observable, Ownership, Pending, Resource, Site};
use crate::topology::model::DatacenterKind;

/// How many hosts are looked at side by side.
const WIDTH: usize = 32;

/// Looks at the routers, and at the workers if asked to.
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
                gap(&target.hostname, &error, offline, observation);
            }
        }
    }
    if scope.options.deep {
        read_workers(clients, scope, now, observation).await;
    }
}

fn gap(name: &str, error: &HostError, explained: bool, observation: &mut Observation) {
    observation.inventory.note_gap(crate::inventory::Gap {
        source: Source::Host(name.to_owned()),
        failure: error.into(),
        explained,
    });
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
    found
}

fn note_router(scope: &Scope<'_>, site: &Site, probe: RouterProbe, observation: &mut Observation) {
    let name = probe.hostname.clone();
    // A machine that was there before us is ours to clean up once we left
    // something on it; a VM goes as a whole.
    let touched = !probe.kernel_routes.is_empty() || !probe.local_prefixes.is_empty();
    let ownership = if touched && scope.is_existing(site) {
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
    let key = ObjectKey::Host(name);
    observation.inventory.foreign_routes.insert(key.clone(), probe.routes_of_others.clone());
    observation.inventory.note(key, Resource::RouterHost(router_host(probe)), ownership);
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
    }
}

async fn read_workers(
    clients: &ReadClients,
    scope: &Scope<'_>,
    now: &Clock,
    observation: &mut Observation,
) {
    let addresses = &observation.facts.router_addresses;
    let mut wanted = Vec::new();
    for datacenter in &scope.topology.datacenters {
        let existing = matches!(datacenter.kind, DatacenterKind::Existing(_));
        for worker in &datacenter.workers {
            let key = node_key(worker.name.as_str());
            let Some(observed) = observation.inventory.get(&key) else { continue };
            let Resource::Worker(node) = &observed.resource else { continue };
            let (name, host_key) = (worker.name.as_str(), worker.host_key.as_ref());
            let route = HostRoute::worker(scope.topology, datacenter, name, host_key, node.ip);
            if let Some(target) = targets::resolve(&route, addresses) {
                wanted.push((existing, target));
            }
        }
    }
    let probes: Vec<(HostTarget, Result<WorkerProbe, HostError>)> = futures::stream::iter(wanted)
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

fn node_key(name: &str) -> ObjectKey {
    ObjectKey::Kubernetes(ObjectName {
        kind: "Node".to_owned(),
        namespace: None,
        name: name.to_owned(),
    })
}

fn note_worker(name: &str, probe: WorkerProbe, observation: &mut Observation) {
    let key = node_key(name);
    let Some(observed) = observation.inventory.get(&key).cloned() else { return };
    if let Resource::Worker(mut worker) = observed.resource {
        worker.host = Observable::Observed(probe.host);
        observation.inventory.note(key, Resource::Worker(worker), observed.ownership);
    }
}
