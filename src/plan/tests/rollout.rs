//! Which worker goes in which wave.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::case::{Case, inside, nothing_special};
use crate::diagnostics::Code;
use crate::plan::{Action, Plan, WorkerOperation, WorkerRequest};
use crate::resource::host::JoinedWorker;
use crate::resource::{Observable, Resource};
use crate::topology::model::RolloutSettings;
use crate::topology::names::WorkerName;

fn worker(name: &str, ready: bool, digest: &str) -> Resource {
    Resource::Worker(JoinedWorker {
        name: name.to_owned(),
        ip: Ipv4Addr::new(10, 1, 2, 3),
        pod_cidr: "10.244.65.0/24".parse().unwrap(),
        provider_id: format!("stargate:///dc1/{name}"),
        labels: Default::default(),
        taints: Default::default(),
        kubelet_version: "1.33.5".parse().unwrap(),
        profile_digest: digest.to_owned(),
        ready,
        host: Observable::unobserved(),
    })
}

fn case(canary: u32, width: u32) -> Case {
    Case {
        rollout: RolloutSettings { canary, width, ..RolloutSettings::default() },
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

#[test]
fn a_canary_precedes_waves_of_the_configured_width() {
    let names = ["a", "b", "c", "d", "e"];
    for (canary, width, expected) in [
        (1, 2, vec![vec!["a"], vec!["b", "c"], vec!["d", "e"]]),
        (0, 3, vec![vec!["a", "b", "c"], vec!["d", "e"]]),
        (2, 64, vec![vec!["a", "b"], vec!["c", "d", "e"]]),
        (64, 1, vec![vec!["a", "b", "c", "d", "e"]]),
    ] {
        let plan = new(case(canary, width), &names).plan();
        assert_eq!(waves(&plan), expected, "canary {canary}, width {width}");
        let order: Vec<u32> = plan.changes.iter().map(|it| it.wave.unwrap().number).collect();
        assert!(order.is_sorted(), "{order:?}");
    }
    assert_eq!(case(1, 2).plan().rollout, None, "there are no workers");
}

#[test]
fn new_workers_come_before_changed_ones_and_broken_ones_last() {
    let changed = |case: Case, name: &str, ready| {
        case.wants(&format!("worker/dc1/{name}"), worker(name, true, "new"), nothing_special)
            .has(&format!("worker/dc1/{name}"), worker(name, ready, "old"))
    };
    let case = changed(changed(case(1, 2), "a", false), "b", true);
    let plan = new(case, &["y", "z"]).plan();
    assert_eq!(waves(&plan), [vec!["y"], vec!["b", "z"], vec!["a"]]);
}

#[test]
fn removed_workers_need_no_wave() {
    let plan = case(1, 1).has("worker/dc1/a", worker("a", true, "old")).plan();
    assert_eq!((plan.count(Action::Delete), plan.rollout), (1, None));
}

#[test]
fn the_critical_path_includes_all_waves() {
    let plan = new(case(1, 2), &["a", "b", "c", "d", "e"]).plan();
    assert_eq!((plan.cost.seconds, plan.cost.critical_path.len()), (270, 3));
}

fn source(case: Case, operation: WorkerOperation, name: &str) -> Plan {
    let workers = BTreeSet::from([WorkerName::new(name)]);
    Case { worker_request: Some(WorkerRequest { operation, workers }), ..case }.plan()
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
