//! Where the pods of the workers are that have joined: paths to them stay until they have moved.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::Observation;
use crate::desired::facts::JoinedPlace;
use crate::resource::host::JoinedWorker;
use crate::resource::{ObjectKey, Resource, Site};
use crate::topology::model::{Datacenter, Topology};
use crate::topology::names::WorkerName;

impl Observation {
    /// Records the place of each worker of the topology, in the datacenter that its Node names.
    pub(crate) fn note_joined_places(&mut self, topology: &Topology) {
        let nodes: BTreeMap<&str, (Option<Site>, &JoinedWorker)> = self
            .inventory
            .iter()
            .filter_map(|(key, observed)| match &observed.resource {
                Resource::Worker(worker) => Some((key.name(), (observed.site(), &**worker))),
                _ => None,
            })
            .collect();
        let mut joined = BTreeMap::new();
        for datacenter in topology.datacenters.iter().filter(|_| !nodes.is_empty()) {
            let site = Site::Datacenter(datacenter.name.clone());
            let served = self.served_prefixes(datacenter, &site);
            for worker in &datacenter.workers {
                let Some((at, node)) = nodes.get(worker.name.as_str()) else { continue };
                let Some(pod_cidr) = self.present_range(&worker.name, node) else { continue };
                let Some(Site::Datacenter(at)) = at.clone() else { continue };
                let covering = served.iter().filter(|prefix| prefix.contains(&pod_cidr));
                let served_by = covering.max_by_key(|prefix| prefix.prefix_len()).copied();
                let place = JoinedPlace { datacenter: at, ip: node.ip, pod_cidr, served_by };
                joined.insert(worker.name.clone(), place);
            }
        }
        self.facts.joined = joined;
    }

    /// A Node without `podCIDR` keeps the range of its pods.
    fn present_range(&self, name: &WorkerName, node: &JoinedWorker) -> Option<Ipv4Net> {
        let is_set = node.pod_cidr != JoinedWorker::NO_POD_CIDR;
        let assigned = || self.facts.assigned.get(name)?.pod_cidr;
        is_set.then_some(node.pod_cidr).or_else(assigned)
    }

    /// The prefixes that the present router of a datacenter has in the tailnet.
    fn served_prefixes(&self, datacenter: &Datacenter, site: &Site) -> Vec<Ipv4Net> {
        let present = self.facts.present_routers.get(site).cloned();
        let router = present.unwrap_or_else(|| datacenter.router.name.to_string());
        match self.inventory.get(&ObjectKey::DeviceApproved(router)).map(|it| &it.resource) {
            Some(Resource::ApprovedRoutes(routes)) => {
                routes.prefixes.known().into_iter().flatten().copied().collect()
            }
            _ => Vec::new(),
        }
    }
}
