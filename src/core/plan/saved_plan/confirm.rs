//! Checks that a saved plan may be applied: only changes that a fresh plan contains too.
//!
//! The file may have been edited and its digest recomputed, and time has passed since it
//! was made. So it only selects among the changes of a plan made from the topology and the
//! live state: the changes that are applied come from that plan, never from the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::desired::Facts;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::plan::diff::{self, FieldChange};
use crate::plan::planning::PlanningInput;
use crate::plan::restrict::restrict;
use crate::plan::{Action, Change, FindingSeverity, Plan, PlanContents};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource};

/// Differing fields that a discrepancy names.
const MAX_FIELDS: usize = 3;

/// Why a saved plan is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SavedPlanRefusal {
    /// The plan made now has errors, which forbid all changes.
    Errors(Vec<Failure>),
    /// Changes of objects that the topology neither describes nor owns.
    OutOfScope(Vec<Discrepancy>),
    /// Changes that the plan made now does not contain, or not in this form.
    Stale(Vec<Discrepancy>),
}

/// A change of a saved plan that cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discrepancy {
    /// The resource.
    pub address: Address,
    /// How the plans differ, as a clause about the resource.
    pub reason: String,
}

impl fmt::Display for Discrepancy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.address, self.reason)
    }
}

impl SavedPlanRefusal {
    /// One failure for each reason.
    pub fn failures(&self) -> Vec<Failure> {
        let all = |found: &[Discrepancy], code, remedy: &str| {
            found.iter().map(|one| Failure::new(code, one.to_string(), remedy)).collect()
        };
        match self {
            Self::Errors(failures) => failures.clone(),
            Self::OutOfScope(found) => all(
                found,
                Code::PlanOutOfScope,
                "find out who changed the file, and create a new plan with `stargate plan --out FILE`",
            ),
            Self::Stale(found) => all(
                found,
                Code::StalePlan,
                "create a new plan from the current state with `stargate plan --out FILE`",
            ),
        }
    }
}

/// The changes of the plan made now that the saved plan contains too, as a plan to
/// apply. Changes that were already made are left out.
///
/// # Errors
///
/// The plan made now has errors, or the saved plan contains a change that it does not.
pub fn confirm(
    input: PlanningInput<'_>,
    saved: &PlanContents,
    fresh: Plan,
) -> Result<Plan, SavedPlanRefusal> {
    let errors = fresh.findings.iter().filter(|finding| finding.severity == FindingSeverity::Error);
    let errors: Vec<Failure> = errors.map(|finding| finding.failure.clone()).collect();
    if !errors.is_empty() {
        return Err(SavedPlanRefusal::Errors(errors));
    }
    let comparison = SavedComparison::of(input, saved, &fresh);
    let outside = comparison.out_of_scope();
    if !outside.is_empty() {
        return Err(SavedPlanRefusal::OutOfScope(outside));
    }
    let confirmed = comparison.confirmed().map_err(SavedPlanRefusal::Stale)?;
    let confirmed: BTreeSet<Address> = confirmed.into_iter().cloned().collect();
    let deferred = saved.deferred.iter().map(|one| one.address.clone()).collect();
    Ok(restrict(input, fresh, &confirmed, &deferred))
}

/// A saved plan beside one that was made now.
struct SavedComparison<'a> {
    saved: &'a PlanContents,
    fresh: &'a Plan,
    inventory: &'a Inventory,
    subscriptions: Vec<&'a str>,
    changes: BTreeMap<&'a Address, &'a Change>,
}

impl<'a> SavedComparison<'a> {
    fn of(input: PlanningInput<'a>, saved: &'a PlanContents, fresh: &'a Plan) -> Self {
        Self {
            saved,
            fresh,
            inventory: input.inventory,
            subscriptions: subscriptions(input.facts),
            changes: fresh.changes.iter().map(|change| (&change.address, change)).collect(),
        }
    }

    /// Changes of objects outside the topology.
    fn out_of_scope(&self) -> Vec<Discrepancy> {
        let scope = Scope::of(self);
        let outside = |change: &Change| {
            let reason = scope.violation(change)?;
            Some(Discrepancy { address: change.address.clone(), reason })
        };
        self.saved.changes.iter().filter_map(outside).collect()
    }

    /// The changes to apply.
    fn confirmed(&self) -> Result<BTreeSet<&'a Address>, Vec<Discrepancy>> {
        let mut confirmed: BTreeSet<&Address> = self.approved_while_deferred().collect();
        let mut found = Vec::new();
        for saved in &self.saved.changes {
            match self.changes.get(&saved.address) {
                // It is one of those that were approved while they were deferred.
                Some(fresh) if self.is_continued(saved, fresh) => {}
                Some(fresh) => match difference(saved, fresh) {
                    Some(reason) => found.push((&saved.address, reason)),
                    None => drop(confirmed.insert(&fresh.address)),
                },
                None if self.is_done(saved) => {}
                None => found.push((&saved.address, self.absence(saved))),
            }
        }
        for address in &confirmed {
            if let Some(missing) = self.missing_dependency(address, &confirmed) {
                let reason = format!(
                    "it now depends on a change of {missing}, which the saved plan does not contain"
                );
                found.push((address, reason));
            }
        }
        let discrepancy = |(address, reason): (&Address, String)| Discrepancy {
            address: address.clone(),
            reason,
        };
        if found.is_empty() {
            Ok(confirmed)
        } else {
            Err(found.into_iter().map(discrepancy).collect())
        }
    }

    /// A change that a confirmed one waits for and that is not confirmed.
    fn missing_dependency(
        &self,
        address: &Address,
        confirmed: &BTreeSet<&Address>,
    ) -> Option<&'a Address> {
        let change = *self.changes.get(address)?;
        let waits = [&change.depends_on, &change.destroy_after, &change.create_after_destroy_of];
        let mut waits = waits.into_iter().flatten();
        waits.find(|it| self.changes.contains_key(it) && !confirmed.contains(it))
    }

    /// Changes of resources that the saved plan deferred: they were approved with it.
    fn approved_while_deferred(&self) -> impl Iterator<Item = &'a Address> {
        let deferred = self.saved.deferred.iter();
        let named: BTreeSet<(&Address, Action)> =
            deferred.clone().map(|one| (&one.address, one.action)).collect();
        let deferred: BTreeSet<&Address> = deferred.map(|one| &one.address).collect();
        let kinds: BTreeSet<Kind> = deferred.iter().map(|address| address.kind).collect();
        // A deferred association represents all subnets that are found later.
        let is_association = move |address: &Address| {
            address.kind == Kind::RouteTableAssociation && kinds.contains(&address.kind)
        };
        self.fresh.changes.iter().filter_map(move |change| {
            let is_additive = matches!(change.action, Action::Create | Action::Update);
            let was_deferred =
                deferred.contains(&change.address) || is_association(&change.address);
            // The saved plan shows replacements, deletions and adoptions that follow later.
            let is_named = named.contains(&(&change.address, change.action));
            (is_additive && was_deferred || is_named).then_some(&change.address)
        })
    }

    /// Whether live state and topology already have the value that the change sets.
    fn is_done(&self, saved: &Change) -> bool {
        if saved.action == Action::Delete {
            return self.is_deleted(saved);
        }
        let desired = self.fresh.desired().get(&saved.address);
        let is_desired = desired.is_some_and(|desired| {
            desired.key.as_ref() == Some(&saved.key)
                && saved.after.as_ref() == Some(&desired.resource)
        });
        // A later iteration of the same apply changes it once more.
        let again = [Action::Update, Action::Replace];
        let after = match desired.filter(|it| it.key.as_ref() == Some(&saved.key)) {
            Some(desired)
                if again.into_iter().any(|it| self.is_changed_again(&saved.address, it)) =>
            {
                Some(&desired.resource)
            }
            _ => saved.after.as_ref().filter(|_| is_desired),
        };
        let observed = self.inventory.get(&saved.key);
        observed.zip(after).is_some_and(|(observed, after)| {
            !observed.ownership.is_foreign() && diff::between(&observed.resource, after).is_empty()
        })
    }

    /// Whether a change was made, and the new plan continues with the update or replacement of
    /// the resource that the saved plan defers.
    fn is_continued(&self, saved: &Change, fresh: &Change) -> bool {
        let states = saved.after.as_ref().zip(fresh.before.as_ref());
        matches!(fresh.action, Action::Update | Action::Replace)
            && self.is_changed_again(&saved.address, fresh.action)
            && saved.key == fresh.key
            && states.is_some_and(|(after, live)| holds(saved.before.as_ref(), after, live))
    }

    /// Whether the saved plan defers another change of a resource that it changes.
    fn is_changed_again(&self, address: &Address, action: Action) -> bool {
        let mut deferred = self.saved.deferred.iter();
        deferred.any(|it| it.action == action && it.address == *address)
    }

    /// Whether an object that the topology does not describe is deleted. If it could not be
    /// read, it may exist.
    fn is_deleted(&self, saved: &Change) -> bool {
        let is_desired =
            self.fresh.desired().iter().any(|desired| desired.key.as_ref() == Some(&saved.key));
        !is_desired
            && self.inventory.get(&saved.key).is_none()
            && self.inventory.gap_for(saved.address.kind, Some(&saved.key)).is_none()
    }

    /// Why the plan made now does not contain a change.
    fn absence(&self, saved: &Change) -> String {
        let address = &saved.address;
        let would = saved.action.participle();
        if let Some(blocked) = self.fresh.blocked.iter().find(|one| one.address == *address) {
            return format!("it is blocked now: {}", blocked.failure.message);
        }
        if self.fresh.deferred.iter().any(|one| one.address == *address) {
            return "its values are known only after other resources exist".to_owned();
        }
        if let Some(gap) = self.inventory.gap_for(address.kind, Some(&saved.key)) {
            return format!("{} could not be read: {}", gap.subject(), gap.failure.message);
        }
        format!("it would be {would}, which a new plan does not contain")
    }
}

/// The resources that the topology describes or owns.
struct Scope<'a> {
    subscriptions: Vec<&'a str>,
    keys: BTreeSet<&'a ObjectKey>,
    /// Resource groups that hold such objects, in lowercase.
    groups: BTreeSet<String>,
}

impl<'a> Scope<'a> {
    fn of(comparison: &SavedComparison<'a>) -> Self {
        let desired = comparison.fresh.desired().iter().filter_map(|it| it.key.as_ref());
        let objects = comparison.inventory.iter();
        let owned = objects.filter(|(_, it)| !it.ownership.is_foreign());
        let planned = comparison.changes.values().map(|change| &change.key);
        let keys: BTreeSet<&ObjectKey> =
            desired.chain(owned.map(|(key, _)| key)).chain(planned).collect();
        let groups = keys.iter().filter_map(|key| group(arm_id(key)?)).collect();
        Self { subscriptions: comparison.subscriptions.clone(), keys, groups }
    }

    fn has_subscription(&self, id: &ArmId) -> bool {
        let of_object = id.subscription().unwrap_or_default();
        self.subscriptions.iter().any(|known| known.eq_ignore_ascii_case(of_object))
    }

    /// Why the object of a change is outside.
    fn violation(&self, change: &Change) -> Option<String> {
        let key = &change.key;
        if let Some(id) = arm_id(key)
            && !self.has_subscription(id)
        {
            return Some(format!("{id} is not in the subscription of the topology"));
        }
        if self.keys.contains(key) {
            return None;
        }
        // A deleted object was in a group of the topology; a group has only itself.
        let is_group = change.address.kind == Kind::ResourceGroup;
        let is_plausible = match arm_id(key) {
            Some(id) if !is_group => group(id).is_some_and(|it| self.groups.contains(&it)),
            Some(_) => false,
            None => change.action != Action::Create,
        };
        (!is_plausible)
            .then(|| format!("the topology neither describes nor owns {}", key_text(key)))
    }
}

/// The subscription of the topology, and that of the cluster's VNet.
fn subscriptions(facts: &Facts) -> Vec<&str> {
    let network = facts.cluster.as_ref().and_then(|it| it.virtual_network.subscription());
    network.into_iter().chain([facts.subscription.as_str()]).collect()
}

fn arm_id(key: &ObjectKey) -> Option<&ArmId> {
    match key {
        ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => Some(id),
        _ => None,
    }
}

fn group(id: &ArmId) -> Option<String> {
    id.resource_group_name().map(str::to_ascii_lowercase)
}

fn key_text(key: &ObjectKey) -> &str {
    arm_id(key).map_or_else(|| key.name(), ArmId::as_str)
}

/// How a change of the saved plan differs from that of the plan made now.
fn difference(saved: &Change, fresh: &Change) -> Option<String> {
    if saved.key != fresh.key {
        return Some(format!(
            "in the saved plan it is the object {}, and in the topology {}",
            key_text(&saved.key),
            key_text(&fresh.key)
        ));
    }
    if saved.action != fresh.action {
        let (saved, fresh) = (saved.action.participle(), fresh.action.participle());
        return Some(format!("in the saved plan it is {saved}, and in a new plan {fresh}"));
    }
    if saved.after != fresh.after {
        let fields = differing_fields(saved.after.as_ref(), fresh.after.as_ref());
        return Some(format!(
            "its value in the saved plan differs from that in a new plan{fields}"
        ));
    }
    let moved = moved_fields(saved.before.as_ref(), fresh.before.as_ref());
    let first = moved.first()?;
    Some(format!("its field {} changed after the plan was made", first.path))
}

/// Whether a live resource has what a change gave it, whatever was changed beside it since.
fn holds(before: Option<&Resource>, after: &Resource, live: &Resource) -> bool {
    let Some(before) = before else { return true };
    let left = diff::between(live, after);
    diff::between(before, after).iter().all(|made| {
        let left = left.iter().find(|field| field.path == made.path);
        left.is_none_or(|field| has_items(field.before.as_ref(), made))
    })
}

/// Whether a list has the items that a change of it adds.
fn has_items(live: Option<&Value>, made: &FieldChange) -> bool {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned();
    let (Some(live), Some(after)) = (list(live), list(made.after.as_ref())) else { return false };
    let before = list(made.before.as_ref()).unwrap_or_default();
    after.iter().all(|item| before.contains(item) || live.contains(item))
}

/// The fields in which two results differ, as a clause.
fn differing_fields(saved: Option<&Resource>, fresh: Option<&Resource>) -> String {
    let fields = saved.zip(fresh).map(|(saved, fresh)| diff::between(saved, fresh));
    let fields = fields.unwrap_or_default();
    let names: Vec<String> =
        fields.iter().take(MAX_FIELDS).map(|field| field.path.to_string()).collect();
    let more = if fields.len() > MAX_FIELDS { " and others" } else { "" };
    if names.is_empty() { String::new() } else { format!(": {}{more}", names.join(", ")) }
}

/// The fields that changed after the saved plan was made. Whether a machine is connected
/// at the moment is not a change of the infrastructure.
fn moved_fields(saved: Option<&Resource>, fresh: Option<&Resource>) -> Vec<FieldChange> {
    let Some((saved, fresh)) = saved.zip(fresh) else { return Vec::new() };
    let mut moved = diff::between(saved, fresh);
    moved.retain(|field| !field.is_transient());
    moved
}
