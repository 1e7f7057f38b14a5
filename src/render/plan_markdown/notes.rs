//! Errors, sources that were not read, blocked and deferred changes, and warnings.

use std::collections::BTreeMap;

use crate::diagnostics::{Code, Failure};
use crate::plan::{Deferred, FindingSeverity, Plan};
use crate::render::deferred::{Group, groups};
use crate::render::text::counted;
use crate::resource::Address;

use super::listing::{name, names, plain_name, sentence};

/// Blocked resources that are named for one reason.
const MAX_BLOCKED: usize = 10;

/// Deferred resources named in one group.
const MAX_DEFERRED: usize = 12;

/// Resources named that others wait for, and ignored fields.
const MAX_NAMED: usize = 8;

/// The notes, those that forbid changes first.
pub(super) fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = findings(plan, FindingSeverity::Error);
    notes.extend(not_read(plan));
    notes.extend(blocked(plan));
    notes.extend(rollout(plan));
    notes.extend(findings(plan, FindingSeverity::Warning));
    notes.extend(ignored(plan));
    notes.extend(groups(&plan.deferred).iter().map(deferred));
    notes
}

fn findings(plan: &Plan, severity: FindingSeverity) -> Vec<String> {
    let word = match severity {
        FindingSeverity::Warning => "warning",
        FindingSeverity::Error => "error",
    };
    let found = plan.findings.iter().filter(|finding| finding.severity == severity);
    let note = |failure: &Failure| format!("**{word}** ({}): {}", failure.code, with_help(failure));
    found.map(|finding| note(&finding.failure)).collect()
}

fn not_read(plan: &Plan) -> impl Iterator<Item = String> {
    plan.unexplained_gaps().map(|gap| {
        format!(
            "**not read** {}: {} Resources that only {} shows are not planned for deletion.",
            plain_name(&gap.subject()),
            prose(&gap.failure.message),
            if gap.in_part { "this part" } else { "this source" }
        )
    })
}

/// Blocked changes; those with one reason together, in the order of the plan.
fn blocked(plan: &Plan) -> Vec<String> {
    type Reason<'a> = (Code, &'a str, &'a str);
    let mut order: Vec<&Failure> = Vec::new();
    let mut reasons: BTreeMap<Reason<'_>, Vec<&Address>> = BTreeMap::new();
    for one in plan.blocked.iter().filter(|one| one.caused_by.is_none()) {
        let failure = &one.failure;
        let similar = reasons.entry((failure.code, &failure.message, &failure.remedy));
        let similar = similar.or_insert_with(|| {
            order.push(failure);
            Vec::new()
        });
        similar.push(&one.address);
    }
    let note = |failure: &Failure| {
        let reason: Reason<'_> = (failure.code, &failure.message, &failure.remedy);
        let addresses = reasons.get(&reason).into_iter().flatten();
        let addresses = names(addresses, MAX_BLOCKED);
        format!("**blocked** {addresses} ({}): {}", failure.code, with_help(failure))
    };
    order.into_iter().map(note).collect()
}

fn rollout(plan: &Plan) -> Option<String> {
    let rollout = plan.rollout.filter(|rollout| rollout.waves > 1)?;
    let workers = rollout.waves(&plan.changes).iter().map(Vec::len).sum::<usize>();
    let first = match rollout.canary {
        0 => String::new(),
        canary => format!("{canary} first, then "),
    };
    Some(format!(
        "**rollout**: {} in {}: {first}at most {} of a datacenter disturbed at the same time",
        counted(workers, "worker"),
        counted(rollout.waves as usize, "wave"),
        rollout.width
    ))
}

fn ignored(plan: &Plan) -> impl Iterator<Item = String> {
    plan.ignored.iter().map(|one| {
        let fields = names(one.fields.iter().map(|it| &it.path), MAX_NAMED);
        let until = one.until.map(|until| format!(" Until {until}.")).unwrap_or_default();
        let address = name(&one.address.to_string());
        format!("**ignored** {address}: {fields}: {}{until}", prose(&one.reason))
    })
}

/// Deferred resources that wait for the same resources.
fn deferred(group: &Group<'_>) -> String {
    let line = |similar: &Vec<&Deferred>| match similar.as_slice() {
        [] => String::new(),
        [one] => name(&one.address.to_string()),
        [first, others @ ..] => {
            format!("{} and {}", name(&first.address.to_string()), counted(others.len(), "other"))
        }
    };
    let listed: Vec<String> = group.similar.iter().take(MAX_DEFERRED).map(line).collect();
    let omitted: usize = group.similar.iter().skip(MAX_DEFERRED).map(Vec::len).sum();
    let more = if omitted > 0 { format!("; and {omitted} more") } else { String::new() };
    let roots = match group.roots.is_empty() {
        true => "waiting for values that are not known yet".to_owned(),
        false => format!("waiting for {}", names(&group.roots, MAX_NAMED)),
    };
    format!("**deferred**, {roots}: {}{more}", listed.join(", "))
}

/// A problem and its remedy.
fn with_help(failure: &Failure) -> String {
    let text = prose(&failure.message);
    match failure.remedy.as_str() {
        "" => text,
        remedy => format!("{text} Help: {}", prose(remedy)),
    }
}

/// A sentence on one line, with a full stop.
fn prose(text: &str) -> String {
    let text = sentence(text);
    if text.is_empty() || text.ends_with(['.', '!', '?', '…']) { text } else { text + "." }
}
