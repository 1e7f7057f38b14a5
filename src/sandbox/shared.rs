//! The sandbox's state, shared by several clients.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use super::controllers;
use super::fault_injector::FaultInjector;
use super::folder::{Folder, FolderError, Turn};
use super::state::SandboxState;

/// Returns the current time of the sandbox.
pub type SandboxClock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The state, shared by in-memory clients, HTTP endpoints and the background saver.
#[derive(Clone)]
pub struct SharedSandbox(Arc<Inner>);

/// How far the background has saved the state.
#[derive(Debug, Clone, Default)]
struct SavedChanges {
    /// The number of changes that are in the folder.
    saved: u64,
    /// The number of changes that the last save would have written, and why it failed.
    failure: Option<(u64, String)>,
}

struct Inner {
    sandbox: Mutex<SandboxState>,
    changes: watch::Sender<u64>,
    saved: watch::Sender<SavedChanges>,
    save_requested: Notify,
    clock: SandboxClock,
    fault_injector: Mutex<Option<Arc<dyn FaultInjector>>>,
    simulates_host_delays: AtomicBool,
    /// The folder that the state is kept in, perhaps together with other processes.
    folder: Mutex<Option<Arc<Folder>>>,
}

impl SharedSandbox {
    /// Shares a state, with the system clock.
    pub fn new(sandbox: SandboxState) -> Self {
        Self::with_clock(sandbox, Arc::new(Timestamp::now))
    }

    /// Shares a state, with the given clock.
    pub fn with_clock(sandbox: SandboxState, clock: SandboxClock) -> Self {
        let (changes, _) = watch::channel(0);
        Self(Arc::new(Inner {
            sandbox: Mutex::new(sandbox),
            changes,
            saved: watch::channel(SavedChanges::default()).0,
            save_requested: Notify::new(),
            clock,
            fault_injector: Mutex::new(None),
            simulates_host_delays: AtomicBool::new(false),
            folder: Mutex::new(None),
        }))
    }

    /// Sets the fault injector between the in-memory clients and the state.
    pub fn set_fault_injector(&self, fault_injector: Option<Arc<dyn FaultInjector>>) {
        *self.0.fault_injector.lock().unwrap_or_else(PoisonError::into_inner) = fault_injector;
    }

    /// The fault injector, if one is set.
    pub fn fault_injector(&self) -> Option<Arc<dyn FaultInjector>> {
        self.0.fault_injector.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes changes of hosts take as long as on real hosts, measured by tokio's clock. With a
    /// paused clock they take no real time.
    pub fn simulate_host_delays(&self) {
        self.0.simulates_host_delays.store(true, Ordering::SeqCst);
    }

    /// Whether changes of hosts take time.
    pub(super) fn simulates_host_delays(&self) -> bool {
        self.0.simulates_host_delays.load(Ordering::SeqCst)
    }

    /// The current time of the sandbox.
    pub fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// Reads the state. Where the folder can no longer be shared with other processes, this
    /// is the state as it was last known; [`SharedSandbox::try_read`] refuses that.
    pub fn read<T>(&self, read_state: impl FnOnce(&SandboxState) -> T) -> T {
        self.in_turn(|sandbox, _| read_state(sandbox))
    }

    /// Reads the state.
    ///
    /// # Errors
    ///
    /// Why the folder can no longer be shared with other processes.
    pub(super) fn try_read<T>(
        &self,
        read_state: impl FnOnce(&SandboxState) -> T,
    ) -> Result<T, String> {
        self.in_turn(|sandbox, turn| match &turn.failure {
            Some(reason) => Err(reason.clone()),
            None => Ok(read_state(sandbox)),
        })
    }

    /// Changes the state atomically, runs the controllers and wakes subscribers. Where the
    /// folder can no longer be shared with other processes, the change is not written, and
    /// [`super::folder::Saver::close`] says so.
    pub fn change<T>(&self, change: impl FnOnce(&mut SandboxState, Timestamp) -> T) -> T {
        let now = self.now();
        let result = self.in_turn(|sandbox, turn| apply_change(sandbox, turn, now, change));
        self.wake();
        result
    }

    /// Changes the state as [`SharedSandbox::change`] does.
    ///
    /// # Errors
    ///
    /// Why the folder can no longer be shared with other processes; nothing is changed.
    pub(super) fn try_change<T>(
        &self,
        change: impl FnOnce(&mut SandboxState, Timestamp) -> T,
    ) -> Result<T, String> {
        let now = self.now();
        let result = self.in_turn(|sandbox, turn| match &turn.failure {
            Some(reason) => Err(reason.clone()),
            None => Ok(apply_change(sandbox, turn, now, change)),
        });
        self.wake();
        result
    }

    /// Handles a request as [`SandboxState::handle`] does, and wakes subscribers if the state may
    /// have changed.
    pub fn handle(
        &self,
        api: crate::provider::http::Api,
        request: &http::Request<bytes::Bytes>,
    ) -> super::ApiResponse {
        let now = self.now();
        let response = self.in_turn(|sandbox, turn| {
            if let Some(reason) = &turn.failure {
                return super::dispatch::folder_unavailable(api, reason);
            }
            let response = sandbox.handle(api, request, now);
            // The next read repeats the completion by an earlier read.
            if turn.is_shared() || request.method() != http::Method::GET {
                turn.write(sandbox);
            }
            response
        });
        // Reading Azure can complete an operation, so a read may change the state, too.
        self.wake();
        response
    }

    /// Counts the changes; a receiver wakes with each.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Waits until the changes so far are in the folder, if the state is kept in one: the end of
    /// the process takes nothing back that was confirmed to a client. A small sandbox is written with each
    /// change; of a large one, the background writes all changes of waiting clients at once.
    ///
    /// # Errors
    ///
    /// Why the state could not be saved.
    pub(super) async fn until_saved(&self) -> Result<(), String> {
        let folder = self.0.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !folder.is_some_and(|folder| folder.saves_in_background()) {
            return Ok(());
        }
        let change = self.change_count();
        let mut saved = self.0.saved.subscribe();
        self.0.save_requested.notify_one();
        loop {
            let SavedChanges { saved: count, failure } = saved.borrow_and_update().clone();
            if count >= change {
                return Ok(());
            }
            if let Some((_, reason)) = failure.filter(|(attempted, _)| *attempted >= change) {
                return Err(reason);
            }
            saved.changed().await.map_err(|error| error.to_string())?;
        }
    }

    /// Ends when a client waits for a save.
    pub(super) async fn save_requested(&self) {
        self.0.save_requested.notified().await;
    }

    /// The number of changes so far.
    pub(super) fn change_count(&self) -> u64 {
        *self.0.changes.borrow()
    }

    /// Notes that the first `count` changes were saved, or why not.
    pub(super) fn note_saved(&self, count: u64, failure: Option<String>) {
        self.0.saved.send_modify(|known| {
            if failure.is_none() {
                known.saved = known.saved.max(count);
            }
            known.failure = failure.map(|reason| (count, reason));
        });
    }

    fn wake(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Keeps the state in a folder from now on, or in memory only.
    pub(super) fn keep_in(&self, folder: Option<Arc<Folder>>) {
        *self.0.folder.lock().unwrap_or_else(PoisonError::into_inner) = folder;
    }

    /// Shares the folder with other processes that use it, and takes over their changes.
    pub(super) fn follow_users(&self, folder: &Folder) -> Result<(), FolderError> {
        let reloaded = {
            let mut sandbox = self.lock();
            let reloaded = folder.follow_users(&mut sandbox)?;
            if reloaded {
                controllers::reconcile(&mut sandbox, self.now());
            }
            reloaded
        };
        if reloaded {
            self.wake();
        }
        Ok(())
    }

    fn in_turn<T>(&self, work: impl FnOnce(&mut SandboxState, &Turn<'_>) -> T) -> T {
        let folder = self.0.folder.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut sandbox = self.lock();
        let Some(folder) = folder else { return work(&mut sandbox, &Turn::default()) };
        let turn = folder.begin_turn(&mut sandbox);
        if turn.reloaded {
            // The kubeconfig in the state has the endpoints of the process that wrote it.
            controllers::reconcile(&mut sandbox, self.now());
        }
        work(&mut sandbox, &turn)
    }

    fn lock(&self) -> MutexGuard<'_, SandboxState> {
        self.0.sandbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply_change<T>(
    sandbox: &mut SandboxState,
    turn: &Turn<'_>,
    now: Timestamp,
    change: impl FnOnce(&mut SandboxState, Timestamp) -> T,
) -> T {
    let result = change(sandbox, now);
    controllers::reconcile(sandbox, now);
    turn.write(sandbox);
    result
}

impl fmt::Debug for SharedSandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedSandbox").finish_non_exhaustive()
    }
}
