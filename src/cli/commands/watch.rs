//! `stargate watch`.

mod folder;
pub(super) mod folder_files;
mod listener;
mod reconciler;
#[cfg(unix)]
mod socket;
mod source;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use listener::{Answers, Listener, WatchedAnswers};
use reconciler::{Election, Reporters, SessionReconciler, WatchParts};
use source::{MovingPath, TopologyFile};

use crate::apply::StopSignal;
use crate::cli::arguments::{Format, Global};
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::cli::{exit, interrupt, process_name, topology};
use crate::diagnostics::Failure;
use crate::render::watch_events::{JsonWatchReporter, TextWatchReporter};
use crate::resource::names::TopologyName;
use crate::watch::{
    ClusterWatchers, Controller, FileWatcher, Monitor, TopologySource, Triggers, WatchEvent,
    WatchReporter, random_share,
};

/// Reconcile the infrastructure with the topology continuously
///
/// Reconciles when the topology file changes, when Nodes and other objects of the cluster
/// change, at the interval set in `[watch]`, and on SIGHUP or `--now`. `[watch] apply` sets which
/// changes are made without approval: `routes` by default. The other changes are reported
/// and wait for `stargate apply`. If the file is missing or invalid, the last valid
/// topology stays in force.
///
/// Changes pause if more than `[watch] max_removals` objects and routes would be removed
/// within ten minutes, or if more than seven reconciles fail in that time, not counting
/// retries. SIGHUP and an edit of the file reset both counts; a plan that exceeds the limit
/// by itself waits for `stargate apply`.
///
/// The status of the object `topologies.stargate.io` in the cluster shows the result and
/// the digest of the waiting changes. The annotation `stargate.io/approve` with this digest
/// approves them.
///
/// With DIR, every `*.toml` file of the folder is watched. Each topology has its own leader, so
/// that replicas share them. Files may be created, edited, renamed and deleted: a minute after
/// the deletion of a file the watch of its topology ends, and the infrastructure is not
/// changed. `-f` is ignored, and `--sandbox` keeps each topology in a folder of its name.
///
/// SIGTERM and SIGINT end the command with exit code 0 once running steps have finished,
/// and with 3 after the time that `--grace-seconds` sets.
#[derive(Debug, Clone, Args)]
pub(crate) struct WatchArguments {
    /// Watch all topologies of this folder, instead of one file
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
    /// Print text, or one line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
    /// Request a reconcile from the `stargate watch` on this machine, and exit
    #[arg(long, conflicts_with_all = ["listen", "no_lease"])]
    pub(crate) now: bool,
    /// Answer /livez, /readyz and /metrics over HTTP, without authentication
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Do not acquire the leases that make other replicas and applies of the topology wait
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
    if let Some(folder) = &arguments.folder {
        return folder::run(folder, arguments, global, ui).await;
    }
    if arguments.now {
        return request(global, ui).await;
    }
    let triggers = Triggers::default();
    let stop = interrupt::watch_with_requests(triggers.clone())?;
    let _file_watcher = watch_file(global, triggers.clone(), ui);
    let monitor = Arc::new(Monitor::new(env!("CARGO_PKG_VERSION"), Timestamp::now));
    let reporter = reporter(arguments.format, ui, None);
    // A consumer of an event finds it in the metrics already.
    let reporter = Reporters([monitor.as_ref(), reporter.as_ref()]);
    let election = Election::default();
    let watchers = ClusterWatchers::new(triggers.clone());
    let answers = WatchedAnswers {
        monitor: Arc::clone(&monitor),
        triggers: triggers.clone(),
        operations: watchers.operations(),
        election: election.clone(),
    };
    let answers = Answers::of_one(answers, !arguments.no_lease);
    let _listener = listen(arguments, answers, &reporter).await?;
    let _socket = take_requests(global, &triggers, ui).await;
    let reconciler = SessionReconciler::new(WatchParts {
        global: global.clone(),
        no_lease: arguments.no_lease,
        stop: stop.clone(),
        reporter: &reporter,
        monitor: &monitor,
        holder: process_name::of_this_process(),
        election,
        share: None,
        watchers,
        triggers: triggers.clone(),
    });
    let controller = Controller {
        source: &TopologyFile(global),
        reconciler: &reconciler,
        reporter: &reporter,
        stop: stop.clone(),
        jitter: &random_share,
    };
    let ended = within_grace(arguments, &stop, &reporter, controller.run(&triggers)).await;
    let closed = reconciler.close().await;
    ended.and_then(|code| closed.map(|()| code))
}

/// Awaits a watch until it ends, or until the grace time after the signal has passed.
async fn within_grace(
    arguments: &WatchArguments,
    stop: &StopSignal,
    reporter: &dyn WatchReporter,
    watch: impl Future<Output = Result<(), Failure>>,
) -> Result<u8, CliError> {
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
        () = grace_passed(stop, report, grace) => {
            Err(CliError::new("running steps did not finish in the time that `--grace-seconds` sets")
                .remedy("the next start, or `stargate apply`, continues with them")
                .exit(exit::PARTIAL))
        }
        ended = watch => ended.map(|()| exit::DONE).map_err(CliError::from),
    };
    if ended.is_ok() {
        report();
    }
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

/// A reporter for the topology, if there are several.
fn reporter(format: Format, ui: &Ui, topology: Option<TopologyName>) -> Box<dyn WatchReporter> {
    match format {
        Format::Json => {
            let reporter = JsonWatchReporter::new(io::stdout(), Timestamp::now);
            Box::new(reporter.of_topology(topology))
        }
        Format::Text => {
            let (style, columns) = (ui.status_style(), ui.terminal_columns());
            let reporter = TextWatchReporter::new(io::stderr(), style, columns, Timestamp::now);
            Box::new(reporter.of_topology(topology))
        }
    }
}

/// Answers probes and metrics, if the command is to listen.
async fn listen(
    arguments: &WatchArguments,
    answers: Answers,
    reporter: &dyn WatchReporter,
) -> Result<Option<Listener>, CliError> {
    let Some(address) = arguments.listen else { return Ok(None) };
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
    let file = MovingPath::new(global.topology.clone());
    take_requests_of(&topology, file, triggers, ui).await
}

/// Takes requests for a topology.
#[cfg(unix)]
async fn take_requests_of(
    topology: &TopologyName,
    file: MovingPath,
    triggers: &Triggers,
    ui: &Ui,
) -> Option<socket::RequestSocket> {
    let started = socket::RequestSocket::start(topology, file, triggers.clone()).await;
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

#[cfg(not(unix))]
async fn take_requests_of(
    _topology: &TopologyName,
    _file: MovingPath,
    _triggers: &Triggers,
    _ui: &Ui,
) -> Option<()> {
    None
}

/// Requests a reconcile of the watch that runs.
#[cfg(unix)]
async fn request(global: &Global, ui: &Ui) -> Result<u8, CliError> {
    let file = &global.topology;
    match source::load(file) {
        Err(failure) if !request_last_valid(file, &failure, ui).await => {
            topology::load_or_report(global, ui)?;
            Err(failure.into())
        }
        Err(_) => Ok(exit::DONE),
        Ok(loaded) => request_topology(&loaded.topology.name, ui).await.map(|()| exit::DONE),
    }
}

#[cfg(unix)]
async fn request_topology(topology: &TopologyName, ui: &Ui) -> Result<(), CliError> {
    socket::request(topology).await?;
    ui.status(&format!("Requested a reconcile of {topology}."));
    Ok(())
}

/// Requests a reconcile of the watch of a file that is invalid now. Returns whether there is
/// one: it uses the last valid version.
#[cfg(unix)]
async fn request_last_valid(file: &Path, failure: &Failure, ui: &Ui) -> bool {
    let Some(topology) = socket::request_by_file(file).await else { return false };
    ui.warn(&failure.message);
    ui.status(&format!("Requested a reconcile of {topology} with the last valid version."));
    true
}

/// Requests a reconcile of each topology of a folder. An error of one is reported, and the
/// others are requested nevertheless.
#[cfg(unix)]
async fn request_all(folder: &Path, ui: &Ui) -> Result<u8, CliError> {
    let (mut code, mut requested) = (exit::DONE, BTreeSet::new());
    for file in folder_files::topology_files(folder).map_err(CliError::from)? {
        let ended = match source::load(&file) {
            Err(failure) if !request_last_valid(&file, &failure, ui).await => Err(failure.into()),
            // Its watch reports that another file has the same topology.
            Ok(loaded) if requested.insert(loaded.topology.name.clone()) => {
                request_topology(&loaded.topology.name, ui).await
            }
            _ => Ok(()),
        };
        if let Err(error) = ended {
            ui.error(&error);
            code = exit::ERROR;
        }
    }
    Ok(code)
}

#[cfg(not(unix))]
async fn request(_global: &Global, _ui: &Ui) -> Result<u8, CliError> {
    Err(CliError::new("`stargate watch --now` needs Unix sockets"))
}

#[cfg(not(unix))]
async fn request_all(_folder: &Path, _ui: &Ui) -> Result<u8, CliError> {
    Err(CliError::new("`stargate watch --now` needs Unix sockets"))
}
