//! `stargate watch`.

mod listener;
#[cfg(unix)]
mod socket;
mod source;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::timeout;

use listener::{Answers, Listener};
use source::TopologyFile;

use crate::apply::events::NoReporter;
use crate::apply::{ApplyContext, StopSignal};
use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::session::WriteSession;
use crate::cli::ui::Ui;
use crate::cli::{exit, interrupt, process_name, topology};
use crate::diagnostics::Failure;
use crate::plan::PlanOptions;
use crate::provider::cluster::{LAST_SUCCESS_ANNOTATION, NEXT_RECONCILE_ANNOTATION};
use crate::render::watch_events::{JsonWatchReporter, TextWatchReporter};
use crate::resource::names::TopologyName;
use crate::topology::load::Loaded;
use crate::watch::{
    BurstGuard, ClusterWatchers, Controller, FileWatcher, Leadership, Monitor, OperationCounts,
    ReconcileContext, Reconciled, Reconciler, ReplicaRole, TopologyRecorder, TopologySource,
    Trigger, Triggers, WatchEvent, WatchReporter, reconcile,
};

/// How long the end of the command waits for the API server to release a lease.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Keep the infrastructure as the topology describes it
///
/// Reconciles when the topology file changes, when Nodes and other objects of the cluster
/// change, at the interval set in `[watch]`, and on SIGHUP or `--now`. `[watch] apply` sets which
/// changes are made without approval: `routes` by default. The other changes are reported
/// and wait for `stargate apply`. If the file is missing or invalid, the last valid
/// topology stays in force.
///
/// Changes pause if more than `[watch] max_removals` objects and routes would be removed
/// within ten minutes, or if more than seven reconciles fail in that time, not counting
/// retries. SIGHUP and an edit of the file
/// start the count again; what exceeds the limit by itself waits for `stargate apply`.
///
/// The status of the object `topologies.stargate.io` in the cluster shows the result and the
/// digest of the changes that wait. The annotation `stargate.io/approve` with this digest
/// approves them.
///
/// SIGTERM and SIGINT end the command with exit code 0 once running steps have finished,
/// and with 3 after the time that `--grace-seconds` sets.
#[derive(Debug, Clone, Args)]
pub(crate) struct WatchArguments {
    /// Print text, or one line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
    /// Request a reconcile of the watch that runs on this machine, and exit
    #[arg(long, conflicts_with_all = ["listen", "no_lease"])]
    pub(crate) now: bool,
    /// Answer /livez, /readyz and /metrics over HTTP, without authentication
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Do not take the leases that keep other replicas and applies of the topology waiting
    #[arg(long)]
    pub(crate) no_lease: bool,
    /// The time for running steps to finish after SIGTERM, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) grace_seconds: u64,
}

/// Watches until a signal arrives.
pub(crate) async fn run(
    arguments: &WatchArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    if arguments.now {
        return request(global, ui).await;
    }
    let triggers = Triggers::default();
    let stop = interrupt::watch_with_requests(triggers.clone())?;
    let _file_watcher = watch_file(global, triggers.clone(), ui);
    let monitor = Arc::new(Monitor::new(env!("CARGO_PKG_VERSION"), Timestamp::now));
    let reporter = reporter(arguments.format, ui);
    // Who reads an event finds it in the metrics already.
    let reporter = Reporters([monitor.as_ref(), reporter.as_ref()]);
    let election = Election::default();
    let watchers = ClusterWatchers::new(triggers.clone());
    let measured = (&monitor, &triggers, watchers.operations());
    let _listener = listen(arguments, measured, &election, &reporter).await?;
    let _socket = take_requests(global, &triggers, ui).await;
    let reconciler = SessionReconciler {
        global,
        no_lease: arguments.no_lease,
        stop: stop.clone(),
        reporter: &reporter,
        monitor: &monitor,
        session: Mutex::default(),
        holder: process_name::of_this_process(),
        election,
        guard: std::sync::Mutex::default(),
        watchers,
        triggers: triggers.clone(),
        recorder: TopologyRecorder::new(env!("CARGO_PKG_VERSION"), Timestamp::now),
    };
    let controller = Controller {
        source: &TopologyFile(global),
        reconciler: &reconciler,
        reporter: &reporter,
        stop: stop.clone(),
        jitter: &random_share,
    };
    let grace = Duration::from_secs(arguments.grace_seconds);
    // The controller may see the signal first, and end before it is reported.
    let is_reported = Cell::new(false);
    let report = || {
        if !is_reported.replace(true) {
            reporter.event(&WatchEvent::Stopping);
        }
    };
    let ended = tokio::select! {
        biased;
        () = grace_passed(&stop, report, grace) => {
            Err(CliError::new("running steps did not finish in the time that `--grace-seconds` sets")
                .remedy("the next start, or `stargate apply`, continues with them")
                .exit(exit::PARTIAL))
        }
        ended = controller.run(&triggers) => ended.map(|()| exit::DONE).map_err(CliError::from),
    };
    if ended.is_ok() {
        report();
    }
    reconciler.close().await?;
    ended
}

/// Waits for the signal to stop, and then for the end of the grace time.
async fn grace_passed(stop: &StopSignal, report: impl Fn(), grace: Duration) {
    stop.requested().await;
    report();
    tokio::time::sleep(grace).await;
}

/// Without a watch on the file its changes are noticed at the next interval.
fn watch_file(global: &Global, triggers: Triggers, ui: &Ui) -> Option<FileWatcher> {
    FileWatcher::start(&global.topology, triggers)
        .inspect_err(|error| {
            ui.warn(&format!("{error}: they are noticed at the next interval"));
        })
        .ok()
}

fn reporter(format: Format, ui: &Ui) -> Box<dyn WatchReporter> {
    match format {
        Format::Json => Box::new(JsonWatchReporter::new(io::stdout(), Timestamp::now)),
        Format::Text => {
            Box::new(TextWatchReporter::new(io::stderr(), ui.status_style(), Timestamp::now))
        }
    }
}

/// A number from 0 to 1; the middle where the system has no randomness.
fn random_share() -> f64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_or(0.5, |()| f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

/// A time of the Kubernetes API.
fn to_seconds(time: Timestamp) -> String {
    time.strftime("%FT%TZ").to_string()
}

/// A topology, and this replica's part in the election of who reconciles it.
type Candidacy = (TopologyName, Arc<Leadership>);

/// The election of the topology that was reconciled last.
#[derive(Clone, Default)]
struct Election(Arc<std::sync::Mutex<Option<Candidacy>>>);

impl Election {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Candidacy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this replica leads.
    fn is_won(&self) -> bool {
        let role = self.current().as_ref().map(|(_, leadership)| leadership.role());
        matches!(role, Some(ReplicaRole::Leader(validity)) if validity.now() == Some(true))
    }
}

/// Sends each event to two reporters.
struct Reporters<'a>([&'a dyn WatchReporter; 2]);

impl WatchReporter for Reporters<'_> {
    fn event(&self, event: &WatchEvent) {
        self.0.iter().for_each(|reporter| reporter.event(event));
    }
}

/// Answers probes and metrics, if the command is to listen.
async fn listen(
    arguments: &WatchArguments,
    (monitor, triggers, operations): (&Arc<Monitor>, &Triggers, OperationCounts),
    election: &Election,
    reporter: &Reporters<'_>,
) -> Result<Option<Listener>, CliError> {
    let Some(address) = arguments.listen else { return Ok(None) };
    let (election, takes_lease) = (election.clone(), !arguments.no_lease);
    let leads = move || takes_lease.then(|| election.is_won());
    let answers = Answers {
        monitor: Arc::clone(monitor),
        triggers: triggers.clone(),
        operations,
        leads: Arc::new(leads),
    };
    let listener = Listener::start(address, answers).await?;
    reporter.event(&WatchEvent::Listening { address: listener.address });
    Ok(Some(listener))
}

/// Takes requests of `stargate watch --now`. Without the socket SIGHUP does the same.
#[cfg(unix)]
async fn take_requests(
    global: &Global,
    triggers: &Triggers,
    ui: &Ui,
) -> Option<socket::RequestSocket> {
    // The controller reports a file that is invalid.
    let topology = TopologyFile(global).load().ok()?.topology.name;
    let started = socket::RequestSocket::start(&topology, triggers.clone()).await;
    started
        .inspect_err(|error| {
            ui.warn(&format!("`stargate watch --now` cannot reach this process: {error}"));
        })
        .ok()
}

#[cfg(not(unix))]
async fn take_requests(_global: &Global, _triggers: &Triggers, _ui: &Ui) -> Option<()> {
    None
}

/// Requests a reconcile of the watch that runs.
#[cfg(unix)]
async fn request(global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let topology = topology::load_or_report(global, ui)?.topology.name;
    socket::request(&topology).await?;
    ui.status(&format!("Requested a reconcile of {topology}."));
    Ok(exit::DONE)
}

#[cfg(not(unix))]
async fn request(_global: &Global, _ui: &Ui) -> Result<u8, CliError> {
    Err(CliError::new("`stargate watch --now` needs Unix sockets"))
}

/// Reconciles with the clients of the topology, which are made once for each version of
/// the file.
struct SessionReconciler<'a> {
    global: &'a Global,
    no_lease: bool,
    stop: StopSignal,
    reporter: &'a dyn WatchReporter,
    monitor: &'a Monitor,
    session: Mutex<Option<WriteSession>>,
    /// The name of this replica.
    holder: String,
    election: Election,
    guard: std::sync::Mutex<BurstGuard>,
    watchers: ClusterWatchers,
    triggers: Triggers,
    recorder: TopologyRecorder,
}

impl SessionReconciler<'_> {
    async fn close(&self) -> Result<(), CliError> {
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

    /// The election of a topology. One that was renamed has another.
    fn leadership(&self, topology: &TopologyName) -> Arc<Leadership> {
        let mut current = self.election.current();
        if let Some((_, leadership)) = current.as_ref().filter(|(name, _)| name == topology) {
            return Arc::clone(leadership);
        }
        let leadership = Leadership::new(topology, &self.holder, self.triggers.clone());
        let leadership = Arc::new(leadership);
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
        *session = Some(WriteSession::of(topology.clone(), self.global, self.stop.clone()).await?);
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
        if let Err(error) = self.open(&mut session, topology).await {
            return Reconciled::failed(error.into());
        }
        let Some(session) = session.as_ref() else { return Reconciled::interrupted() };
        let settings = topology.topology.watch;
        let options = PlanOptions { unattended: Some(settings.apply), ..PlanOptions::default() };
        let scope = session.reads.scope(options);
        let leadership = (!self.no_lease).then(|| self.leadership(&topology.topology.name));
        let lease = leadership.as_ref().map(|it| it.write_lease().clone());
        // A Lease that is lost ends one reconcile, and not the watch.
        let stop = self.stop.child();
        let apply = session.apply_context(&scope, &NoReporter, None, lease);
        let context = ReconcileContext {
            apply: ApplyContext { stop, ..apply },
            reporter: self.reporter,
            triggers,
            guard: &self.guard,
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
}
