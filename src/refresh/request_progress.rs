//! How far an interrupted run of the same command came: what the records prove done is not
//! repeated.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Clock, Observation, Scope};
use crate::desired::digest::text_digest;
use crate::desired::facts::RequestProgress;
use crate::diagnostics::Failure;
use crate::inventory::Source;
use crate::plan::WorkerRequest;
use crate::provider::cluster::PastOperation;
use crate::topology::names::WorkerName;

/// How long after its beginning an interrupted request is continued by the same command.
const MAX_AGE: SignedDuration = SignedDuration::from_hours(24);

/// Reads the records of requested work, if work was requested. While they cannot be read,
/// the cluster counts as unread: finished work must not be repeated.
pub(super) async fn note(scope: &Scope<'_>, now: &Clock, observation: &mut Observation) {
    let Some(request) = &scope.options.worker_request else { return };
    let past = match &observation.access {
        Some(access) => access.client.past_operations().await,
        None => Ok(Vec::new()),
    };
    let past = match past {
        Ok(past) => past,
        // Without the definition of Operations there are no records.
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => {
            let message = "it is unknown how far an interrupted run of the same command came";
            let failure = Failure::from(&error).within(message);
            return observation.gap(Source::Kubernetes, failure);
        }
    };
    observation.facts.request = Some(progress(request, &past, now()));
}

/// The unfinished request for the same work on the same workers, or a new one.
fn progress(request: &WorkerRequest, past: &[PastOperation], now: Timestamp) -> RequestProgress {
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
        Some(id) if done.len() < request.workers.len() => {
            RequestProgress { id: id.to_owned(), done }
        }
        _ => RequestProgress { id: format!("{now}/{digest}"), done: BTreeMap::new() },
    }
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
    use crate::plan::WorkerOperation;

    fn request(workers: &[&str]) -> WorkerRequest {
        let workers = workers.iter().copied().map(WorkerName::new).collect();
        WorkerRequest { operation: WorkerOperation::Reboot, workers }
    }

    fn past(worker: &str, phase: &str, request: &str) -> PastOperation {
        PastOperation {
            name: String::new(),
            worker: worker.to_owned(),
            kind: "reboot".to_owned(),
            phase: phase.to_owned(),
            message: String::new(),
            started: None,
            completed: None,
            request: request.to_owned(),
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
