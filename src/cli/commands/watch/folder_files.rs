//! The topology files of a folder, read again when they change.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::source::load;
use crate::diagnostics::{Code, Failure};
use crate::watch::FolderFile;

/// The most files that are read: a folder of other things is no folder of topologies.
const MAX_FILES: usize = 200;

/// By what a file is known to be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

impl Version {
    fn of(metadata: &Metadata) -> Self {
        Self {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            #[cfg(unix)]
            inode: std::os::unix::fs::MetadataExt::ino(metadata),
        }
    }
}

/// The files of a folder as they were read last.
pub(super) struct FolderFiles<'a> {
    folder: &'a Path,
    versions: BTreeMap<PathBuf, Version>,
    files: BTreeMap<PathBuf, FolderFile>,
    /// Why the folder could not be read last.
    failure: Option<Failure>,
}

impl<'a> FolderFiles<'a> {
    pub(super) fn new(folder: &'a Path) -> Self {
        Self { folder, versions: BTreeMap::new(), files: BTreeMap::new(), failure: None }
    }

    /// Looks at the folder. Only files that changed are read.
    pub(super) fn read(&mut self) -> Result<(), Failure> {
        let paths = paths(self.folder)?;
        self.failure = None;
        self.files.retain(|path, _| paths.contains_key(path));
        self.versions.retain(|path, _| paths.contains_key(path));
        for (path, version) in paths {
            if self.versions.get(&path) != Some(&version) {
                let found = load(&path).map(|it| (it.topology.name.clone(), it.digest));
                self.files.insert(path.clone(), found);
                self.versions.insert(path, version);
            }
        }
        Ok(())
    }

    /// The files as they were read last.
    pub(super) fn found(&self) -> &BTreeMap<PathBuf, FolderFile> {
        &self.files
    }

    /// Reads every file again, whether it seems to have changed or not.
    pub(super) fn forget(&mut self) {
        self.versions.clear();
    }

    /// Whether the folder could be read before, or not for another reason.
    pub(super) fn is_new_failure(&mut self, failure: &Failure) -> bool {
        self.failure.replace(failure.clone()).as_ref() != Some(failure)
    }
}

/// The topology files of a folder, links followed. Hidden ones are left out: editors and
/// ConfigMap volumes keep theirs under such names.
pub(in crate::cli::commands) fn topology_files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    Ok(paths(folder)?.into_keys().collect())
}

fn paths(folder: &Path) -> Result<BTreeMap<PathBuf, Version>, Failure> {
    let unreadable = |error: std::io::Error| {
        let message = format!("the folder `{}` cannot be read: {error}", folder.display());
        let remedy = "restore the folder; its topologies are watched as they were last read";
        Failure::new(Code::Unreadable, message, remedy)
    };
    let mut paths = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') || !name.ends_with(".toml") {
            continue;
        }
        let version = match fs::metadata(&path) {
            Ok(metadata) if metadata.is_file() => Version::of(&metadata),
            Ok(_) => continue,
            // A link without a target is reported as a file that cannot be read.
            Err(_) => match fs::symlink_metadata(&path) {
                Ok(link) => Version::of(&link),
                // One that was removed after it was listed is not there.
                Err(_) => continue,
            },
        };
        paths.insert(path, version);
    }
    if paths.len() > MAX_FILES {
        let message = format!("`{}` has more than {MAX_FILES} files", folder.display());
        let remedy = "divide the folder: a process watches at most so many topologies";
        return Err(Failure::new(Code::TooLarge, message, remedy));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_changed_are_read_again_and_hidden_ones_are_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let example = include_str!("../../../../examples/aks-e2e/stargate.toml");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("it is written");
        };
        write("a.toml", example);
        write("b.toml", "[stargate");
        write(".c.toml", example);
        write("notes.txt", example);
        let mut files = FolderFiles::new(folder.path());
        files.read().expect("files");
        let found = files.found().clone();
        let valid: Vec<bool> = found.values().map(Result::is_ok).collect();
        assert_eq!(valid, [true, false], "{found:?}");
        files.read().expect("files");
        assert_eq!(files.found(), &found);
        write("b.toml", &example.replacen("aks-e2e-2", "aks-e2e-3", 1));
        fs::remove_file(folder.path().join("a.toml")).expect("it is removed");
        files.read().expect("files");
        let names: Vec<&str> =
            files.found().values().flatten().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["stargate-aks-e2e-3"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_without_a_target_is_a_file_that_cannot_be_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, target) = (folder.path().join("a.toml"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        let mut files = FolderFiles::new(folder.path());
        files.read().expect("files");
        let failure = files.found()[&link].clone().expect_err("it has no target");
        assert!(failure.message.contains("a.toml"), "{failure:?}");
        let example = include_str!("../../../../examples/aks-e2e/stargate.toml");
        fs::write(&target, example).expect("it is written");
        files.read().expect("files");
        assert!(files.found()[&link].is_ok(), "{:?}", files.found());
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_reported_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        let mut files = FolderFiles::new(&missing);
        let failure = files.read().expect_err("it is missing");
        assert!(files.is_new_failure(&failure));
        assert!(!files.is_new_failure(&failure));
    }
}
