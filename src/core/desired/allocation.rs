//! Allocates the address and the pod CIDR of each worker.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use foldhash::{HashMap, HashMapExt};

use ipnet::Ipv4Net;

use super::{Facts, takeovers};
use crate::net::allocate::{
    Claim, allocate_addresses, allocate_prefixes, allocate_prefixes_beside,
};
use crate::topology::model::{Datacenter, DatacenterKind, Topology};
use crate::topology::names::{DatacenterName, WorkerName};

/// The claims of workers, by their index in the file.
type PodClaims = Vec<Claim<usize, Ipv4Net>>;

/// The place of every worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    positions: HashMap<WorkerName, AddressAssignment>,
    /// The places of workers that wait until others have left them.
    later: BTreeMap<WorkerName, AddressAssignment>,
}

/// A worker's place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressAssignment {
    /// Its address.
    pub ip: Ipv4Addr,
    /// The range of its pods.
    pub pod_cidr: Ipv4Net,
}

impl Allocation {
    /// The place of a worker of the topology.
    pub fn place(&self, worker: &WorkerName) -> Option<AddressAssignment> {
        self.positions.get(worker).copied()
    }

    /// Whether workers wait for the places of others.
    pub(super) fn has_later_places(&self) -> bool {
        !self.later.is_empty()
    }

    /// The same with every worker at its next place.
    pub(super) fn at_next_places(&self) -> Self {
        let mut positions = self.positions.clone();
        positions.extend(self.later.iter().map(|(name, next)| (name.clone(), *next)));
        Self { positions, later: BTreeMap::new() }
    }

    /// The same with the workers that wait for others, given the present places of all.
    pub(super) fn hold_waiting_workers(self, topology: &Topology, facts: &Facts) -> Self {
        let Self { mut positions, later } = self;
        positions.extend(later);
        let held = takeovers::held(topology, facts, |name| positions.get(name).copied());
        let mut later = BTreeMap::new();
        for (name, present) in held {
            let next = match present {
                Some(present) => positions.insert(name.clone(), present),
                None => positions.remove(&name),
            };
            later.extend(next.map(|next| (name, next)));
        }
        Self { positions, later }
    }

    /// The pod ranges of a datacenter's workers that its pool does not cover.
    pub(super) fn outside_pool(&self, datacenter: &Datacenter) -> Vec<Ipv4Net> {
        datacenter
            .workers
            .iter()
            .filter_map(|worker| Some(self.place(&worker.name)?.pod_cidr))
            .filter(|pod_cidr| datacenter.pod_pool.is_none_or(|pool| !pool.contains(pod_cidr)))
            .collect()
    }
}

/// A worker has no room.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllocationError {
    /// The pod pool is full.
    #[error("datacenter {datacenter}: its pod pool has no free prefix for worker {worker}")]
    PodPool {
        /// The datacenter of the pool.
        datacenter: DatacenterName,
        /// The worker without a pod CIDR.
        worker: WorkerName,
    },
    /// The subnet is full.
    #[error("datacenter {datacenter}: its network has no free address for worker {worker}")]
    Network {
        /// The datacenter of the network.
        datacenter: DatacenterName,
        /// The worker without an address.
        worker: WorkerName,
    },
}

/// Gives every worker its address and pod CIDR: the value in the file, else the current
/// one, else the lowest free one, in file order. A worker whose place another one still has
/// keeps its present place until that one has moved.
///
/// # Errors
///
/// A pool or network is exhausted.
pub fn allocate(topology: &Topology, facts: &Facts) -> Result<Allocation, AllocationError> {
    let workers = topology.datacenters.iter().map(|datacenter| datacenter.workers.len()).sum();
    let mut positions = HashMap::with_capacity(workers);
    for datacenter in &topology.datacenters {
        let addresses = addresses(datacenter, facts)?;
        let pod_cidrs = pod_cidrs(datacenter, facts, &addresses)?;
        for (number, worker) in datacenter.workers.iter().enumerate() {
            let place = addresses.get(&number).zip(pod_cidrs.get(&number));
            if let Some((&ip, &pod_cidr)) = place {
                positions.insert(worker.name.clone(), AddressAssignment { ip, pod_cidr });
            }
        }
    }
    Ok(Allocation { positions, later: BTreeMap::new() }.hold_waiting_workers(topology, facts))
}

/// The address of each worker, by its place in the file.
fn addresses(
    datacenter: &Datacenter,
    facts: &Facts,
) -> Result<BTreeMap<usize, Ipv4Addr>, AllocationError> {
    let subnet = match &datacenter.kind {
        DatacenterKind::Azure(azure) => azure.subnet_cidr,
        DatacenterKind::Existing(existing) => existing.network_cidr,
    };
    let claims: Vec<Claim<usize, Ipv4Addr>> = datacenter
        .workers
        .iter()
        .enumerate()
        .map(|(owner, worker)| Claim {
            owner,
            written: worker.ip,
            held: facts.assigned.get(&worker.name).and_then(|assigned| assigned.ip),
        })
        .collect();
    let reserved = BTreeSet::from([datacenter.router.ip]);
    allocate_addresses(subnet, &reserved, &claims).map_err(|exhausted| AllocationError::Network {
        datacenter: datacenter.name.clone(),
        worker: datacenter.workers[exhausted.owner].name.clone(),
    })
}

/// The pod range of each worker, by its place in the file.
///
/// A VM that gets another address gets another range, too, where the pool has room: routes
/// to both places exist side by side until its worker has moved.
fn pod_cidrs(
    datacenter: &Datacenter,
    facts: &Facts,
    addresses: &BTreeMap<usize, Ipv4Addr>,
) -> Result<BTreeMap<usize, Ipv4Net>, AllocationError> {
    let claims: PodClaims = datacenter
        .workers
        .iter()
        .enumerate()
        .map(|(owner, worker)| Claim {
            owner,
            written: worker.pod_cidr,
            held: facts.assigned.get(&worker.name).and_then(|assigned| assigned.pod_cidr),
        })
        .collect();
    let Some(pool) = datacenter.pod_pool else {
        return Ok(claims.into_iter().filter_map(|c| Some((c.owner, c.written?))).collect());
    };
    let length = datacenter.pod_prefix_length;
    if let Some((beside, left)) = readdressed(datacenter, facts, addresses, &claims)
        && let Ok(allocated) = allocate_prefixes_beside(pool, length, &left, &beside)
    {
        return Ok(allocated);
    }
    allocate_prefixes(pool, length, &claims).map_err(|exhausted| AllocationError::PodPool {
        datacenter: datacenter.name.clone(),
        worker: datacenter.workers[exhausted.owner].name.clone(),
    })
}

/// The claims with those of readdressed VMs to another range than they hold, and the ranges that
/// these leave; `None` if no VM is readdressed.
fn readdressed(
    datacenter: &Datacenter,
    facts: &Facts,
    addresses: &BTreeMap<usize, Ipv4Addr>,
    claims: &[Claim<usize, Ipv4Net>],
) -> Option<(PodClaims, Vec<Ipv4Net>)> {
    let is_readdressed = |claim: &Claim<usize, Ipv4Net>| {
        let worker = datacenter.workers.get(claim.owner)?;
        let held = facts.assigned.get(&worker.name)?.ip?;
        Some(claim.held.is_some() && addresses.get(&claim.owner) != Some(&held))
    };
    let is_azure = matches!(datacenter.kind, DatacenterKind::Azure(_));
    let moves = |claim: &Claim<usize, Ipv4Net>| is_azure && is_readdressed(claim) == Some(true);
    let left: Vec<Ipv4Net> =
        claims.iter().filter(|claim| moves(claim)).filter_map(|claim| claim.held).collect();
    let beside = claims.iter().map(|claim| match moves(claim) {
        true => Claim { held: None, ..claim.clone() },
        false => claim.clone(),
    });
    (!left.is_empty()).then(|| (beside.collect(), left))
}
