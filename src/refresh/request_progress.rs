//! Progress of an interrupted run of the same command: completed work on record is not
//! repeated.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{Clock, Observation, Scope};
use crate::desired::digest::text_digest;
use crate::desired::facts::RequestProgress;
use crate::diagnostics::Failure;
use crate::inventory::Source;
use crate::plan::{WorkerOperation, WorkerRequest};
use crate::provider::cluster::{ClusterError, PastOperation};
use crate::provider::read_write::ClusterRead;
use crate::topology::names::WorkerName;

/// How long after its beginning an interrupted request is continued by the same command.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Reads the records of requested work, if work was requested. While they cannot be read,
/// the cluster counts as unread: finished work must not be repeated.
pub(super) async fn note(scope: &Scope<'_>, now: &Clock, observation: &mut Observation) {
    let Some(request) = &scope.options.worker_request else { return };
    let read = match &observation.access {
        Some(access) => read(access.client.as_ref(), request, now()).await,
        None => Ok(progress(request, &[], now())),
    };
    match read {
        Ok(progress) => observation.facts.request = Some(progress),
        Err(error) => {
            let message = "it is unknown how far an interrupted run of the same command came";
            let failure = Failure::from(&error).within(message);
            observation.gap(Source::Kubernetes, failure);
        }
    }
}

async fn read(
    cluster: &dyn ClusterRead,
    request: &WorkerRequest,
    now: Timestamp,
) -> Result<RequestProgress, ClusterError> {
    let past = match cluster.past_operations().await {
        // Without the definition of Operations there are no records.
        Err(error) if error.is_not_found() => Vec::new(),
        past => past?,
    };
    let progress = progress(request, &past, now);
    let mut left = BTreeSet::new();
    for (worker, uid) in nodes_before(request, &progress, &past) {
        let node = cluster.node(worker.as_str()).await?;
        if node.is_none_or(|node| node.uid != uid) {
            left.insert(worker);
        }
    }
    Ok(RequestProgress { left, operations: request.operations.clone(), ..progress })
}

/// The workers whose repave was interrupted, each with the uid of its Node before.
fn nodes_before(
    request: &WorkerRequest,
    progress: &RequestProgress,
    past: &[PastOperation],
) -> BTreeMap<WorkerName, String> {
    if request.operation != WorkerOperation::Repave {
        return BTreeMap::new();
    }
    let of_operation = |worker: &WorkerName| {
        let operation = request.operations.get(worker)?;
        operation.earlier.as_ref()?.node_uid.clone()
    };
    let of_record = |worker: &WorkerName| {
        let mut records = past.iter().filter(|it| it.worker == worker.as_str());
        records.find(|it| it.request == progress.id && !it.has_succeeded())?.node_uid.clone()
    };
    let remaining = request.workers.iter().filter(|worker| !progress.done.contains_key(*worker));
    remaining
        .filter_map(|worker| {
            let uid = of_operation(worker).or_else(|| of_record(worker))?;
            Some((worker.clone(), uid))
        })
        .collect()
}

/// The unfinished request for the same work on the same workers, or a new one.
fn progress(request: &WorkerRequest, past: &[PastOperation], now: Timestamp) -> RequestProgress {
    if !request.operations.is_empty() {
        // Each Operation records its own progress.
        return progress_of(String::new(), BTreeMap::new());
    }
    let digest = digest(request);
    let recent = |it: &&PastOperation| begin(&it.request).is_some_and(|at| now - MAX_AGE < at);
    let of_request = past.iter().filter(|it| it.request.ends_with(&digest)).filter(recent);
    let last = of_request.clone().map(|it| it.request.as_str()).max();
    let done: BTreeMap<_, _> = of_request
        .filter(|it| Some(it.request.as_str()) == last && it.has_succeeded())
        .filter_map(|it| {
            let worker = request.workers.iter().find(|worker| worker.as_str() == it.worker)?;
            let time = it.completed.map(|time| time.to_string()).unwrap_or_default();
            Some((worker.clone(), time))
        })
        .collect();
    match last {
        Some(id) if done.len() < request.workers.len() => progress_of(id.to_owned(), done),
        _ => progress_of(format!("{now}/{digest}"), BTreeMap::new()),
    }
}

fn progress_of(id: String, done: BTreeMap<WorkerName, String>) -> RequestProgress {
    RequestProgress { id, done, left: BTreeSet::new(), operations: BTreeMap::new() }
}

/// When a request began: its name begins with the time.
fn begin(request: &str) -> Option<Timestamp> {
    request.split('/').next()?.parse().ok()
}

/// The same for the same work on the same workers.
fn digest(request: &WorkerRequest) -> String {
    let names: Vec<&str> = request.workers.iter().map(WorkerName::as_str).collect();
    let digest = text_digest(&format!("{} {}", request.operation.command(), names.join(" ")));
    digest.get(..16).unwrap_or(&digest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(workers: &[&str]) -> WorkerRequest {
        let workers = workers.iter().copied().map(WorkerName::new).collect();
        WorkerRequest::new(WorkerOperation::Reboot, workers)
    }

    fn past(worker: &str, phase: &str, request: &str) -> PastOperation {
        PastOperation {
            uid: String::new(),
            name: String::new(),
            worker: worker.to_owned(),
            kind: "reboot".to_owned(),
            phase: phase.to_owned(),
            message: String::new(),
            created: None,
            started: None,
            completed: None,
            request: request.to_owned(),
            is_request: false,
            node_uid: None,
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn an_unfinished_request_is_continued_and_a_finished_one_is_not() {
        let requested = request(&["a", "b"]);
        let now = at("2026-01-02T12:00:00Z");
        let id = format!("2026-01-02T11:00:00Z/{}", digest(&requested));
        let done = |records: &[PastOperation], now: Timestamp| {
            let found = progress(&requested, records, now);
            let names: Vec<String> = found.done.keys().map(ToString::to_string).collect();
            (found.id == id, names)
        };
        let first = past("a", "Succeeded", &id);
        assert_eq!(done(&[], now), (false, vec![]));
        assert_eq!(done(std::slice::from_ref(&first), now), (true, vec!["a".to_owned()]));
        let failed = [first.clone(), past("b", "Failed", &id)];
        assert_eq!(done(&failed, now), (true, vec!["a".to_owned()]));
        let finished = [first.clone(), past("b", "Succeeded", &id)];
        assert_eq!(done(&finished, now), (false, vec![]), "it is a new request");
        let late = at("2026-01-04T12:00:00Z");
        assert_eq!(done(std::slice::from_ref(&first), late), (false, vec![]));
        let other = format!("2026-01-02T11:00:00Z/{}", digest(&request(&["a", "c"])));
        assert_eq!(done(&[past("a", "Succeeded", &other)], now), (false, vec![]));
    }
}
