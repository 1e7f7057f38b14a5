//! Edits that do not end as the table says: known deviations, and what the sandbox lacks.

use stargate::topology::changes::{DEVIATIONS, SiteKind};

use super::edits::Edit;

/// Edits that the sandbox cannot bring to an end, with the kind of the datacenter.
const LIMITS: &[(&str, &str, &str)] = &[(
    "[[datacenters.<name>.workers]]",
    "moved to a datacenter of the other kind",
    "the sandbox has one host of a name: a machine and a VM of one name cannot both exist",
)];

/// What is known of an edit.
pub(super) fn reason(edit: &Edit) -> Option<&'static str> {
    let (rule, kind): (_, Option<SiteKind>) = (edit.rule(), edit.kind());
    let deviation = DEVIATIONS.iter().find(|deviation| deviation.concerns(rule, kind));
    let limit =
        LIMITS.iter().find(|(field, change, _)| (rule.field, rule.change) == (*field, *change));
    deviation.map(|it| it.instead).or(limit.map(|(_, _, reason)| *reason))
}
