//! The waves of workers.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::case::{Case, done, inside, nothing_special};
use crate::diagnostics::Code;
use crate::plan::{Action, Plan, WorkerOperation, WorkerRequest};
use crate::resource::azure::{MachineRole, VirtualMachine};
use crate::resource::host::JoinedWorker;
use crate::resource::{Observable, Resource};
use crate::topology::model::{RolloutSettings, RolloutWidth};
use crate::topology::names::WorkerName;

fn worker(name: &str, ready: bool, digest: &str) -> Resource {
    Resource::Worker(
        JoinedWorker {
            name: name.to_owned(),
            ip: Ipv4Addr::new(10, 1, 2, 3),
            pod_cidr: "10.244.65.0/24".parse().unwrap(),
            provider_id: format!("stargate:///dc1/{name}"),
            labels: Default::default(),
            taints: Default::default(),
            kubelet_version: "1.33.5".parse().unwrap(),
            profile_digest: digest.to_owned(),
            routes: String::new(),
            ready,
            cordoned_for_work: false,
            host: Observable::unobserved(),
            protected_by: None,
        }
        .into(),
    )
}

fn case(canary: u32, width: u32) -> Case {
    Case {
        rollout: RolloutSettings {
            canary,
            width: RolloutWidth::Count(width),
            ..RolloutSettings::default()
        },
        ..Case::default()
    }
}

/// The names of each wave.
fn waves(plan: &Plan) -> Vec<Vec<String>> {
    let waves = plan.rollout.map(|rollout| rollout.waves(&plan.changes)).unwrap_or_default();
    waves.into_iter().map(|wave| wave.into_iter().map(|it| it.name.to_string()).collect()).collect()
}

fn new(case: Case, names: &[&str]) -> Case {
    names.iter().fold(case, |case, name| {
        case.wants(&format!("worker/dc1/{name}"), worker(name, true, "new"), nothing_special)
    })
}

/// Workers that run pods and differ from the topology.
fn changed(case: Case, names: &[&str], ready: bool) -> Case {
    names.iter().fold(case, |case, name| {
        let address = format!("worker/dc1/{name}");
        case.wants(&address, worker(name, true, "new"), nothing_special)
            .has(&address, worker(name, ready, "old"))
    })
}

#[test]
fn a_canary_precedes_waves_of_the_configured_width() {
    let names = ["a", "b", "c", "d", "e"];
    for (canary, width, expected) in [
        (1, 2, vec![vec!["a"], vec!["b", "c"], vec!["d", "e"]]),
        (0, 3, vec![vec!["a", "b", "c"], vec!["d", "e"]]),
        (2, 64, vec![vec!["a", "b"], vec!["c", "d", "e"]]),
        // A canary wave disturbs no more workers at the same time than any other.
        (64, 1, names.iter().map(|name| vec![*name]).collect()),
        (3, 2, vec![vec!["a", "b"], vec!["c", "d"], vec!["e"]]),
    ] {
        let plan = changed(case(canary, width), &names, true).plan();
        assert_eq!(waves(&plan), expected, "canary {canary}, width {width}");
        let order: Vec<u32> = plan.changes.iter().map(|it| it.wave.unwrap().number).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
    assert_eq!(case(1, 2).plan().rollout, None, "there are no workers");
}

#[test]
fn first_joins_follow_their_canary_all_together() {
    let names = ["a", "b", "c", "d", "e"];
    for (canary, expected) in [
        (1, vec![vec!["a"], vec!["b", "c", "d", "e"]]),
        (0, vec![names.to_vec()]),
        (64, vec![names.to_vec()]),
    ] {
        assert_eq!(waves(&new(case(canary, 1), &names).plan()), expected, "canary {canary}");
    }
}

#[test]
fn new_workers_come_before_changed_ones_and_broken_ones_last() {
    let case = changed(changed(case(1, 2), &["a"], false), &["b"], true);
    let plan = new(case, &["y", "z"]).plan();
    assert_eq!(waves(&plan), [vec!["y"], vec!["b", "z"], vec!["a"]]);
    let canaries = plan.changes.iter().filter(|it| it.wave.unwrap().is_canary);
    let canaries: BTreeSet<&str> = canaries.map(|it| it.address.name.as_str()).collect();
    assert_eq!(canaries, BTreeSet::from(["b", "y"]), "workers that run pods have their own");
}

#[test]
fn the_width_counts_the_workers_of_one_datacenter() {
    let in_datacenter = |case: Case, datacenter: u8, name: &str| {
        let address = format!("worker/dc{datacenter}/{name}");
        case.wants(&address, worker(name, true, "new"), nothing_special)
            .has(&address, worker(name, true, "old"))
    };
    let case =
        ["a1", "b1", "c1"].into_iter().fold(case(0, 1), |it, name| in_datacenter(it, 1, name));
    let case = ["a2", "b2"].into_iter().fold(case, |it, name| in_datacenter(it, 2, name));
    assert_eq!(waves(&case.plan()), [vec!["a1", "a2"], vec!["b1", "b2"], vec!["c1"]]);
}

#[test]
fn the_default_width_is_a_tenth_of_a_datacenter_and_at_most_eight() {
    use RolloutWidth::{Count, Default, Percent};
    for (width, workers, expected) in [
        (Default, 1, 1),
        (Default, 29, 2),
        (Default, 80, 8),
        (Default, 1000, 8),
        (Percent(25), 10, 2),
        (Percent(1), 10, 1),
        (Percent(100), 1000, 64),
        (Count(3), 2, 3),
        (Count(0), 2, 1),
    ] {
        assert_eq!(width.of(workers), expected, "{width:?} of {workers}");
    }
}

/// A machine of a worker with another size, and its router's.
#[test]
fn machines_of_workers_restart_in_waves_after_their_router() {
    let machine = |size: &str, role| match super::case::machine(size, "network-interface/dc1/i") {
        Resource::VirtualMachine(machine) => {
            Resource::VirtualMachine(VirtualMachine { role, ..(*machine).clone() }.into())
        }
        other => other,
    };
    let resized = |case: Case, name: &str, role| {
        let address = format!("virtual-machine/dc1/{name}");
        case.wants(&address, machine("large", role), nothing_special)
            .has(&address, machine("small", role))
    };
    let both = changed(case(1, 8), &["a", "b"], true);
    let case = ["a", "b"].into_iter().fold(case(1, 8), |case, name| {
        resized(case, name, MachineRole::Worker).keeps(
            &format!("worker/dc1/{name}"),
            worker(name, true, "new"),
            inside(&format!("virtual-machine/dc1/{name}")),
        )
    });
    let plan = resized(case, "router", MachineRole::Router).plan();
    assert_eq!(
        done(&plan),
        ["~ virtual-machine/dc1/router", "~ virtual-machine/dc1/a", "~ virtual-machine/dc1/b"]
    );
    assert_eq!(waves(&plan), [["a"], ["b"]]);
    let interrupts = |name: &str| {
        super::case::change(&plan, &format!("virtual-machine/dc1/{name}")).interrupts.clone()
    };
    assert_eq!(interrupts("a").as_deref(), Some("the pods on a are evicted, then a restarts"));
    assert_eq!(
        interrupts("router").as_deref(),
        Some("pods lose connectivity through router while it restarts")
    );
    // With a change of the worker itself there is one place for both.
    let both = resized(resized(both, "a", MachineRole::Worker), "b", MachineRole::Worker).plan();
    assert_eq!(waves(&both), [["a"], ["b"]]);
    assert!(both.changes.iter().all(|it| it.wave.unwrap().number
        == match &*it.address.name {
            "a" => 1,
            _ => 2,
        }));
}

#[test]
fn removed_workers_need_no_wave() {
    let plan = case(1, 1).has("worker/dc1/a", worker("a", true, "old")).plan();
    assert_eq!((plan.count(Action::Delete), plan.rollout), (1, None));
}

#[test]
fn the_critical_path_includes_all_waves() {
    let plan = new(case(1, 2), &["a", "b", "c", "d", "e"]).plan();
    assert_eq!((plan.cost.seconds, plan.cost.critical_path.len()), (180, 2));
}

fn source(case: Case, operation: WorkerOperation, name: &str) -> Plan {
    let workers = BTreeSet::from([WorkerName::new(name)]);
    Case { worker_request: Some(WorkerRequest::new(operation, workers)), ..case }.plan()
}

#[test]
fn only_requested_workers_are_planned() {
    let all = || {
        let kept = |case: Case, name: &str| {
            case.keeps(&format!("worker/dc1/{name}"), worker(name, true, "new"), nothing_special)
        };
        new(kept(kept(case(1, 2), "a"), "b"), &["c"])
    };
    for (operation, action) in
        [(WorkerOperation::Repave, Action::Replace), (WorkerOperation::Reboot, Action::Reboot)]
    {
        let plan = source(all(), operation, "a");
        let [change] = &plan.changes[..] else { panic!("{plan:#?}") };
        assert_eq!((change.address.name.as_str(), change.action), ("a", action));
        assert!(change.requested && change.interrupts.is_some());
    }
    assert_eq!(
        source(all(), WorkerOperation::Repave, "c").count(Action::Replace),
        1,
        "it is reset first"
    );
    let blocked = source(all(), WorkerOperation::Reboot, "c");
    assert_eq!(blocked.blocked[0].failure.code, Code::WorkerOperationBlocked);
}

#[test]
fn a_worker_without_its_machine_is_not_replaced() {
    let machine = "worker/dc1/machine";
    let case = case(1, 1).wants(machine, worker("machine", true, "new"), nothing_special).keeps(
        "worker/dc1/a",
        worker("a", true, "new"),
        inside(machine),
    );
    let plan = source(case, WorkerOperation::Repave, "a");
    assert!(plan.changes.is_empty(), "{plan:#?}");
    assert_eq!(plan.blocked[0].failure.code, Code::WorkerOperationBlocked);
}
