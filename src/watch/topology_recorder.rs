//! Reports on the Topology object, and takes approvals from it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::timeout;

use super::events::{WatchEvent, WatchReporter};
use super::reconciled::{ReconcileResult, Reconciled};
use super::topology_status::{
    ApprovalRecord, ApprovalState, Progress, ReconciledTopology, StatusFacts, changed_status,
};
use crate::diagnostics::{Failure, counted};
use crate::plan::Plan;
use crate::plan::unattended::ApprovedChanges;
use crate::provider::cluster::{ClusterError, TopologyObject};
use crate::provider::read_write::ClusterWrite;
use crate::topology::load::Loaded;

/// How long a reconcile waits for an answer about the object.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an annotation is repeated in the status.
const MAX_DIGEST: usize = 64;

/// Reports on the Topology object over all reconciles of a process. A cluster that does not
/// know Topologies gets no report.
#[derive(Debug)]
pub struct TopologyRecorder {
    version: String,
    now: fn() -> Timestamp,
    state: Mutex<RecorderState>,
}

#[derive(Debug, Default)]
struct RecorderState {
    /// Reports outside of a reconcile; `None` while this replica does not reconcile.
    client: Option<Arc<dyn ClusterWrite>>,
    /// Why the topology file is invalid now.
    invalid: Option<Failure>,
    /// The reconcile that ended last.
    last: Option<(ReconciledTopology, Box<Reconciled>)>,
    last_success: Option<Timestamp>,
    approval: Option<Approval>,
    /// The result of the last approval.
    record: Option<ApprovalRecord>,
}

/// Changes that were approved and are not all made.
#[derive(Debug, Clone)]
struct Approval {
    digest: String,
    /// The topology file that it was given for.
    topology: String,
    changes: ApprovedChanges,
}

/// The object in one reconcile.
pub(super) struct TopologyReport<'a> {
    recorder: &'a TopologyRecorder,
    topology: ReconciledTopology,
    client: Arc<dyn ClusterWrite>,
    object: tokio::sync::Mutex<TopologyObject>,
    /// Receives what becomes of approvals; `None` outside of a reconcile.
    reporter: Option<&'a dyn WatchReporter>,
}

impl TopologyRecorder {
    /// Reports from now on. `version` is the version of the program.
    pub fn new(version: &str, now: fn() -> Timestamp) -> Self {
        Self { version: version.to_owned(), now, state: Mutex::default() }
    }

    /// Sets whether the topology file is valid, and reports it if this replica reconciles.
    pub async fn set_file_state(&self, invalid: Option<&Failure>) {
        let (client, last) = {
            let mut state = self.state();
            state.invalid = invalid.cloned();
            (state.client.clone(), state.last.clone())
        };
        if let (Some(client), Some((topology, reconciled))) = (client, last)
            && let Some(report) = self.open(client, topology, None).await
        {
            report.write(&Progress::Ended(reconciled)).await;
        }
    }

    /// The time of the last reconcile after which only changes that await approval were
    /// left.
    pub fn last_success(&self) -> Option<Timestamp> {
        self.state().last_success
    }

    /// Begins the report of a reconcile. `None` if the cluster has no object for it and
    /// none can be created.
    pub(super) async fn begin<'a>(
        &'a self,
        client: Arc<dyn ClusterWrite>,
        loaded: &Loaded,
        reporter: &'a dyn WatchReporter,
    ) -> Option<TopologyReport<'a>> {
        let topology = ReconciledTopology {
            name: loaded.topology.name.clone(),
            digest: loaded.digest.clone(),
            settings: loaded.topology.watch,
        };
        self.state().client = Some(Arc::clone(&client));
        self.open(client, topology, Some(reporter)).await
    }

    /// Notes how a reconcile ended, also where it cannot be reported.
    pub(super) fn note(&self, reconciled: &Reconciled) {
        let is_success =
            matches!(reconciled.result, ReconcileResult::Matches | ReconcileResult::AwaitsApproval);
        if is_success {
            self.state().last_success = Some((self.now)());
        }
    }

    /// The client of the last reconcile; `None` while this replica does not reconcile.
    pub(super) fn client(&self) -> Option<Arc<dyn ClusterWrite>> {
        self.state().client.clone()
    }

    /// Another replica reconciles: it makes the changes that were approved here.
    pub(super) fn stand_by(&self) {
        let mut state = self.state();
        state.client = None;
        state.approval = None;
        state.record = None;
    }

    /// Stands by if another replica leads.
    pub fn follow_leader(&self, elsewhere: Option<&str>) {
        if elsewhere.is_some() {
            self.stand_by();
        }
    }

    async fn open<'a>(
        &'a self,
        client: Arc<dyn ClusterWrite>,
        topology: ReconciledTopology,
        reporter: Option<&'a dyn WatchReporter>,
    ) -> Option<TopologyReport<'a>> {
        let find = async {
            match client.topology_object().await {
                Ok(Some(object)) => Ok(object),
                Ok(None) => client.create_topology_object().await,
                Err(error) => Err(error),
            }
        };
        let Ok(found) = timeout(ANSWER_TIMEOUT, find).await else {
            tracing::warn!("the Topology object cannot be read: no answer");
            return None;
        };
        match found {
            Ok(object) => {
                let object = tokio::sync::Mutex::new(object);
                Some(TopologyReport { recorder: self, topology, client, object, reporter })
            }
            // The CRD or the namespace is missing before the first apply.
            Err(error) if error.is_not_found() => None,
            Err(error) => {
                tracing::warn!(%error, "the Topology object cannot be read");
                None
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, RecorderState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TopologyReport<'_> {
    /// The changes that are approved. `plan` has everything that awaits approval. An
    /// approval is taken from the object before anything is done by it, so that no other
    /// process and no later plan uses it again.
    pub(super) async fn approved(&self, plan: &Plan) -> ApprovedChanges {
        let object = self.object.lock().await;
        // An approved change may depend on an unread source.
        if let Some(requested) = object.approval.clone().filter(|_| is_complete(plan)) {
            match self.client.take_approval(&object).await {
                Ok(()) => self.accept(&requested, plan),
                Err(error) => note("an approval cannot be taken", &error),
            }
        }
        self.end_unknown_approval(&object);
        self.active_approval(plan)
    }

    /// An approval that the status reports as in progress, and of which this process knows
    /// nothing, was taken by a process that has ended.
    fn end_unknown_approval(&self, object: &TopologyObject) {
        let mut state = self.recorder.state();
        let reported = &object.status["approval"];
        let is_in_progress = reported["state"] == ApprovalState::InProgress.as_str();
        if is_in_progress && state.approval.is_none() && state.record.is_none() {
            let digest = reported["digest"].as_str().unwrap_or_default().to_owned();
            let message = "the process ended before it made the approved changes".to_owned();
            let record = ApprovalRecord { digest, state: ApprovalState::Abandoned, message };
            self.note_approval(&mut state, record);
        }
    }

    /// Keeps the state of an approval for the status, and reports it.
    fn note_approval(&self, state: &mut RecorderState, record: ApprovalRecord) {
        if let Some(reporter) = self.reporter {
            let ApprovalRecord { digest, state, message } = record.clone();
            reporter.event(&WatchEvent::Approval { digest, state, message });
        }
        state.record = Some(record);
    }

    fn end_approval(&self, state: &mut RecorderState, ended: ApprovalState, message: &str) {
        if let Some(Approval { digest, .. }) = state.approval.take() {
            let record = ApprovalRecord { digest, state: ended, message: message.to_owned() };
            self.note_approval(state, record);
        }
    }

    fn accept(&self, requested: &str, plan: &Plan) {
        let mut state = self.recorder.state();
        let digest: String =
            requested.chars().filter(char::is_ascii_graphic).take(MAX_DIGEST).collect();
        let waiting = plan.approval_digest();
        if waiting.as_deref() != Some(requested) {
            let message = match waiting {
                Some(waiting) => {
                    format!("the changes that await approval have the digest {waiting}")
                }
                None => "no change awaits approval".to_owned(),
            };
            let record = ApprovalRecord { digest, state: ApprovalState::Refused, message };
            return self.note_approval(&mut state, record);
        }
        let count = counted(plan.awaiting_approval.len(), "change");
        let message = format!("approved: {count}");
        let in_progress = ApprovalState::InProgress;
        let record = ApprovalRecord { digest: digest.clone(), state: in_progress, message };
        self.note_approval(&mut state, record);
        let topology = self.topology.digest.clone();
        state.approval =
            Some(Approval { digest, topology, changes: ApprovedChanges::all_of(plan) });
    }

    /// The changes that were approved for this version of the topology file and await
    /// approval in this plan. An approval of any other change expires, unless the plan lacks
    /// changes because a source could not be read.
    fn active_approval(&self, plan: &Plan) -> ApprovedChanges {
        let mut state = self.recorder.state();
        match &mut state.approval {
            Some(approval) if approval.topology == self.topology.digest => {
                let mut changes = approval.changes.clone();
                changes.retain_awaiting(plan);
                if is_complete(plan) {
                    approval.changes = changes.clone();
                }
                changes
            }
            Some(_) => {
                self.end_approval(
                    &mut state,
                    ApprovalState::Abandoned,
                    "the topology file changed before all approved changes were made",
                );
                ApprovedChanges::default()
            }
            None => ApprovedChanges::default(),
        }
    }

    /// Uses up approvals of changes that were made: the same change later needs another
    /// approval.
    pub(super) fn use_up(&self, digests: &BTreeSet<String>) {
        if let Some(approval) = &mut self.recorder.state().approval {
            approval.changes.remove(digests);
        }
    }

    /// Reports that changes are being made.
    pub(super) async fn changing(&self, plan: &Plan) {
        self.write(&Progress::Changing(plan.changes.len())).await;
    }

    /// Reports how the reconcile ended.
    pub(super) async fn end(&self, reconciled: &Reconciled) {
        match reconciled.result {
            // The next leader, or the next start, reports.
            ReconcileResult::Interrupted | ReconcileResult::StandingBy => return,
            _ => {}
        }
        self.close_approval(reconciled);
        let ended = Box::new(reconciled.clone());
        self.recorder.state().last = Some((self.topology.clone(), ended.clone()));
        self.write(&Progress::Ended(ended)).await;
    }

    /// An approval ends with the first reconcile that completes; one that failed is repeated.
    fn close_approval(&self, reconciled: &Reconciled) {
        let mut state = self.recorder.state();
        let Some(approval) = state.approval.clone() else { return };
        if reconciled.result == ReconcileResult::Failed {
            return;
        }
        match approval.changes.count_in(&reconciled.awaiting_approval) {
            0 if reconciled.blocked.is_empty() => {
                let message = "the approved changes are made";
                self.end_approval(&mut state, ApprovalState::Done, message);
            }
            0 => self.end_approval(
                &mut state,
                ApprovalState::Done,
                "the approved changes are made, as far as they are not blocked",
            ),
            left => {
                let message = format!("not made: {}", counted(left, "approved change"));
                self.end_approval(&mut state, ApprovalState::Abandoned, &message);
            }
        }
    }

    async fn write(&self, progress: &Progress) {
        let mut object = self.object.lock().await;
        let Some(status) = self.changed(&object, progress) else { return };
        let written = timeout(ANSWER_TIMEOUT, self.client.update_topology_status(&status)).await;
        match written {
            Ok(Ok(())) => merge(&mut object.status, status),
            Ok(Err(error)) => note("the status of the Topology object cannot be written", &error),
            Err(_) => tracing::warn!("the status of the Topology object was not written in time"),
        }
    }

    fn changed(&self, object: &TopologyObject, progress: &Progress) -> Option<Value> {
        let state = self.recorder.state();
        let facts = StatusFacts {
            previous: &object.status,
            generation: object.generation,
            now: (self.recorder.now)(),
            version: &self.recorder.version,
            topology: &self.topology,
            invalid: state.invalid.as_ref(),
            approval: state.record.as_ref(),
            last_success: state.last_success,
        };
        changed_status(&facts, progress)
    }
}

/// Whether every source of a plan could be read.
fn is_complete(plan: &Plan) -> bool {
    plan.unexplained_gaps().next().is_none()
}

/// Written fields replace the read ones.
fn merge(status: &mut Value, written: Value) {
    if !status.is_object() {
        *status = Value::Object(Default::default());
    }
    if let (Some(status), Value::Object(written)) = (status.as_object_mut(), written) {
        status.extend(written);
    }
}

fn note(what: &str, error: &ClusterError) {
    tracing::warn!(%error, "{what}");
}
