//! Stores the state of the sandbox in a folder.
//!
//! A process that is the only user works in memory. It writes each change of a small sandbox before
//! it confirms the change, so that its end takes nothing back; a large sandbox it saves in the
//! background, and a served request waits for that. With other users, each change is read from the folder and written to it ([`access`]).

mod access;
mod saver;
mod turn;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::state::SandboxState;
use access::Access;
pub use saver::Saver;
use turn::Stamp;
pub(super) use turn::Turn;

/// The version of the file format. Other versions are not read.
const FORMAT_VERSION: u32 = 1;
/// The seed of a new sandbox, so that two runs of one example look the same.
const SEED: u64 = 0x5747_a7e5;

/// How long a write of the state may take so that the only user of a folder writes it with each
/// change, and not in the background.
const MAX_WRITE_TIME: Duration = Duration::from_millis(20);

/// A folder that this process uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    access: Access,
    /// Whether other processes use the folder too, so that every change is written at once.
    shared: AtomicBool,
    /// The file that the state in memory was last read from or written to.
    stamp: Mutex<Option<Stamp>>,
    /// Serialises writers, which share the name of the temporary file.
    writing: Mutex<()>,
    /// How many microseconds the last write took.
    write_time: AtomicU64,
    /// Why this process can no longer take turns with the others, once it cannot.
    failure: Mutex<Option<String>>,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The state file cannot be read.
    #[error("the sandbox's state in {path} is damaged: {reason}")]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// The error in the file.
        reason: String,
    },
    /// Another process uses the folder.
    #[error("the sandbox in {path} is in use{}", .pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse {
        /// The path of the folder.
        path: PathBuf,
        /// The id of the other process, if it is known.
        pid: Option<u32>,
    },
    /// The folder could not be shared with other processes.
    #[error("the sandbox in {path} cannot be shared with other processes: {reason}")]
    NotShared {
        /// The path of the folder.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The file system returned an error.
    #[error("the sandbox's state in {path} cannot be used: {source}")]
    Io {
        /// The path of the file or folder.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Versioned {
    format_version: serde_json::Value,
}

#[derive(Deserialize)]
struct StoredState {
    sandbox: SandboxState,
}

#[derive(Serialize)]
struct StateToStore<'a> {
    format_version: u32,
    sandbox: &'a SandboxState,
}

impl Folder {
    /// Opens a folder. Creates it if it does not exist. Waits until other users let it take part.
    ///
    /// # Errors
    ///
    /// [`FolderError::InUse`] if another process does not react within ten seconds.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        Self::open_within(path.into(), access::HAND_OVER_TIMEOUT)
    }

    fn open_within(path: PathBuf, timeout: Duration) -> Result<Self, FolderError> {
        create_folder(&path).map_err(at(&path))?;
        let access = Access::take(&path, timeout)?;
        let (shared, stamp) = (AtomicBool::new(false), Mutex::new(None));
        let (writing, failure) = (Mutex::new(()), Mutex::new(None));
        let write_time = AtomicU64::new(0);
        Ok(Self { path, access, shared, stamp, writing, write_time, failure })
    }

    /// Loads the stored state, or returns a new one if nothing is stored.
    pub fn load(&self) -> Result<SandboxState, FolderError> {
        let stamp = self.current_stamp();
        let sandbox = Self::read_saved(&self.path)?;
        *self.stamp() = stamp;
        Ok(sandbox)
    }

    /// Reads the state that was saved last, without locking the folder. The file is always replaced
    /// as a whole, so it can be read at any time.
    pub fn read_saved(path: &Path) -> Result<SandboxState, FolderError> {
        let file = file_in(path);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(SandboxState::new(SEED));
            }
            Err(source) => return Err(FolderError::Io { path: file, source }),
        };
        let damaged = |reason: String| FolderError::Damaged { path: file.clone(), reason };
        let Versioned { format_version } =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if format_version != FORMAT_VERSION {
            return Err(damaged(format!("format version {format_version}, not {FORMAT_VERSION}")));
        }
        let stored: StoredState =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        Ok(stored.sandbox)
    }

    /// Saves the state. Readers see either the old file or the new one.
    pub fn save(&self, sandbox: &SandboxState) -> Result<(), FolderError> {
        self.store(sandbox, Durability::Synced)
    }

    fn store(&self, sandbox: &SandboxState, durability: Durability) -> Result<(), FolderError> {
        let began = Instant::now();
        self.write(&self.encode(sandbox)?, durability)?;
        if durability == Durability::Lazy {
            self.note_write_time(began);
        }
        Ok(())
    }

    fn note_write_time(&self, began: Instant) {
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.write_time.store(micros, Ordering::Relaxed);
    }

    /// Whether the state is so small that it can be written with each change.
    fn is_written_quickly(&self) -> bool {
        Duration::from_micros(self.write_time.load(Ordering::Relaxed)) <= MAX_WRITE_TIME
    }

    /// Whether the background writes changes, and not each change itself.
    pub(super) fn saves_in_background(&self) -> bool {
        !self.is_shared() && !self.is_written_quickly()
    }

    fn encode(&self, sandbox: &SandboxState) -> Result<Vec<u8>, FolderError> {
        let storing = StateToStore { format_version: FORMAT_VERSION, sandbox };
        serde_json::to_vec(&storing)
            .map_err(|error| FolderError::Io { path: self.file(), source: io::Error::other(error) })
    }

    /// Deletes the stored state, damaged or not.
    ///
    /// # Errors
    ///
    /// [`FolderError::InUse`] if other processes use the folder.
    pub fn reset(&self) -> Result<(), FolderError> {
        if self.access.has_others() {
            return Err(FolderError::InUse { path: self.path.clone(), pid: None });
        }
        let file = self.file();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::Io { path: file, source: error })
            }
            _ => Ok(()),
        }
    }

    fn file(&self) -> PathBuf {
        file_in(&self.path)
    }

    fn write(&self, bytes: &[u8], durability: Durability) -> Result<(), FolderError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = self.path.join("state.json.new");
        let written = || -> io::Result<()> {
            let mut file = owner_only(OpenOptions::new().write(true).create(true).truncate(true))
                .open(&temporary)?;
            file.write_all(bytes)?;
            if durability == Durability::Synced {
                file.sync_all()?;
            }
            fs::rename(&temporary, self.file())?;
            // The rename must survive a power failure, too.
            match durability {
                Durability::Synced => File::open(&self.path)?.sync_all(),
                Durability::Lazy => Ok(()),
            }
        };
        written().map_err(at(&self.path))?;
        *self.stamp() = self.current_stamp();
        Ok(())
    }
}

/// Whether a write waits until it survives a power failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Durability {
    Synced,
    Lazy,
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

/// The file contains the sandbox's tokens, so only its owner may read it.
fn owner_only(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Writes a file that only its owner may read, because it contains a token.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    owner_only(OpenOptions::new().write(true).create(true).truncate(true))
        .open(path)?
        .write_all(content)
}

/// Creates a folder that only its owner may access.
fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::shared::SharedSandbox;

    #[test]
    fn the_state_survives_a_save_and_load() {
        let folder_path = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder_path.path().join("sandbox")).unwrap();
        let mut sandbox = folder.load().unwrap();
        sandbox.seed_machine("m1", "10.50.0.10".parse().unwrap(), None, false);
        folder.save(&sandbox).unwrap();
        let again = folder.load().unwrap();
        assert_eq!(serde_json::to_value(&sandbox).unwrap(), serde_json::to_value(&again).unwrap());
        folder.reset().unwrap();
        assert!(folder.load().unwrap().hosts.is_empty());
    }

    #[test]
    fn a_folder_whose_user_does_not_react_is_refused() {
        let folder_path = tempfile::tempdir().unwrap();
        let open = || Folder::open_within(folder_path.path().to_owned(), Duration::from_millis(50));
        let first = open().unwrap();
        match open() {
            Err(FolderError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        // Reading needs no lock and creates no files.
        assert!(Folder::read_saved(folder_path.path()).unwrap().hosts.is_empty());
        drop(first);
        open().unwrap();
        let missing = folder_path.path().join("missing");
        Folder::read_saved(&missing).unwrap();
        assert!(!missing.exists());
    }

    fn used(folder_path: &Path) -> (SharedSandbox, Saver) {
        let folder = Folder::open(folder_path).unwrap();
        let sandbox = SharedSandbox::new(folder.load().unwrap());
        let saver = folder.save_in_background(sandbox.clone());
        (sandbox, saver)
    }

    fn hosts(sandbox: &SharedSandbox) -> Vec<String> {
        sandbox.read(|sandbox| sandbox.hosts.values().map(|host| host.name.clone()).collect())
    }

    /// Users alternate, join while others work, and leave; none loses a change of another.
    #[tokio::test(flavor = "multi_thread")]
    async fn several_users_change_one_state() {
        let folder_path = tempfile::tempdir().unwrap();
        let add = |sandbox: &SharedSandbox, name: &str| {
            sandbox
                .change(|sandbox, _| sandbox.seed_machine(name, [10, 0, 0, 1].into(), None, true));
        };
        let (first, first_saver) = used(folder_path.path());
        add(&first, "a");
        let path = folder_path.path().to_owned();
        let (second, second_saver) =
            tokio::task::spawn_blocking(move || used(&path)).await.unwrap();
        for round in 0..20 {
            add(&first, &format!("first-{round}"));
            add(&second, &format!("second-{round}"));
        }
        assert_eq!(hosts(&first).len(), 41);
        assert_eq!(hosts(&first), hosts(&second));
        first_saver.close().await.unwrap();
        add(&second, "alone");
        second_saver.close().await.unwrap();
        assert_eq!(Folder::read_saved(folder_path.path()).unwrap().hosts.values().count(), 42);
    }

    #[test]
    fn a_damaged_state_is_reported() {
        let folder_path = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder_path.path()).unwrap();
        for text in ["{ not json", "{\"format_version\":99}", "{\"format_version\":1}"] {
            fs::write(folder_path.path().join("state.json"), text).unwrap();
            let result = folder.load();
            assert!(matches!(result, Err(FolderError::Damaged { .. })), "{text}");
        }
        folder.reset().unwrap();
        folder.load().unwrap();
    }

    #[tokio::test]
    async fn changes_are_saved_in_the_background() {
        let folder_path = tempfile::tempdir().unwrap();
        let folder = Folder::open(folder_path.path()).unwrap();
        let sandbox = SharedSandbox::new(folder.load().unwrap());
        let saver = folder.save_in_background(sandbox.clone());
        sandbox.change(|sandbox, _| sandbox.seed_machine("m1", [10, 0, 0, 1].into(), None, true));
        tokio::time::sleep(Duration::from_millis(600)).await;
        let text = fs::read_to_string(folder_path.path().join("state.json")).unwrap();
        assert!(text.contains("\"m1\""));
        saver.close().await.unwrap();
        Folder::open(folder_path.path()).unwrap();
    }
}
