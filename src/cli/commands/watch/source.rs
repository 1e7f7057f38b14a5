//! The topology file as a watch reads it.

use crate::cli::arguments::Global;
use crate::cli::topology;
use crate::diagnostics::{Code, Failure, Severity};
use crate::topology::load::{Loaded, load_bytes};
use crate::watch::TopologySource;

/// Reads the topology file of the command line.
pub(super) struct TopologyFile<'a>(pub(super) &'a Global);

impl TopologySource for TopologyFile<'_> {
    fn load(&self) -> Result<Loaded, Failure> {
        let bytes = topology::read(&self.0.topology).map_err(Failure::from)?;
        let name = self.0.topology_name();
        load_bytes(&name, &bytes).map_err(|found| {
            let first = found.list.iter().find(|one| one.severity == Severity::Error);
            let code = first.map_or(Code::Unreadable, |one| one.code);
            let remedy = format!("run `stargate validate -f {name}` for every error and its place");
            Failure::new(code, found.to_string(), remedy)
        })
    }
}
