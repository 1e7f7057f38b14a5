//! Operations that people request with `kubectl apply`: the same work as `stargate repave`
//! and `stargate reboot`, by the same plan and apply.
//!
//! The object of a request is also its record. A finalizer keeps it from the start of the
//! work until its end, so that the next process completes the work if this one ends, and
//! even if the object is deleted.

mod batch;
mod queue;
mod retention;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeSet;

use tokio::time::Instant;

use self::batch::BatchResult;
use self::queue::{Queue, Reason};
use self::writer::Writer;
use super::context::ReconcileContext;
use super::reconciled::{ReconcileResult, Reconciled};
use crate::diagnostics::Failure;
use crate::lease::Validity;
use crate::provider::access::ClusterAccess;
use crate::provider::cluster::{ClusterError, OperationObject, OperationOrigin};
use crate::resource::Ownership;
use crate::resource::custom_resources::NAMESPACE;
use crate::resource::kubernetes::ManifestKind;
use crate::resource::settings::AutoApply;
use crate::topology::names::WorkerName;

/// Runs the requested Operations after a reconcile, and adds their result to that
/// of the reconcile.
pub(super) async fn run(
    context: &ReconcileContext<'_>,
    access: &ClusterAccess,
    leadership: Option<Validity>,
    reconciled: Reconciled,
) -> Reconciled {
    let ends = [ReconcileResult::Interrupted, ReconcileResult::StandingBy];
    if ends.contains(&reconciled.result) || context.apply.stop.is_set() {
        return reconciled;
    }
    // Another replica may lead by now.
    if let Some(mut lease) = leadership.clone()
        && !lease.confirmed().await
    {
        return reconciled;
    }
    let result = run_requested(context, access, leadership).await;
    let BatchResult { changes, has_progressed, failure, recheck } = result
        .unwrap_or_else(|failure| BatchResult { failure: Some(failure), ..BatchResult::default() });
    if has_progressed {
        // Others may wait for those that have ended.
        context.watchers.request_reconcile();
    }
    let changes = reconciled.changes + changes;
    let reconciled = Reconciled { changes, recheck, ..reconciled };
    match failure {
        Some(failure) if reconciled.failure.is_none() => {
            Reconciled { result: ReconcileResult::Failed, failure: Some(failure), ..reconciled }
        }
        _ => reconciled,
    }
}

async fn run_requested(
    context: &ReconcileContext<'_>,
    access: &ClusterAccess,
    leadership: Option<Validity>,
) -> Result<BatchResult, Failure> {
    let unread = |error: &ClusterError| Failure::from(error).within("Operations were not run");
    let objects = access.client.operations().await.map_err(|error| unread(&error))?;
    if objects.is_empty() {
        return Ok(BatchResult::default());
    }
    let client = access.credentials.connect(context.apply.clients).await;
    let client = client.map_err(|error| Failure::from(&error))?;
    let writer = Writer {
        cluster: client.as_ref(),
        reporter: context.reporter,
        now: context.apply.pipeline.now,
        leadership: leadership.clone(),
    };
    let ran = run_found(context, &writer, objects, leadership).await;
    ran.map_err(|error| unread(&error))
}

async fn run_found(
    context: &ReconcileContext<'_>,
    writer: &Writer<'_>,
    objects: Vec<OperationObject>,
    leadership: Option<Validity>,
) -> Result<BatchResult, ClusterError> {
    let topology = context.apply.pipeline.scope.topology;
    if topology.watch.apply != AutoApply::None {
        tidy(writer, &objects).await?;
    }
    let mut objects = without_other_topologies(context, writer, objects).await?;
    let mut held = BTreeSet::new();
    let mut has_progressed = false;
    // Each attempt holds back at least one more.
    loop {
        let mut queue = Queue::of(topology, &objects, &held, (writer.now)());
        if let Some(reason) = paused(context) {
            queue.hold(&reason);
        }
        let found = match &queue.batch {
            Some(batch) => batch::plan(context, writer, batch).await?,
            None => None,
        };
        if let Some(found) = &found
            && let Some(stuck) = found.stuck()
        {
            held.extend(stuck.iter().cloned());
            has_progressed |= found.result.has_progressed;
            objects.retain(|it| !found.ended.contains(&it.uid));
            continue;
        }
        note_others(context, writer, &queue).await?;
        let result = match (&queue.batch, found) {
            (Some(batch), Some(found)) => {
                batch::run(context, writer, batch, found, leadership).await?
            }
            _ => BatchResult::default(),
        };
        let has_progressed = has_progressed || result.has_progressed;
        return Ok(BatchResult { has_progressed, recheck: queue.recheck, ..result });
    }
}

/// Notes what becomes of the Operations that do not run now.
async fn note_others(
    context: &ReconcileContext<'_>,
    writer: &Writer<'_>,
    queue: &Queue<'_>,
) -> Result<(), ClusterError> {
    let names = &context.apply.pipeline.scope.worker_names;
    let known = |object: &OperationObject| {
        names.contains(&object.server).then(|| WorkerName::new(object.server.as_str()))
    };
    for (object, reason) in &queue.refused {
        let refused = writer.refuse(object, known(object).as_ref(), reason).await;
        writer.tolerate(refused)?;
    }
    for (object, reason) in &queue.waiting {
        writer.tolerate(writer.wait(object, known(object).as_ref(), reason).await)?;
    }
    Ok(())
}

/// Releases ended Operations, and deletes old ones.
async fn tidy(writer: &Writer<'_>, objects: &[OperationObject]) -> Result<(), ClusterError> {
    let ours = objects.iter().filter(|it| it.ownership.is_ours());
    for object in ours.filter(|it| it.is_finished() && it.is_held) {
        writer.tolerate(writer.conclude(object).await)?;
    }
    for object in retention::expired(objects, (writer.now)()) {
        writer.tolerate(writer.cluster.delete_operation(&object.name, &object.uid).await)?;
    }
    Ok(())
}

/// Leaves out requests for Servers of another topology in the same cluster.
async fn without_other_topologies(
    context: &ReconcileContext<'_>,
    writer: &Writer<'_>,
    objects: Vec<OperationObject>,
) -> Result<Vec<OperationObject>, ClusterError> {
    let mut kept = Vec::new();
    for object in objects {
        let is_known = context.apply.pipeline.scope.worker_names.contains(&object.server);
        let is_record = object.origin == OperationOrigin::Record;
        let is_new = !is_record && !object.is_claimed && !object.is_finished();
        if is_new && !is_known && may_name_server(&object.server) {
            let server = writer.cluster.get(ManifestKind::Server, Some(NAMESPACE), &object.server);
            let owner = server.await?.map(|server| server.ownership);
            if matches!(owner, Some(Ownership::OtherTopology { .. })) {
                continue;
            }
        }
        kept.push(object);
    }
    Ok(kept)
}

/// Whether a Server can have this name, which is a part of a path.
fn may_name_server(name: &str) -> bool {
    let is_allowed = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.')
    };
    name.bytes().all(is_allowed) && !name.starts_with('.')
}

/// Why nothing is started now, if reconciles fail too often.
fn paused(context: &ReconcileContext<'_>) -> Option<Reason> {
    let reason = context.guard().refusal(0, context.max_removals, Instant::now())?;
    Some(Reason::new("WritingPaused", format!("changes are paused: {reason}")))
}
