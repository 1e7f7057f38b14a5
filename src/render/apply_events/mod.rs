//! What happens during an apply, shown while it happens.
//!
//! Every reporter is fed by the same events: plain lines where nobody watches,
//! bars on a terminal, lines of JSON for machines.

mod json;
mod line;
mod plain;
mod progress;

#[cfg(test)]
mod tests;

pub use json::JsonReporter;
pub use plain::PlainReporter;
pub use progress::ProgressReporter;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is behind a lock, whether or not a thread died with it: a reporter
/// must not add a failure of its own.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
