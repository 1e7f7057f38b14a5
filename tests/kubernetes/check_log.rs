//! Collects the results of all checks and reports them at the end, because differences seldom occur
//! alone.

use std::fmt::Debug;

/// The results of the checks so far.
#[derive(Debug, Default)]
pub(crate) struct CheckLog {
    passed: usize,
    failed: Vec<String>,
}

impl CheckLog {
    /// Checks for equality.
    pub(crate) fn equals<T: PartialEq + Debug>(&mut self, what: &str, actual: T, expected: T) {
        if actual == expected {
            self.passed += 1;
        } else {
            self.failed
                .push(format!("{what}\n      actual:   {actual:?}\n      expected: {expected:?}"));
        }
    }

    /// Checks a condition; `detail` explains a failure.
    pub(crate) fn is_true(&mut self, what: &str, is_true: bool, detail: &dyn Debug) {
        if is_true {
            self.passed += 1;
        } else {
            self.failed.push(format!("{what}\n      {detail:?}"));
        }
    }

    /// Checks for success.
    pub(crate) fn succeeds<T, E: Debug>(&mut self, what: &str, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.passed += 1;
                Some(value)
            }
            Err(error) => {
                self.failed.push(format!("{what}\n      {error:?}"));
                None
            }
        }
    }

    /// Prints the counts, and panics if any check failed.
    pub(crate) fn report(&self, server: &str) {
        println!("{server}: {} checks held, {} did not", self.passed, self.failed.len());
        assert!(self.failed.is_empty(), "{server}:\n  - {}", self.failed.join("\n  - "));
    }
}
