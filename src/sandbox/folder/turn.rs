//! Turns: how several processes change one state after another.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

use super::{Durability, Folder, FolderError, at};
use crate::sandbox::state::SandboxState;

/// Identifies one version of the file: it is always replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self { inode: inode(found), modified: found.modified().ok(), bytes: found.len() }
    }
}

/// The time in which this process may read and change the state.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Turn<'a> {
    /// The folder, if it is shared.
    locked: Option<&'a Folder>,
    /// The folder, if this process is its only user.
    own: Option<&'a Folder>,
    /// Whether another process changed the state before.
    pub(in crate::sandbox) reloaded: bool,
    /// Why the turn could not begin: the state in memory may be outdated, and a change of
    /// it is not written.
    pub(in crate::sandbox) failure: Option<String>,
}

impl Turn<'_> {
    /// Whether other processes use the folder.
    pub(in crate::sandbox) fn is_shared(&self) -> bool {
        self.locked.is_some()
    }

    /// Writes a changed state before the change is confirmed, so that the end of the process
    /// takes nothing back. The only user of a large sandbox leaves that to the background.
    pub(in crate::sandbox) fn write(&self, sandbox: &SandboxState) {
        if let Some(folder) = self.own.filter(|folder| folder.is_written_quickly()) {
            // The background saves again, and reports an error that stays.
            let _stored = folder.store(sandbox, Durability::Lazy);
        }
        let Some(folder) = self.locked else { return };
        if let Err(error) = folder.store(sandbox, Durability::Lazy) {
            folder.fail(&error);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(folder) = self.locked else { return };
        if let Err(error) = folder.access.unlock() {
            folder.fail(&at(&folder.path)(error));
        }
    }
}

impl Folder {
    /// Whether other processes use the folder, so that every change is written at once.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst)
    }

    /// Begins a turn: with other users, waits for the lock and reads their changes. If a
    /// turn cannot begin or end, no later one begins.
    pub(in crate::sandbox) fn begin_turn(&self, sandbox: &mut SandboxState) -> Turn<'_> {
        if !self.is_shared() {
            return Turn { own: Some(self), locked: None, reloaded: false, failure: None };
        }
        if self.failure().is_none() {
            match self.lock_and_reload(sandbox) {
                Ok(reloaded) => {
                    return Turn { locked: Some(self), own: None, reloaded, failure: None };
                }
                Err(error) => self.fail(&error),
            }
        }
        Turn { locked: None, own: None, reloaded: false, failure: self.failure() }
    }

    fn lock_and_reload(&self, sandbox: &mut SandboxState) -> Result<bool, FolderError> {
        self.access.lock().map_err(at(&self.path))?;
        let reloaded = self.reload(sandbox);
        if reloaded.is_err() {
            self.access.unlock().map_err(at(&self.path))?;
        }
        reloaded
    }

    /// Ends the turns of this process: it no longer knows the state of the others.
    fn fail(&self, error: &FolderError) {
        tracing::warn!(%error, "the sandbox's folder can no longer be shared");
        self.failure_slot().get_or_insert_with(|| error.to_string());
    }

    /// Why this process can no longer take turns with the others, once it cannot.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure_slot().clone()
    }

    fn failure_slot(&self) -> MutexGuard<'_, Option<String>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the state if another process has written it since. A shared folder always
    /// has a file: it is written before the folder is shared.
    fn reload(&self, sandbox: &mut SandboxState) -> Result<bool, FolderError> {
        let file = self.file();
        let found = fs::metadata(&file).map_err(at(&file))?;
        let current = Some(Stamp::of(&found));
        if *self.stamp() == current {
            return Ok(false);
        }
        sandbox.continue_with(Self::read_saved(&self.path)?);
        *self.stamp() = current;
        Ok(true)
    }

    /// Shares the folder as soon as others use it, and takes it back when they are gone. Returns
    /// whether another process has changed the state.
    pub(in crate::sandbox) fn follow_users(
        &self,
        sandbox: &mut SandboxState,
    ) -> Result<bool, FolderError> {
        if let Some(reason) = self.failure() {
            return Err(FolderError::NotShared { path: self.path.clone(), reason });
        }
        let shared = self.is_shared();
        let others = self.access.has_others();
        if !shared && others {
            self.store(sandbox, Durability::Lazy)?;
            self.shared.store(true, Ordering::SeqCst);
            self.access.unlock().map_err(at(&self.path))?;
        }
        if !shared || !self.access.try_lock().map_err(at(&self.path))? {
            return Ok(false);
        }
        let reloaded = self.reload(sandbox).inspect_err(|error| self.fail(error))?;
        if others {
            self.access.unlock().map_err(at(&self.path))?;
        } else {
            self.shared.store(false, Ordering::SeqCst);
        }
        Ok(reloaded)
    }

    pub(super) fn stamp(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stamp of the file as it is now; `None` without a file.
    pub(super) fn current_stamp(&self) -> Option<Stamp> {
        fs::metadata(self.file()).ok().as_ref().map(Stamp::of)
    }
}

#[cfg(unix)]
fn inode(found: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::provider::http::Api;
    use crate::sandbox::ApiResponse;
    use crate::sandbox::folder::Saver;
    use crate::sandbox::shared::SharedSandbox;

    fn user(folder: &Path) -> (SharedSandbox, Saver) {
        let folder = Folder::open(folder).unwrap();
        let sandbox = SharedSandbox::new(folder.load().unwrap());
        let saver = folder.save_in_background(sandbox.clone());
        (sandbox, saver)
    }

    /// A process that cannot read the state of the others does not continue with its own.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_state_that_cannot_be_reloaded_ends_the_turns() {
        for damage in ["{ not json", ""] {
            let folder = tempfile::tempdir().unwrap();
            let (first, first_saver) = user(folder.path());
            let path = folder.path().to_owned();
            let opened = tokio::task::spawn_blocking(move || user(&path)).await.unwrap();
            let (second, second_saver) = opened;
            first.change(|sandbox, _| {
                sandbox.seed_machine("a", [10, 0, 0, 1].into(), None, false);
            });
            assert_eq!(second.try_read(|sandbox| sandbox.hosts.contains_key("a")), Ok(true));
            let file = folder.path().join("state.json");
            if damage.is_empty() {
                fs::remove_file(&file).unwrap();
            } else {
                fs::write(&file, damage).unwrap();
            }
            let reason = second.try_read(|_| ()).unwrap_err();
            assert!(reason.contains("state.json") || reason.contains("damaged"), "{reason}");
            second.try_change(|_, _| ()).unwrap_err();
            let request = http::Request::get("/api/v2/tailnet/-/devices").body(bytes::Bytes::new());
            let ApiResponse::Complete(response) = second.handle(Api::Tailscale, &request.unwrap())
            else {
                panic!("a list is no watch");
            };
            assert_eq!(response.status(), http::StatusCode::INSUFFICIENT_STORAGE);
            let closed = second_saver.close().await;
            assert!(matches!(closed, Err(FolderError::NotShared { .. })), "{closed:?}");
            first.try_read(|_| ()).unwrap_err();
            assert!(first_saver.close().await.is_err());
            assert_eq!(fs::read_to_string(&file).unwrap_or_default(), damage, "nothing is written");
        }
    }

    /// A confirmed change is in the folder, even if the process ends before it saves.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_confirmed_change_survives_the_end_of_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let (sandbox, _saver) = user(folder.path());
        for name in ["a", "b", "c"] {
            sandbox.change(|state, _| {
                state.seed_machine(name, [10, 0, 0, 1].into(), None, false);
            });
            let saved = Folder::read_saved(folder.path()).unwrap();
            assert!(saved.hosts.contains_key(name), "{name}");
        }
    }
}
