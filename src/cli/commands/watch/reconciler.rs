//! The reconciler of `stargate watch`: the clients of a topology and its election.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::apply::events::NoReporter;
use crate::apply::{ApplyContext, StopSignal};
use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::session::WriteSession;
use crate::diagnostics::Failure;
use crate::plan::PlanOptions;
use crate::provider::cluster::{LAST_SUCCESS_ANNOTATION, NEXT_RECONCILE_ANNOTATION};
use crate::resource::names::TopologyName;
use crate::topology::load::Loaded;
use crate::watch::{
    BurstGuard, ClusterWatchers, DeploymentMemory, Leadership, Monitor, ReconcileContext,
    ReconcileResult, Reconciled, Reconciler, ReplicaRole, SharedLeadership, TopologyRecorder,
    TopologySource, Trigger, Triggers, WatchEvent, WatchReporter, reconcile,
};

/// How long the end of the command waits for the API server to release a lease.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// A time of the Kubernetes API.
fn to_seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

/// A topology, and this replica's part in the election of its leader.
type Candidacy = (TopologyName, Arc<Leadership>);

/// The election of the topology that was reconciled last.
#[derive(Clone, Default)]
pub(super) struct Election(Arc<std::sync::Mutex<Option<Candidacy>>>);

impl Election {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Candidacy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this replica leads.
    pub(super) fn is_won(&self) -> bool {
        let role = self.current().as_ref().map(|(_, leadership)| leadership.role());
        matches!(role, Some(ReplicaRole::Leader(validity)) if validity.now() == Some(true))
    }
}

/// Sends each event to two reporters.
pub(super) struct Reporters<'a>(pub(super) [&'a dyn WatchReporter; 2]);

impl WatchReporter for Reporters<'_> {
    fn event(&self, event: &WatchEvent) {
        self.0.iter().for_each(|reporter| reporter.event(event));
    }
}

/// Reconciles with the clients of the topology, which are made once for each version of
/// the file.
pub(super) struct SessionReconciler<'a> {
    global: Global,
    no_lease: bool,
    stop: StopSignal,
    reporter: &'a dyn WatchReporter,
    monitor: &'a Monitor,
    session: Mutex<Option<WriteSession>>,
    /// The name of this replica.
    holder: String,
    election: Election,
    share: Option<SharedLeadership>,
    guard: std::sync::Mutex<BurstGuard>,
    memory: std::sync::Mutex<DeploymentMemory>,
    watchers: ClusterWatchers,
    triggers: Triggers,
    recorder: TopologyRecorder,
}

/// The parts of the watch of a topology.
pub(super) struct WatchParts<'a> {
    /// The options of the command line, with the file of the topology.
    pub(super) global: Global,
    /// Whether no Lease is taken.
    pub(super) no_lease: bool,
    /// Ends the watch.
    pub(super) stop: StopSignal,
    /// Receives every event.
    pub(super) reporter: &'a dyn WatchReporter,
    /// Measures.
    pub(super) monitor: &'a Monitor,
    /// The name of this replica.
    pub(super) holder: String,
    /// The election, as others see it.
    pub(super) election: Election,
    /// Where the process watches several topologies.
    pub(super) share: Option<SharedLeadership>,
    /// The watches of the cluster.
    pub(super) watchers: ClusterWatchers,
    /// The triggers of reconciles.
    pub(super) triggers: Triggers,
}

impl<'a> SessionReconciler<'a> {
    pub(super) fn new(parts: WatchParts<'a>) -> Self {
        let WatchParts { global, no_lease, stop, reporter, monitor, holder, .. } = parts;
        Self {
            global,
            no_lease,
            stop,
            reporter,
            monitor,
            session: Mutex::default(),
            holder,
            election: parts.election,
            share: parts.share,
            guard: std::sync::Mutex::default(),
            memory: std::sync::Mutex::default(),
            watchers: parts.watchers,
            triggers: parts.triggers,
            recorder: TopologyRecorder::new(env!("CARGO_PKG_VERSION"), Timestamp::now),
        }
    }
}

impl SessionReconciler<'_> {
    /// Releases the Leases and closes the connections.
    pub(super) async fn close(&self) -> Result<(), CliError> {
        let leadership = self.election.current().take();
        let released = timeout(RELEASE_TIMEOUT, async {
            match leadership {
                Some((_, leadership)) => leadership.resign().await,
                None => Ok(()),
            }
        });
        if let Ok(Err(error)) = released.await {
            tracing::warn!(%error, "a lease was not deleted; it expires by itself");
        }
        match self.session.lock().await.take() {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }

    /// Reports that the file of the topology was deleted, if this replica leads.
    pub(super) async fn report_removed(&self, failure: &Failure) {
        let reported = self.recorder.set_file_state(Some(failure));
        let _ = timeout(RELEASE_TIMEOUT, reported).await;
    }

    /// The election of a topology. One that was renamed has another.
    fn leadership(&self, topology: &TopologyName) -> Arc<Leadership> {
        let mut current = self.election.current();
        if let Some((_, leadership)) = current.as_ref().filter(|(name, _)| name == topology) {
            return Arc::clone(leadership);
        }
        let leadership = Leadership::new(topology, &self.holder, self.triggers.clone());
        let leadership = Arc::new(match &self.share {
            Some(share) => leadership.sharing(share.clone()),
            None => leadership,
        });
        *current = Some((topology.clone(), Arc::clone(&leadership)));
        leadership
    }

    /// Makes clients for the topology unless those of the last reconcile fit.
    async fn open(
        &self,
        session: &mut Option<WriteSession>,
        topology: &Loaded,
    ) -> Result<(), CliError> {
        if session.as_ref().is_some_and(|it| it.reads.loaded.digest == topology.digest) {
            return Ok(());
        }
        if let Some(former) = session.take() {
            former.close().await?;
        }
        *session =
            Some(WriteSession::of(topology.clone(), &self.global, None, self.stop.clone()).await?);
        Ok(())
    }
}

#[async_trait(?Send)]
impl Reconciler for SessionReconciler<'_> {
    async fn reconcile(
        &self,
        topology: &Loaded,
        source: &dyn TopologySource,
        triggers: &BTreeSet<Trigger>,
    ) -> Reconciled {
        let mut session = self.session.lock().await;
        let leadership = (!self.no_lease).then(|| self.leadership(&topology.topology.name));
        if let Err(error) = self.open(&mut session, topology).await {
            if let Some(leadership) = &leadership {
                leadership.fitness().note_read(false);
                leadership.note_result(ReconcileResult::Failed);
            }
            return Reconciled::failed(error.into());
        }
        let Some(session) = session.as_ref() else { return Reconciled::interrupted() };
        let settings = topology.topology.watch;
        let options = PlanOptions { unattended: Some(settings.apply), ..PlanOptions::default() };
        let scope = session.reads.scope(options);
        let lease = leadership.as_ref().map(|it| it.write_lease().clone());
        // A Lease that is lost ends one reconcile, and not the watch.
        let stop = self.stop.child();
        let apply = session.apply_context(&scope, &NoReporter, None, lease);
        let context = ReconcileContext {
            apply: ApplyContext { stop, ..apply },
            reporter: self.reporter,
            triggers,
            guard: &self.guard,
            memory: &self.memory,
            max_removals: usize::try_from(settings.max_removals).unwrap_or(usize::MAX),
            watchers: &self.watchers,
            leadership: leadership.as_deref(),
            topology,
            source,
            recorder: Some(&self.recorder),
        };
        let reconciled = reconcile(&context).await;
        if let (Some(leadership), Some(success)) = (&leadership, self.recorder.last_success()) {
            leadership.annotate(LAST_SUCCESS_ANNOTATION, to_seconds(success));
        }
        self.monitor.count_requests(&session.requests().by_class());
        reconciled
    }

    async fn file_state(&self, invalid: Option<&Failure>) {
        self.recorder.set_file_state(invalid).await;
    }

    fn scheduled(&self, wait: Duration) {
        if let (Some((_, leadership)), Ok(next)) =
            (&*self.election.current(), Timestamp::now().checked_add(wait))
        {
            leadership.annotate(NEXT_RECONCILE_ANNOTATION, to_seconds(next));
        }
    }

    fn leader_elsewhere(&self) -> Option<String> {
        let current = self.election.current();
        let holder = current.as_ref().and_then(|(_, it)| it.leader_elsewhere());
        self.recorder.follow_leader(holder.as_deref());
        holder
    }

    fn is_read_due(&self) -> bool {
        self.election.current().as_ref().is_some_and(|(_, it)| it.is_read_due())
    }
}
