//! Stores the state of the sandbox in a folder, which one process uses at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::shared::SharedSandbox;
use super::state::SandboxState;

/// The version of the file format. Other versions are not read.
const FORMAT_VERSION: u32 = 1;
/// The seed of a new sandbox, so that two runs of one example look the same.
const SEED: u64 = 0x5747_a7e5;
/// How long changes are collected before they are saved.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// The pause after a save, as a multiple of the time that the save took.
const PAUSE_PER_SAVE_TIME: u32 = 19;

/// A folder that is locked by this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    // The lock is released when the file is closed.
    _lock: File,
    /// Serialises writers, which share the name of the temporary file.
    writing: Mutex<()>,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The state file cannot be read.
    #[error("the sandbox's state in {path} is damaged: {reason}")]
    Damaged {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong with the file.
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
    /// Opens and locks a folder. Creates it if it does not exist.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        create_folder(&path).map_err(at(&path))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock, writing: Mutex::new(()) })
    }

    /// Loads the stored state, or returns a new one if nothing is stored.
    pub fn load(&self) -> Result<SandboxState, FolderError> {
        Self::read_saved(&self.path)
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
        self.write(&self.encode(sandbox)?)
    }

    fn encode(&self, sandbox: &SandboxState) -> Result<Vec<u8>, FolderError> {
        let storing = StateToStore { format_version: FORMAT_VERSION, sandbox };
        serde_json::to_vec(&storing)
            .map_err(|error| FolderError::Io { path: self.file(), source: io::Error::other(error) })
    }

    /// Deletes the stored state, damaged or not.
    pub fn reset(&self) -> Result<(), FolderError> {
        let file = self.file();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::Io { path: file, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Saves the state after changes: at most every 200 ms, and so rarely that saving does not slow
    /// down a large sandbox.
    pub fn save_in_background(self, sandbox: SharedSandbox) -> Saver {
        let folder = Arc::new(self);
        let stop = Arc::new(Notify::new());
        // Subscribe before the caller can make changes.
        let changes = sandbox.changes();
        let following = follow(Arc::clone(&folder), sandbox.clone(), changes, Arc::clone(&stop));
        let task = tokio::spawn(following);
        Saver { folder, sandbox, stop, task }
    }

    fn file(&self) -> PathBuf {
        file_in(&self.path)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), FolderError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = self.path.join("state.json.new");
        let written = || -> io::Result<()> {
            let mut file = owner_only(OpenOptions::new().write(true).create(true).truncate(true))
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.file())?;
            // The rename must survive a power failure, too.
            File::open(&self.path)?.sync_all()
        };
        written().map_err(at(&self.path))
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
        self.flush().await
    }
}

async fn follow(
    folder: Arc<Folder>,
    sandbox: SharedSandbox,
    mut changes: watch::Receiver<u64>,
    stop: Arc<Notify>,
) {
    let mut pause = DEBOUNCE;
    loop {
        tokio::select! {
            () = stop.notified() => return,
            changed = changes.changed() => if changed.is_err() { return },
        }
        tokio::select! {
            () = stop.notified() => return,
            () = tokio::time::sleep(pause) => {}
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

fn file_in(folder: &Path) -> PathBuf {
    folder.join("state.json")
}

fn save(folder: &Folder, sandbox: &SharedSandbox) -> Result<(), FolderError> {
    // The lock on the state is released before the file is written.
    let bytes = sandbox.read(|sandbox| folder.encode(sandbox))?;
    folder.write(&bytes)
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("lock");
    let mut file =
        owner_only(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(&path)
            .map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let read = file.read_to_string(&mut text);
            let pid = read.ok().and_then(|_| text.trim().parse().ok());
            return Err(FolderError::InUse { path: folder.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => return Err(FolderError::Io { path, source }),
    }
    let noted = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(at(&path))?;
    Ok(file)
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
    fn a_folder_in_use_is_refused() {
        let folder_path = tempfile::tempdir().unwrap();
        let first = Folder::open(folder_path.path()).unwrap();
        match Folder::open(folder_path.path()) {
            Err(FolderError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        // Reading needs no lock and creates no files.
        assert!(Folder::read_saved(folder_path.path()).unwrap().hosts.is_empty());
        drop(first);
        Folder::open(folder_path.path()).unwrap();
        let missing = folder_path.path().join("missing");
        Folder::read_saved(&missing).unwrap();
        assert!(!missing.exists());
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
