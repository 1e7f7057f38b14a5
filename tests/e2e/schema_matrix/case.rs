//! One edit: the plan, the apply, and the state afterwards.

use std::collections::BTreeSet;

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Change, Deferred, Plan, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::topology::changes::ChangeOutcome;
use stargate::topology::load::load_text;

use super::document::{BASE, edited};
use super::edits::Edit;
use super::identities::{Identities, add_foreign};
use crate::harness::{Deployment, RefreshOptions, failures, summary};
use crate::observer::Observer;

/// The deployment that edits start from.
pub(super) struct Base {
    deployment: Deployment,
}

impl Base {
    pub(super) async fn applied() -> Self {
        Self::of(BASE).await
    }

    async fn of(text: &str) -> Self {
        let deployment = Deployment::of(text, SandboxState::new(7));
        deployment.iterate().await;
        deployment.sandbox.change(|sandbox, _| add_foreign(sandbox));
        Self { deployment }
    }

    /// The topology and a copy of the deployment that an edit starts from.
    async fn start(&self, edit: &Edit) -> (String, Deployment) {
        let text = edited(BASE, edit.start);
        let own;
        let base = if edit.start.is_empty() {
            self
        } else {
            own = Self::of(&text).await;
            &own
        };
        let (state, now) = (base.deployment.copy_of_state(), base.deployment.sandbox.now());
        let deployment = Deployment::at(&text, state, now);
        deployment.sandbox.change(|sandbox, _| (edit.prepare)(sandbox));
        (text, deployment)
    }
}

/// Effects of an edit that the table does not list, or that no edit may have.
pub(super) async fn violations(base: &Base, edit: &Edit) -> Vec<String> {
    let outcome = edit.rule().outcome;
    let text = edited(&edited(BASE, edit.start), edit.set);
    if let Err(errors) = load_text("stargate.toml", &text) {
        let codes: Vec<Code> = errors.list.iter().map(|error| error.code).collect();
        let is_refused = matches!(outcome, ChangeOutcome::Refused(code) if codes.contains(&code));
        return if is_refused { Vec::new() } else { vec![format!("not valid: {codes:?}")] };
    }
    let (_, before) = base.start(edit).await;
    let mut deployment = before.edited(&text);
    if let Some(subscription) = &deployment.topology.azure.subscription {
        deployment.subscription = subscription.clone();
    }
    let plan = deployment.plan().await;
    let trial = Trial { deployment: &deployment, outcome, edit };
    match outcome {
        ChangeOutcome::NoChange => no_change(&plan),
        ChangeOutcome::Refused(code) => trial.refused(&plan, code).await,
        ChangeOutcome::Replacement => {
            let mut found = trial.refused(&plan, Code::ReplacementNotRequested).await;
            found.extend(trial.named(&plan));
            let loses = edit.rule().loses;
            let options =
                RefreshOptions { allow_loss: loses, ..RefreshOptions::replacing(edit.replace) };
            let plan = deployment.refresh_and_plan(&options).await.plan;
            found.extend(trial.losses(&plan));
            found.extend(trial.apply(plan, &options).await);
            found
        }
        _ => {
            let allow_loss = edit.rule().loses;
            let options = RefreshOptions { allow_loss, ..RefreshOptions::default() };
            let mut found = trial.planned(&plan);
            found.extend(trial.losses(&plan));
            found.extend(trial.apply(plan, &options).await);
            found
        }
    }
}

fn no_change(plan: &Plan) -> Vec<String> {
    let matches = plan.status() == PlanStatus::Matches;
    if matches { Vec::new() } else { vec![format!("{:?}: {}", plan.status(), summary(plan))] }
}

/// Whether a plan deletes machines or their containers.
fn deletes_lasting(plan: &Plan) -> bool {
    [
        Kind::ResourceGroup,
        Kind::ManagedCluster,
        Kind::NodePool,
        Kind::VirtualNetwork,
        Kind::Subnet,
        Kind::VirtualMachine,
        Kind::Worker,
        Kind::TailnetDevice,
    ]
    .into_iter()
    .any(|kind| !destroyed(plan, kind).is_empty())
}

/// The changes that delete an object, whether or not they create it again.
fn destroyed(plan: &Plan, kind: Kind) -> BTreeSet<String> {
    let ends = |action: Action| matches!(action, Action::Delete | Action::Replace);
    let changes = plan.changes.iter().map(|Change { address, action, .. }| (address, *action));
    let deferred = plan.deferred.iter().map(|Deferred { address, action, .. }| (address, *action));
    let all = changes.chain(deferred);
    let of_kind = all.filter(|(address, action)| address.kind == kind && ends(*action));
    of_kind
        .map(|(address, _)| address.name.as_str().rsplit('/').next().unwrap().to_owned())
        .collect()
}

/// An edit that is tried.
struct Trial<'a> {
    deployment: &'a Deployment,
    outcome: ChangeOutcome,
    edit: &'a Edit,
}

impl Trial<'_> {
    /// The plan has the code, and applying it writes nothing.
    async fn refused(&self, plan: &Plan, code: Code) -> Vec<String> {
        let mut found = Vec::new();
        let blocked = plan.blocked.iter().map(|blocked| blocked.failure.code);
        let findings = plan.findings.iter().map(|finding| finding.failure.code);
        let gaps = plan.gaps.iter().map(|gap| gap.failure.code);
        let codes: BTreeSet<Code> = blocked.chain(findings).chain(gaps).collect();
        if !codes.contains(&code) {
            found.push(format!("the plan has {codes:?} and not {code:?}: {}", summary(plan)));
        }
        let writes = self.deployment.writes();
        let applied = self.deployment.apply(&RefreshOptions::default()).await;
        if applied.status == ApplyStatus::Converged {
            found.push("it is applied".to_owned());
        }
        if self.deployment.writes() != writes {
            found.push(format!("a refused plan is applied in part: {}", summary(plan)));
        }
        found
    }

    /// The refusal names the resources for `--replace`.
    fn named(&self, plan: &Plan) -> Vec<String> {
        let remedies: Vec<&String> = plan.blocked.iter().map(|it| &it.failure.remedy).collect();
        let is_named = |address: &&&str| {
            remedies.iter().any(|remedy| remedy.contains(&format!("--replace {address}")))
        };
        let missing = self.edit.replace.iter().filter(|address| !is_named(address));
        missing.map(|address| format!("no remedy names {address}: {}", summary(plan))).collect()
    }

    /// Whether the plan announces lost pairs where the table says so, and only there. They
    /// need permission: without it nothing is applied.
    fn losses(&self, plan: &Plan) -> Option<String> {
        let lost = plan.reachability.lost;
        match (self.edit.rule().loses, lost) {
            (true, 0) => Some(format!("no pair is lost: {}", summary(plan))),
            (false, 1..) => Some(format!("{lost} pairs are lost, which the table does not say")),
            _ => None,
        }
    }

    /// Whether the plan agrees with the table.
    fn planned(&self, plan: &Plan) -> Vec<String> {
        let has = |action| plan.count(action) > 0;
        let pools = plan.changes.iter().filter(|change| change.address.kind == Kind::NodePool);
        let drains_pools = pools
            .into_iter()
            .any(|it| it.action == Action::Create || it.fields().iter().any(is_version));
        let is_as_said = match self.outcome {
            ChangeOutcome::InPlace => !has(Action::Replace) && !deletes_lasting(plan),
            ChangeOutcome::Rollout => plan.rollout.is_some() || drains_pools,
            ChangeOutcome::Recreation => has(Action::Create) && has(Action::Delete),
            ChangeOutcome::Removal => has(Action::Delete) && !has(Action::Replace),
            _ => true,
        };
        let mut found = Vec::new();
        if !is_as_said {
            found.push(format!("not {}: {}", self.outcome.words(), summary(plan)));
        }
        if plan.is_empty() {
            found.push("the plan is empty".to_owned());
        }
        if !plan.blocked.is_empty() || plan.status() == PlanStatus::Unknown {
            found.push(format!("{:?}: {}", plan.status(), summary(plan)));
        }
        found
    }

    /// One apply converges, and does nothing that the plan did not announce.
    async fn apply(&self, plan: Plan, options: &RefreshOptions) -> Vec<String> {
        let before = self.deployment.sandbox.read(Identities::of);
        let observer = Observer::of(self.deployment);
        let applied = self.deployment.apply(options).await;
        self.deployment.sandbox.set_fault_injector(None);
        let after = self.deployment.sandbox.read(Identities::of);
        let mut found = Vec::new();
        if applied.status != ApplyStatus::Converged {
            let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
            let failures = failures(&applied).join("\n    ");
            found.push(format!("{:?}\n    {failures}\n    {left}", applied.status));
        }
        let deep = self.deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        if deep.status() != PlanStatus::Matches {
            found.push(format!("afterwards {:?}: {}", deep.status(), summary(&deep)));
        }
        let reachability = &deep.reachability;
        if reachability.kept != reachability.pairs() || reachability.kept == 0 {
            found.push(format!("afterwards {reachability:?}"));
        }
        found.extend(counted(&plan, applied.changes_made));
        let disturbed = observer.observed_calls().into_iter().flat_map(|call| call.disturbed);
        let disturbed = disturbed.filter(|name| before.nodes.contains_key(name)).collect();
        found.extend(self.disturbed(&disturbed));
        found.extend(unannounced(&plan, &before, &after));
        found
    }

    /// Workers are drained where the table says so, and only there.
    fn disturbed(&self, nodes: &BTreeSet<String>) -> Option<String> {
        let workers: Vec<&String> = nodes.iter().filter(|name| !name.starts_with("aks-")).collect();
        let is_of_aks = self.edit.path().starts_with("cluster.");
        match self.outcome {
            ChangeOutcome::InPlace if !workers.is_empty() => Some(format!("disturbs {workers:?}")),
            ChangeOutcome::Rollout if workers.is_empty() && !is_of_aks => {
                Some("no worker is drained".to_owned())
            }
            _ => None,
        }
    }
}

/// The counts of the plan are those of the changes that were made.
fn counted(plan: &Plan, made: usize) -> Option<String> {
    let planned = plan.changes.len() + plan.expected().count();
    let possible = plan.changes.len() + plan.deferred.len();
    let is_as_said = (planned..=possible).contains(&made);
    (!is_as_said).then(|| {
        format!("{planned} to {possible} changes are planned, {made} made: {}", summary(plan))
    })
}

fn is_version(field: &stargate::plan::FieldChange) -> bool {
    field.path.to_string() == "kubernetes_version"
}

/// Resources that were replaced, deleted or restarted without an announcement.
fn unannounced(plan: &Plan, before: &Identities, after: &Identities) -> Vec<String> {
    let mut found = Vec::new();
    let loses_cluster = !destroyed(plan, Kind::ManagedCluster).is_empty();
    let restarts: BTreeSet<String> = plan
        .changes
        .iter()
        .filter(|change| change.address.kind == Kind::VirtualMachine && change.interrupts.is_some())
        .map(|change| change.address.name.to_string())
        .collect();
    let machines = destroyed(plan, Kind::VirtualMachine);
    // The cluster's router is in a resource group of the cluster.
    let of_cluster = |name: &str| loses_cluster && name.starts_with("lab-router");
    for name in Identities::replaced(&before.machines, &after.machines).difference(&machines) {
        if !of_cluster(name) {
            found.push(format!("the VM {name} is replaced without notice"));
        }
    }
    let workers = destroyed(plan, Kind::Worker);
    let nodes = Identities::replaced(&before.nodes, &after.nodes);
    let nodes = nodes.iter().filter(|name| !loses_cluster && !name.starts_with("aks-"));
    for name in nodes.filter(|name| !workers.contains(*name)) {
        found.push(format!("the Node {name} is replaced without notice"));
    }
    let devices = destroyed(plan, Kind::TailnetDevice);
    for name in Identities::replaced(&before.devices, &after.devices).difference(&devices) {
        found.push(format!("the device {name} is replaced without notice"));
    }
    let booted = before.boots.iter().filter(|(name, boots)| {
        after.boots.get(*name).is_some_and(|after| after > *boots) && !machines.contains(*name)
    });
    for (name, _) in booted.filter(|(name, _)| !restarts.contains(*name)) {
        found.push(format!("the host {name} restarts without notice"));
    }
    let of_cluster = |what: &&str| loses_cluster && *what == "a ConfigMap";
    let foreign = before.foreign.iter().filter(|(what, _)| !of_cluster(what));
    for (what, value) in foreign.filter(|(what, value)| after.foreign.get(*what) != Some(*value)) {
        found.push(format!("{what} of others was {value}, and is {:?}", after.foreign.get(what)));
    }
    found.extend(protected(before, after).filter(|_| !loses_cluster));
    found
}

/// Changes of the protected datacenter.
fn protected(before: &Identities, after: &Identities) -> impl Iterator<Item = String> {
    let is_its = |name: &&String| name.starts_with("vault-");
    let nodes = Identities::replaced(&before.nodes, &after.nodes);
    let devices = Identities::replaced(&before.devices, &after.devices);
    let all: Vec<String> = nodes.iter().chain(&devices).filter(is_its).cloned().collect();
    all.into_iter().map(|name| format!("{name} is protected and was replaced"))
}
