//! Each fault of the sandbox: the apply makes the changes that the plan shows, and no others.

use std::collections::BTreeMap;

use stargate::apply::events::Outcome;
use stargate::plan::Plan;
use stargate::resource::Address;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::{self, Fault, FaultError};

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, summary};

const BARE_METAL: &str = include_str!("../../examples/bare-metal/stargate.toml");
const TEN_DATACENTERS: &str = include_str!("../../examples/ten-datacenters/stargate.toml");

/// Each change of a plan with those that follow from it in later iterations.
fn planned(plan: &Plan) -> BTreeMap<Address, usize> {
    let mut planned = BTreeMap::new();
    let changes = plan.changes.iter().map(|change| &change.address);
    let expected = plan.expected().map(|deferred| &deferred.address);
    changes.chain(expected).for_each(|it| *planned.entry(it.clone()).or_default() += 1);
    planned
}

/// The targets that a fault can be injected into.
fn targets(deployment: &Deployment, fault: Fault) -> Vec<Option<String>> {
    let mut state = deployment.copy_of_state();
    match faults::inject(&mut state, fault, Some("no such target"), deployment.sandbox.now()) {
        Err(FaultError::UnknownTarget { candidates, .. }) => {
            candidates.into_iter().map(Some).collect()
        }
        Err(FaultError::NoTarget(_)) => Vec::new(),
        _ => vec![None],
    }
}

/// The difference between the plan and its apply after a fault, if there is one.
async fn difference(
    text: &str,
    state: SandboxState,
    fault: Fault,
    target: Option<&str>,
) -> Option<String> {
    let deployment = Deployment::of(text, state);
    deployment.inject(fault, target);
    let plan = deployment.plan().await;
    let applied = deployment.apply(&RefreshOptions::default()).await;
    let planned = planned(&plan);
    let is_made = |(_, outcome): &(&Address, &Outcome)| **outcome == Outcome::Done;
    let made: Vec<&Address> =
        applied.outcomes.iter().filter(is_made).map(|(address, _)| address).collect();
    let count: usize = planned.values().sum();
    let is_same = planned.keys().collect::<Vec<_>>() == made && count == applied.changes_made;
    (!is_same).then(|| {
        let made: Vec<String> = made.into_iter().map(ToString::to_string).collect();
        format!(
            "{count} planned, {} made: {made:#?} {:?}\n{}",
            applied.changes_made,
            applied.status,
            summary(&plan)
        )
    })
}

async fn check(name: &str, text: &str, all_targets: bool) {
    let applied = Deployment::of(text, SandboxState::new(11));
    applied.iterate().await;
    let mut found = Vec::new();
    for fault in Fault::ALL.iter().copied() {
        let mut targets = targets(&applied, fault);
        targets.truncate(if all_targets { usize::MAX } else { 1 });
        for target in targets {
            let state = applied.copy_of_state();
            let difference = difference(text, state, fault, target.as_deref()).await;
            found.extend(difference.map(|it| format!("== {name}: {fault} {target:?}: {it}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn an_apply_makes_the_changes_that_its_plan_shows_after_each_fault() {
    check("aks-e2e", EXAMPLE, true).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_on_existing_machines() {
    check("bare-metal", BARE_METAL, true).await;
}

#[tokio::test(start_paused = true)]
async fn the_same_in_ten_datacenters() {
    // Two workers in each: the faults are the same, and the test takes seconds.
    let text = TEN_DATACENTERS.replace("count = 100", "count = 2");
    assert_ne!(text, TEN_DATACENTERS);
    check("ten-datacenters", &text, false).await;
}
