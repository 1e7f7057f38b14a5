use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::queue::Queue;
use super::retention;
use crate::plan::WorkerOperation;
use crate::provider::cluster::{OperationObject, OperationOrigin, OperationPhase};
use crate::resource::Ownership;
use crate::resource::ownership::SiteName;
use crate::topology::load::load_text;
use crate::topology::model::Topology;

const FIRST: &str = "stargate-aks-e2e-2-worker-1";
const SECOND: &str = "stargate-aks-e2e-2-worker-2";

fn topology(watch: &str) -> Topology {
    let example = include_str!("../../../examples/aks-e2e/stargate.toml");
    load_text("stargate.toml", &format!("{example}\n[watch]\n{watch}\n")).unwrap().topology
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

/// A request that was created at this second.
fn request(name: &str, server: &str, operation: &str, created: i64) -> OperationObject {
    OperationObject {
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
        origin: OperationOrigin::Request,
        ownership: Ownership::Foreign,
        is_claimed: false,
        server: server.to_owned(),
        profile: "azure-k8s-worker".to_owned(),
        operation: operation.to_owned(),
        generation: 1,
        created: at(created),
        is_deleting: false,
        is_held: false,
        phase: None,
        reason: String::new(),
        message: String::new(),
        observed_generation: None,
        started: None,
        completed: None,
        attempts: 0,
        node_uid: None,
        boot_id: None,
    }
}

fn started(object: OperationObject) -> OperationObject {
    OperationObject { is_held: true, phase: Some(OperationPhase::Running), ..object }
}

fn ended(object: OperationObject, second: i64) -> OperationObject {
    let ownership = Ownership::Ours { site: SiteName("cluster".to_owned()) };
    let phase = Some(OperationPhase::Succeeded);
    OperationObject { phase, completed: Some(at(second)), ownership, ..object }
}

/// The queue an hour after the first request, with nothing held back.
fn queue_of<'a>(topology: &Topology, objects: &'a [OperationObject]) -> Queue<'a> {
    Queue::of(topology, objects, &BTreeSet::new(), at(3_600))
}

/// The kind and the Operations of the batch, and why the others wait or are refused.
type Summary<'a> = (
    Option<(WorkerOperation, BTreeSet<&'a str>)>,
    Vec<(&'a str, &'a str)>,
    Vec<(&'a str, &'a str)>,
);

fn summary<'a>(queue: &'a Queue<'_>) -> Summary<'a> {
    let batch = queue.batch.as_ref().map(|batch| {
        let names = batch.members.values().map(|object| object.name.as_str());
        (batch.operation, names.collect())
    });
    let listed = |list: &'a [(&OperationObject, super::Reason)]| {
        list.iter().map(|(object, reason)| (object.name.as_str(), reason.name)).collect()
    };
    (batch, listed(&queue.waiting), listed(&queue.refused))
}

#[test]
fn the_first_operation_of_each_worker_runs_and_another_kind_waits() {
    let topology = topology("");
    let objects = [
        request("c", FIRST, "reboot", 3),
        request("a", FIRST, "repave", 1),
        request("b", SECOND, "repave", 2),
        request("d", SECOND, "repave", 4),
    ];
    let queue = queue_of(&topology, &objects);
    let batch = Some((WorkerOperation::Repave, BTreeSet::from(["a", "b"])));
    let waiting = vec![("c", "WaitsForServer"), ("d", "WaitsForServer")];
    assert_eq!(summary(&queue), (batch, waiting, vec![]));
    assert_eq!(queue.waiting[0].1.message, "waits for the Operation a on the same Server");

    let objects = [request("a", FIRST, "reboot", 1), request("b", SECOND, "repave", 2)];
    let queue = queue_of(&topology, &objects);
    let batch = Some((WorkerOperation::Reboot, BTreeSet::from(["a"])));
    assert_eq!(summary(&queue), (batch, vec![("b", "Queued")], vec![]));
}

#[test]
fn started_operations_finish_before_others_begin() {
    let objects = [request("a", FIRST, "repave", 1), started(request("b", SECOND, "repave", 2))];
    let topology = topology("");
    let queue = queue_of(&topology, &objects);
    let batch = Some((WorkerOperation::Repave, BTreeSet::from(["b"])));
    assert_eq!(summary(&queue), (batch, vec![("a", "Queued")], vec![]));
}

#[test]
fn a_blocked_operation_holds_its_server_and_no_other_one() {
    let objects = [
        started(request("a", FIRST, "repave", 1)),
        request("b", FIRST, "reboot", 2),
        request("c", SECOND, "reboot", 3),
    ];
    let topology = topology("");
    let held = BTreeSet::from(["uid-of-a".to_owned()]);
    let queue = Queue::of(&topology, &objects, &held, at(3_600));
    let batch = Some((WorkerOperation::Reboot, BTreeSet::from(["c"])));
    assert_eq!(summary(&queue), (batch, vec![("b", "WaitsForServer")], vec![]));
    let queue = Queue::of(&topology, &objects[..2], &held, at(3_600));
    assert_eq!(summary(&queue), (None, vec![("b", "WaitsForServer")], vec![]));
}

#[test]
fn an_operation_waits_five_minutes_for_its_server() {
    let objects = [request("early", "worker-9", "reboot", 0)];
    let topology = topology("");
    let at_second = |second: i64| Queue::of(&topology, &objects, &BTreeSet::new(), at(second));
    let queue = at_second(299);
    assert_eq!(summary(&queue), (None, vec![("early", "UnknownServer")], vec![]));
    assert_eq!(queue.recheck, Some(std::time::Duration::from_secs(1)));
    let queue = at_second(300);
    assert_eq!(summary(&queue), (None, vec![], vec![("early", "UnknownServer")]));
    assert_eq!(queue.recheck, None);
    // The worker of one that was started has left.
    let objects = [started(request("started", "worker-9", "reboot", 0))];
    let queue = Queue::of(&topology, &objects, &BTreeSet::new(), at(1));
    assert_eq!(summary(&queue), (None, vec![], vec![("started", "UnknownServer")]));
}

#[test]
fn nothing_runs_where_the_topology_only_reports() {
    let objects = [request("a", FIRST, "repave", 1), request("b", "typo", "repave", 2)];
    let topology = topology("apply = \"none\"");
    let queue = queue_of(&topology, &objects);
    assert_eq!(summary(&queue), (None, vec![("a", "ReportOnly")], vec![("b", "UnknownServer")]));
}

#[test]
fn only_names_of_servers_become_parts_of_paths() {
    assert!(super::may_name_server("dc1-w1.example"));
    for name in ["../nodes/a", "..", "a/b", "a?x=y", "a b", "A"] {
        assert!(!super::may_name_server(name), "{name}");
    }
}

#[test]
fn requests_that_cannot_run_are_refused_with_the_reason() {
    let with_profile =
        OperationObject { profile: "standrad".to_owned(), ..request("p", FIRST, "repave", 1) };
    let copied = OperationObject {
        origin: OperationOrigin::CopiedRecord,
        ..request("copy", FIRST, "repave", 1)
    };
    for (object, reason, message) in [
        (
            request("s", "stargate-aks-e2e-2-worker-3", "repave", 1),
            "UnknownServer",
            "has no worker stargate-aks-e2e-2-worker-3; did you mean",
        ),
        (request("j", FIRST, "join", 1), "UnsupportedOperation", "join cannot be requested"),
        (with_profile, "UnknownProfile", "has no profile standrad"),
        (copied, "CopiedRecord", "remove the labels"),
    ] {
        let (topology, objects) = (topology(""), [object]);
        let queue = queue_of(&topology, &objects);
        let [(_, found)] = queue.refused.as_slice() else { panic!("{queue:?}") };
        assert_eq!(found.name, reason);
        assert!(found.message.contains(message), "{}", found.message);
        assert!(queue.batch.is_none() && queue.waiting.is_empty());
    }
}

#[test]
fn records_and_ended_and_foreign_operations_are_left_alone() {
    let objects = [
        OperationObject { origin: OperationOrigin::Record, ..request("r", FIRST, "repave", 1) },
        ended(request("e", FIRST, "repave", 1), 2),
        OperationObject { is_deleting: true, ..request("d", FIRST, "repave", 1) },
        OperationObject {
            ownership: Ownership::OtherTopology { topology: "other".to_owned() },
            ..request("o", FIRST, "repave", 1)
        },
    ];
    let topology = topology("");
    assert_eq!(summary(&queue_of(&topology, &objects)), (None, vec![], vec![]));
    // One that was started is finished, although it is being deleted.
    let objects =
        [OperationObject { is_deleting: true, ..started(request("d", FIRST, "repave", 1)) }];
    let queue = queue_of(&topology, &objects);
    assert!(queue.batch.is_some());
}

#[test]
fn finished_operations_are_kept_for_a_week_and_five_of_each_worker() {
    let hour = 3_600;
    let mut objects: Vec<OperationObject> = (0..8)
        .map(|hours| ended(request(&format!("a{hours}"), FIRST, "reboot", 0), hours * hour))
        .collect();
    objects.push(ended(request("b", SECOND, "reboot", 0), 0));
    objects.push(OperationObject {
        ownership: Ownership::Foreign,
        ..ended(request("foreign", SECOND, "reboot", 0), 0)
    });
    objects.push(started(request("running", SECOND, "reboot", 0)));
    let expired = |after: i64| -> Vec<String> {
        let now = at(7 * hour) + SignedDuration::from_secs(after);
        let mut names: Vec<String> =
            retention::expired(&objects, now).into_iter().map(|it| it.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(expired(1), ["a0", "a1", "a2"]);
    assert_eq!(expired(6 * 24 * hour + 18 * hour), ["a0", "a1", "a2", "b"]);
    assert_eq!(expired(7 * 24 * hour).len(), 9, "all that ended");
}
