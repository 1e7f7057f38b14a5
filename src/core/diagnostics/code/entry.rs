//! The facts about a code.

use super::Code;

/// The facts about a code.
pub(super) struct Entry {
    pub(super) code: Code,
    pub(super) text: &'static str,
    pub(super) title: &'static str,
    pub(super) explanation: &'static str,
}
