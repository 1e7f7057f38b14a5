//! The topologies of a folder: starts, moves and ends their watches as files are created,
//! edited, renamed and deleted. Pure: the caller reads the files and passes the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::controller::UNCHANGED_FOR;
use crate::diagnostics::{Code, Failure};
use crate::resource::names::TopologyName;

/// For how long a topology is still watched after its file was deleted: a checkout deletes
/// files and writes them again.
const REMOVED_AFTER: Duration = Duration::from_secs(60);

/// A file of a folder as it was read: the name of its topology and the digest of its content.
pub type FolderFile = Result<(TopologyName, String), Failure>;

/// A change of what is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderChange {
    /// The watch of a topology begins.
    Started {
        /// The topology.
        topology: TopologyName,
        /// Its file.
        file: PathBuf,
    },
    /// The file of a topology was renamed; its watch continues.
    Moved {
        /// The topology.
        topology: TopologyName,
        /// Its file.
        file: PathBuf,
    },
    /// The watch of a topology ends; nothing of the topology is changed.
    Ended {
        /// The topology.
        topology: TopologyName,
        /// Why.
        failure: Failure,
    },
    /// A file has no topology that can be watched.
    Invalid {
        /// The file.
        file: PathBuf,
        /// Why.
        failure: Failure,
    },
}

/// A topology that is watched.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Watched {
    file: PathBuf,
    missing_since: Option<Instant>,
}

/// The topologies of a folder.
#[derive(Debug, Default)]
pub struct TopologyFolder {
    watched: BTreeMap<TopologyName, Watched>,
    /// The content of each valid file, and when it was read first.
    contents: BTreeMap<PathBuf, (TopologyName, String, Instant)>,
    /// Why each other file is invalid, and when it was read so first: a file that is being
    /// written is empty or ends too early for a moment.
    failures: BTreeMap<PathBuf, (Failure, Instant)>,
    /// The files that were reported as invalid.
    invalid: BTreeMap<PathBuf, Failure>,
}

impl TopologyFolder {
    /// How many topologies are watched.
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    /// Whether no topology is watched.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// How many files are invalid, without those of topologies that are watched.
    pub fn invalid(&self) -> usize {
        self.invalid.len()
    }

    /// Forgets a topology whose watch ended by itself: it begins again if its file is there.
    pub fn forget(&mut self, topology: &TopologyName) {
        self.watched.remove(topology);
    }

    /// Compares the files of the folder with what is watched.
    pub fn observe(
        &mut self,
        files: &BTreeMap<PathBuf, FolderFile>,
        now: Instant,
    ) -> Vec<FolderChange> {
        self.note_contents(files, now);
        let stable = self.stable(now);
        let mut changes = Vec::new();
        self.follow_watched(files, &stable, now, &mut changes);
        self.start_others(&stable, &mut changes);
        self.report_invalid(files, &stable, now, &mut changes);
        changes
    }

    /// When to look again without an event; `None` if nothing is pending.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let valid = self.contents.values().map(|(_, _, since)| *since);
        let invalid = self.failures.values().map(|(_, since)| *since);
        let stable = valid.chain(invalid).map(|since| since + UNCHANGED_FOR);
        let missing = self.watched.values().filter_map(|it| it.missing_since);
        stable.chain(missing.map(|since| since + REMOVED_AFTER)).filter(|it| *it > now).min()
    }

    fn note_contents(&mut self, files: &BTreeMap<PathBuf, FolderFile>, now: Instant) {
        self.contents.retain(|file, _| files.get(file).is_some_and(Result::is_ok));
        self.failures.retain(|file, _| files.get(file).is_some_and(Result::is_err));
        for (file, found) in files {
            match found {
                Ok((topology, digest)) => {
                    let known = self.contents.get(file);
                    if known.is_none_or(|(name, known, _)| name != topology || known != digest) {
                        let content = (topology.clone(), digest.clone(), now);
                        self.contents.insert(file.clone(), content);
                    }
                }
                Err(failure) => {
                    if self.failures.get(file).is_none_or(|(known, _)| known != failure) {
                        self.failures.insert(file.clone(), (failure.clone(), now));
                    }
                }
            }
        }
    }

    /// The topology of each file that has stayed the same for long enough.
    fn stable(&self, now: Instant) -> BTreeMap<PathBuf, TopologyName> {
        let is_stable = |since: &Instant| now.duration_since(*since) >= UNCHANGED_FOR;
        let stable = self.contents.iter().filter(|(_, (_, _, since))| is_stable(since));
        stable.map(|(file, (topology, ..))| (file.clone(), topology.clone())).collect()
    }

    fn follow_watched(
        &mut self,
        files: &BTreeMap<PathBuf, FolderFile>,
        stable: &BTreeMap<PathBuf, TopologyName>,
        now: Instant,
        changes: &mut Vec<FolderChange>,
    ) {
        let mut ended = BTreeSet::new();
        for (topology, watched) in &mut self.watched {
            let other = stable.get(&watched.file).filter(|name| *name != topology);
            let is_there = files.contains_key(&watched.file);
            if is_there && other.is_none() {
                watched.missing_since = None;
                continue;
            }
            if let Some((file, _)) = stable.iter().find(|(_, name)| *name == topology) {
                *watched = Watched { file: file.clone(), missing_since: None };
                let (topology, file) = (topology.clone(), file.clone());
                changes.push(FolderChange::Moved { topology, file });
                continue;
            }
            // Another file with it is being written.
            if other.is_none() && self.contents.values().any(|(name, ..)| name == topology) {
                watched.missing_since = None;
                continue;
            }
            let since = *watched.missing_since.get_or_insert(now);
            let failure = match other {
                Some(other) => renamed(topology, other, &watched.file),
                None if now.duration_since(since) < REMOVED_AFTER => continue,
                None => removed(topology, &watched.file),
            };
            ended.insert(topology.clone());
            changes.push(FolderChange::Ended { topology: topology.clone(), failure });
        }
        self.watched.retain(|topology, _| !ended.contains(topology));
    }

    fn start_others(
        &mut self,
        stable: &BTreeMap<PathBuf, TopologyName>,
        changes: &mut Vec<FolderChange>,
    ) {
        for (file, topology) in stable {
            if !self.watched.contains_key(topology) {
                let watched = Watched { file: file.clone(), missing_since: None };
                self.watched.insert(topology.clone(), watched);
                let (topology, file) = (topology.clone(), file.clone());
                changes.push(FolderChange::Started { topology, file });
            }
        }
    }

    /// Reports each invalid file once for each reason. The watch of a topology reports its own
    /// file.
    fn report_invalid(
        &mut self,
        files: &BTreeMap<PathBuf, FolderFile>,
        stable: &BTreeMap<PathBuf, TopologyName>,
        now: Instant,
        changes: &mut Vec<FolderChange>,
    ) {
        let is_stable = |file: &PathBuf| {
            let read = self.failures.get(file);
            read.is_some_and(|(_, since)| now.duration_since(*since) >= UNCHANGED_FOR)
        };
        let own: BTreeSet<&PathBuf> = self.watched.values().map(|it| &it.file).collect();
        let others = files.iter().filter(|(file, _)| !own.contains(file));
        let invalid: BTreeMap<PathBuf, Failure> = others
            .filter_map(|(file, found)| match found {
                Err(failure) => is_stable(file).then(|| (file.clone(), failure.clone())),
                Ok(_) => {
                    let topology = stable.get(file)?;
                    let watched = self.watched.get(topology)?;
                    Some((file.clone(), duplicate(topology, &watched.file)))
                }
            })
            .collect();
        for (file, failure) in &invalid {
            if self.invalid.get(file) != Some(failure) {
                let (file, failure) = (file.clone(), failure.clone());
                changes.push(FolderChange::Invalid { file, failure });
            }
        }
        self.invalid = invalid;
    }
}

fn removed(topology: &TopologyName, file: &Path) -> Failure {
    Failure::new(
        Code::Unreadable,
        format!("`{}`, the file of the topology {topology}, was removed", file.display()),
        "if that is not intended, restore the file; the infrastructure is not changed",
    )
}

fn renamed(topology: &TopologyName, other: &TopologyName, file: &Path) -> Failure {
    Failure::new(
        Code::Unreadable,
        format!("`{}` now has the topology {other} instead of {topology}", file.display()),
        "if the edit is not intended, restore `[stargate] name`",
    )
}

fn duplicate(topology: &TopologyName, file: &Path) -> Failure {
    Failure::new(
        Code::Unreadable,
        format!("`{}` has the topology {topology}, too", file.display()),
        "give one of the two another `[stargate] name`, or remove the file",
    )
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
