//! Edits that do not end as the table says: known deviations, and what the sandbox lacks.

use stargate::topology::changes::{DEVIATIONS, SiteKind};

use super::edits::Edit;

/// Edits that the sandbox cannot bring to an end, with the kind of the datacenter.
const LIMITS: &[(&str, &str, &str)] = &[(
    "[[datacenters.<name>.workers]]",
    "moved to a datacenter of the other kind",
    "the sandbox has one host of a name: a machine and a VM of one name cannot both exist",
)];

/// What an edit that deviates shows, by its field and change: another violation is not
/// known.
const SHOWN: &[(&str, &str, &str)] = &[
    ("azure.subscription", "another subscription", "and not SourceGap"),
    ("tailnet.tag", "another value", "the plan is empty"),
    (
        "datacenters.*.workers[].ip",
        "the address that the machine has now",
        "did not leave: cannot reach",
    ),
    (
        "datacenters.*.worker_range.first_ip",
        "the address that the machine has now",
        "did not leave: cannot reach",
    ),
    (
        "[[datacenters.<name>.workers]]",
        "moved to a datacenter of the same kind",
        "did not leave: cannot reach",
    ),
    (
        "[[datacenters.<name>.workers]]",
        "moved to a datacenter of the other kind",
        "did not join, step operating system",
    ),
];

/// What is known of an edit.
#[derive(Clone, Copy)]
pub(super) struct Known {
    /// Why it deviates.
    pub(super) reason: &'static str,
    /// A part of its first violation.
    pub(super) violation: &'static str,
}

/// What is known of an edit, if it deviates.
pub(super) fn known(edit: &Edit) -> Option<Known> {
    let (rule, kind): (_, Option<SiteKind>) = (edit.rule(), edit.kind());
    let is_rule = |field: &str, change: &str| (rule.field, rule.change) == (field, change);
    let deviation = DEVIATIONS.iter().find(|deviation| deviation.concerns(rule, kind));
    let limit = LIMITS.iter().find(|(field, change, _)| is_rule(field, change));
    let reason = deviation.map(|it| it.instead).or(limit.map(|(_, _, reason)| *reason))?;
    // Every known deviation says what it shows.
    let deviating = SHOWN.iter().find(|(field, change, _)| is_rule(field, change));
    let (_, _, violation) = deviating.unwrap();
    Some(Known { reason, violation })
}
