use super::*;
use crate::diagnostics::Code;
use crate::plan::{Action, AwaitingApproval};
use crate::watch::PairCounts;

fn topology() -> ReconciledTopology {
    ReconciledTopology {
        name: TopologyName::new("lab"),
        digest: "d1".to_owned(),
        settings: WatchSettings::default(),
    }
}

fn reconciled(result: ReconcileResult) -> Reconciled {
    Reconciled { result, remaining: Some(Remaining::default()), ..Reconciled::interrupted() }
}

/// The status after this progress, and the part of it to write.
fn written(previous: &Value, time: &str, progress: &Progress) -> Option<Value> {
    let facts = StatusFacts {
        previous,
        generation: 1,
        now: time.parse().unwrap(),
        version: "1.2.3",
        topology: &topology(),
        invalid: None,
        approval: None,
        last_success: Some(time.parse().unwrap()),
    };
    changed_status(&facts, progress)
}

fn ended(result: ReconcileResult) -> Progress {
    Progress::Ended(Box::new(reconciled(result)))
}

fn condition_of<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|it| it["type"] == kind).unwrap()
}

const FIRST: &str = "2026-01-02T03:04:05Z";
const LATER: &str = "2026-01-02T03:09:05Z";

#[test]
fn times_alone_are_not_written() {
    let first = written(&Value::Null, FIRST, &ended(ReconcileResult::Matches)).unwrap();
    assert_eq!(first["lastSuccessTime"], FIRST);
    assert_eq!(written(&first, LATER, &ended(ReconcileResult::Matches)), None);
}

#[test]
fn a_condition_keeps_its_time_until_its_status_changes() {
    let first = written(&Value::Null, FIRST, &ended(ReconcileResult::Blocked)).unwrap();
    assert_eq!(condition_of(&first, "Stalled")["status"], "True");
    let second = written(&first, LATER, &ended(ReconcileResult::Failed)).unwrap();
    let (ready, stalled) = (condition_of(&second, "Ready"), condition_of(&second, "Stalled"));
    assert_eq!((&ready["reason"], &ready["lastTransitionTime"]), (&json!("Failed"), &json!(FIRST)));
    let changed = (&json!("False"), &json!(LATER));
    assert_eq!((&stalled["status"], &stalled["lastTransitionTime"]), changed);
    assert_eq!(second["lastUpdateTime"], LATER);
}

/// A reconcile that failed before it planned knows nothing of drift and pairs.
#[test]
fn a_failed_reconcile_keeps_unknown_fields() {
    let failure = Failure::new(Code::ServiceUnavailable, "no answer", "wait");
    let failed = Progress::Ended(Box::new(Reconciled::failed(failure)));
    let status = written(&Value::Null, FIRST, &failed).unwrap();
    for field in ["drift", "pairs", "workers", "pendingApproval"] {
        assert_eq!(status.get(field), None, "{field}");
    }
    assert_eq!(condition_of(&status, "Ready")["message"], "SG0618: no answer");
}

#[test]
fn broken_pairs_are_not_ready_and_a_pause_names_its_cause() {
    let pairs = PairCounts { broken: 2, ..PairCounts::default() };
    let broken = Reconciled { pairs, ..reconciled(ReconcileResult::Matches) };
    let status = written(&Value::Null, FIRST, &Progress::Ended(Box::new(broken))).unwrap();
    assert_eq!(condition_of(&status, "Ready")["reason"], "PairsUnreachable");
    let waiting = AwaitingApproval {
        address: "worker/dc1/a".parse().unwrap(),
        action: Action::Delete,
        reason: ApprovalReason::TooManyRemovals,
        digest: "d".to_owned(),
    };
    let paused = Reconciled {
        awaiting_approval: vec![waiting; 50],
        ..reconciled(ReconcileResult::AwaitsApproval)
    };
    let status = written(&Value::Null, FIRST, &Progress::Ended(Box::new(paused))).unwrap();
    let ready = condition_of(&status, "Ready");
    assert_eq!(ready["reason"], "Paused");
    assert!(ready["message"].as_str().unwrap().contains("max_removals"), "{ready}");
    let pending = &status["pendingApproval"];
    assert_eq!(pending["total"], 50);
    assert_eq!(pending["changes"].as_array().unwrap().len(), MAX_NAMED);
}
