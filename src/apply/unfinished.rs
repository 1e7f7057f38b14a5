//! Records of workers that have left and rejoin in the same iteration.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::provider::cluster::OperationRecord;

/// The records, by worker.
#[derive(Debug, Default)]
pub(super) struct Unfinished(Mutex<BTreeMap<String, OperationRecord>>);

impl Unfinished {
    /// Keeps a record for the second half of the work.
    pub(super) fn put(&self, record: Option<OperationRecord>) {
        let record = record.map(|record| (record.worker.to_string(), record));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(record);
    }

    /// Takes the record to go on with.
    pub(super) fn take(&self, worker: &str) -> Option<OperationRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(worker)
    }
}
