//! Whether a `stargate watch` of the topology is alive, for `stargate status`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use crate::lease::LeaseIdentity;
use crate::provider::cluster::{
    ClusterError, LAST_SUCCESS_ANNOTATION, LeaseRecord, NEXT_RECONCILE_ANNOTATION, TopologyObject,
};
use crate::provider::read_write::ClusterRead;
use crate::render::watcher_status::{PendingApproval, WatcherState, WatcherStatus};
use crate::resource::names::TopologyName;
use crate::watch::approve_command;

/// The time between two reads of the Lease.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How much longer than the time between two renewals one of them may take.
const RENEWAL_MARGIN: Duration = Duration::from_secs(2);

/// The watcher of a topology; `None` if the topology was never watched.
///
/// # Errors
///
/// The API server did not answer or refused.
pub(crate) async fn of(
    client: &dyn ClusterRead,
    topology: &TopologyName,
) -> Result<Option<WatcherStatus>, ClusterError> {
    let identity = LeaseIdentity::of_leader(topology, "");
    let lease = client.lease(identity.name()).await?;
    let lease = lease.filter(|record| !record.holder.is_empty());
    let object = match client.topology_object().await {
        // The cluster does not know Topologies.
        Err(error) if error.is_not_found() => None,
        object => object?,
    };
    if lease.is_none() && object.is_none() {
        return Ok(None);
    }
    let (state, lease) = match lease {
        None => (WatcherState::None, None),
        Some(first) => {
            let (state, last) = observe(client, &identity, first).await?;
            (state, last)
        }
    };
    Ok(Some(status(topology, state, lease.as_ref(), object.as_ref())))
}

/// Whether the Lease is renewed. Clocks are not compared: a renewal is waited for.
async fn observe(
    client: &dyn ClusterRead,
    identity: &LeaseIdentity,
    first: LeaseRecord,
) -> Result<(WatcherState, Option<LeaseRecord>), ClusterError> {
    let mut left = identity.renewal_interval() + RENEWAL_MARGIN;
    while !left.is_zero() {
        let wait = left.min(POLL_EVERY);
        sleep(wait).await;
        left -= wait;
        match client.lease(identity.name()).await? {
            None => return Ok((WatcherState::None, None)),
            Some(record) if record != first => return Ok((WatcherState::Alive, Some(record))),
            Some(_) => {}
        }
    }
    Ok((WatcherState::NotRenewed, Some(first)))
}

fn status(
    topology: &TopologyName,
    state: WatcherState,
    lease: Option<&LeaseRecord>,
    object: Option<&TopologyObject>,
) -> WatcherStatus {
    let annotation = |name: &str| lease.and_then(|it| it.annotations.get(name).cloned());
    let reported = object.map_or(&Value::Null, |it| &it.status);
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let conditions = reported["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|it| it["type"] == "Ready");
    WatcherStatus {
        state,
        holder: lease.map(|it| it.holder.clone()),
        last_renewed: lease.map(|it| it.renewed.clone()),
        last_success: annotation(LAST_SUCCESS_ANNOTATION)
            .or_else(|| word(&reported["lastSuccessTime"])),
        // A watcher that ended does not reconcile at the time that it announced.
        next_reconcile: annotation(NEXT_RECONCILE_ANNOTATION)
            .filter(|_| state == WatcherState::Alive)
            .filter(|next| lease.is_some_and(|it| is_later(next, &it.renewed))),
        ready: ready.and_then(|it| word(&it["status"])),
        reason: ready.and_then(|it| word(&it["reason"])),
        message: ready.and_then(|it| word(&it["message"])),
        pending_approval: pending(topology, &reported["pendingApproval"]),
    }
}

/// The command is made here and not taken from the object: a person copies it.
fn pending(topology: &TopologyName, pending: &Value) -> Option<PendingApproval> {
    let total = pending["total"].as_u64().filter(|total| *total > 0)?;
    let digest = pending["digest"].as_str().filter(|digest| is_digest(digest));
    let digest = digest.unwrap_or_default().to_owned();
    let command = match digest.as_str() {
        "" => String::new(),
        digest => approve_command(topology, digest),
    };
    Some(PendingApproval { total, digest, command })
}

/// Whether a time is later than another one of the same clock. A reconcile that was due before
/// the last renewal runs, or its end is announced by the next renewal.
fn is_later(time: &str, other: &str) -> bool {
    let times = time.parse::<Timestamp>().ok().zip(other.parse::<Timestamp>().ok());
    times.is_some_and(|(time, other)| time > other)
}

fn is_digest(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The next reconcile of a watcher whose Lease was renewed at 03:04:05.
    fn next_reconcile(state: WatcherState, announced: &str) -> Option<String> {
        let name = NEXT_RECONCILE_ANNOTATION.to_owned();
        let lease = LeaseRecord {
            renewed: "2026-01-02T03:04:05.000000Z".to_owned(),
            annotations: [(name, announced.to_owned())].into(),
            ..LeaseRecord::default()
        };
        status(&TopologyName::new("lab"), state, Some(&lease), None).next_reconcile
    }

    #[test]
    fn the_next_reconcile_is_not_in_the_past() {
        let later = "2026-01-02T03:05:00Z";
        assert_eq!(next_reconcile(WatcherState::Alive, later).as_deref(), Some(later));
        assert_eq!(next_reconcile(WatcherState::Alive, "2026-01-02T03:04:05Z"), None);
        assert_eq!(next_reconcile(WatcherState::NotRenewed, later), None);
    }
}
