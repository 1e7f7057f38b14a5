//! Whether a replacement was done already, by an earlier run of the same plan or
//! by another apply at the same time. Then it is not done again.

use std::collections::BTreeMap;

use super::events::Outcome;
use super::executor::read;
use super::iteration::Iteration;
use super::{effects, guard};
use crate::plan::{Action, Change};
use crate::resource::Address;

/// Whether the change that causes a replacement is in effect already.
pub(super) async fn already(
    iteration: &Iteration<'_>,
    changes: &BTreeMap<&Address, &Change>,
    change: &Change,
) -> Result<bool, Outcome> {
    // A replacement that the user requested by name is always done.
    if change.requested {
        return Ok(false);
    }
    let Some(cause) = cause(changes, change) else { return Ok(false) };
    let current = read(iteration, cause).await?;
    if cause.action == Action::Replace && effects::is_provisioning(&current) {
        return Ok(true);
    }
    Ok(current.observed.is_some_and(|observed| guard::has_desired_value(cause, &observed)))
}

/// The change whose result shows that the replacement was done: the object itself if one of
/// its own fields forces the replacement; otherwise the object that contains it, or the
/// object whose creation yields it.
fn cause<'a>(changes: &BTreeMap<&Address, &'a Change>, change: &'a Change) -> Option<&'a Change> {
    let mut at = change;
    // No chain of containers is longer than the plan.
    for _ in 0..=changes.len() {
        if at.action == Action::Create || at.fields().iter().any(|field| field.forces_replacement) {
            return Some(at);
        }
        match at.caused_by.as_ref().and_then(|cause| changes.get(cause)) {
            Some(container) => at = container,
            None => return created_by(changes, at),
        }
    }
    None
}

fn created_by<'a>(
    changes: &BTreeMap<&Address, &'a Change>,
    creator: &Change,
) -> Option<&'a Change> {
    changes
        .values()
        .find(|change| {
            change.action == Action::Create && change.caused_by.as_ref() == Some(&creator.address)
        })
        .copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::diff::{FieldChange, FieldPath};
    use crate::resource::{Kind, ObjectKey, Site};

    fn address(name: &str) -> Address {
        Address::new(Kind::VirtualMachine, Site::Cluster, name)
    }

    fn change(name: &str, action: Action, caused_by: Option<&str>, forced: bool) -> Change {
        let field = FieldChange {
            path: FieldPath(vec!["location".to_owned()]),
            before: None,
            after: None,
            pending: false,
            forces_replacement: forced,
        };
        let key = ObjectKey::Host(name.to_owned());
        let mut change = Change::new(address(name), key, action, "");
        change.differences = vec![field];
        change.caused_by = caused_by.map(address);
        change
    }

    fn cause_of(changes: &[Change], name: &str) -> Option<String> {
        let by_address: BTreeMap<_, _> = changes.iter().map(|it| (&it.address, it)).collect();
        cause(&by_address, by_address[&address(name)]).map(|cause| cause.address.name.to_string())
    }

    #[test]
    fn the_cause_of_a_replacement_is_found() {
        use Action::{Create, Replace};
        let changes = [
            change("subnet", Replace, None, true),
            change("interface", Replace, Some("subnet"), false),
            change("machine", Replace, Some("interface"), false),
            change("lapsed", Replace, None, false),
            change("device", Create, Some("lapsed"), false),
            change("beside", Replace, Some("lapsed"), false),
            change("alone", Replace, None, false),
        ];
        assert_eq!(cause_of(&changes, "subnet").as_deref(), Some("subnet"));
        assert_eq!(cause_of(&changes, "machine").as_deref(), Some("subnet"));
        // A replacement for the sake of another resource has that resource as cause.
        assert_eq!(cause_of(&changes, "lapsed").as_deref(), Some("device"));
        assert_eq!(cause_of(&changes, "beside").as_deref(), Some("device"));
        assert_eq!(cause_of(&changes, "alone"), None);
    }
}
