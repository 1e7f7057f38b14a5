//! The places of workers: who gets which address and which pod range.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::generate::{Sketch, SketchedWorker, no_facts, sketches};
use crate::desired::facts::AssignedAddresses;
use crate::desired::{Allocation, Facts, allocate};
use crate::net::prefix::{overlaps, reserved_by_azure};
use crate::topology::model::{Datacenter, DatacenterKind, Topology, Worker};

fn workers(topology: &Topology) -> impl Iterator<Item = (&Datacenter, &Worker)> {
    topology.datacenters.iter().flat_map(|it| it.workers.iter().map(move |worker| (it, worker)))
}

/// The facts after every worker got its allocated addresses.
fn holding(topology: &Topology, allocation: &Allocation) -> Facts {
    let mut facts = no_facts();
    for (_, worker) in workers(topology) {
        let place = allocation.place(&worker.name).unwrap();
        let assigned = AssignedAddresses {
            ip: Some(place.ip),
            pod_cidr: Some(place.pod_cidr),
            ..AssignedAddresses::default()
        };
        facts.assigned.insert(worker.name.clone(), assigned);
    }
    facts
}

/// One worker more, anywhere.
fn with_another(sketch: &Sketch, at: prop::sample::Index) -> Sketch {
    let mut sketch = sketch.clone();
    let count = sketch.datacenters.len();
    let datacenter = &mut sketch.datacenters[at.index(count)];
    let another =
        SketchedWorker { number: 9, writes_ip: false, writes_pod_cidr: false, protect: false };
    let place = at.index(datacenter.workers.len() + 1);
    datacenter.workers.insert(place, another);
    sketch
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn pod_cidrs_are_disjoint_and_within_the_pool(sketch in sketches(false)) {
        let topology = sketch.topology();
        let allocation = allocate(&topology, &no_facts()).unwrap();
        let mut observed = Vec::new();
        for (datacenter, worker) in workers(&topology) {
            let place = allocation.place(&worker.name).unwrap();
            let pool = datacenter.pod_pool.unwrap();
            prop_assert!(pool.contains(&place.pod_cidr), "{} has {}", worker.name, place.pod_cidr);
            prop_assert_eq!(place.pod_cidr.prefix_len(), datacenter.pod_prefix_length);
            prop_assert!(!observed.iter().any(|other| overlaps(other, &place.pod_cidr)));
            observed.push(place.pod_cidr);
        }
    }

    #[test]
    fn addresses_are_distinct_and_not_reserved(sketch in sketches(false)) {
        let topology = sketch.topology();
        let allocation = allocate(&topology, &no_facts()).unwrap();
        for datacenter in &topology.datacenters {
            let mut observed = BTreeSet::from([datacenter.router.ip]);
            for worker in &datacenter.workers {
                let ip = allocation.place(&worker.name).unwrap().ip;
                prop_assert!(observed.insert(ip), "{} has {ip} too", worker.name);
                if let DatacenterKind::Azure(azure) = &datacenter.kind {
                    prop_assert!(azure.subnet_cidr.contains(&ip));
                    prop_assert!(!reserved_by_azure(&azure.subnet_cidr, ip));
                }
            }
        }
    }

    #[test]
    fn adding_a_worker_keeps_all_addresses(
        sketch in sketches(false), at in any::<prop::sample::Index>(),
    ) {
        let topology = sketch.topology();
        let before = allocate(&topology, &no_facts()).unwrap();
        let facts = holding(&topology, &before);
        let more = with_another(&sketch, at);
        let more = more.topology();
        let after = allocate(&more, &facts).unwrap();
        for (_, worker) in workers(&topology) {
            prop_assert_eq!(before.place(&worker.name), after.place(&worker.name));
        }
        prop_assert_eq!(workers(&more).count(), workers(&topology).count() + 1);
    }

    #[test]
    fn removing_a_worker_keeps_all_other_addresses(
        sketch in sketches(false), at in any::<prop::sample::Index>(),
    ) {
        let topology = sketch.topology();
        let before = allocate(&topology, &no_facts()).unwrap();
        let facts = holding(&topology, &before);
        let mut fewer = sketch.clone();
        let count = fewer.datacenters.len();
        let datacenter = &mut fewer.datacenters[at.index(count)];
        prop_assume!(!datacenter.workers.is_empty());
        let removed = at.index(datacenter.workers.len());
        datacenter.workers.remove(removed);
        let fewer = fewer.topology();
        let after = allocate(&fewer, &facts).unwrap();
        for (_, worker) in workers(&fewer) {
            prop_assert_eq!(before.place(&worker.name), after.place(&worker.name));
        }
    }

    #[test]
    fn written_values_precede_assigned_values_and_free_slots(
        sketch in sketches(false), slots in prop::collection::vec(prop::option::of(0_u8..16), 24),
    ) {
        let topology = sketch.topology();
        let mut facts = no_facts();
        for ((datacenter, worker), slot) in workers(&topology).zip(&slots) {
            let pool = datacenter.pod_pool.unwrap();
            let pod_cidr = slot.and_then(|slot| pool.subnets(24).unwrap().nth(slot.into()));
            facts.assigned.insert(worker.name.clone(), AssignedAddresses { pod_cidr, ..AssignedAddresses::default() });
        }
        let allocation = allocate(&topology, &facts).unwrap();
        for datacenter in &topology.datacenters {
            let mut taken: BTreeSet<_> =
                datacenter.workers.iter().filter_map(|worker| worker.pod_cidr).collect();
            let mut desired = Vec::new();
            for worker in &datacenter.workers {
                let given = allocation.place(&worker.name).unwrap().pod_cidr;
                let assigned = facts.assigned.get(&worker.name).and_then(|assigned| assigned.pod_cidr);
                match (worker.pod_cidr, assigned) {
                    (Some(written), _) => prop_assert_eq!(given, written),
                    (None, Some(assigned)) if taken.insert(assigned) => prop_assert_eq!(given, assigned),
                    _ => desired.push(given),
                }
            }
            let free = datacenter.pod_pool.unwrap().subnets(24).unwrap();
            let lowest: Vec<_> =
                free.filter(|it| !taken.contains(it)).take(desired.len()).collect();
            prop_assert_eq!(desired, lowest);
        }
    }
}
