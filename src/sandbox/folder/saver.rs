//! Saves the state in the background, and follows the other users of the folder.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{Durability, Folder, FolderError};
use crate::sandbox::shared::SharedSandbox;

/// How long changes are collected before they are saved.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// The pause after a save, as a multiple of the time that the save took.
const PAUSE_PER_SAVE_TIME: u32 = 19;
/// How often it is checked whether other processes use the folder or changed its state.
const USERS_POLL: Duration = Duration::from_millis(50);

impl Folder {
    /// Saves the state after changes: at most every 200 ms, and so rarely that saving does not slow
    /// down a large sandbox.
    pub fn save_in_background(self, sandbox: SharedSandbox) -> Saver {
        let folder = Arc::new(self);
        sandbox.keep_in(Some(Arc::clone(&folder)));
        let stop = Arc::new(Notify::new());
        // Subscribe before the caller can make changes.
        let changes = sandbox.changes();
        let following = follow(Arc::clone(&folder), sandbox.clone(), changes, Arc::clone(&stop));
        let task = tokio::spawn(following);
        Saver { folder, sandbox, stop, task }
    }
}

/// Saves in the background until it is closed.
#[derive(Debug)]
pub struct Saver {
    folder: Arc<Folder>,
    sandbox: SharedSandbox,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Saves now.
    pub async fn flush(&self) -> Result<(), FolderError> {
        let (folder, sandbox) = (Arc::clone(&self.folder), self.sandbox.clone());
        let saved = tokio::task::spawn_blocking(move || save(&folder, &sandbox)).await;
        saved.unwrap_or_else(|error| {
            Err(FolderError::Io { path: self.folder.file(), source: io::Error::other(error) })
        })
    }

    /// Saves for the last time and unlocks the folder.
    pub async fn close(mut self) -> Result<(), FolderError> {
        self.stop.notify_one();
        // No older state may be written after the last save. The task returns no error: anything
        // that it could not write is written again.
        let _ended = (&mut self.task).await;
        let flushed = self.flush().await;
        self.sandbox.keep_in(None);
        flushed
    }
}

async fn follow(
    folder: Arc<Folder>,
    sandbox: SharedSandbox,
    mut changes: watch::Receiver<u64>,
    stop: Arc<Notify>,
) {
    let mut pause = DEBOUNCE;
    let mut users = tokio::time::interval(USERS_POLL);
    loop {
        tokio::select! {
            () = stop.notified() => return,
            changed = changes.changed() => if changed.is_err() { return },
            _ = users.tick() => {
                follow_users(&folder, &sandbox).await;
                continue;
            }
        }
        let due = tokio::time::Instant::now() + pause;
        while tokio::time::Instant::now() < due {
            tokio::select! {
                () = stop.notified() => return,
                () = tokio::time::sleep_until(due) => {}
                () = sandbox.save_requested() => break,
                _ = users.tick() => follow_users(&folder, &sandbox).await,
            }
        }
        changes.borrow_and_update();
        let began = Instant::now();
        let (folder, sandbox) = (Arc::clone(&folder), sandbox.clone());
        let saved = tokio::task::spawn_blocking(move || save(&folder, &sandbox)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "the sandbox could not be saved");
        }
        pause = DEBOUNCE.max(began.elapsed() * PAUSE_PER_SAVE_TIME);
    }
}

async fn follow_users(folder: &Arc<Folder>, sandbox: &SharedSandbox) {
    let (folder, sandbox) = (Arc::clone(folder), sandbox.clone());
    let followed = tokio::task::spawn_blocking(move || sandbox.follow_users(&folder)).await;
    if let Ok(Err(error)) = followed {
        tracing::warn!(%error, "the sandbox's folder could not be shared");
    }
}

fn save(folder: &Folder, sandbox: &SharedSandbox) -> Result<(), FolderError> {
    // Later changes may be written, too.
    let count = sandbox.change_count();
    let saved = write_state(folder, sandbox);
    sandbox.note_saved(count, saved.as_ref().err().map(ToString::to_string));
    saved
}

fn write_state(folder: &Folder, sandbox: &SharedSandbox) -> Result<(), FolderError> {
    if let Some(reason) = folder.failure() {
        return Err(FolderError::NotShared { path: folder.path.clone(), reason });
    }
    if folder.is_shared() {
        // Every change is written at once.
        return Ok(());
    }
    if folder.is_written_quickly() {
        // No older state is written after one that a change wrote itself.
        return sandbox.read(|sandbox| folder.store(sandbox, Durability::Synced));
    }
    // The lock on the state is released before the file is written.
    let began = Instant::now();
    let bytes = sandbox.read(|sandbox| folder.encode(sandbox))?;
    folder.note_write_time(began);
    folder.write(&bytes, Durability::Synced)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::sandbox::serve::{ServeOptions, Server};

    /// As after a slow write of a large state.
    fn make_slow(saver: &Saver) {
        saver.folder.write_time.store(60_000_000, Ordering::Relaxed);
    }

    fn used(path: &Path) -> (SharedSandbox, Saver) {
        let folder = Folder::open(path).unwrap();
        let sandbox = SharedSandbox::new(folder.load().unwrap());
        let saver = folder.save_in_background(sandbox.clone());
        (sandbox, saver)
    }

    /// A served write of a large sandbox that was confirmed is in the folder, whenever the process
    /// is killed.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_served_write_is_confirmed_once_it_is_saved() {
        let folder = tempfile::tempdir().unwrap();
        let (sandbox, saver) = used(folder.path());
        let server = Server::start(sandbox, ServeOptions::default()).await.unwrap();
        let url = |name: &str| {
            let group = format!(
                "/subscriptions/{}/resourceGroups/{name}",
                crate::sandbox::arm::SUBSCRIPTION
            );
            format!("{}{group}?api-version=2021-04-01", server.endpoints.azure)
        };
        crate::provider::reqwest_transport::install_cryptography();
        let client = reqwest::Client::new();
        for number in 0..5 {
            make_slow(&saver);
            let name = format!("group-{number}");
            let request = client.put(url(&name)).bearer_auth("any");
            let body = serde_json::json!({ "location": "westeurope" }).to_string();
            let request = request.header("content-type", "application/json").body(body);
            let status = request.send().await.unwrap().status();
            assert!(status.is_success(), "{status}");
            let saved = Folder::read_saved(folder.path()).unwrap();
            let groups = saved.arm.list("Microsoft.Resources/resourceGroups");
            assert_eq!(groups.count(), number + 1, "{name}");
        }
        server.stop().await;
        saver.close().await.unwrap();
    }

    /// A write that cannot be saved is not confirmed.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_that_cannot_be_saved_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sandbox");
        let (sandbox, saver) = used(&path);
        make_slow(&saver);
        std::fs::remove_dir_all(&path).unwrap();
        sandbox.change(|state, _| state.seed_machine("a", [10, 0, 0, 1].into(), None, false));
        let refused = sandbox.until_saved().await.unwrap_err();
        assert!(refused.contains("sandbox"), "{refused}");
    }
}
