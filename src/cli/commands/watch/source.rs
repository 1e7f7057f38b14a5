//! Topology files as a watch reads them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::arguments::Global;
use crate::cli::topology;
use crate::diagnostics::{Code, Failure, Severity};
use crate::resource::names::TopologyName;
use crate::topology::load::{Loaded, load_bytes};
use crate::watch::TopologySource;

/// Reads the topology file of the command line.
pub(super) struct TopologyFile<'a>(pub(super) &'a Global);

impl TopologySource for TopologyFile<'_> {
    fn load(&self) -> Result<Loaded, Failure> {
        load(&self.0.topology)
    }
}

/// The path of a file that may be renamed. Clones share it.
#[derive(Clone)]
pub(super) struct MovingPath(Arc<Mutex<PathBuf>>);

impl MovingPath {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Mutex::new(path)))
    }

    pub(super) fn set(&self, path: PathBuf) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    pub(super) fn get(&self) -> PathBuf {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Reads the file of one of the topologies of a folder.
pub(super) struct FolderTopology {
    pub(super) topology: TopologyName,
    pub(super) path: MovingPath,
}

impl TopologySource for FolderTopology {
    fn load(&self) -> Result<Loaded, Failure> {
        let path = self.path.get();
        let loaded = load(&path)?;
        if loaded.topology.name == self.topology {
            return Ok(loaded);
        }
        let (file, other) = (path.display(), &loaded.topology.name);
        let message = format!("`{file}` has the topology {other} instead of {}", self.topology);
        Err(Failure::new(Code::Unreadable, message, "restore `[stargate] name` in the file"))
    }
}

/// Reads a topology file.
pub(super) fn load(path: &Path) -> Result<Loaded, Failure> {
    let bytes = topology::read(path).map_err(Failure::from)?;
    let name = path.display().to_string();
    load_bytes(&name, &bytes).map_err(|found| {
        let first = found.list.iter().find(|one| one.severity == Severity::Error);
        let code = first.map_or(Code::Unreadable, |one| one.code);
        let remedy = format!("run `stargate validate -f {name}` for every error and its place");
        Failure::new(code, found.to_string(), remedy)
    })
}
