//! Resolves the workers that a command line names.

use std::collections::BTreeSet;

use crate::diagnostics::{Code, closest};
use crate::plan::{WorkerOperation, WorkerRequest};
use crate::topology::model::Topology;
use crate::topology::names::WorkerName;

use super::error::CliError;
use super::exit;

/// A request for the named workers.
///
/// # Errors
/// The topology has no worker of one of the names.
pub(crate) fn named(
    topology: &Topology,
    names: &[String],
    operation: WorkerOperation,
) -> Result<WorkerRequest, CliError> {
    let workers = topology.datacenters.iter().flat_map(|datacenter| &datacenter.workers);
    let known: BTreeSet<&str> = workers.map(|worker| worker.name.as_str()).collect();
    for name in names {
        if known.contains(name.as_str()) {
            continue;
        }
        let message = format!("the topology has no worker `{name}`");
        let error = CliError::coded(Code::UnknownWorker, message).exit(exit::USAGE);
        return Err(match closest(name, known.iter().copied()) {
            Some(proposal) => error.remedy(format!("did you mean `{proposal}`?")),
            None => error.remedy("`stargate status` lists the workers"),
        });
    }
    Ok(WorkerRequest::new(operation, names.iter().map(WorkerName::new).collect()))
}
