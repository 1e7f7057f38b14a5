//! Operations that run: their effects and their records.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    FIRST, SECOND, boots, condition, create, ended, events_about, is_whole, manifest, operation,
    operations, phase, reasons, request, uid, until,
};
use crate::harness::{Deployment, EXAMPLE};
use crate::watch::{NO_TIMER, watched, watching};

#[tokio::test(start_paused = true)]
async fn a_repave_and_a_reboot_are_run_and_leave_no_trace_but_their_status() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let (first, second) = (uid(&deployment, FIRST), uid(&deployment, SECOND));
    let records = operations(&deployment).len();
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        request(&deployment, "new-image", FIRST, "repave").await;
        sleep(Duration::from_secs(1)).await;
        request(&deployment, "new-kernel", SECOND, "reboot").await;
        until("it waits", || phase(&deployment, "new-image") == "Running").await;
        let running = operation(&deployment, "new-image")["status"].clone();
        assert_eq!(running["attempts"], 1, "{running}");
        assert_eq!(running["currentStep"], running["message"], "{running}");
        assert_eq!(running["nodeUID"], first.as_str(), "{running}");
        ended(&deployment, &["new-image", "new-kernel"]).await;
        watch.settles().await;
        watch.matches();
        // Nothing is written while nothing changes.
        let writes = deployment.writes();
        sleep(Duration::from_secs(3_600)).await;
        assert_eq!(deployment.writes(), writes);
    })
    .await;
    assert_ne!(uid(&deployment, FIRST), first);
    assert_eq!((uid(&deployment, SECOND), boots(&deployment, SECOND)), (second, 1));
    for (name, worker) in [("new-image", FIRST), ("new-kernel", SECOND)] {
        let status = operation(&deployment, name)["status"].clone();
        assert_eq!(status["phase"], "Succeeded", "{status}");
        assert_eq!((&status["attempts"], &status["observedGeneration"]), (&json!(1), &json!(1)));
        assert!(status["startTime"].as_str() < status["completionTime"].as_str(), "{status}");
        assert!(status["currentStep"].is_null(), "{status}");
        let holds = |kind| condition(&deployment, name, kind).0;
        let conditions = ["Complete", "Ready", "Reconciling", "Stalled"].map(holds);
        assert_eq!(conditions, ["True", "True", "False", "False"], "{status}");
        let expected = reasons(&["Started", "Succeeded"]);
        for (kind, object) in [("Operation", name), ("Server", worker), ("Node", worker)] {
            assert_eq!(events_about(&deployment, kind, object), expected, "{kind} {object}");
        }
    }
    assert_eq!(operations(&deployment).len(), records + 2, "the requests are the records");
    is_whole(&deployment).await;
}

#[tokio::test(start_paused = true)]
async fn the_second_operation_on_a_worker_waits_for_the_first() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        request(&deployment, "one", FIRST, "reboot").await;
        sleep(Duration::from_secs(1)).await;
        request(&deployment, "two", FIRST, "reboot").await;
        until("the first runs", || phase(&deployment, "one") == "Running").await;
        ended(&deployment, &["one"]).await;
        until("the second runs", || phase(&deployment, "two") == "Running").await;
        ended(&deployment, &["two"]).await;
    })
    .await;
    let time = |name: &str, field: &str| operation(&deployment, name)["status"][field].to_string();
    assert!(time("one", "completionTime") <= time("two", "startTime"));
    assert_eq!(boots(&deployment, FIRST), 2);
    is_whole(&deployment).await;
}

/// The condition says for which Operation the second one waits.
#[tokio::test(start_paused = true)]
async fn operations_that_were_created_before_the_watch_run_in_their_order() {
    let deployment = Deployment::example_applied().await;
    for (name, operation) in [("b-first", "reboot"), ("a-second", "repave"), ("c-third", "reboot")]
    {
        request(&deployment, name, FIRST, operation).await;
        sleep(Duration::from_secs(2)).await;
    }
    deployment.sandbox.simulate_host_delays();
    watching(&deployment, &watched(""), async |_| {
        until("the first runs", || phase(&deployment, "b-first") == "Running").await;
        let waiting = condition(&deployment, "a-second", "Reconciling");
        let message = "waits for the Operation b-first on the same Server";
        let expected = ("True", "WaitsForServer", message);
        assert_eq!((&*waiting.0, &*waiting.1, &*waiting.2), expected);
        assert_eq!(phase(&deployment, "c-third"), "Pending");
        ended(&deployment, &["b-first", "a-second", "c-third"]).await;
    })
    .await;
    let begin = |name: &str| operation(&deployment, name)["status"]["startTime"].to_string();
    assert!(begin("b-first") < begin("a-second") && begin("a-second") < begin("c-third"));
    is_whole(&deployment).await;
}

/// Operations are requests of people: only `none` forbids them.
#[tokio::test(start_paused = true)]
async fn nothing_runs_while_the_topology_only_reports() {
    let deployment = Deployment::example_applied().await;
    let none = watched("apply = \"none\"");
    watching(&deployment, &none, async |watch| {
        request(&deployment, "patience", FIRST, "reboot").await;
        watch.settles().await;
        let (status, reason, message) = condition(&deployment, "patience", "Reconciling");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "ReportOnly"), "{message}");
        assert!(message.contains("`[watch] apply` is \"none\""), "{message}");
        assert_eq!(
            (phase(&deployment, "patience").as_str(), boots(&deployment, FIRST)),
            ("Pending", 0)
        );
        watch.edit(Some(&watched("apply = \"routes\""))).await;
        ended(&deployment, &["patience"]).await;
    })
    .await;
    assert_eq!(
        (phase(&deployment, "patience").as_str(), boots(&deployment, FIRST)),
        ("Succeeded", 1)
    );
    let all = Deployment::example_applied().await;
    watching(&all, &watched("apply = \"all\""), async |_| {
        request(&all, "now", FIRST, "reboot").await;
        ended(&all, &["now"]).await;
    })
    .await;
    assert_eq!(boots(&all, FIRST), 1);
}

/// Records of a command line, including those of earlier versions with fewer marks, and of
/// a process that was killed before it wrote the status.
#[tokio::test(start_paused = true)]
async fn records_are_never_run() {
    let deployment = Deployment::example_applied().await;
    let earlier = json!({ "stargate.io/topology": "aks-e2e", "stargate.io/server": FIRST });
    let topology = deployment.topology.name.to_string();
    let mut record = manifest("record", FIRST, "reboot", super::PROFILE);
    record["metadata"]["labels"] = earlier;
    record["metadata"]["labels"]["stargate.io/topology"] = json!(topology);
    let mut running = record.clone();
    running["metadata"]["name"] = json!("running");
    running["status"] = json!({ "phase": "Running", "startTime": "2026-01-02T03:04:05Z" });
    for object in [&record, &running] {
        deployment.sandbox.change(|sandbox, now| {
            let store = sandbox.kubernetes.as_mut().unwrap();
            store.put(object.clone(), "stargate", &now.to_string()).map(drop).unwrap();
        });
    }
    // A person copied one.
    let mut copy = record.clone();
    copy["metadata"]["name"] = json!("copy");
    create(&deployment, copy).await;
    let before = [operation(&deployment, "record"), operation(&deployment, "running")];
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert_eq!([operation(&deployment, "record"), operation(&deployment, "running")], before);
    assert_eq!(boots(&deployment, FIRST), 0);
    assert_eq!(phase(&deployment, "copy"), "Refused");
    assert_eq!(condition(&deployment, "copy", "Stalled").1, "CopiedRecord");
}

#[tokio::test(start_paused = true)]
async fn finished_operations_are_deleted_after_a_week() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |_| {
        request(&deployment, "reboot-it", FIRST, "reboot").await;
        request(&deployment, "typo", "worker-9", "reboot").await;
        ended(&deployment, &["reboot-it", "typo"]).await;
    })
    .await;
    for (days, expected) in [(6, vec!["reboot-it", "typo"]), (8, vec![])] {
        let later = deployment.sandbox.now() + SignedDuration::from_hours(24 * days);
        let text = format!("{EXAMPLE}\n[watch]\n{NO_TIMER}\n");
        let later = Deployment::at(&text, deployment.copy_of_state(), later);
        watching(&later, &text, async |watch| {
            watch.settles().await;
        })
        .await;
        let left = operations(&later);
        let names: Vec<&str> =
            left.iter().map(|it| it["metadata"]["name"].as_str().unwrap()).collect();
        let requested: Vec<&str> =
            names.iter().copied().filter(|it| ["reboot-it", "typo"].contains(it)).collect();
        assert_eq!(requested, expected, "after {days} days: {names:?}");
        assert_eq!(names.is_empty(), days > 7, "records go as well: {names:?}");
    }
}

/// A file of nested mappings, which is all of YAML that the examples use.
fn parse(text: &str) -> Value {
    let mut document = Value::Null;
    let mut path: Vec<(usize, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let content = line.split(" #").next().unwrap().trim_end();
        let indent = content.len() - content.trim_start().len();
        let Some((key, value)) = content.trim().split_once(':') else { continue };
        path.retain(|(other, _)| *other < indent);
        path.push((indent, key.to_owned()));
        if !value.is_empty() {
            let mut field = &mut document;
            for (_, key) in &path {
                field = &mut field[key.as_str()];
            }
            *field = json!(value.trim());
        }
    }
    document
}

#[tokio::test(start_paused = true)]
async fn the_examples_run() {
    let examples = [
        include_str!("../../../../examples/operations/repave.yaml"),
        include_str!("../../../../examples/operations/reboot.yaml"),
    ]
    .map(parse);
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |_| {
        for example in &examples {
            create(&deployment, example.clone()).await;
            ended(&deployment, &[example["metadata"]["name"].as_str().unwrap()]).await;
        }
    })
    .await;
    assert_eq!(phase(&deployment, "repave-worker-1"), "Succeeded");
    assert_eq!(
        (phase(&deployment, "reboot-worker-2").as_str(), boots(&deployment, SECOND)),
        ("Succeeded", 1)
    );
}
