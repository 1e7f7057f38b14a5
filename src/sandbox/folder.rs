//! The world in a folder, for one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::shared::SharedWorld;
use super::world::World;

/// The version of the file's format; another one is not read.
const FORMAT_VERSION: u32 = 1;
/// The seed of every new world, so that two runs of one example look the same.
const SEED: u64 = 0x5747_a7e5;
/// How long changes gather before they are written.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// How many times as long as a save takes the next one waits.
const REST: u32 = 19;

/// A folder that this process alone may write.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    // Held, not read: the lock ends with the file.
    _lock: File,
    /// One writer at a time: two would take the new file from under each other.
    writing: Mutex<()>,
}

/// A folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// What is in it cannot be read.
    #[error("the sandbox's state in {path} is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process works with it.
    #[error("the sandbox in {path} is in use{}", .pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process, where it said so.
        pid: Option<u32>,
    },
    /// The file system refused.
    #[error("the sandbox's state in {path} cannot be used: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Versioned {
    format_version: serde_json::Value,
}

#[derive(Deserialize)]
struct Stored {
    world: World,
}

#[derive(Serialize)]
struct Storing<'a> {
    format_version: u32,
    world: &'a World,
}

impl Folder {
    /// Opens a folder, making it if need be, and keeps others out of it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, FolderError> {
        let path = path.into();
        make(&path).map_err(at(&path))?;
        let lock = lock(&path)?;
        Ok(Self { path, _lock: lock, writing: Mutex::new(()) })
    }

    /// The world that is kept here; a new one if there is none yet.
    pub fn load(&self) -> Result<World, FolderError> {
        Self::glance(&self.path)
    }

    /// The world as it was last written to a folder, whoever works with it now:
    /// a file is replaced as a whole, so it can be read at any time.
    pub fn glance(path: &Path) -> Result<World, FolderError> {
        let file = file_in(path);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(World::new(SEED)),
            Err(source) => return Err(FolderError::Io { path: file, source }),
        };
        let damaged = |reason: String| FolderError::Damaged { path: file.clone(), reason };
        let Versioned { format_version } =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        if format_version != FORMAT_VERSION {
            return Err(damaged(format!("format version {format_version}, not {FORMAT_VERSION}")));
        }
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
        Ok(stored.world)
    }

    /// Writes the world: whoever reads sees the old one or the new one, whole.
    pub fn save(&self, world: &World) -> Result<(), FolderError> {
        self.write(&self.encode(world)?)
    }

    fn encode(&self, world: &World) -> Result<Vec<u8>, FolderError> {
        let storing = Storing { format_version: FORMAT_VERSION, world };
        serde_json::to_vec(&storing)
            .map_err(|error| FolderError::Io { path: self.file(), source: io::Error::other(error) })
    }

    /// Forgets the world that is kept here, damaged or not.
    pub fn reset(&self) -> Result<(), FolderError> {
        let file = self.file();
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FolderError::Io { path: file, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Saves the world after changes: every 200 ms at the most, and so seldom
    /// that a large world is not kept from its work.
    pub fn keep(self, world: SharedWorld) -> Saver {
        let folder = Arc::new(self);
        let stop = Arc::new(Notify::new());
        // Subscribed before anybody can change the world behind our back.
        let changes = world.changes();
        let following = follow(Arc::clone(&folder), world.clone(), changes, Arc::clone(&stop));
        let task = tokio::spawn(following);
        Saver { folder, world, stop, task }
    }

    fn file(&self) -> PathBuf {
        file_in(&self.path)
    }

    fn write(&self, bytes: &[u8]) -> Result<(), FolderError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let temporary = self.path.join("world.json.new");
        let written = || -> io::Result<()> {
            let mut file = private(OpenOptions::new().write(true).create(true).truncate(true))
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.file())?;
            // The rename itself must survive a power cut too.
            File::open(&self.path)?.sync_all()
        };
        written().map_err(at(&self.path))
    }
}

/// Saves in the background until it is told to stop.
#[derive(Debug)]
pub struct Saver {
    folder: Arc<Folder>,
    world: SharedWorld,
    stop: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Saver {
    /// Saves now.
    pub async fn flush(&self) -> Result<(), FolderError> {
        let (folder, world) = (Arc::clone(&self.folder), self.world.clone());
        let saved = tokio::task::spawn_blocking(move || save(&folder, &world)).await;
        saved.unwrap_or_else(|error| {
            Err(FolderError::Io { path: self.folder.file(), source: io::Error::other(error) })
        })
    }

    /// Saves for the last time and lets others into the folder.
    pub async fn close(mut self) -> Result<(), FolderError> {
        self.stop.notify_one();
        // Nothing older may be written after the last save. The task only ever
        // returns; what it may have failed at is done again.
        let _ended = (&mut self.task).await;
        self.flush().await
    }
}

async fn follow(
    folder: Arc<Folder>,
    world: SharedWorld,
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
        let (folder, world) = (Arc::clone(&folder), world.clone());
        let saved = tokio::task::spawn_blocking(move || save(&folder, &world)).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "the sandbox could not be saved");
        }
        pause = DEBOUNCE.max(began.elapsed() * REST);
    }
}

fn file_in(folder: &Path) -> PathBuf {
    folder.join("world.json")
}

fn save(folder: &Folder, world: &SharedWorld) -> Result<(), FolderError> {
    // Nobody need wait for the disk.
    let bytes = world.read(|world| folder.encode(world))?;
    folder.write(&bytes)
}

fn lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join("lock");
    let mut file = private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
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

/// The state holds the sandbox's tokens: nobody else may read it.
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Writes a file that only its owner may read: it holds a token.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    private(OpenOptions::new().write(true).create(true).truncate(true))
        .open(path)?
        .write_all(content)
}

/// Makes the folder, for its owner alone.
fn make(path: &Path) -> io::Result<()> {
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
    fn a_world_comes_back_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path().join("sandbox")).unwrap();
        let mut world = folder.load().unwrap();
        world.seed_machine("m1", "10.50.0.10".parse().unwrap(), None, false);
        folder.save(&world).unwrap();
        let again = folder.load().unwrap();
        assert_eq!(serde_json::to_value(&world).unwrap(), serde_json::to_value(&again).unwrap());
        folder.reset().unwrap();
        assert!(folder.load().unwrap().hosts.is_empty());
    }

    #[test]
    fn two_processes_do_not_share_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let first = Folder::open(place.path()).unwrap();
        match Folder::open(place.path()) {
            Err(FolderError::InUse { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        // Looking needs no lock, and leaves nothing behind.
        assert!(Folder::glance(place.path()).unwrap().hosts.is_empty());
        drop(first);
        Folder::open(place.path()).unwrap();
        let missing = place.path().join("missing");
        Folder::glance(&missing).unwrap();
        assert!(!missing.exists());
    }

    #[test]
    fn damage_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        for text in ["{ not json", "{\"format_version\":99}", "{\"format_version\":1}"] {
            fs::write(place.path().join("world.json"), text).unwrap();
            let result = folder.load();
            assert!(matches!(result, Err(FolderError::Damaged { .. })), "{text}");
        }
        folder.reset().unwrap();
        folder.load().unwrap();
    }

    #[tokio::test]
    async fn changes_are_saved_in_the_background() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        let world = SharedWorld::new(folder.load().unwrap());
        let saver = folder.keep(world.clone());
        world.change(|world, _| world.seed_machine("m1", [10, 0, 0, 1].into(), None, true));
        tokio::time::sleep(Duration::from_millis(600)).await;
        let text = fs::read_to_string(place.path().join("world.json")).unwrap();
        assert!(text.contains("\"m1\""));
        saver.close().await.unwrap();
        Folder::open(place.path()).unwrap();
    }
}
