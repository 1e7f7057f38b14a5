//! Work behind a router whose host could not be read: it follows in the same apply only if the
//! plan brings the router back into the tailnet.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::laws::compare;
use super::summary;
use crate::desired::tests::generate::{Sketch, SketchedDatacenter, SketchedWorker, all_facts};
use crate::desired::{DesiredSet, allocate, build_with};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Inventory, Source};
use crate::plan::{Action, Plan};
use crate::resource::tailnet::Device;
use crate::resource::{Address, Kind, Ownership, Resource};

fn desired() -> DesiredSet {
    let worker =
        SketchedWorker { number: 0, writes_ip: true, writes_pod_cidr: true, protect: false };
    let datacenter = SketchedDatacenter { workers: vec![worker], ..SketchedDatacenter::default() };
    let sketch = Sketch { datacenters: vec![datacenter], ..Sketch::default() };
    let topology = sketch.topology();
    let facts = all_facts(&topology);
    let allocation = Arc::new(allocate(&topology, &facts).unwrap());
    build_with(&topology, &facts, allocation)
}

/// The plan for a worker of other routes or of another pod CIDR, behind a silent router whose
/// device differs.
fn plan(change: impl Fn(&mut Device), is_replaced: bool) -> Plan {
    let desired = desired();
    let mut inventory = Inventory::default();
    let mut router = String::new();
    for resource in desired.iter() {
        let mut live = resource.resource.clone();
        let is_of_datacenter = resource.address.site.to_string() == "dc0";
        match &mut live {
            Resource::TailnetDevice(device) if is_of_datacenter => {
                router.clone_from(&device.hostname);
                change(device);
            }
            Resource::Worker(worker) if is_replaced => {
                worker.pod_cidr = "10.244.1.0/24".parse().unwrap();
            }
            Resource::Worker(worker) => {
                worker.taints = BTreeSet::from(["other=:NoSchedule".to_owned()]).into();
            }
            _ => {}
        }
        let (key, site) = (resource.key.clone().unwrap(), (&resource.address.site).into());
        inventory.note(key, live, Ownership::Ours { site });
    }
    let failure = Failure::new(Code::SourceGap, "it does not answer", "restore it");
    let source = Source::Host(router);
    inventory.note_gap(Gap { source, failure, explained: false, in_part: false });
    compare(&desired, &inventory).into()
}

/// The resources that the worker waits for, if it waits.
fn awaited(plan: &Plan) -> Vec<Address> {
    let waiting = plan.deferred.iter().filter(|it| it.address.kind == Kind::Worker);
    waiting.flat_map(|it| it.waits_for.clone()).collect()
}

#[test]
fn work_waits_for_a_router_that_the_plan_brings_back() {
    let returns: [fn(&mut Device); 2] =
        [|it| it.authorized = false, |it| (it.key_expiry_disabled, it.online) = (false, false)];
    for change in returns {
        for is_replaced in [false, true] {
            let plan = plan(change, is_replaced);
            let device = plan.changes.iter().find(|it| it.address.kind == Kind::TailnetDevice);
            let device = device.map(|it| (it.action, vec![it.address.clone()]));
            assert_eq!(device, Some((Action::Update, awaited(&plan))), "{}", summary(&plan));
            assert!(plan.blocked.is_empty(), "{}", summary(&plan));
            let hosts = plan.deferred.iter().filter(|it| it.address.kind == Kind::RouterHost);
            assert!(hosts.filter(|it| it.is_conditional).count() == 1, "{}", summary(&plan));
        }
    }
}

#[test]
fn work_is_blocked_behind_a_router_that_stays_silent() {
    let stays: [fn(&mut Device); 2] = [|_| (), |it| it.tag = "tag:other".to_owned()];
    for change in stays {
        for is_replaced in [false, true] {
            let plan = plan(change, is_replaced);
            assert_eq!(awaited(&plan), Vec::<Address>::new(), "{}", summary(&plan));
            let blocked = plan.blocked.iter().any(|it| it.address.kind == Kind::Worker);
            assert!(blocked, "{}", summary(&plan));
        }
    }
}
