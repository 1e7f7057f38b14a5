//! Workers without a Node that wait for the ranges of others: what exists of them stays.

use std::sync::Arc;

use super::laws::compare;
use crate::desired::facts::{AssignedAddresses, JoinedPlace};
use crate::desired::tests::generate::{Sketch, SketchedDatacenter, SketchedWorker, all_facts};
use crate::desired::{Allocation, DesiredSet, Facts, allocate, build_at_most, build_with};
use crate::inventory::Inventory;
use crate::plan::later_moves::unknown_iterations;
use crate::plan::{Action, Plan};
use crate::resource::{Address, Kind, Ownership};
use crate::topology::model::Topology;

/// A datacenter of three VMs, one of which is protected.
fn topology(protected: u8) -> Topology {
    let worker = |number| SketchedWorker {
        number,
        writes_ip: false,
        writes_pod_cidr: false,
        protect: number == protected,
    };
    let datacenter = SketchedDatacenter {
        workers: (0..3).map(worker).collect(),
        ..SketchedDatacenter::default()
    };
    let sketch = Sketch {
        preserve: true,
        route_manager: true,
        datacenters: vec![datacenter],
        ..Sketch::default()
    };
    sketch.topology()
}

/// The facts of a deployment whose last worker has no Node yet.
fn facts(topology: &Topology, allocation: &Allocation) -> Facts {
    let mut facts = all_facts(topology);
    let datacenter = &topology.datacenters[0];
    for (number, worker) in datacenter.workers.iter().enumerate() {
        let place = allocation.place(&worker.name).unwrap();
        let has_joined = number < 2;
        let assigned = AssignedAddresses {
            ip: Some(place.ip),
            pod_cidr: has_joined.then_some(place.pod_cidr),
            kubelet_version: None,
        };
        facts.assigned.insert(worker.name.clone(), assigned);
        let joined = JoinedPlace {
            datacenter: datacenter.name.clone(),
            ip: place.ip,
            pod_cidr: place.pod_cidr,
            served_by: None,
        };
        facts.joined.extend(has_joined.then(|| (worker.name.clone(), joined)));
    }
    facts
}

fn is_last(address: &Address) -> bool {
    address.name.starts_with("dc0-w2")
}

/// Everything exists but the Node of the last worker.
fn inventory(desired: &DesiredSet) -> Inventory {
    let mut inventory = Inventory::default();
    let is_live = |address: &Address| !(address.kind == Kind::Worker && is_last(address));
    for resource in desired.iter().filter(|it| is_live(&it.address)) {
        let (key, site) = (resource.key.clone().unwrap(), (&resource.address.site).into());
        inventory.note(key, resource.resource.clone(), Ownership::Ours { site });
    }
    inventory
}

/// Each worker gets the range of the one before it, so that the last one waits for two iterations.
struct Chain {
    topology: Topology,
    facts: Facts,
    inventory: Inventory,
}

impl Chain {
    fn protecting(worker: u8) -> Self {
        let before = topology(worker);
        let allocation = Arc::new(allocate(&before, &all_facts(&before)).unwrap());
        let facts = facts(&before, &allocation);
        let inventory = inventory(&build_with(&before, &facts, allocation.clone()));
        let mut topology = before;
        let workers = &mut topology.datacenters[0].workers;
        workers[0].pod_cidr = Some("10.244.79.0/24".parse().unwrap());
        for number in 1..3 {
            workers[number].pod_cidr =
                allocation.place(&workers[number - 1].name).map(|place| place.pod_cidr);
        }
        Self { topology, facts, inventory }
    }

    fn desired(&self, max_built_resources: usize) -> DesiredSet {
        let allocation = Arc::new(allocate(&self.topology, &self.facts).unwrap());
        build_at_most(&self.topology, &self.facts, allocation, max_built_resources)
    }
}

/// The plan knows all iterations, or only the first one.
#[test]
fn the_vm_of_a_waiting_worker_stays_and_is_protected() {
    let chain = Chain::protecting(2);
    let machine: Address = "virtual-machine/dc0/dc0-w2".parse().unwrap();
    for (max_built_resources, known) in [(usize::MAX, 3), (0, 1)] {
        let desired = chain.desired(max_built_resources);
        assert_eq!(desired.later_iterations().len(), known);
        assert_eq!(unknown_iterations(&desired).is_some(), known == 1);
        assert!(desired.get(&machine).is_none(), "it does not wait");
        assert!(desired.protected().contains(&machine));
        let plan: Plan = compare(&desired, &chain.inventory).into();
        assert!(!plan.changes.is_empty());
        let deletions = plan.changes.iter().filter(|it| it.action == Action::Delete);
        let deleted: Vec<&Address> = deletions.map(|it| &it.address).collect();
        assert_eq!(deleted, Vec::<&Address>::new());
        let blocked = plan.blocked.iter().map(|it| &it.address);
        assert_eq!(blocked.collect::<Vec<_>>(), Vec::<&Address>::new());
    }
}

/// A protected worker keeps its range, so that none of the others gets its own.
#[test]
fn workers_that_wait_for_a_blocked_move_are_blocked() {
    let chain = Chain::protecting(0);
    let plan: Plan = compare(&chain.desired(usize::MAX), &chain.inventory).into();
    let first: Address = "worker/dc0/dc0-w0".parse().unwrap();
    for name in ["worker/dc0/dc0-w1", "worker/dc0/dc0-w2"] {
        let blocked = plan.blocked.iter().find(|it| it.address.to_string() == name);
        assert_eq!(blocked.map(|it| &it.caused_by), Some(&Some(first.clone())), "{name}");
    }
    let deletions = plan.changes.iter().filter(|it| it.action == Action::Delete);
    assert_eq!(deletions.count(), 0);
}
