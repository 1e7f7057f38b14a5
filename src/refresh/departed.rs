//! Datacenters that left the topology, as the Servers in the cluster describe them, and
//! the routers that datacenters have.

use std::collections::HashMap;

use super::router_devices::device_keys;
use super::{Observation, Scope};
use crate::resource::azure::MachineRole;
use crate::resource::kubernetes::ManifestKind;
use crate::resource::ownership::SiteName;
use crate::resource::{Ownership, Resource, Site};

/// Notes the datacenters that the topology no longer has. A Server names the tailnet
/// address of its router, and whether its machine existed before; a device in the
/// tailnet names neither.
pub(super) fn note(scope: &Scope<'_>, observation: &mut Observation) {
    let facts = &observation.facts;
    let addresses = facts.router_addresses.iter().chain(&facts.unauthorized_routers);
    // A Server that an older program wrote names its router by host name.
    let routers: HashMap<String, String> = addresses
        .flat_map(|(name, address)| [(address.to_string(), name), (name.clone(), name)])
        .map(|(text, name)| (text, name.clone()))
        .collect();
    let servers: Vec<(Site, String, bool)> = observation
        .inventory
        .iter()
        .filter_map(|(_, it)| server(it.site()?, &it.resource))
        .collect();
    attribute_to_machines(scope, observation);
    for (site, router, is_existing) in servers {
        let router = routers.get(&router).cloned();
        // A datacenter that was renamed keeps its router.
        let other = router.as_ref().filter(|name| !scope.is_router(name));
        if let Some(router) = other {
            attribute(router, &site, observation);
        }
        if let Some(router) = &router {
            let present = &mut observation.facts.present_routers;
            // Some Servers may name the other router already: this one leads to all hosts.
            if other.is_some() || !present.contains_key(&site) {
                present.insert(site.clone(), router.clone());
            }
        }
        if has_datacenter(scope, &site) {
            continue;
        }
        let site = observation.facts.departed.entry(site).or_default();
        site.is_existing |= is_existing;
        site.router = router.or(site.router.take());
    }
}

/// Attributes each device with the name of a machine of the topology that is no longer its
/// router to the site of the machine.
fn attribute_to_machines(scope: &Scope<'_>, observation: &mut Observation) {
    let machines = observation.inventory.iter().filter_map(|(key, observed)| {
        let is_router = matches!(&observed.resource, Resource::VirtualMachine(machine)
            if machine.role == MachineRole::Router);
        let name = key.name().to_ascii_lowercase();
        let site = observed.site().filter(|_| is_router && !scope.is_router(&name))?;
        Some((name, site))
    });
    let machines: Vec<(String, Site)> = machines.collect();
    for (name, site) in machines {
        attribute(&name, &site, observation);
        if site == Site::Cluster {
            observation.facts.present_routers.insert(site, name);
        }
    }
}

/// The site of a Server, the name of its router, and whether its machine existed before.
fn server(site: Site, resource: &Resource) -> Option<(Site, String, bool)> {
    let Resource::Manifest(manifest) = resource else { return None };
    let spec = &manifest.body["spec"];
    let router = spec["routerIP"].as_str().unwrap_or_default().to_owned();
    (manifest.kind == ManifestKind::Server).then(|| (site, router, spec["provider"] == "existing"))
}

fn has_datacenter(scope: &Scope<'_>, site: &Site) -> bool {
    match site {
        Site::Cluster => true,
        Site::Datacenter(name) => scope.topology.datacenters.iter().any(|it| it.name == *name),
    }
}

/// Attributes a router's device and its routes, if they are proven to be the topology's,
/// to the datacenter that it served.
fn attribute(router: &str, site: &Site, observation: &mut Observation) {
    for key in device_keys(router) {
        let observed = observation.inventory.get(&key).cloned();
        if let Some(observed) = observed.filter(|observed| observed.ownership.is_ours()) {
            let ownership = Ownership::Ours { site: SiteName::from(site) };
            observation.inventory.note(key, observed.resource, ownership);
        }
    }
}
