//! Notices changes of the topology file, however they are made: editors that rename a new
//! file over the old one, checkouts, and ConfigMap volumes that replace a link.

use std::path::{Path, PathBuf};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::queue::Trigger;
use super::triggers::Triggers;

/// The system cannot watch the folder of the topology file.
#[derive(Debug, thiserror::Error)]
#[error("changes of `{folder}` cannot be watched")]
pub struct FileWatcherError {
    folder: String,
    source: notify::Error,
}

/// Watches a file until it is dropped.
#[derive(Debug)]
pub struct FileWatcher {
    _watcher: RecommendedWatcher,
}

impl FileWatcher {
    /// Adds a trigger for each change in the folder of the file, and in the folder that its
    /// link points into. The file is read to find the change.
    ///
    /// # Errors
    ///
    /// The system refuses to watch, for example because of its limit on watches.
    pub fn start(file: &Path, triggers: Triggers) -> Result<Self, FileWatcherError> {
        let folder = folder_of(file);
        let mut watcher = watch(&folder, triggers)?;
        if let Some(target) = file.canonicalize().ok().map(|target| folder_of(&target))
            && folder.canonicalize().ok().as_ref() != Some(&target)
        {
            // The folder of the link is watched; this one adds changes of its target.
            let _ = watcher.watch(&target, RecursiveMode::NonRecursive);
        }
        Ok(Self { _watcher: watcher })
    }

    /// Adds a trigger for each change in a folder of topology files.
    ///
    /// # Errors
    ///
    /// The system refuses to watch, for example because of its limit on watches.
    pub fn of_folder(folder: &Path, triggers: Triggers) -> Result<Self, FileWatcherError> {
        Ok(Self { _watcher: watch(folder, triggers)? })
    }
}

fn watch(folder: &Path, triggers: Triggers) -> Result<RecommendedWatcher, FileWatcherError> {
    let add = move |event: notify::Result<notify::Event>| {
        let is_read = matches!(&event, Ok(event) if matches!(event.kind, EventKind::Access(_)));
        if !is_read {
            triggers.add(Trigger::TopologyFile);
        }
    };
    let error = |source| FileWatcherError { folder: folder.display().to_string(), source };
    let mut watcher = notify::recommended_watcher(add).map_err(error)?;
    watcher.watch(folder, RecursiveMode::NonRecursive).map_err(error)?;
    Ok(watcher)
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
