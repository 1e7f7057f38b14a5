//! Plans as annotations: differences, blocked changes, findings and lost pairs.

use std::collections::BTreeSet;

use crate::diagnostics::Code;
use crate::plan::{Action, Change, FindingSeverity, Plan};
use crate::render::Purpose;
use crate::render::text::counted;
use crate::resource::Address;

use super::{Annotation, AnnotationLevel, AnnotationRule};

/// Fields that a message names.
const MAX_FIELDS: usize = 5;

impl Annotation {
    /// The annotations of a plan. A difference is a warning of `drift` and a note of
    /// `plan`, which was made to change something.
    pub fn of_plan(plan: &Plan, purpose: Purpose) -> Vec<Self> {
        let level = match purpose {
            Purpose::Drift => AnnotationLevel::Warning,
            _ => AnnotationLevel::Note,
        };
        let mut found: Vec<Self> =
            plan.changes.iter().map(|change| of_change(change, level, purpose)).collect();
        // A resource that is changed in several iterations is named once.
        let changed = plan.changes.iter().map(|change| (&change.address, change.action));
        let mut named: BTreeSet<(&Address, Action)> = changed.collect();
        let deferred = plan.expected().filter(|one| named.insert((&one.address, one.action)));
        found.extend(deferred.map(|one| {
            let message = format!(
                "{} {}; it depends on a value that does not exist yet",
                one.address,
                outcome(one.action, purpose)
            );
            Self::new(rule_of(one.action), level, message).about(&one.address)
        }));
        found.extend(blocked(plan));
        found.extend(Self::of_findings(plan));
        found.extend(lost_pairs(plan));
        found.extend(ignored(plan));
        found
    }

    /// There are no pairs of pods to check.
    pub fn nothing_checked() -> Self {
        let rule = AnnotationRule::named("nothing-checked", "There are no pods to check");
        let message = "no pair of pods exists, so that reachability is unknown";
        let found = Self::new(rule, AnnotationLevel::Unknown, message);
        Self { remedy: "run `stargate apply` first".to_owned(), ..found }
    }

    /// The findings of a plan, and the sources that could not be read.
    pub fn of_findings(plan: &Plan) -> Vec<Self> {
        let findings = plan.findings.iter().map(|one| {
            let level = match one.severity {
                FindingSeverity::Warning => AnnotationLevel::Warning,
                FindingSeverity::Error => AnnotationLevel::Error,
            };
            let resource = one.address.clone();
            Self { resource, ..Self::of_failure(level, &one.failure) }
        });
        let gaps = plan.unexplained_gaps().map(|gap| {
            let message = format!("{} could not be read: {}", gap.source, gap.failure.message);
            Self { message, ..Self::of_failure(AnnotationLevel::Unknown, &gap.failure) }
        });
        findings.chain(gaps).collect()
    }
}

fn blocked(plan: &Plan) -> impl Iterator<Item = Annotation> {
    plan.blocked.iter().map(|one| {
        let message = format!("{} is blocked: {}", one.address, one.failure.message);
        let found = Annotation::of_failure(AnnotationLevel::Error, &one.failure);
        Annotation { message, ..found }.about(&one.address)
    })
}

/// The pairs that the plan makes unreachable.
fn lost_pairs(plan: &Plan) -> impl Iterator<Item = Annotation> {
    let found = &plan.reachability;
    let level = match found.is_refused() {
        true => AnnotationLevel::Error,
        false => AnnotationLevel::Warning,
    };
    let losses = found.losses.iter().zip(found.loss_summaries());
    let removals = found.removals.iter().zip(found.removal_summaries());
    let losses = losses.map(move |(loss, text)| (level, loss, text));
    let removals = removals.map(|(loss, text)| (AnnotationLevel::Warning, loss, text));
    losses.chain(removals).map(|(level, loss, text)| {
        let rule = AnnotationRule::of_code(Code::ReachabilityLost);
        let one = Annotation::new(rule, level, format!("the plan {text}"));
        Annotation { resource: loss.resource.clone(), ..one }
    })
}

/// Drift that the topology ignores.
fn ignored(plan: &Plan) -> impl Iterator<Item = Annotation> {
    plan.ignored.iter().map(|one| {
        let fields: Vec<String> = one.fields.iter().map(|it| it.path.to_string()).collect();
        let message = format!("{} differs in {}", one.address, named(&fields));
        let found = Annotation::new(rule_of(Action::Update), AnnotationLevel::Note, message);
        Annotation { ignored: Some(one.reason.clone()), ..found }.about(&one.address)
    })
}

fn of_change(change: &Change, level: AnnotationLevel, purpose: Purpose) -> Annotation {
    let fields: Vec<String> = change.fields().iter().map(|it| it.path.to_string()).collect();
    let mut message = format!("{} {}", change.address, outcome(change.action, purpose));
    if matches!(change.action, Action::Update | Action::Replace) && !fields.is_empty() {
        message = format!("{message}: {}", named(&fields));
    }
    Annotation::new(rule_of(change.action), level, message).about(&change.address)
}

/// The first fields, and how many more there are.
fn named(fields: &[String]) -> String {
    let first: Vec<String> = fields.iter().take(MAX_FIELDS).map(|it| format!("`{it}`")).collect();
    match fields.len().saturating_sub(MAX_FIELDS) {
        0 => first.join(", "),
        more => format!("{} and {}", first.join(", "), counted(more, "more field")),
    }
}

/// The difference, for `drift`; else the effect of an apply.
fn outcome(action: Action, purpose: Purpose) -> String {
    if purpose != Purpose::Drift {
        return format!("will be {}", action.participle());
    }
    let found = match action {
        Action::Create => "does not exist",
        Action::Update => "differs from the topology",
        Action::Replace => "must be replaced",
        Action::Delete => "is not in the topology",
        Action::Adopt => "belongs to no topology",
        Action::Reboot => "must be rebooted",
    };
    found.to_owned()
}

fn rule_of(action: Action) -> AnnotationRule {
    let (id, title) = match action {
        Action::Create => ("missing-resource", "A resource of the topology does not exist"),
        Action::Update => ("changed-resource", "A resource differs from the topology"),
        Action::Replace => ("replaced-resource", "A resource must be replaced"),
        Action::Delete => ("deleted-resource", "A resource is not in the topology any more"),
        Action::Adopt => ("adopted-resource", "An object that no topology owns is adopted"),
        Action::Reboot => ("rebooted-resource", "A machine is rebooted"),
    };
    AnnotationRule::named(id, title)
}
