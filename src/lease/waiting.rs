//! The Lease of another process, while this one waits for its end.

use tokio::time::Instant;

use super::identity::LeaseTerms;
use crate::provider::cluster::LeaseRecord;

/// Another process' Lease, and since when it is unchanged.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) record: LeaseRecord,
    pub(super) since: Instant,
    /// Whether a process acquired or renewed it while this one observed it.
    pub(super) was_active: bool,
}

/// Whether the Lease was not renewed for its whole duration.
pub(super) fn expired(other: &Option<Waiting>, record: &LeaseRecord, terms: LeaseTerms) -> bool {
    // A Lease without a duration gets ours.
    let duration = if record.duration.is_zero() { terms.duration } else { record.duration };
    let is_same = |it: &Waiting| it.record == *record || is_only_requested(&it.record, record);
    other.as_ref().is_some_and(|it| is_same(it) && it.since.elapsed() >= duration)
}

/// Continues to wait, from now on for a renewed or for another Lease.
pub(super) fn wait_for(
    other: Option<Waiting>,
    record: LeaseRecord,
    waiting: &(dyn Fn(&LeaseRecord) + Sync),
) -> Waiting {
    let known = other.as_ref().map(|it| it.record.holder.as_str());
    if known != Some(record.holder.as_str()) {
        waiting(&record);
    }
    match other {
        Some(it) if it.record == record => it,
        // Another process requested it, which is no sign of life of its holder.
        Some(it) if is_only_requested(&it.record, &record) => Waiting { record, ..it },
        Some(_) => Waiting { record, since: Instant::now(), was_active: true },
        None => Waiting { record, since: Instant::now(), was_active: false },
    }
}

/// Whether a Lease was requested since it was read, and not renewed: a renewal removes requests.
fn is_only_requested(before: &LeaseRecord, after: &LeaseRecord) -> bool {
    after.request().is_some() && after.holder == before.holder && after.renewed == before.renewed
}
