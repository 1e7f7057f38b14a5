//! The processes that use a folder, and the one that may change its state.
//!
//! Every user holds a lock on a file of its own below `users`, so that the others know that
//! it runs: the system releases the lock of a process that ends in any way. The file `lock`
//! is held by the user that may change the state: for as long as it is the only user, else
//! for one change at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{FolderError, at, create_folder, owner_only};

/// How long another user may take to notice that it is not the only one any more.
pub(super) const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(10);
/// The pause between two attempts to take the lock.
const POLL: Duration = Duration::from_millis(10);

/// Numbers the users of one process.
static NEXT_USER: AtomicU32 = AtomicU32::new(0);

/// This process as a user of a folder.
#[derive(Debug)]
pub(super) struct Access {
    lock: File,
    /// The file of this user, locked until it is closed.
    user: File,
    user_path: PathBuf,
}

impl Access {
    /// Registers as a user and takes the lock; waits for the other users to hand it over.
    pub(super) fn take(folder: &Path, timeout: Duration) -> Result<Self, FolderError> {
        let (user, user_path) = register(&folder.join("users"))?;
        let path = folder.join("lock");
        let lock =
            owner_only(OpenOptions::new().read(true).write(true).create(true).truncate(false))
                .open(&path)
                .map_err(at(&path))?;
        let access = Self { lock, user, user_path };
        let deadline = Instant::now() + timeout;
        while !access.try_lock().map_err(at(&path))? {
            if Instant::now() >= deadline {
                return Err(FolderError::InUse { path: folder.to_owned(), pid: access.holder() });
            }
            std::thread::sleep(POLL);
        }
        access.sign().map_err(at(&path))?;
        Ok(access)
    }

    /// Takes the lock if no other user holds it.
    pub(super) fn try_lock(&self) -> io::Result<bool> {
        match self.lock.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Waits for the lock. Others hold it for one change only.
    pub(super) fn lock(&self) -> io::Result<()> {
        self.lock.lock()
    }

    /// Lets the others take the lock.
    pub(super) fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Whether other living users have registered. Removes the files of those that ended.
    pub(super) fn has_others(&self) -> bool {
        let Some(users) = self.user_path.parent() else { return true };
        // An unreadable folder may contain other users.
        let Ok(entries) = fs::read_dir(users) else { return true };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let others = paths.filter(|path| *path != self.user_path);
        // All are looked at, because the file of a dead user is removed.
        others.filter(|path| is_living(path)).count() > 0
    }

    /// Writes the process's id for those who wait.
    fn sign(&self) -> io::Result<()> {
        let mut file = &self.lock;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    }

    fn holder(&self) -> Option<u32> {
        let mut text = String::new();
        (&self.lock).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        // Both are conveniences: closing the files releases the locks, and the next user
        // removes remaining files.
        let _removed = fs::remove_file(&self.user_path);
        let _unlocked = self.user.unlock();
    }
}

/// Creates and locks the file of a new user.
fn register(users: &Path) -> Result<(File, PathBuf), FolderError> {
    create_folder(users).map_err(at(users))?;
    loop {
        let number = NEXT_USER.fetch_add(1, Ordering::Relaxed);
        let path = users.join(format!("{}-{number}", std::process::id()));
        let file =
            owner_only(OpenOptions::new().write(true).create(true).truncate(false)).open(&path);
        let file = file.map_err(at(&path))?;
        match file.try_lock() {
            // Another user may have taken the file for a dead one's before it was locked.
            Ok(()) if path.exists() => return Ok((file, path)),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(source)) => return Err(FolderError::Io { path, source }),
        }
    }
}

/// Whether the user of a file lives. Removes the file otherwise.
fn is_living(path: &Path) -> bool {
    let file = match OpenOptions::new().write(true).open(path) {
        Ok(file) => file,
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
    };
    match file.try_lock() {
        Ok(()) => {
            // Fails only if another user has removed it already.
            let _removed = fs::remove_file(path);
            false
        }
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_users_that_ended_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let first = Access::take(folder.path(), Duration::ZERO).unwrap();
        let left_over = folder.path().join("users/1-0");
        fs::write(&left_over, "").unwrap();
        assert!(!first.has_others());
        assert!(!left_over.exists());
        first.unlock().unwrap();
        let second = Access::take(folder.path(), Duration::ZERO).unwrap();
        assert!(first.has_others() && second.has_others());
        drop(second);
        assert!(!first.has_others());
    }
}
