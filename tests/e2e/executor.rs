//! Execution of steps: in parallel, interrupted, with failures, and by two applies at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{ApplyStatus, StopSignal};
use stargate::plan::{Action, Plan};
use stargate::resource::{Address, ArmId, Kind, ObjectKey, Resource};
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, failures, summary};
use crate::refused_calls::{RefusedCalls, is_deletion};

/// Records all events, and requests a stop when a given step starts.
#[derive(Default)]
struct EventLog {
    events: Mutex<Vec<Event>>,
    stop: StopSignal,
    stop_at: Option<usize>,
}

impl EventLog {
    fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }

    fn started(&self) -> Vec<Address> {
        let started = |event| match event {
            Event::StepStarted { address, .. } => Some(address),
            _ => None,
        };
        self.events().into_iter().filter_map(started).collect()
    }
}

impl Reporter for EventLog {
    fn event(&self, event: &Event) {
        let mut events = self.events.lock().unwrap();
        events.push(event.clone());
        let started = |event: &&Event| matches!(event, Event::StepStarted { .. });
        if self.stop_at.is_some_and(|at| events.iter().filter(started).count() == at) {
            self.stop.stop();
        }
    }
}

/// Counts deletions, and refuses the writes that a test names.
#[derive(Debug, Default)]
struct DeletionObserver {
    refused: Option<&'static str>,
    deletions: Mutex<Vec<String>>,
}

impl FaultInjector for DeletionObserver {
    fn before(&self, effect: &Call) -> Disposition {
        let Call::Request { method, path, .. } = effect else { return Disposition::Pass };
        if *method == http::Method::DELETE {
            self.deletions.lock().unwrap().push(path.clone());
        }
        if *method == http::Method::PUT && self.refused.is_some_and(|name| path.ends_with(name)) {
            return Disposition::Refuse { status: 400, retry_after: None };
        }
        Disposition::Pass
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

fn observe(deployment: &Deployment, refused: Option<&'static str>) -> Arc<DeletionObserver> {
    let watchman = Arc::new(DeletionObserver { refused, ..DeletionObserver::default() });
    deployment.sandbox.set_fault_injector(Some(watchman.clone()));
    watchman
}

async fn expected(text: &str) -> serde_json::Value {
    let fresh = Deployment::of(text, SandboxState::new(31));
    fresh.iterate().await;
    canonical_state(&fresh.copy_of_state())
}

fn ended(events: &[Event]) -> BTreeMap<&Address, Vec<&Outcome>> {
    let mut ended: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in events {
        if let Event::StepFinished { address, outcome, .. } = event {
            ended.entry(address).or_default().push(outcome);
        }
    }
    ended
}

/// After the first Ctrl-C, running steps complete and no other step starts.
#[tokio::test(start_paused = true)]
async fn after_a_stop_no_step_starts_and_the_next_apply_continues() {
    let expected = expected(EXAMPLE).await;
    let mut left = 0;
    for at in [1, 2, 9, 17, 25, 33, 41, 49] {
        let mut deployment = Deployment::example();
        let log =
            EventLog { stop_at: Some(at), stop: deployment.stop.clone(), ..EventLog::default() };
        let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &log).await;
        assert_eq!(applied.status, ApplyStatus::Interrupted, "at {at}");
        let events = log.events();
        let worker_request = events
            .iter()
            .enumerate()
            .filter(|(_, it)| matches!(it, Event::StepStarted { .. }))
            .nth(at - 1)
            .unwrap()
            .0;
        let later = &events[worker_request + 1..];
        let begun: Vec<_> =
            later.iter().filter(|it| matches!(it, Event::StepStarted { .. })).collect();
        assert!(begun.is_empty(), "at {at}: {begun:?}");
        let ended = ended(&events);
        for address in log.started() {
            let [outcome] = ended[&address][..] else { panic!("{address} at {at}") };
            assert!(outcome.is_success(), "{address} at {at}: {outcome:?}");
        }
        left += applied.outcomes.values().filter(|it| **it == Outcome::NotStarted).count();
        deployment.stop = StopSignal::default();
        deployment.iterate().await;
        let differing = differences(&expected, &canonical_state(&deployment.copy_of_state()));
        assert_eq!(differing, Vec::<String>::new(), "at {at}");
    }
    assert!(left > 50, "{left} steps were not started in total");
}

/// The transitive dependencies of a change.
fn causes<'a>(plan: &'a Plan, address: &'a Address) -> BTreeSet<&'a Address> {
    let mut found = BTreeSet::new();
    let mut open = vec![address];
    while let Some(at) = open.pop() {
        let change = plan.changes.iter().find(|change| change.address == *at).unwrap();
        let before = change.depends_on.iter().chain(&change.destroy_after);
        let before = before.chain(&change.create_after_destroy_of);
        open.extend(before.filter(|it| found.insert(*it)));
    }
    found
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_blocks_only_its_dependents() {
    for (kind, name) in [
        ("network-security-group", "stargate-router-subnet-nsg"),
        ("network-interface", "stargate-aks-e2e-2-dc-router-nic"),
        ("route-table", "stargate-aks-e2e-2-dc-router-route-table"),
    ] {
        let deployment = Deployment::example();
        let plan = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let failing = &format!("{kind}/dc1/{name}").parse().unwrap();
        let all = plan.plan.changes.iter().map(|change| &change.address);
        let depends: BTreeSet<Address> =
            all.filter(|it| causes(&plan.plan, it).contains(failing)).cloned().collect();
        observe(&deployment, Some(name));
        let log = EventLog::default();
        let applied = deployment.apply_planned(&RefreshOptions::default(), plan, &log).await;
        assert!(matches!(applied.status, ApplyStatus::Partial(_)), "{:?}", applied.status);
        for (address, outcome) in &applied.outcomes {
            let as_it_should = match outcome {
                Outcome::Failed(_) => address == failing,
                Outcome::Skipped { because_of } => {
                    because_of == failing && depends.contains(address)
                }
                _ => outcome.is_success() && !depends.contains(address) && address != failing,
            };
            assert!(as_it_should, "{address}: {outcome:?}");
        }
        assert!(!depends.is_empty());
        // Exactly one event for each.
        let events = log.events();
        let ended = ended(&events);
        assert!(ended.values().all(|outcomes| outcomes.len() == 1), "{ended:?}");
        deployment.sandbox.set_fault_injector(None);
        deployment.iterate().await;
    }
}

/// The subnet that is replaced with its router when its range is edited.
const ROUTER_SUBNET: &str = "subnet/cluster/stargate-aks-router-subnet";

/// If the destroy phase of a replacement fails, it is reported as one failure.
#[tokio::test(start_paused = true)]
async fn a_failed_destroy_of_a_replacement_is_reported_once() {
    let before = Deployment::example_applied().await;
    let deployment = before.edited(&EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24"));
    let options = RefreshOptions::replacing(&[ROUTER_SUBNET]);
    let plan = deployment.refresh_and_plan(&options).await;
    deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(400, |call| {
        is_deletion(call, "/virtualMachines/")
    })));
    let log = EventLog::default();
    let applied = deployment.apply_planned(&options, plan, &log).await;
    let events = log.events();
    let ended = ended(&events);
    assert!(ended.values().all(|outcomes| outcomes.len() == 1), "{ended:#?}");
    let failed: Vec<_> =
        applied.outcomes.iter().filter(|(_, it)| matches!(it, Outcome::Failed(_))).collect();
    let [(address, _)] = failed[..] else { panic!("{failed:?}") };
    assert_eq!(address.kind, Kind::VirtualMachine);
    deployment.sandbox.set_fault_injector(None);
    deployment.iterate_replacing(&[ROUTER_SUBNET]).await;
}

/// The parents below which Azure allows one write at a time.
fn parents(key: &ObjectKey, value: Option<&Resource>) -> Vec<ArmId> {
    let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = key else { return Vec::new() };
    let mut found = vec![id.clone()];
    if matches!(value, Some(Resource::Subnet(_) | Resource::RouteTableAssociation(_))) {
        found.extend(id.parent());
    }
    found
}

/// Applies iteration by iteration, and returns the events and the parents of each change.
async fn summaries_by_iteration(
    deployment: &Deployment,
) -> (Vec<Event>, BTreeMap<Address, Vec<ArmId>>) {
    let log = EventLog::default();
    let mut alone = BTreeMap::new();
    loop {
        let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        if planned.plan.is_empty() {
            return (log.events(), alone);
        }
        for change in &planned.plan.changes {
            let parents = parents(&change.key, change.after.as_ref());
            alone.insert(change.address.clone(), parents);
        }
        deployment.apply_planned(&RefreshOptions::default(), planned, &log).await;
    }
}

#[tokio::test(start_paused = true)]
async fn writes_below_one_parent_are_serialised() {
    for text in [EXAMPLE, crate::harness::TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(5));
        let (events, alone) = summaries_by_iteration(&deployment).await;
        let mut busy: BTreeMap<ArmId, Address> = BTreeMap::new();
        let mut most = 0;
        for event in events {
            match event {
                Event::StepStarted { address, .. } => {
                    for parent in alone.get(&address).into_iter().flatten() {
                        let other = busy.insert(parent.clone(), address.clone());
                        assert_eq!(other, None, "{address} writes below {parent} too");
                    }
                    most = most.max(busy.len());
                }
                Event::StepFinished { address, .. } => {
                    busy.retain(|_, holder| *holder != address);
                }
                _ => {}
            }
        }
        assert!(most > 3, "no steps ran in parallel");
        let refusals: Vec<String> = deployment.sandbox.read(|sandbox| {
            let refused = |status: u16| status == 409 || status == 429;
            let entries = sandbox.log.entries().filter(|entry| refused(entry.status));
            entries.map(|entry| format!("{} {}", entry.method, entry.path)).collect()
        });
        assert_eq!(refusals, Vec::<String>::new());
    }
}

/// The example with this many workers.
fn many_workers(count: usize) -> String {
    let (head, _) = EXAMPLE.split_once("[[datacenters.dc1.workers]]").unwrap();
    let worker = |number| format!("[[datacenters.dc1.workers]]\nname = \"worker-{number:03}\"\n\n");
    let head = head.replace("10.244.64.0/20", "10.244.128.0/17");
    head + &(0..count).map(worker).collect::<String>()
}

/// Not all steps fit into the concurrency limit: waiting steps start in the order of the plan.
#[tokio::test(start_paused = true)]
async fn steps_start_in_the_order_of_the_plan() {
    let deployment = Deployment::of(&many_workers(80), SandboxState::new(6));
    deployment.iterate().await;
    // Every VM gets another size: the changes are independent.
    let smaller =
        many_workers(80).replace("vm_size = \"Standard_D2s_v5\"", "vm_size = \"Standard_D4s_v5\"");
    let deployment = deployment.edited(&smaller);
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let expected: Vec<Address> = planned.plan.changes.iter().map(|it| it.address.clone()).collect();
    assert!(expected.len() > 80, "{}", summary(&planned.plan));
    assert!(planned.plan.changes.iter().all(|it| it.action == Action::Update));
    let log = EventLog::default();
    deployment.apply_planned(&RefreshOptions::default(), planned, &log).await;
    let started = log.started();
    // Steps that start together may be recorded in any order, but no waiting step is overtaken.
    let first = |all: &[Address]| all[..64].iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(first(&started), first(&expected));
    assert_eq!(started.len(), expected.len());
    for (at, address) in started.iter().enumerate() {
        let index = expected.iter().position(|it| it == address).unwrap();
        assert!(index < at + 64, "{address} is at {index} in the plan and started at {at}");
    }
}

/// Applies without a lease at the same time: the guards of their steps keep them apart.
async fn two_at_once(one: &Deployment, other: &Deployment) -> (ApplyStatus, ApplyStatus) {
    let options =
        RefreshOptions { allow_loss: false, ..RefreshOptions::replacing(&[ROUTER_SUBNET]) };
    let (first, second) =
        (one.refresh_and_plan(&options).await, other.refresh_and_plan(&options).await);
    let (one, other) = tokio::join!(
        one.apply_planned(&options, first, &IgnoreProgress),
        other.apply_planned(&options, second, &IgnoreProgress),
    );
    (one.status, other.status)
}

/// Tokens are used and deleted; everything else is kept.
fn is_persistent(path: &&String) -> bool {
    !path.contains("/secrets/bootstrap-token-")
}

#[tokio::test(start_paused = true)]
async fn concurrent_applies_never_undo_progress() {
    let one = Deployment::example().without_lease();
    let watchman = observe(&one, None);
    let other = one.edited(EXAMPLE).without_lease();
    two_at_once(&one, &other).await;
    let deletions = watchman.deletions.lock().unwrap().clone();
    let backwards: Vec<&String> = deletions.iter().filter(is_persistent).collect();
    assert_eq!(backwards, Vec::<&String>::new());
    one.sandbox.set_fault_injector(None);
    let plan = one.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", summary(&plan));
    let differing = differences(&expected(EXAMPLE).await, &canonical_state(&one.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn concurrent_applies_repair_a_fault_once() {
    let one = Deployment::example_applied().await;
    for fault in [Fault::NicForwardingOff, Fault::RouteWrongHop, Fault::ServerRouterIpHostname] {
        one.inject(fault, None);
    }
    let (one, other) = (one.edited(EXAMPLE).without_lease(), one.edited(EXAMPLE).without_lease());
    let endings = two_at_once(&one, &other).await;
    assert_eq!(endings, (ApplyStatus::Converged, ApplyStatus::Converged));
    assert!(one.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}

#[tokio::test(start_paused = true)]
async fn concurrent_replacements_end_in_the_same_state() {
    let before = Deployment::example_applied().await;
    let text = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    let (one, other) = (before.edited(&text).without_lease(), before.edited(&text).without_lease());
    two_at_once(&one, &other).await;
    one.iterate_replacing(&[ROUTER_SUBNET]).await;
    let differing = differences(&expected(&text).await, &canonical_state(&one.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}

/// Applying a saved plan with replacements again does not repeat them.
#[tokio::test(start_paused = true)]
async fn a_replacement_is_not_repeated() {
    let router = Deployment::example_applied().await;
    let text = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    let deployment = router.edited(&text).without_lease();
    let options = RefreshOptions::replacing(&[ROUTER_SUBNET]);
    let plan = deployment.refresh_and_plan(&options).await.plan;
    assert!(plan.count(Action::Replace) > 3, "{}", summary(&plan));
    assert_eq!(deployment.apply_once(&plan).await.status, ApplyStatus::Converged);
    let writes = deployment.writes();
    let again = deployment.apply_once(&plan).await;
    assert_eq!(again.status, ApplyStatus::Converged, "{:?}", failures(&again));
    assert!(again.outcomes.values().all(|outcome| *outcome == Outcome::UpToDate));
    assert_eq!(deployment.writes(), writes);
}
