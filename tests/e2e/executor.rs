//! How steps are carried out: side by side, stopped, failing, and by two at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{ApplyStatus, StopSignal};
use stargate::plan::{Action, Plan};
use stargate::resource::{Address, ArmId, Kind, ObjectKey, Resource};
use stargate::sandbox::World;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, Quiet, RefreshOptions, failures, told};

/// Writes down what happens, and asks to stop at one step's beginning.
#[derive(Default)]
struct Diary {
    events: Mutex<Vec<Event>>,
    stop: StopSignal,
    stop_at: Option<usize>,
}

impl Diary {
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

impl Reporter for Diary {
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
struct Watchman {
    refused: Option<&'static str>,
    deletions: Mutex<Vec<String>>,
}

impl FaultInjector for Watchman {
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

fn watched(deployment: &Deployment, refused: Option<&'static str>) -> Arc<Watchman> {
    let watchman = Arc::new(Watchman { refused, ..Watchman::default() });
    deployment.world.set_interceptor(Some(watchman.clone()));
    watchman
}

async fn expected(text: &str) -> serde_json::Value {
    let fresh = Deployment::of(text, World::new(31));
    fresh.iterate().await;
    canonical_state(&fresh.copy_of_world())
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

/// At the first Ctrl-C what runs comes to its end, and nothing else begins.
#[tokio::test(start_paused = true)]
async fn asked_to_stop_no_step_begins_and_the_next_apply_goes_on() {
    let expected = expected(EXAMPLE).await;
    let mut left = 0;
    for at in [1, 2, 9, 17, 25, 33, 41, 49] {
        let mut deployment = Deployment::example();
        let diary = Diary { stop_at: Some(at), stop: deployment.stop.clone(), ..Diary::default() };
        let planned = deployment.look(&RefreshOptions::default()).await;
        let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &diary).await;
        assert_eq!(applied.ending, ApplyStatus::Interrupted, "at {at}");
        let events = diary.events();
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
        for address in diary.started() {
            let [outcome] = ended[&address][..] else { panic!("{address} at {at}") };
            assert!(outcome.is_success(), "{address} at {at}: {outcome:?}");
        }
        left += applied.outcomes.values().filter(|it| **it == Outcome::NotStarted).count();
        deployment.stop = StopSignal::default();
        deployment.iterate().await;
        let differing = differences(&expected, &canonical_state(&deployment.copy_of_world()));
        assert_eq!(differing, Vec::<String>::new(), "at {at}");
    }
    assert!(left > 50, "{left} steps were not begun in all");
}

/// All that a change waits for, directly or not.
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
async fn a_failing_step_stops_what_depends_on_it_and_nothing_else() {
    for (kind, name) in [
        ("network-security-group", "stargate-router-subnet-nsg"),
        ("network-interface", "stargate-aks-e2e-2-dc-router-nic"),
        ("route-table", "stargate-aks-e2e-2-dc-router-route-table"),
    ] {
        let deployment = Deployment::example();
        let plan = deployment.look(&RefreshOptions::default()).await;
        let failing = &format!("{kind}/dc1/{name}").parse().unwrap();
        let all = plan.plan.changes.iter().map(|change| &change.address);
        let depends: BTreeSet<Address> =
            all.filter(|it| causes(&plan.plan, it).contains(failing)).cloned().collect();
        watched(&deployment, Some(name));
        let diary = Diary::default();
        let applied = deployment.apply_planned(&RefreshOptions::default(), plan, &diary).await;
        assert!(matches!(applied.ending, ApplyStatus::Partial { .. }), "{:?}", applied.ending);
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
        // One word on each.
        let events = diary.events();
        let ended = ended(&events);
        assert!(ended.values().all(|outcomes| outcomes.len() == 1), "{ended:?}");
        deployment.world.set_interceptor(None);
        deployment.iterate().await;
    }
}

/// No machine can be deleted.
#[derive(Debug)]
struct NoDeletions;

impl FaultInjector for NoDeletions {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Request { method, path, .. }
                if *method == http::Method::DELETE && path.contains("/virtualMachines/") =>
            {
                Disposition::Refuse { status: 400, retry_after: None }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// The deletion half of a replacement fails: that is told once, as a failure.
#[tokio::test(start_paused = true)]
async fn a_replacement_that_cannot_be_taken_down_is_told_once() {
    let before = Deployment::example_applied().await;
    let deployment = before.edited(&EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24"));
    let plan = deployment.look(&RefreshOptions::default()).await;
    deployment.world.set_interceptor(Some(Arc::new(NoDeletions)));
    let diary = Diary::default();
    let applied = deployment.apply_planned(&RefreshOptions::default(), plan, &diary).await;
    let events = diary.events();
    let ended = ended(&events);
    assert!(ended.values().all(|outcomes| outcomes.len() == 1), "{ended:#?}");
    let failed: Vec<_> =
        applied.outcomes.iter().filter(|(_, it)| matches!(it, Outcome::Failed(_))).collect();
    let [(address, _)] = failed[..] else { panic!("{failed:?}") };
    assert_eq!(address.kind, Kind::VirtualMachine);
    deployment.world.set_interceptor(None);
    deployment.iterate().await;
}

/// What a write to Azure has to itself.
fn parents(key: &ObjectKey, value: Option<&Resource>) -> Vec<ArmId> {
    let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = key else { return Vec::new() };
    let mut found = vec![id.clone()];
    if matches!(value, Some(Resource::Subnet(_) | Resource::RouteTableAssociation(_))) {
        found.extend(id.parent());
    }
    found
}

/// Applies round by round: what happened, and what each change has to itself.
async fn told_round_by_round(
    deployment: &Deployment,
) -> (Vec<Event>, BTreeMap<Address, Vec<ArmId>>) {
    let diary = Diary::default();
    let mut alone = BTreeMap::new();
    loop {
        let planned = deployment.look(&RefreshOptions::default()).await;
        if planned.plan.is_empty() {
            return (diary.events(), alone);
        }
        for change in &planned.plan.changes {
            let parents = parents(&change.key, change.after.as_ref());
            alone.insert(change.address.clone(), parents);
        }
        deployment.apply_planned(&RefreshOptions::default(), planned, &diary).await;
    }
}

#[tokio::test(start_paused = true)]
async fn below_one_parent_one_write_at_a_time() {
    for text in [EXAMPLE, crate::harness::TWO_DATACENTERS] {
        let deployment = Deployment::of(text, World::new(5));
        let (events, alone) = told_round_by_round(&deployment).await;
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
        assert!(most > 3, "nothing ran side by side");
        let refusals: Vec<String> = deployment.world.read(|world| {
            let refused = |status: u16| status == 409 || status == 429;
            let entries = world.log.entries().filter(|entry| refused(entry.status));
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

/// Not all steps fit beside each other: those that wait come as the plan says.
#[tokio::test(start_paused = true)]
async fn steps_begin_in_the_order_of_the_plan() {
    let deployment = Deployment::of(&many_workers(80), World::new(6));
    deployment.iterate().await;
    // Every machine gets another size: changes that wait for nothing.
    let smaller =
        many_workers(80).replace("vm_size = \"Standard_D2s_v5\"", "vm_size = \"Standard_D4s_v5\"");
    let deployment = deployment.edited(&smaller);
    let planned = deployment.look(&RefreshOptions::default()).await;
    let wanted: Vec<Address> = planned.plan.changes.iter().map(|it| it.address.clone()).collect();
    assert!(wanted.len() > 80, "{}", told(&planned.plan));
    assert!(planned.plan.changes.iter().all(|it| it.action == Action::Update));
    let diary = Diary::default();
    deployment.apply_planned(&RefreshOptions::default(), planned, &diary).await;
    let started = diary.started();
    // What begins together may lie in any order; nobody who waits is passed by.
    let first = |all: &[Address]| all[..64].iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(first(&started), first(&wanted));
    assert_eq!(started.len(), wanted.len());
    for (at, address) in started.iter().enumerate() {
        let place = wanted.iter().position(|it| it == address).unwrap();
        assert!(place < at + 64, "{address} is at {place} in the plan and began as {at}");
    }
}

async fn two_at_once(one: &Deployment, other: &Deployment) -> (ApplyStatus, ApplyStatus) {
    let look = RefreshOptions::default();
    let (first, second) = (one.look(&look).await, other.look(&look).await);
    let (one, other) = tokio::join!(
        one.apply_planned(&look, first, &Quiet),
        other.apply_planned(&look, second, &Quiet),
    );
    (one.ending, other.ending)
}

/// Tokens are used up and thrown away; everything else stays.
fn moves_back(path: &&String) -> bool {
    !path.contains("/secrets/bootstrap-token-")
}

#[tokio::test(start_paused = true)]
async fn two_appliers_at_once_never_move_the_world_backwards() {
    let one = Deployment::example();
    let watchman = watched(&one, None);
    let other = one.edited(EXAMPLE);
    two_at_once(&one, &other).await;
    let deletions = watchman.deletions.lock().unwrap().clone();
    let backwards: Vec<&String> = deletions.iter().filter(moves_back).collect();
    assert_eq!(backwards, Vec::<&String>::new());
    one.world.set_interceptor(None);
    let plan = one.look(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", told(&plan));
    let differing = differences(&expected(EXAMPLE).await, &canonical_state(&one.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn two_menders_at_once_mend_once() {
    let one = Deployment::example_applied().await;
    for fault in [Fault::NicForwardingOff, Fault::RouteWrongHop, Fault::ServerRouterIpHostname] {
        one.strike(fault, None);
    }
    let other = one.edited(EXAMPLE);
    let endings = two_at_once(&one, &other).await;
    assert_eq!(endings, (ApplyStatus::Converged, ApplyStatus::Converged));
    assert!(one.look(&RefreshOptions::deep()).await.plan.is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_who_replace_at_once_end_in_the_same_world() {
    let before = Deployment::example_applied().await;
    let text = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    let (one, other) = (before.edited(&text), before.edited(&text));
    two_at_once(&one, &other).await;
    one.iterate().await;
    let differing = differences(&expected(&text).await, &canonical_state(&one.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
}

/// A kept plan with replacements in it: once they are done, they stay.
#[tokio::test(start_paused = true)]
async fn a_replacement_is_not_done_twice() {
    let router = Deployment::example_applied().await;
    let text = EXAMPLE.replace("10.237.0.0/24", "10.236.0.0/24");
    let deployment = router.edited(&text);
    let plan = deployment.plan().await;
    assert!(plan.count(Action::Replace) > 3, "{}", told(&plan));
    assert_eq!(deployment.apply_once(&plan).await.ending, ApplyStatus::Converged);
    let writes = deployment.writes();
    let again = deployment.apply_once(&plan).await;
    assert_eq!(again.ending, ApplyStatus::Converged, "{:?}", failures(&again));
    assert!(again.outcomes.values().all(|outcome| *outcome == Outcome::UpToDate));
    assert_eq!(deployment.writes(), writes);
}
