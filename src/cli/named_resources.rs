//! Checks that the resources and the topology that options name exist: a misspelled
//! permission must not pass for one that was not needed.

use std::collections::BTreeSet;

use super::error::CliError;
use super::exit;
use super::ui::Ui;
use crate::diagnostics::{Code, nearest};
use crate::pipeline::Planned;
use crate::plan::{Action, Change, PlanOptions, PlanStatus};
use crate::resource::{Address, ObjectKey, Ownership};
use crate::topology::names::TopologyName;

/// Names that an error proposes.
const MAX_PROPOSED: usize = 3;

/// Notes the options without an effect.
///
/// # Errors
///
/// An option names nothing, although everything could be read.
pub(crate) fn check(planned: &Planned, options: &PlanOptions, ui: &Ui) -> Result<(), CliError> {
    let known = known_addresses(planned);
    let replaced = options.replace.iter().map(|address| ("--replace", address));
    let adopted = options.adopt.iter().map(|address| ("--adopt", address));
    for (option, address) in replaced.chain(adopted) {
        if known.contains(address) {
            if let Some(reason) = no_effect(planned, option, address) {
                ui.note(&format!("`{option} {address}` has no effect: {reason}"));
            }
            continue;
        }
        report_unknown(planned, unknown_address(option, address, &known), ui)?;
    }
    match &options.adopt_from {
        Some(former) => check_former(planned, former, ui),
        None => Ok(()),
    }
}

/// The option may name an object of an unread source.
fn report_unknown(planned: &Planned, error: CliError, ui: &Ui) -> Result<(), CliError> {
    match planned.plan.status() {
        PlanStatus::Unknown | PlanStatus::Wrong => {
            ui.note(&error.message);
            Ok(())
        }
        _ => Err(error),
    }
}

/// The addresses of desired and of changed resources.
fn known_addresses(planned: &Planned) -> BTreeSet<&Address> {
    let plan = &planned.plan;
    let desired = plan.desired().iter().map(|it| &it.address);
    let changed = plan.changes.iter().map(|it| &it.address);
    let deferred = plan.deferred.iter().map(|it| &it.address);
    let blocked = plan.blocked.iter().map(|it| &it.address);
    desired.chain(changed).chain(deferred).chain(blocked).collect()
}

fn unknown_address(option: &str, address: &Address, known: &BTreeSet<&Address>) -> CliError {
    let names: Vec<String> = known.iter().map(ToString::to_string).collect();
    let mut proposed = nearest(&address.to_string(), names.iter().map(String::as_str));
    if proposed.is_empty() {
        let of_kind = known.iter().zip(&names).filter(|(it, _)| it.kind == address.kind);
        proposed = of_kind.map(|(_, name)| name.as_str()).collect();
    }
    let message = format!("`{option} {address}` names no resource of the topology or the plan");
    let error = CliError::coded(Code::UnknownAddress, message).exit(exit::USAGE);
    with_proposals(error, &proposed).remedy(
        "`stargate graph` prints the addresses of all resources; if this one is done, run the \
         command without the option",
    )
}

fn with_proposals(error: CliError, proposed: &[&str]) -> CliError {
    let quoted: Vec<String> =
        proposed.iter().take(MAX_PROPOSED).map(|name| format!("`{name}`")).collect();
    match quoted.is_empty() {
        true => error,
        false => error.remedy(format!("did you mean {}?", quoted.join(" or "))),
    }
}

/// Why a permission for a known resource is not used.
fn no_effect(planned: &Planned, option: &str, address: &Address) -> Option<&'static str> {
    let plan = &planned.plan;
    // Its own reason is in the plan.
    if plan.blocked.iter().any(|it| it.address == *address) {
        return None;
    }
    if option == "--replace" {
        return (!replaces(planned, address)).then_some("no change needs this permission");
    }
    let is_adopted = |(one, action): (&Address, Action)| one == address && action == Action::Adopt;
    let changes = plan.changes.iter().map(|it| (&it.address, it.action));
    let deferred = plan.deferred.iter().map(|it| (&it.address, it.action));
    if changes.chain(deferred).any(is_adopted) {
        return None;
    }
    let key = plan.desired().get(address).and_then(|it| it.key.as_ref());
    let exists = key.is_some_and(|key| planned.observation.inventory.get(key).is_some());
    Some(if exists { "the topology owns the object" } else { "the object does not exist" })
}

/// Whether the plan deletes or replaces the resource, something in it, or the object of its kind
/// that it takes the place of.
fn replaces(planned: &Planned, address: &Address) -> bool {
    let plan = &planned.plan;
    let container = plan.desired().get(address).and_then(|it| it.key.as_ref());
    let is_inside = |key: &ObjectKey| match (container, key) {
        (Some(ObjectKey::Azure(container)), ObjectKey::Azure(id)) => id.is_inside(container),
        _ => false,
    };
    let goes = |action: Action| matches!(action, Action::Replace | Action::Delete);
    let is_new = container.is_some_and(|key| planned.observation.inventory.get(key).is_none());
    let is_former = |it: &Address| is_new && it.kind == address.kind && it.site == address.site;
    let concerns = |change: &Change| {
        change.address == *address || is_inside(&change.key) || is_former(&change.address)
    };
    plan.changes.iter().any(|it| goes(it.action) && concerns(it))
        || plan.deferred.iter().any(|it| goes(it.action) && it.address == *address)
}

/// Checks that objects of the former name exist. An apply that took over all of them may
/// be repeated.
fn check_former(planned: &Planned, former: &TopologyName, ui: &Ui) -> Result<(), CliError> {
    let mut others = BTreeSet::new();
    for (_, observed) in planned.observation.inventory.iter() {
        match &observed.ownership {
            Ownership::Former { .. } => return Ok(()),
            Ownership::OtherTopology { topology } => drop(others.insert(topology.as_str())),
            Ownership::Ours { .. } | Ownership::Foreign | Ownership::Inherited => {}
        }
    }
    let message = format!("no object is owned by a topology named `{former}`");
    if others.is_empty() {
        ui.note(&format!("`--adopt-from {former}` has no effect: {message}"));
        return Ok(());
    }
    let error = CliError::coded(Code::UnknownAddress, message).exit(exit::USAGE);
    let others: Vec<&str> = others.into_iter().collect();
    let error = with_proposals(error, &others);
    report_unknown(planned, error, ui)
}
