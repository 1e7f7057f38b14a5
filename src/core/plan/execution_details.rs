//! Computes the execution parameters of the changes of a plan.

use std::net::Ipv4Addr;

use foldhash::{HashMap, HashSet};

use super::Change;
use super::execution::{
    Execution, NodePoolExecution, RouteDeletion, RouterExecution, WorkerDeparture, WorkerExecution,
    WorkerProfile, WorkerRestart,
};
use super::foreign_tables::has_desired_routes;
use super::host_route::HostRoute;
use super::readdressing::Readdressed;
use super::rollout::restarts_worker;
use crate::desired::{DesiredSet, Facts, labels};
use crate::inventory::Inventory;
use crate::resource::work_request::WorkRequest;
use crate::resource::{ArmId, Kind, Resource, Site};
use crate::topology::model::{self, Datacenter, Topology};
use crate::topology::names::WorkerName;

/// Attaches the execution parameters to each change. The desired state is empty in a destroy.
pub(super) fn attach(
    topology: &Topology,
    desired: &DesiredSet,
    facts: &Facts,
    inventory: &Inventory,
    changes: &mut [Change],
) {
    let sites = Sites::of(topology, facts, inventory);
    let readdressed = Readdressed::of(changes);
    let required: Vec<Vec<HostRoute>> = changes
        .iter()
        .map(|change| {
            let workers = readdressed.cut_by(change).into_iter();
            workers.filter_map(|place| sites.worker(changes.get(place)?).route).collect()
        })
        .collect();
    for (change, required) in changes.iter_mut().zip(required) {
        change.execution =
            route_deletion(desired, facts, change).unwrap_or_else(|| sites.execution(change));
        change.required_hosts = required;
    }
}

/// A destroy deletes the routes although the owner's table stays on the subnets of AKS nodes.
fn route_deletion(desired: &DesiredSet, facts: &Facts, change: &Change) -> Option<Execution> {
    let table = change.deleted_route().and_then(ArmId::parent)?;
    let subnets = facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets);
    let node_subnets = subnets.map(|subnet| subnet.id.clone()).collect();
    let is_kept = desired.is_empty() || has_desired_routes(desired, &table);
    (!is_kept).then_some(Execution::RouteDeletion(RouteDeletion { node_subnets }))
}

/// The topology, indexed.
struct Sites<'a> {
    topology: &'a Topology,
    facts: &'a Facts,
    cluster_dns: Ipv4Addr,
    datacenters: HashMap<&'a str, (&'a Datacenter, HashMap<&'a str, &'a model::Worker>)>,
    /// The names that the topology gives to existing machines, by datacenter and address.
    existing_machines: HashMap<(&'a str, Ipv4Addr), &'a str>,
    /// The names of the VMs that the topology owns.
    machines: HashSet<&'a str>,
}

impl<'a> Sites<'a> {
    fn of(topology: &'a Topology, facts: &'a Facts, inventory: &'a Inventory) -> Self {
        let workers = |datacenter: &'a Datacenter| {
            datacenter.workers.iter().map(|worker| (worker.name.as_str(), worker)).collect()
        };
        let cluster = facts.cluster.as_ref();
        Self {
            topology,
            facts,
            cluster_dns: cluster.map_or(Ipv4Addr::UNSPECIFIED, |it| it.dns_service_ip),
            datacenters: topology
                .datacenters
                .iter()
                .map(|it| (it.name.as_str(), (it, workers(it))))
                .collect(),
            existing_machines: existing_machines(topology),
            machines: machines(inventory),
        }
    }

    fn execution(&self, change: &Change) -> Execution {
        match change.address.kind {
            Kind::RouterHost | Kind::AdvertisedRoutes | Kind::TailnetDevice => self.router(change),
            Kind::Worker => Execution::Worker(Box::new(self.worker(change))),
            Kind::NodePool => Execution::NodePool(NodePoolExecution {
                drain_within: self.topology.rollout.drain_within,
            }),
            Kind::VirtualMachine if restarts_worker(change) => {
                Execution::WorkerRestart(WorkerRestart {
                    worker: WorkerName::new(change.address.name.as_str()),
                    drain_within: self.topology.rollout.drain_within,
                })
            }
            _ => Execution::Api,
        }
    }

    /// A machine in Azure that the topology no longer lists is deleted with its VM, so its
    /// host is not configured.
    fn router(&self, change: &Change) -> Execution {
        let execution = match &change.address.site {
            Site::Cluster => Some(RouterExecution {
                route: HostRoute::cluster_router(self.topology),
                is_existing: false,
            }),
            Site::Datacenter(name) => {
                self.datacenters.get(name.as_str()).map(|(datacenter, _)| RouterExecution {
                    route: HostRoute::datacenter_router(self.topology, datacenter),
                    is_existing: datacenter.is_existing(),
                })
            }
        };
        let execution = execution.or_else(|| self.departed_router(&change.address.site));
        match execution {
            Some(execution)
                if execution.is_existing
                    || change.address.name == execution.route.hostname.as_str() =>
            {
                Execution::Router(Box::new(execution))
            }
            _ => Execution::Api,
        }
    }

    fn departed_router(&self, site: &Site) -> Option<RouterExecution> {
        let site = self.facts.departed.get(site)?;
        let route = HostRoute::departed_router(self.topology, site.router.as_deref()?);
        Some(RouterExecution { route, is_existing: site.is_existing })
    }

    /// Where a worker leaves that is on another site than the topology says, or on one
    /// that left the topology.
    fn departure(&self, change: &Change) -> Option<WorkerDeparture> {
        let (Some(Resource::Worker(worker)), Some(site)) = (&change.before, change.old_site())
        else {
            return None;
        };
        let known = match &site {
            Site::Datacenter(name) => self.datacenters.get(name.as_str()),
            Site::Cluster => None,
        };
        if let Some((datacenter, _)) = known {
            // The machine may have got the name of another worker since.
            let renamed = self.existing_machines.get(&(datacenter.name.as_str(), worker.ip));
            let name = renamed.copied().unwrap_or(&worker.name);
            let route = HostRoute::worker(self.topology, datacenter, name, None, worker.ip);
            let route = self.through_present_router(&site, route.clone()).unwrap_or(route);
            let departure =
                WorkerDeparture { route: Some(route), is_existing: datacenter.is_existing() };
            let leaves = site != change.address.site || name != worker.name;
            return leaves.then_some(departure);
        }
        let site = self.facts.departed.get(&site);
        let route = site.and_then(|site| site.router.as_deref()).map(|router| {
            HostRoute::departed_worker(self.topology, router, &worker.name, worker.ip)
        });
        // Without a record of the datacenter, a machine that is no VM stays.
        let is_existing = match site {
            Some(site) => site.is_existing,
            None => !self.machines.contains(worker.name.as_str()),
        };
        Some(WorkerDeparture { route, is_existing })
    }

    /// The way to a worker's host through the router that its site has now, if the topology
    /// names that otherwise.
    fn through_present_router(&self, site: &Site, route: HostRoute) -> Option<HostRoute> {
        let is_other = |router: &&String| route.first_hop().hostname != **router;
        let router = self.facts.present_routers.get(site).filter(is_other)?;
        Some(route.behind(HostRoute::departed_router(self.topology, router)))
    }

    fn request(&self, change: &Change) -> Option<WorkRequest> {
        let progress = self.facts.request.as_ref().filter(|_| change.requested)?;
        let operation = progress.operations.get(&WorkerName::new(change.address.name.as_str()));
        Some(match operation {
            Some(operation) => WorkRequest::Operation(operation.clone()),
            None => WorkRequest::Command(progress.id.clone()),
        })
    }

    fn worker(&self, change: &Change) -> WorkerExecution {
        let mut execution = WorkerExecution {
            route: None,
            is_existing: false,
            drain_within: self.topology.rollout.drain_within,
            request: self.request(change),
            departure: self.departure(change),
            present_route: None,
            profile: None,
        };
        let Site::Datacenter(name) = &change.address.site else { return execution };
        let Some((datacenter, workers)) = self.datacenters.get(name.as_str()) else {
            return execution;
        };
        let value = change.after.as_ref().or(change.before.as_ref());
        let Some(Resource::Worker(worker)) = value else { return execution };
        let written = workers.get(worker.name.as_str());
        let host_key = written.and_then(|written| written.host_key.as_ref());
        let route = HostRoute::worker(self.topology, datacenter, &worker.name, host_key, worker.ip);
        execution.present_route = self.through_present_router(&change.address.site, route.clone());
        execution.route = Some(route);
        execution.is_existing = datacenter.is_existing();
        execution.profile = written.and_then(|written| {
            let profile = self.topology.profiles.get(&written.profile)?;
            Some(WorkerProfile {
                name: written.profile.clone(),
                max_pods: labels::max_pods(profile, worker.pod_cidr),
                packages: profile.packages,
                cluster_dns: self.cluster_dns,
            })
        });
        execution
    }
}

fn existing_machines(topology: &Topology) -> HashMap<(&str, Ipv4Addr), &str> {
    let existing = topology.datacenters.iter().filter(|datacenter| datacenter.is_existing());
    existing
        .flat_map(|datacenter| {
            datacenter.workers.iter().filter_map(|worker| {
                Some(((datacenter.name.as_str(), worker.ip?), worker.name.as_str()))
            })
        })
        .collect()
}

fn machines(inventory: &Inventory) -> HashSet<&str> {
    inventory
        .iter()
        .filter(|(_, observed)| {
            observed.resource.kind() == Kind::VirtualMachine && observed.ownership.is_ours()
        })
        .map(|(key, _)| key.name())
        .collect()
}
