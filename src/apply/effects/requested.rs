//! The start of Operations that people created.

use super::kubernetes::access;
use super::report::{failed, progress};
use crate::apply::events::Outcome;
use crate::apply::iteration::Iteration;
use crate::plan::Change;
use crate::provider::cluster::{OperationEvent, OperationStart};
use crate::resource::work_request::RequestedOperation;
use crate::topology::names::WorkerName;

/// Holds an Operation from now on, so that its work is completed even if it is deleted. An
/// Operation that was deleted before is not started.
pub(super) async fn start(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &WorkerName,
    requested: &RequestedOperation,
) -> Result<(), Outcome> {
    let cluster = access(iteration)?.client.as_ref();
    match cluster.start_operation(requested).await.map_err(failed)? {
        OperationStart::Started => {}
        OperationStart::Cancelled => return Err(Outcome::NotStarted),
    }
    let event = started(requested, worker, (iteration.now)());
    if let Err(error) = cluster.record_operation_event(&event).await {
        progress(iteration, change, format!("the event was not recorded: {error}"));
    }
    Ok(())
}

fn started(
    requested: &RequestedOperation,
    worker: &WorkerName,
    at: jiff::Timestamp,
) -> OperationEvent {
    let (reason, note) = match requested.earlier {
        None => ("Started", format!("the Operation {} was started", requested.name)),
        Some(_) => ("Resumed", format!("the Operation {} was resumed", requested.name)),
    };
    OperationEvent {
        operation: requested.name.clone(),
        uid: requested.uid.clone(),
        worker: Some(worker.clone()),
        reason,
        note,
        is_warning: false,
        at,
    }
}
