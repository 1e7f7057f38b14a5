//! Edits that the sandbox cannot bring to an end.

use super::edits::Edit;

/// Each edit, by its field and change, with a part of its first violation: another one is
/// not known.
const LIMITS: &[Limit] = &[Limit {
    field: "[[datacenters.<name>.workers]]",
    change: "moved to a datacenter of the other kind",
    reason: "the sandbox has one host of a name: a machine and a VM of one name cannot both exist",
    violation: "did not join, step operating system",
}];

/// What the sandbox cannot do.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    field: &'static str,
    change: &'static str,
    /// Why the edit does not end as the table says.
    pub(super) reason: &'static str,
    /// A part of its first violation.
    pub(super) violation: &'static str,
}

/// The limit that an edit meets.
pub(super) fn limit(edit: &Edit) -> Option<Limit> {
    let rule = edit.rule();
    LIMITS.iter().find(|it| (it.field, it.change) == (rule.field, rule.change)).copied()
}
