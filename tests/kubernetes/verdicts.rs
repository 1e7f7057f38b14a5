//! What was checked, and what did not hold: all of it is told at the end, since
//! one difference seldom comes alone.

use std::fmt::Debug;

/// The outcome of the checks so far.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    held: usize,
    broken: Vec<String>,
}

impl Verdicts {
    /// Something must be as expected.
    pub(crate) fn same<T: PartialEq + Debug>(&mut self, what: &str, seen: T, expected: T) {
        if seen == expected {
            self.held += 1;
        } else {
            self.broken
                .push(format!("{what}\n      seen:     {seen:?}\n      expected: {expected:?}"));
        }
    }

    /// Something must hold; `told` explains it where it does not.
    pub(crate) fn holds(&mut self, what: &str, holds: bool, told: &dyn Debug) {
        if holds {
            self.held += 1;
        } else {
            self.broken.push(format!("{what}\n      {told:?}"));
        }
    }

    /// Something must go well.
    pub(crate) fn well<T, E: Debug>(&mut self, what: &str, outcome: Result<T, E>) -> Option<T> {
        match outcome {
            Ok(value) => {
                self.held += 1;
                Some(value)
            }
            Err(error) => {
                self.broken.push(format!("{what}\n      {error:?}"));
                None
            }
        }
    }

    /// Tells the count, and fails where anything did not hold.
    pub(crate) fn conclude(&self, server: &str) {
        println!("{server}: {} checks held, {} did not", self.held, self.broken.len());
        assert!(self.broken.is_empty(), "{server}:\n  - {}", self.broken.join("\n  - "));
    }
}
