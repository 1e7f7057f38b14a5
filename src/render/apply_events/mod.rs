//! Reporters for the events of an apply: plain lines for logs, progress bars on a
//! terminal, and lines of JSON.

mod json;
mod line;
mod plain;
mod progress;
mod running;

#[cfg(test)]
mod tests;

pub use json::{EventJson, JsonReporter, OutcomeJson};
pub use plain::PlainReporter;
pub use progress::ProgressReporter;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, ignoring poisoning: a reporter must not add a failure of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
