//! `stargate watch DIR`: watches each topology of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::LocalBoxFuture;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

use super::folder_files::FolderFiles;
use super::listener::{Answers, WatchedAnswers};
use super::reconciler::{Election, Reporters, SessionReconciler, WatchParts};
use super::source::{FolderTopology, MovingPath};
use super::{WatchArguments, listen, reporter, within_grace};
use crate::apply::StopSignal;
use crate::cli::arguments::Global;
use crate::cli::error::CliError;
use crate::cli::ui::Ui;
use crate::cli::{exit, interrupt, process_name};
use crate::diagnostics::Failure;
use crate::resource::names::TopologyName;
use crate::watch::{
    ClusterWatchers, Controller, FileWatcher, FolderChange, Monitor, SharedLeadership,
    TopologyFolder, Trigger, Triggers, WatchEvent, WatchReporter, random_share,
};

/// The time between two looks at the folder without an event of the system.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Watches the topologies of a folder until a signal arrives.
pub(super) async fn run(
    folder: &Path,
    arguments: &WatchArguments,
    global: &Global,
    ui: &Ui,
) -> Result<u8, CliError> {
    if !folder.is_dir() {
        return Err(CliError::new(format!("`{}` is not a folder", folder.display()))
            .remedy("pass a folder of topology files, or one file with `-f FILE`"));
    }
    if arguments.now {
        return super::request_all(folder, ui).await;
    }
    let triggers = Triggers::default();
    let stop = interrupt::watch_with_requests(triggers.clone())?;
    let _watcher = FileWatcher::of_folder(folder, triggers.clone())
        .inspect_err(|error| ui.warn(&format!("{error}: they are noticed after some seconds")));
    let printer = reporter(arguments.format, ui, None);
    let answers = Answers::of_folder(!arguments.no_lease);
    let _listener = listen(arguments, answers.clone(), printer.as_ref()).await?;
    let mut watches = Watches {
        command: Command {
            arguments,
            global,
            ui,
            folder,
            answers,
            share: SharedLeadership::default(),
        },
        printer: printer.as_ref(),
        stop: stop.clone(),
        files: FolderFiles::new(folder),
        state: TopologyFolder::default(),
        members: BTreeMap::new(),
        codes: ExitCodes::default(),
    };
    let mut running = FuturesUnordered::new();
    loop {
        let due = watches.refresh(&mut running);
        tokio::select! {
            biased;
            () = stop.requested() => break,
            Some((topology, ended)) = running.next(), if !running.is_empty() => {
                watches.ended(&topology, ended);
            }
            added = triggers.added() => watches.pass_on(added),
            () = sleep_until(due) => {}
        }
    }
    // Each watch ends within the grace time, and releases its Leases.
    while let Some((topology, ended)) = running.next().await {
        watches.ended(&topology, ended);
    }
    Ok(watches.codes.code())
}

/// The shared parts of all watches of the command.
#[derive(Clone)]
struct Command<'a> {
    arguments: &'a WatchArguments,
    global: &'a Global,
    ui: &'a Ui,
    folder: &'a Path,
    answers: Answers,
    share: SharedLeadership,
}

/// The control of the watch of one topology.
#[derive(Clone)]
struct Member {
    triggers: Triggers,
    stop: StopSignal,
    path: MovingPath,
    /// Why its watch ends before the command does.
    reason: Arc<std::sync::OnceLock<Failure>>,
}

type Ended = (TopologyName, Result<u8, CliError>);

/// The watches of the folder.
struct Watches<'a> {
    command: Command<'a>,
    /// Prints events of files that have no watched topology.
    printer: &'a dyn WatchReporter,
    stop: StopSignal,
    files: FolderFiles<'a>,
    state: TopologyFolder,
    members: BTreeMap<TopologyName, Member>,
    codes: ExitCodes,
}

/// The exit codes of watches that ended. A topology that is watched again continues what the
/// former watch left, so that only its last watch counts.
#[derive(Debug, Default)]
struct ExitCodes(BTreeMap<TopologyName, u8>);

impl ExitCodes {
    fn started(&mut self, topology: &TopologyName) {
        self.0.remove(topology);
    }

    fn ended(&mut self, topology: &TopologyName, code: u8) {
        self.0.insert(topology.clone(), code);
    }

    /// The exit code of the command.
    fn code(&self) -> u8 {
        self.0.values().copied().max().unwrap_or(exit::DONE)
    }
}

impl<'a> Watches<'a> {
    /// Looks at the folder, and begins and ends watches. Returns when to do so again.
    fn refresh(&mut self, running: &mut FuturesUnordered<LocalBoxFuture<'a, Ended>>) -> Instant {
        let now = Instant::now();
        match self.files.read() {
            Ok(()) => {
                let changes = self.state.observe(self.files.found(), now);
                self.command.answers.set_invalid_files(self.state.invalid());
                for change in changes {
                    self.follow(change, running);
                }
            }
            // A folder that cannot be read says nothing about its files.
            Err(failure) if self.files.is_new_failure(&failure) => {
                let file = self.command.folder.display().to_string();
                self.printer.event(&WatchEvent::FileInvalid { file, failure });
            }
            Err(_) => {}
        }
        let next = now + LOOK_EVERY;
        self.state.due(now).map_or(next, |due| due.min(next))
    }

    fn follow(
        &mut self,
        change: FolderChange,
        running: &mut FuturesUnordered<LocalBoxFuture<'a, Ended>>,
    ) {
        match change {
            // The former watch of the topology is still ending.
            FolderChange::Started { topology, .. } if self.members.contains_key(&topology) => {
                self.state.forget(&topology);
            }
            FolderChange::Started { topology, file } => {
                let member = Member {
                    triggers: Triggers::default(),
                    stop: self.stop.child(),
                    path: MovingPath::new(file.clone()),
                    reason: Arc::default(),
                };
                self.codes.started(&topology);
                self.members.insert(topology.clone(), member.clone());
                running.push(Box::pin(watch(self.command.clone(), topology, file, member)));
            }
            FolderChange::Moved { topology, file } => {
                if let Some(member) = self.members.get(&topology) {
                    member.path.set(file.clone());
                    member.triggers.add(Trigger::TopologyFile);
                }
                let printer =
                    reporter(self.command.arguments.format, self.command.ui, Some(topology));
                printer.event(&WatchEvent::FileMoved { file: file.display().to_string() });
            }
            FolderChange::Ended { topology, failure } => {
                if let Some(member) = self.members.get(&topology) {
                    // It is set once.
                    let _ = member.reason.set(failure);
                    member.stop.stop();
                }
            }
            FolderChange::Invalid { file, failure } => {
                let file = file.display().to_string();
                self.printer.event(&WatchEvent::FileInvalid { file, failure });
            }
        }
    }

    /// Passes triggers on to each topology: each reads its own file.
    fn pass_on(&self, added: impl IntoIterator<Item = Trigger>) {
        for trigger in added {
            self.members.values().for_each(|member| member.triggers.add(trigger));
        }
    }

    /// Forgets a watch that ended, and keeps its exit code. One that ended by itself begins
    /// again once its file is valid.
    fn ended(&mut self, topology: &TopologyName, ended: Result<u8, CliError>) {
        let member = self.members.remove(topology);
        if member.is_none_or(|it| it.reason.get().is_none()) {
            self.state.forget(topology);
            self.files.forget();
        }
        let code = ended.unwrap_or_else(|error| {
            self.command.ui.error(&error);
            // The others go on.
            if error.exit == exit::PARTIAL { exit::PARTIAL } else { exit::DONE }
        });
        self.codes.ended(topology, code);
    }
}

/// Watches one of the topologies until it is asked to stop.
async fn watch(
    command: Command<'_>,
    topology: TopologyName,
    file: PathBuf,
    member: Member,
) -> Ended {
    let Command { arguments, ui, answers, share, .. } = &command;
    let monitor =
        Arc::new(Monitor::of_topology(&topology, env!("CARGO_PKG_VERSION"), Timestamp::now));
    let printer = reporter(arguments.format, ui, Some(topology.clone()));
    let reporter = Reporters([monitor.as_ref(), printer.as_ref()]);
    reporter.event(&WatchEvent::WatchStarted { file: file.display().to_string() });
    let (election, watchers) = (Election::default(), ClusterWatchers::new(member.triggers.clone()));
    answers.add(
        &topology,
        WatchedAnswers {
            monitor: Arc::clone(&monitor),
            triggers: member.triggers.clone(),
            operations: watchers.operations(),
            election: election.clone(),
        },
    );
    let path = member.path.clone();
    let _socket = super::take_requests_of(&topology, path, &member.triggers, ui).await;
    let reconciler = SessionReconciler::new(WatchParts {
        global: command.global_of(&topology, file),
        no_lease: arguments.no_lease,
        stop: member.stop.clone(),
        reporter: &reporter,
        monitor: &monitor,
        holder: process_name::of_this_process(),
        election,
        share: Some(share.clone()),
        watchers,
        triggers: member.triggers.clone(),
    });
    let source = FolderTopology { topology: topology.clone(), path: member.path.clone() };
    let controller = Controller {
        source: &source,
        reconciler: &reconciler,
        reporter: &reporter,
        stop: member.stop.clone(),
        jitter: &random_share,
    };
    let running = controller.run(&member.triggers);
    let ended = within_grace(arguments, &member.stop, &reporter, running).await;
    if let Some(failure) = member.reason.get() {
        reconciler.report_removed(failure).await;
        reporter.event(&WatchEvent::WatchEnded { failure: failure.clone() });
    }
    let closed = reconciler.close().await;
    answers.remove(&topology);
    (topology, ended.and_then(|code| closed.map(|()| code)))
}

impl Command<'_> {
    /// The options for one of the topologies: its file, and a sandbox of its own.
    fn global_of(&self, topology: &TopologyName, file: PathBuf) -> Global {
        let default = || self.folder.join(".stargate/sandbox");
        let sandbox = self.global.sandbox.clone();
        let sandbox = sandbox.map(|folder| folder.unwrap_or_else(default));
        Global {
            topology: file,
            sandbox: sandbox.map(|folder| Some(folder.join(topology.as_str()))),
            ..self.global.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_watch_of_each_topology_decides_the_exit_code() {
        let [first, second] = ["first", "second"].map(TopologyName::new);
        let mut codes = ExitCodes::default();
        assert_eq!(codes.code(), exit::DONE);
        codes.ended(&first, exit::PARTIAL);
        codes.ended(&second, exit::DONE);
        assert_eq!(codes.code(), exit::PARTIAL);
        codes.started(&first);
        assert_eq!(codes.code(), exit::DONE, "its next watch continues");
        codes.ended(&first, exit::DONE);
        codes.ended(&second, exit::PARTIAL);
        assert_eq!(codes.code(), exit::PARTIAL);
    }
}
