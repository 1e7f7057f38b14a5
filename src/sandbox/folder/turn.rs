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

/// The time in which this process may read and change the state.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct Turn<'a> {
    /// The folder, if it is shared.
    locked: Option<&'a Folder>,
    /// Whether another process changed the state before.
    pub(in crate::sandbox) reloaded: bool,
}

impl Turn<'_> {
    /// Writes a changed state for the others.
    pub(in crate::sandbox) fn write(&self, sandbox: &SandboxState) {
        let Some(folder) = self.locked else { return };
        if let Err(error) = folder.store(sandbox, Durability::Lazy) {
            tracing::warn!(%error, "the sandbox could not be saved");
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.locked.map(|folder| folder.access.unlock()) {
            tracing::warn!(%error, "the sandbox's folder could not be unlocked");
        }
    }
}

impl Folder {
    /// Whether other processes use the folder, so that every change is written at once.
    pub(super) fn is_shared(&self) -> bool {
        self.shared.load(Ordering::SeqCst)
    }

    /// Begins a turn: with other users, waits for the lock and reads what they changed.
    pub(in crate::sandbox) fn begin_turn(&self, sandbox: &mut SandboxState) -> Turn<'_> {
        if !self.shared.load(Ordering::SeqCst) {
            return Turn::default();
        }
        if let Err(error) = self.access.lock() {
            tracing::warn!(%error, "the sandbox's folder could not be locked");
        }
        Turn { locked: Some(self), reloaded: self.reload(sandbox) }
    }

    /// Reads the state if another process has written it since.
    fn reload(&self, sandbox: &mut SandboxState) -> bool {
        let current = self.current_stamp();
        if current.is_none() || *self.stamp() == current {
            return false;
        }
        match Self::read_saved(&self.path) {
            Ok(read) => {
                sandbox.continue_with(read);
                *self.stamp() = current;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the sandbox continues with the state in memory");
                false
            }
        }
    }

    /// Shares the folder as soon as others use it, and takes it back when they are gone. Returns
    /// whether another process has changed the state.
    pub(in crate::sandbox) fn follow_users(
        &self,
        sandbox: &mut SandboxState,
    ) -> Result<bool, FolderError> {
        let shared = self.shared.load(Ordering::SeqCst);
        let others = self.access.has_others();
        if !shared && others {
            self.store(sandbox, Durability::Lazy)?;
            self.shared.store(true, Ordering::SeqCst);
            self.access.unlock().map_err(at(&self.path))?;
        }
        if !shared || !self.access.try_lock().map_err(at(&self.path))? {
            return Ok(false);
        }
        let reloaded = self.reload(sandbox);
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
        let found = fs::metadata(self.file()).ok()?;
        Some(Stamp { inode: inode(&found), modified: found.modified().ok(), bytes: found.len() })
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
