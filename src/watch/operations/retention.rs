//! How long finished Operations are kept. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::provider::cluster::{MAX_OPERATIONS, OperationObject, REQUEST_KEPT_FOR};

/// How long a finished Operation is kept.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The finished Operations and records of the topology that are deleted now: those that
/// ended long ago, and all but the last ones of each worker.
pub(super) fn expired(objects: &[OperationObject], now: Timestamp) -> Vec<&OperationObject> {
    let mut of_server: BTreeMap<&str, Vec<&OperationObject>> = BTreeMap::new();
    for object in objects {
        let is_ours = object.ownership.is_ours() && !object.is_deleting;
        if is_ours && object.is_finished() && !object.is_held {
            of_server.entry(&object.server).or_default().push(object);
        }
    }
    let mut expired = Vec::new();
    for mut finished in of_server.into_values() {
        finished.sort_by_key(|it| std::cmp::Reverse((ended(it), &it.name)));
        let indexed = finished.into_iter().enumerate();
        let is_expired = |(index, object): &(usize, &OperationObject)| {
            let age = now.duration_since(ended(object));
            age >= KEPT_FOR || *index >= MAX_OPERATIONS && age >= REQUEST_KEPT_FOR
        };
        expired.extend(indexed.filter(is_expired).map(|(_, object)| object));
    }
    expired
}

fn ended(object: &OperationObject) -> Timestamp {
    object.completed.or(object.started).unwrap_or(object.created)
}
