//! Selects the changes that need no approval: `stargate watch` makes these changes, and the
//! others wait for `stargate apply`.

mod approved;
mod coverage;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use super::awaiting::{ApprovalReason, AwaitingApproval};
use super::cost::Cost;
use super::diff::FieldChange;
use super::planning::PlanningInput;
use super::restrict::restrict;
use super::{Action, Change, Plan};
use crate::resource::settings::AutoApply;
use crate::resource::{Address, Kind, Site};

pub use approved::ApprovedChanges;
use coverage::Arrivals;
pub use coverage::Removals;
use rules::Permitted;

/// How often the changes that are known to make pairs unreachable are left out, before the
/// rest is left out unexamined: each attempt assesses the whole network.
const MAX_ATTEMPTS: usize = 16;

/// A plan divided into changes that need no approval and changes that do.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Changes that await approval, in the order of the plan.
    pub(super) awaiting: Vec<AwaitingApproval>,
    /// The changes that may be made.
    pub(super) changes: BTreeSet<Address>,
    /// Deferred resources that wait only for the values that they are deferred for.
    pub(super) deferred: BTreeSet<Address>,
}

impl Selection {
    fn is_awaited(&self, address: &Address, action: Action) -> bool {
        self.awaiting.iter().any(|it| it.address == *address && it.action == action)
    }
}

/// Removes the changes that await approval and their dependents, and recomputes waves, cost
/// and reachability. The changes that a person approved are in the options of `input`.
pub fn limit(input: PlanningInput<'_>, permitted: AutoApply, plan: Plan) -> Plan {
    let approved = &input.options.approved;
    let permitted = Permitted { rule: permitted, after_destroy: input.options.after_destroy };
    let losses = plan.reachability.losses.clone();
    let (plan, selection) = divide(permitted, approved, plan);
    let mut limited = restrict(input, plan, &selection.changes, &selection.deferred);
    limited.contents.awaiting_approval = selection.awaiting;
    limited.contents.approval_losses = losses;
    // Each attempt leaves out at least one change.
    for _ in 0..MAX_ATTEMPTS {
        let count = limited.reachability.lost;
        let causes = unapproved_losses(&limited, approved);
        if count == 0 || causes.is_empty() {
            break;
        }
        limited = leave_out(input, limited, causes, &ApprovalReason::LosesPairs { count });
    }
    match limited.reachability.lost {
        0 => limited,
        _ if is_loss_approved(&limited, approved) => {
            limited.contents.reachability.loss_allowed = true;
            limited
        }
        count => {
            let causes = losing_changes(&limited);
            let examined = leave_out(input, limited, causes, &ApprovalReason::LosesPairs { count });
            let rest = examined.changes.iter().map(|change| change.address.clone()).collect();
            leave_out(input, examined, rest, &ApprovalReason::MayLosePairs { count })
        }
    }
}

/// Divides a plan by the rules of the topology, regardless of reachability. Updates keep
/// the routes of machines whose deletion awaits approval, and add no routes to workers whose
/// join awaits approval.
pub(super) fn divide(
    permitted: impl Into<Permitted>,
    approved: &ApprovedChanges,
    mut plan: Plan,
) -> (Plan, Selection) {
    let mut reasons = Reasons::of(permitted.into(), approved, &plan);
    reasons.add_removals_of_sites(&plan);
    let whole_plan = WholePlan::of(&plan, &reasons);
    let arrivals = reasons.arrivals(&plan);
    let retentions = coverage::retain_routes(&mut plan.contents.changes, &arrivals, &|address| {
        reasons.0.contains_key(address)
    });
    let depends_on = |address: &Address| ApprovalReason::DependsOn { address: address.clone() };
    // These updates are omitted as a whole, so no change waits for them.
    let whole = retentions.iter().filter(|it| it.is_whole);
    let whole: BTreeMap<&Address, &Address> = whole.map(|it| (&it.address, &it.cause)).collect();
    forget_dependencies(&mut plan.contents.changes, &|address| whole.contains_key(address));
    reasons.spread(&plan);
    for (address, cause) in whole {
        reasons.0.entry(address.clone()).or_insert_with(|| depends_on(cause));
    }
    let mut selection = reasons.divide(&plan, &whole_plan);
    // A part of these changes is made.
    let partly = retentions.iter().filter(|it| selection.changes.contains(&it.address));
    let partly: Vec<AwaitingApproval> = partly
        .map(|it| AwaitingApproval {
            address: it.address.clone(),
            action: Action::Update,
            reason: depends_on(&it.cause),
            digest: whole_plan.digest_of_rest(&plan, &it.address),
        })
        .collect();
    selection.awaiting.extend(partly);
    (plan, selection)
}

impl Plan {
    /// The plan without any change: each awaits approval for this reason.
    pub fn awaiting_approval_of_all(mut self, reason: &ApprovalReason) -> Self {
        let changes: Vec<_> = std::mem::take(&mut self.contents.changes);
        let held = changes.into_iter().map(|change| AwaitingApproval {
            reason: reason.clone(),
            digest: approved::of_change(&change),
            address: change.address,
            action: change.action,
        });
        self.contents.awaiting_approval.extend(held);
        self.contents.steps = Default::default();
        self.contents.rollout = None;
        // They follow from these changes, so they wait with them.
        self.contents.deferred.clear();
        self.contents.reachability = self.contents.reachability.of_nothing_changed();
        let requests = self.contents.cost.requests.clone();
        self.contents.cost = Cost { requests, ..Cost::default() };
        self
    }
}

/// The changes of workers and deferred workers, each with the change of an object that records
/// where the worker is: the record of a worker that awaits approval says where it is until then.
fn records_of_workers(plan: &Plan) -> Vec<(&Address, &Address)> {
    let changed = plan.changes.iter().map(|change| &change.address);
    let all = changed.clone().chain(plan.deferred.iter().map(|deferred| &deferred.address));
    let workers: BTreeMap<&str, &Address> = all
        .filter(|address| address.kind == Kind::Worker)
        .map(|address| (address.name.as_str(), address))
        .collect();
    let records = changed.filter(|it| matches!(it.kind, Kind::Server | Kind::CiliumNode));
    records.filter_map(|it| Some((*workers.get(it.name.as_str())?, it))).collect()
}

/// Removes the dependencies of changes on these addresses.
fn forget_dependencies(changes: &mut [Change], is_forgotten: &dyn Fn(&Address) -> bool) {
    for change in changes {
        change.depends_on.retain(|address| !is_forgotten(address));
        change.caused_by.take_if(|address| is_forgotten(address));
    }
}

/// The changes that are known to drop the packets of pairs.
fn losing_changes(plan: &Plan) -> BTreeSet<Address> {
    let changes: BTreeSet<&Address> = plan.changes.iter().map(|change| &change.address).collect();
    let losses = plan.reachability.losses.iter().filter_map(|loss| loss.resource.as_ref());
    losses.filter(|it| changes.contains(it)).cloned().collect()
}

/// The changes that lose pairs, without those that a person approved together with the
/// loss.
fn unapproved_losses(plan: &Plan, approved: &ApprovedChanges) -> BTreeSet<Address> {
    let mut losses = losing_changes(plan);
    if approved.announces(&plan.reachability) {
        let covered = plan.changes.iter().filter(|change| approved.covers(change));
        covered.for_each(|change| _ = losses.remove(&change.address));
    }
    losses
}

/// Whether a person approved the loss of these pairs by all changes that may be its cause.
fn is_loss_approved(plan: &Plan, approved: &ApprovedChanges) -> bool {
    let is_cause_known = !losing_changes(plan).is_empty();
    approved.announces(&plan.reachability)
        && match is_cause_known {
            true => unapproved_losses(plan, approved).is_empty(),
            false => plan.changes.iter().all(|change| approved.covers(change)),
        }
}

/// Removes these changes and their dependents from the plan.
fn leave_out(
    input: PlanningInput<'_>,
    plan: Plan,
    addresses: BTreeSet<Address>,
    reason: &ApprovalReason,
) -> Plan {
    let mut reasons = Reasons(addresses.into_iter().map(|it| (it, reason.clone())).collect());
    reasons.spread(&plan);
    let selection = reasons.divide(&plan, &WholePlan::default());
    let mut limited = restrict(input, plan, &selection.changes, &selection.deferred);
    limited.contents.awaiting_approval.extend(selection.awaiting);
    limited
}

/// The updates of a plan before they are restricted to keep the routes of machines whose
/// deletion awaits approval.
#[derive(Default)]
struct WholePlan(BTreeMap<Address, Vec<FieldChange>>);

impl WholePlan {
    fn of(plan: &Plan, reasons: &Reasons) -> Self {
        if reasons.0.is_empty() {
            return Self::default();
        }
        let updates = plan.changes.iter().filter(|change| change.action == Action::Update);
        Self(updates.map(|it| (it.address.clone(), it.differences.clone())).collect())
    }

    /// The digest of a change as it would be made with approval.
    fn digest_of(&self, change: &Change) -> String {
        match self.0.get(&change.address) {
            Some(fields) => {
                approved::of_update(&change.address, &fields.iter().collect::<Vec<_>>())
            }
            None => approved::of_change(change),
        }
    }

    /// The digest of the part of an update that the plan omits.
    fn digest_of_rest(&self, plan: &Plan, address: &Address) -> String {
        let made = plan.changes.iter().find(|change| change.address == *address);
        let made = made.map(|change| change.differences.as_slice()).unwrap_or_default();
        let whole = self.0.get(address).map(Vec::as_slice).unwrap_or_default();
        let rest: Vec<&FieldChange> = whole.iter().filter(|field| !made.contains(field)).collect();
        approved::of_update(address, &rest)
    }
}

/// Why changes and deferred resources await approval, by resource.
struct Reasons(BTreeMap<Address, ApprovalReason>);

impl Reasons {
    /// The reasons that lie in the change itself.
    fn of(permitted: Permitted, approved: &ApprovedChanges, plan: &Plan) -> Self {
        let changes = plan.changes.iter().filter(|change| !approved.covers(change));
        let changes = changes
            .filter_map(|change| Some((change.address.clone(), rules::reason(permitted, change)?)));
        let deferred = plan.deferred.iter().filter_map(|deferred| {
            let (kind, action) = (deferred.address.kind, deferred.action);
            if approved.covers_deferred(&deferred.address, action) {
                return None;
            }
            Some((deferred.address.clone(), rules::reason_of_kind(permitted, kind, action)?))
        });
        Self(changes.chain(deferred).collect())
    }

    /// Adds all deletions on the site of a machine whose deletion awaits approval: until
    /// then the machine needs its network.
    fn add_removals_of_sites(&mut self, plan: &Plan) {
        let removals = plan.changes.iter().filter(|change| rules::removes(change.action));
        let mut sites: BTreeMap<&Site, &Address> = BTreeMap::new();
        for change in removals.clone().filter(|it| self.0.contains_key(&it.address)) {
            let Address { kind, site, .. } = &change.address;
            let is_cluster = *kind == Kind::ManagedCluster;
            if is_cluster || *site != Site::Cluster && rules::holds_machines(*kind) {
                sites.entry(site).or_insert(&change.address);
            }
        }
        for change in removals {
            if let Some(machine) = sites.get(&change.address.site) {
                let reason = ApprovalReason::DependsOn { address: (*machine).clone() };
                self.0.entry(change.address.clone()).or_insert(reason);
            }
        }
    }

    /// The workers whose join, at this place, awaits approval.
    fn arrivals(&self, plan: &Plan) -> Arrivals {
        let mut arrivals = Arrivals::default();
        let is_join = |address: &Address, action: Action| {
            let joins = matches!(action, Action::Create | Action::Replace | Action::Adopt);
            joins && address.kind == Kind::Worker && self.0.contains_key(address)
        };
        for change in plan.changes.iter().filter(|it| is_join(&it.address, it.action)) {
            arrivals.add(&change.address, change.after.as_ref());
        }
        for deferred in plan.deferred.iter().filter(|it| is_join(&it.address, it.action)) {
            let desired = plan.desired().get(&deferred.address);
            arrivals.add(&deferred.address, desired.map(|it| &it.resource));
        }
        arrivals
    }

    /// Adds the dependents of changes that await approval, to a fixed point.
    fn spread(&mut self, plan: &Plan) {
        let mut dependents: BTreeMap<&Address, Vec<&Address>> = BTreeMap::new();
        for change in &plan.changes {
            let waits = change.depends_on.iter().chain(&change.create_after_destroy_of);
            for on in waits.chain(&change.caused_by) {
                dependents.entry(on).or_default().push(&change.address);
            }
            // A destroy step that waits belongs to the other change.
            for other in &change.destroy_after {
                dependents.entry(&change.address).or_default().push(other);
            }
        }
        for (worker, record) in records_of_workers(plan) {
            dependents.entry(worker).or_default().push(record);
        }
        // A resource that is changed now does not wait for its deferred second change.
        let changed: BTreeSet<&Address> = plan.changes.iter().map(|it| &it.address).collect();
        for deferred in plan.deferred.iter().filter(|it| !changed.contains(&it.address)) {
            for on in &deferred.waits_for {
                dependents.entry(on).or_default().push(&deferred.address);
            }
        }
        let mut open: Vec<Address> = self.0.keys().cloned().collect();
        while let Some(address) = open.pop() {
            for dependent in dependents.get(&address).into_iter().flatten() {
                if !self.0.contains_key(*dependent) {
                    let reason = ApprovalReason::DependsOn { address: address.clone() };
                    self.0.insert((*dependent).clone(), reason);
                    open.push((*dependent).clone());
                }
            }
        }
    }

    fn divide(&self, plan: &Plan, whole_plan: &WholePlan) -> Selection {
        let mut selection = Selection::default();
        for change in &plan.changes {
            let Change { address, action, .. } = change;
            match self.0.get(address) {
                None => _ = selection.changes.insert(address.clone()),
                Some(reason) => selection.awaiting.push(AwaitingApproval {
                    address: address.clone(),
                    action: *action,
                    reason: reason.clone(),
                    digest: whole_plan.digest_of(change),
                }),
            }
        }
        for deferred in &plan.deferred {
            let (address, action) = (&deferred.address, deferred.action);
            let follows = deferred.waits_for.iter().any(|it| self.0.contains_key(it));
            match self.0.get(address) {
                // It comes with the change that awaits approval.
                None if follows => {}
                None => _ = selection.deferred.insert(address.clone()),
                // A resource may be deferred several times.
                Some(_) if selection.is_awaited(address, action) => {}
                Some(reason) => selection.awaiting.push(AwaitingApproval {
                    address: address.clone(),
                    action,
                    reason: reason.clone(),
                    digest: approved::of_deferred(address, action),
                }),
            }
        }
        selection
    }
}
