//! Ranges of pods and addresses that other workers get in the same edit: a range leads to the
//! worker that runs with it until that one has left, and one apply makes what its plan shows.

use std::collections::BTreeSet;
use std::time::Duration;

use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::plan::{Plan, PlanStatus};
use stargate::provider::azure::client::Precondition;
use stargate::resource::{Address, ArmId, Kind};
use stargate::sandbox::{SandboxState, arm};

use crate::harness::{Deployment, RefreshOptions, failures, summary};
use crate::worker_waves::{
    PairObserver, base, connected, interrupted, pod_range, waves, with_line,
};

const CLOUD_A: &str = "name = \"cloud-a\"\n";
const CLOUD_B: &str = "name = \"cloud-b\"\n";
const CLOUD_C: &str = "name = \"cloud-c\"\n";
const ATTIC_A: &str = "mac = \"52:54:00:00:00:05\"\n";
const ATTIC_B: &str = "mac = \"52:54:00:00:00:06\"\n";
const ATTIC_C: &str = "mac = \"52:54:00:00:00:07\"\n";
const CLOUD_B_BLOCK: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";

/// An edit of the file.
struct Case {
    name: &'static str,
    before: String,
    after: String,
    /// How many workers may be interrupted at the same time.
    width: usize,
    /// Workers that the edit removes or adds.
    others: &'static [&'static str],
}

fn without(text: &str, part: &str) -> String {
    assert!(text.contains(part), "{part}");
    text.replace(part, "")
}

fn with_ranges(text: &str, ranges: &[(&str, u8)]) -> String {
    let add =
        |text: String, (worker, number): &(&str, u8)| with_line(&text, worker, &pod_range(*number));
    ranges.iter().fold(text.to_owned(), add)
}

fn at_width(text: &str, width: usize) -> String {
    format!("{text}\n[rollout]\nwidth = {width}\n")
}

impl Case {
    fn of(name: &'static str, after: String) -> Self {
        Self { name, before: base(), after, width: 1, others: &[] }
    }

    async fn check(self) {
        drop(self.plan().await);
    }

    /// Applies the edit, and checks each state in between.
    async fn plan(self) -> Plan {
        let Self { name, before, after, width, others } = self;
        let before = Deployment::of(&before, SandboxState::new(7));
        before.iterate().await;
        let deployment = before.edited(&after);
        let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
        let plan = deployment.refresh_and_plan(&options).await.plan;
        let found = &plan.reachability;
        let report = format!("{name}\n{}\n{found:#?}", summary(&plan));
        assert_eq!((found.unknown, found.unexamined.len()), (0, 0), "{report}");
        let observer = PairObserver::of(&deployment);
        let applied = deployment.apply(&options).await;
        deployment.sandbox.set_fault_injector(None);
        let failed = failures(&applied).join("\n");
        assert_eq!(applied.status, ApplyStatus::Converged, "{failed}\n{report}");
        let planned = plan.changes.len() + plan.expected().count();
        assert_eq!(applied.changes_made, planned, "{report}");
        let is_other = |name: &String| others.contains(&name.as_str());
        let mut most = 0;
        for sample in observer.samples.lock().unwrap().iter() {
            let mut cut = sample.cut.clone();
            cut.retain(|(from, to)| !is_other(from) && !is_other(to));
            let serves = |name: &String| sample.serving.contains(name);
            let early = cut.iter().find(|(from, to)| serves(from) && serves(to));
            assert_eq!(early, None, "before its wave, at {}\n{report}", sample.call);
            let workers = interrupted(&cut);
            assert!(workers.len() <= width, "{workers:?} at {}\n{report}", sample.call);
            most = most.max(cut.len());
        }
        let announced: u64 = found.disruptions.iter().map(|it| it.pairs).sum();
        assert!(most as u64 <= announced, "{most} pairs are cut\n{report}");
        let mut expected = observer.before.clone();
        expected.retain(|(from, to)| !is_other(from) && !is_other(to));
        assert!(expected.is_subset(&connected(&deployment.sandbox)), "{report}");
        let left = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        assert_eq!(left.status(), PlanStatus::Matches, "{report}\n{}", summary(&left));
        plan
    }
}

/// The workers that the plan replaces in a later iteration, in its order.
fn later(plan: &Plan) -> BTreeSet<String> {
    let workers = plan.deferred.iter().filter(|it| it.address.kind == Kind::Worker);
    workers.map(|it| it.address.name.to_string()).collect()
}

/// The routes switch between the two halves of the exchange.
#[tokio::test(start_paused = true)]
async fn workers_that_exchange_ranges_are_interrupted_in_their_wave_only() {
    let of_vms = with_ranges(&base(), &[(CLOUD_A, 65), (CLOUD_B, 64)]);
    let of_machines = with_ranges(&base(), &[(ATTIC_A, 129), (ATTIC_B, 128)]);
    for (name, text) in [("VMs", of_vms), ("existing machines", of_machines)] {
        let plan = Case { width: 2, ..Case::of(name, at_width(&text, 2)) }.plan().await;
        assert_eq!(later(&plan), BTreeSet::new(), "{}", summary(&plan));
    }
    // One of each datacenter: the smallest width permits it.
    let before = with_ranges(&base(), &[(CLOUD_A, 210), (ATTIC_A, 211)]);
    let after = with_ranges(&base(), &[(CLOUD_A, 211), (ATTIC_A, 210)]);
    let across = Case { before, width: 2, ..Case::of("across datacenters", after) };
    across.check().await;
}

/// With a canary of one worker, one exchange follows the other one.
#[tokio::test(start_paused = true)]
async fn several_exchanges_follow_each_other() {
    let all = [(CLOUD_A, 65), (CLOUD_B, 64), (ATTIC_A, 129), (ATTIC_B, 128)];
    let text = at_width(&with_ranges(&base(), &all), 2);
    let plan = Case { width: 2, ..Case::of("two exchanges", text) }.plan().await;
    assert_eq!(later(&plan).len(), 2, "{}", summary(&plan));
    let all = [(CLOUD_A, 65), (CLOUD_B, 64), (ATTIC_A, 129), (ATTIC_B, 140)];
    let text = with_ranges(&base(), &all) + "\n[rollout]\nwidth = 2\ncanary = 0\n";
    Case { width: 3, ..Case::of("an exchange beside a chain", text) }.check().await;
}

/// Each worker gets the range of the next one, and the last one a free range.
#[tokio::test(start_paused = true)]
async fn a_chain_of_ranges_moves_from_its_end() {
    let of_vms = [(CLOUD_A, 65), (CLOUD_B, 66), (CLOUD_C, 70)];
    let of_machines = [(ATTIC_A, 129), (ATTIC_B, 130), (ATTIC_C, 140)];
    for (name, ranges, last) in [("VMs", of_vms, "cloud-c"), ("machines", of_machines, "attic-c")] {
        let plan = Case::of(name, with_ranges(&base(), &ranges)).plan().await;
        assert_eq!(waves(&plan), [[last]], "{}", summary(&plan));
        assert_eq!(later(&plan).len(), 2, "{}", summary(&plan));
    }
}

/// More links than an apply has iterations without progress.
#[tokio::test(start_paused = true)]
async fn a_long_chain_of_ranges_needs_one_apply() {
    let worker = |first: u8, number: u8| {
        let name = format!("[[datacenters.cloud.workers]]\nname = \"cloud-{number:02}\"\n");
        name + &pod_range(first + number) + "\n"
    };
    let text = |first: u8| {
        let more: String = (1..=12).map(|number| worker(first, number)).collect();
        with_line(&base(), CLOUD_C, &more)
    };
    let case = Case { before: text(66), ..Case::of("twelve workers", text(67)) };
    let plan = case.plan().await;
    assert_eq!(later(&plan).len(), 11, "{}", summary(&plan));
}

/// A saved plan was applied up to its first iteration: applied again, it continues with the
/// replacements that it shows for later.
#[tokio::test(start_paused = true)]
async fn a_saved_chain_continues_after_an_iteration() {
    let before = Deployment::of(&base(), SandboxState::new(7));
    before.iterate().await;
    let ranges = [(CLOUD_A, 65), (CLOUD_B, 66), (CLOUD_C, 70)];
    let deployment = before.edited(&with_ranges(&base(), &ranges));
    let plan = deployment.plan().await;
    assert_eq!((waves(&plan), later(&plan).len()), (vec![vec!["cloud-c".to_owned()]], 2));
    for worker in ["cloud-c", "cloud-b", "cloud-a"] {
        let applied = deployment.apply_saved(&plan).await;
        let applied =
            applied.unwrap_or_else(|refusal| panic!("{worker}: {:?}", refusal.failures()));
        let is_it = |it: &Address| it.kind == Kind::Worker && *it.name == *worker;
        let replaced = applied.outcomes.iter().find(|(address, _)| is_it(address));
        assert_eq!(replaced.map(|(_, outcome)| outcome), Some(&Outcome::Done), "{worker}");
    }
}

/// The VM of a member was deleted: the plan creates it and joins its worker, which is replaced once
/// more in a later iteration.
#[tokio::test(start_paused = true)]
async fn a_saved_chain_with_a_deleted_vm_continues_after_each_iteration() {
    for member in ["cloud-a", "cloud-b", "cloud-c"] {
        let before = Deployment::of(&base(), SandboxState::new(7));
        before.iterate().await;
        let group = ArmId::resource_group(arm::SUBSCRIPTION, "lab-cloud");
        let id = group.in_group("Microsoft.Compute/virtualMachines", member);
        before.clients.azure.delete(&id, Precondition::None).await.unwrap();
        tokio::time::advance(Duration::from_secs(300)).await;
        let ranges = [(CLOUD_A, 65), (CLOUD_B, 66), (CLOUD_C, 70)];
        let deployment = before.edited(&with_ranges(&base(), &ranges));
        let plan = deployment.plan().await;
        assert_eq!(later(&plan).len(), 2, "{member}\n{}", summary(&plan));
        for number in 1..=4 {
            let applied = deployment.apply_saved(&plan).await;
            let applied =
                applied.unwrap_or_else(|it| panic!("{member}, {number}: {:?}", it.failures()));
            assert_eq!(failures(&applied), Vec::<String>::new(), "{member}, {number}");
        }
        let left = deployment.plan().await;
        assert_eq!(left.status(), PlanStatus::Matches, "{member}\n{}", summary(&left));
    }
}

#[tokio::test(start_paused = true)]
async fn the_range_of_a_removed_worker_leads_to_another_one_once_it_has_left() {
    let removed = without(&base(), CLOUD_B_BLOCK);
    let others: &[&str] = &["cloud-b", "cloud-n"];
    let to_existing = with_line(&removed, CLOUD_A, &pod_range(65));
    Case { others, ..Case::of("to an existing one", to_existing) }.check().await;
    let to_new = base().replace(CLOUD_B, &format!("name = \"cloud-n\"\n{}\n", pod_range(65)));
    Case { others, ..Case::of("to a new one", to_new) }.check().await;
    let before = with_ranges(&base(), &[(CLOUD_B, 210)]);
    let block = format!("{CLOUD_B_BLOCK}{}\n", pod_range(210));
    let after = with_ranges(&without(&before, &block), &[(ATTIC_A, 210)]);
    let elsewhere = Case { before, others, ..Case::of("to another datacenter", after) };
    elsewhere.check().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_worker_gets_the_range_or_address_of_one_that_moves() {
    let with_new = |own: &str, of_new: &str| {
        let new = format!("\n[[datacenters.cloud.workers]]\nname = \"cloud-n\"\n{of_new}");
        with_line(&with_line(&base(), CLOUD_B, own), CLOUD_C, &new)
    };
    let others: &[&str] = &["cloud-n"];
    let text = with_new(&pod_range(70), &pod_range(65));
    let plan = Case { others, ..Case::of("a range", text) }.plan().await;
    assert_eq!(later(&plan), BTreeSet::from(["cloud-n".to_owned()]), "{}", summary(&plan));
    let text = with_new("ip = \"10.50.1.40\"", "ip = \"10.50.1.5\"");
    Case { others, ..Case::of("an address", text) }.check().await;
}

#[tokio::test(start_paused = true)]
async fn addresses_of_other_vms_are_taken_over_in_the_waves() {
    let text = with_line(&base(), CLOUD_A, "ip = \"10.50.1.5\"");
    let text = with_line(&text, CLOUD_B, "ip = \"10.50.1.4\"");
    Case { width: 2, ..Case::of("an exchange", at_width(&text, 2)) }.check().await;
    let others: &[&str] = &["cloud-b", "cloud-n"];
    let removed = with_line(&without(&base(), CLOUD_B_BLOCK), CLOUD_A, "ip = \"10.50.1.5\"");
    Case { others, ..Case::of("of a removed one", removed) }.check().await;
    let new = base().replace(CLOUD_B, "name = \"cloud-n\"\nip = \"10.50.1.5\"\n");
    Case { others, ..Case::of("of a removed one, to a new one", new) }.check().await;
}

/// The same range at another address, or in another datacenter: its routes cannot exist side by side.
#[tokio::test(start_paused = true)]
async fn a_range_that_stays_is_led_to_the_new_place_in_the_wave() {
    let before = with_ranges(&base(), &[(CLOUD_A, 210), (CLOUD_B, 211)]);
    let address =
        |text: &str, worker: &str, ip: &str| with_line(text, worker, &format!("ip = \"{ip}\""));
    let after = address(&address(&before, CLOUD_A, "10.50.1.44"), CLOUD_B, "10.50.1.45");
    let case = Case { before: before.clone(), ..Case::of("other addresses", after) };
    case.check().await;
    let moved =
        without(&before, &format!("[[datacenters.cloud.workers]]\n{CLOUD_A}{}\n", pod_range(210)))
            + "\n[[datacenters.attic.workers]]\nname = \"cloud-a\"\nip = \"10.60.1.9\"\n\
           mac = \"52:54:00:00:00:09\"\npod_cidr = \"10.244.210.0/24\"\n";
    Case { before, ..Case::of("another datacenter", moved) }.check().await;
}

/// A worker cannot wait at a place of another datacenter, so the workers whose places it gets
/// leave them first.
#[tokio::test(start_paused = true)]
async fn a_worker_from_another_datacenter_gets_the_range_of_one_that_moves_on() {
    let attic_c = "\n[[datacenters.attic.workers]]\nname = \"attic-c\"\nip = \"10.60.1.7\"\n\
                   mac = \"52:54:00:00:00:07\"\n";
    let to_cloud = |number: u8| {
        let block = "\n[[datacenters.cloud.workers]]\nname = \"attic-c\"\n";
        without(&base(), attic_c) + block + &pod_range(number) + "\n"
    };
    let of_a = with_line(&to_cloud(64), CLOUD_A, &pod_range(70));
    Case { width: 2, ..Case::of("of one that gets a free range", of_a) }.check().await;
    Case { width: 2, ..Case::of("of one that gets any range", to_cloud(66)) }.check().await;
    // Here one update leads to the ranges of two workers of one datacenter.
    let of_c = at_width(&with_line(&to_cloud(66), CLOUD_A, &pod_range(70)), 2);
    let plan = Case { width: 3, ..Case::of("of one that waits", of_c) }.plan().await;
    assert_eq!(later(&plan), BTreeSet::new(), "{}", summary(&plan));
    let cloud_c = "\n[[datacenters.cloud.workers]]\nname = \"cloud-c\"\n";
    let text = with_ranges(&without(&base(), cloud_c), &[(ATTIC_B, 140)]);
    let moved = "\n[[datacenters.attic.workers]]\nname = \"cloud-c\"\nip = \"10.60.1.9\"\n\
                 mac = \"52:54:00:00:00:09\"\n";
    let text = text + moved + &pod_range(129) + "\n";
    Case { width: 2, ..Case::of("of an existing machine", text) }.check().await;
}

/// One gets the range of the other, which gets its address.
#[tokio::test(start_paused = true)]
async fn an_address_and_a_range_are_taken_over_in_opposite_directions() {
    let own = format!("ip = \"10.50.1.30\"\n{}", pod_range(65));
    let text = with_line(&base(), CLOUD_A, &own);
    let text = with_line(&text, CLOUD_B, &format!("ip = \"10.50.1.4\"\n{}", pod_range(70)));
    Case { width: 2, ..Case::of("at width 2", at_width(&text, 2)) }.check().await;
}
