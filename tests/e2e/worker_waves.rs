//! Edits that give all workers of a datacenter another address or another range of pods: at each
//! moment only the workers of the current wave are interrupted, and the plan says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::observer::serving_nodes;

pub(crate) type Pairs = BTreeSet<(String, String)>;

/// Three workers in each datacenter, one disturbed at a time.
pub(crate) fn base() -> String {
    let cloud = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
    let text = TWO_DATACENTERS
        .replace(cloud, &format!("{cloud}\n[[datacenters.cloud.workers]]\nname = \"cloud-c\"\n"))
        .replace(
            "mac = \"52:54:00:00:00:06\"\npod_cidr = \"10.244.200.0/24\"\n",
            "mac = \"52:54:00:00:00:06\"\n",
        );
    text + "\n[[datacenters.attic.workers]]\nname = \"attic-c\"\nip = \"10.60.1.7\"\n\
            mac = \"52:54:00:00:00:07\"\n"
}

/// The text with a line added after another one.
pub(crate) fn with_line(text: &str, after: &str, line: &str) -> String {
    assert!(text.contains(after), "{after}");
    text.replace(after, &format!("{after}{line}\n"))
}

/// The text with a line added to a worker.
pub(crate) fn with_worker_line(text: &str, worker: &str, line: &str) -> String {
    with_line(text, &format!("name = \"{worker}\"\n"), line)
}

/// The line of a worker with this range of pods.
pub(crate) fn pod_range(number: u8) -> String {
    format!("pod_cidr = \"10.244.{number}.0/24\"")
}

/// The pairs that were cut at one write.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    /// The write.
    pub(crate) call: String,
    /// Pairs that were carried before the apply and are not now.
    pub(crate) cut: Pairs,
    /// Nodes that are Ready and take pods.
    pub(crate) serving: BTreeSet<String>,
}

/// Compares the pairs that packets pass with those before, at each write.
#[derive(Clone)]
pub(crate) struct PairObserver {
    sandbox: SharedSandbox,
    pub(crate) before: Pairs,
    pub(crate) samples: Arc<Mutex<Vec<Sample>>>,
}

impl std::fmt::Debug for PairObserver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("PairObserver").finish_non_exhaustive()
    }
}

pub(crate) fn connected(sandbox: &SharedSandbox) -> Pairs {
    let now = sandbox.now();
    sandbox.read(|state| state.connected_nodes(now))
}

impl PairObserver {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        let sandbox = deployment.sandbox.clone();
        let observer = Self { before: connected(&sandbox), sandbox, samples: Arc::default() };
        deployment.sandbox.set_fault_injector(Some(Arc::new(observer.clone())));
        observer
    }

    /// The most nodes of one datacenter without which no pair would have been cut, over all
    /// samples, and the sample.
    pub(crate) fn widest(&self) -> Option<(usize, Sample)> {
        let samples = self.samples.lock().unwrap().clone();
        samples.into_iter().map(|it| (interrupted(&it.cut).len(), it)).max_by_key(|(most, _)| *most)
    }

    pub(crate) fn most_cut(&self) -> usize {
        self.samples.lock().unwrap().iter().map(|it| it.cut.len()).max().unwrap_or_default()
    }
}

/// A smallest set of nodes that all of these pairs have an end in, chosen greedily.
pub(crate) fn interrupted(cut: &Pairs) -> BTreeSet<String> {
    let (mut left, mut chosen) = (cut.clone(), BTreeSet::new());
    while !left.is_empty() {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (from, to) in &left {
            *counts.entry(from).or_default() += 1;
            *counts.entry(to).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).unwrap().0.to_owned();
        left.retain(|(from, to)| *from != most && *to != most);
        chosen.insert(most);
    }
    chosen
}

impl FaultInjector for PairObserver {
    fn before(&self, effect: &Call) -> Disposition {
        if effect.writes() {
            let call = match effect {
                Call::Request { method, path, .. } => format!("{method} {path}"),
                Call::Host { hostname, activity, .. } => format!("{activity} on {hostname}"),
            };
            let cut = self.before.difference(&connected(&self.sandbox)).cloned().collect();
            let serving = self.sandbox.read(serving_nodes);
            self.samples.lock().unwrap().push(Sample { call, cut, serving });
        }
        Disposition::Pass
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// The waves of a plan, each with its workers.
pub(crate) fn waves(plan: &Plan) -> Vec<Vec<String>> {
    let waves = plan.rollout.map(|rollout| rollout.waves(&plan.changes)).unwrap_or_default();
    let names = |wave: Vec<stargate::resource::Address>| {
        wave.into_iter().map(|it| it.name.to_string()).collect()
    };
    waves.into_iter().map(names).collect()
}

/// Applies an edit and checks that no more than `width` workers are interrupted at any moment,
/// and no more pairs than the plan announces.
async fn check(name: &str, text: &str, width: usize) -> Plan {
    let before = Deployment::of(&base(), SandboxState::new(7));
    before.iterate().await;
    let deployment = before.edited(text);
    let plan = deployment.plan().await;
    let found = &plan.reachability;
    assert_eq!((found.lost, found.removed), (0, 0), "{name}: {found:?}\n{}", summary(&plan));
    let announced: u64 = found.disruptions.iter().map(|it| it.pairs).sum();
    let observer = PairObserver::of(&deployment);
    let applied = deployment.apply(&RefreshOptions::default()).await;
    deployment.sandbox.set_fault_injector(None);
    let report =
        format!("{name}\n{}\n{found:?}\n{}", summary(&plan), failures(&applied).join("\n"));
    assert_eq!(applied.status, ApplyStatus::Converged, "{report}");
    let (interrupted_workers, sample) = observer.widest().unwrap();
    assert!(interrupted_workers <= width, "{interrupted_workers} at {sample:?}\n{report}");
    let cut = observer.most_cut() as u64;
    assert!(cut <= announced, "{cut} pairs are cut, {announced} were announced\n{report}");
    assert_eq!(connected(&deployment.sandbox), observer.before, "{report}");
    let left = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert_eq!(left.status(), PlanStatus::Matches, "{name}\n{}", summary(&left));
    plan
}

fn edited(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(base(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    })
}

/// Each edit of the ranges of pods, with the datacenter's workers.
#[tokio::test(start_paused = true)]
async fn another_range_of_pods_interrupts_one_worker_at_a_time() {
    for (name, edits) in [
        ("another pool of VMs", vec![("10.244.64.0/20", "10.244.96.0/20")]),
        ("another pool of existing machines", vec![("10.244.128.0/20", "10.244.160.0/20")]),
        ("a smaller pool at another place", vec![("10.244.64.0/20", "10.244.76.0/22")]),
        (
            "both pools",
            vec![("10.244.64.0/20", "10.244.96.0/20"), ("10.244.128.0/20", "10.244.160.0/20")],
        ),
        (
            "a written range",
            vec![("name = \"cloud-b\"\n", "name = \"cloud-b\"\npod_cidr = \"10.244.210.0/24\"\n")],
        ),
    ] {
        let width = edits.len();
        let plan = check(name, &edited(&edits), width).await;
        let replaced = |it: &&stargate::plan::Change| {
            it.address.kind == Kind::Worker && it.action == Action::Replace
        };
        assert!(plan.changes.iter().filter(replaced).all(|it| it.wave.is_some()));
        let deferred = plan.deferred.iter().any(|it| it.address.kind == Kind::AdvertisedRoutes);
        let updated = plan.changes.iter().any(|it| it.address.kind == Kind::AdvertisedRoutes);
        assert!(deferred || updated, "{name}\n{}", summary(&plan));
    }
}

/// The address of each worker becomes that of the next one.
#[tokio::test(start_paused = true)]
async fn shifted_addresses_of_vms_keep_to_the_waves() {
    let shifted = edited(&[
        ("name = \"cloud-a\"\n", "name = \"cloud-a\"\nip = \"10.50.1.5\"\n"),
        ("name = \"cloud-b\"\n", "name = \"cloud-b\"\nip = \"10.50.1.6\"\n"),
        ("name = \"cloud-c\"\n", "name = \"cloud-c\"\nip = \"10.50.1.7\"\n"),
    ]);
    let plan = check("shifted", &shifted, 1).await;
    assert_eq!(waves(&plan), [["cloud-c"], ["cloud-b"], ["cloud-a"]], "{}", summary(&plan));
    let freed = edited(&[("name = \"cloud-a\"\n", "name = \"cloud-a\"\nip = \"10.50.1.40\"\n")]);
    let plan = check("a free address", &freed, 1).await;
    assert_eq!(waves(&plan), [["cloud-a"]], "{}", summary(&plan));
}

/// Neither of two VMs can have the other's address before both are deleted: one worker at a time
/// cannot be kept, so the edit is refused, and with a width of two both change in one wave.
#[tokio::test(start_paused = true)]
async fn an_exchange_is_refused_where_it_is_wider_than_the_rollout() {
    let exchanges = [
        edited(&[
            ("name = \"cloud-a\"\n", "name = \"cloud-a\"\nip = \"10.50.1.5\"\n"),
            ("name = \"cloud-b\"\n", "name = \"cloud-b\"\nip = \"10.50.1.4\"\n"),
        ]),
        edited(&[
            ("name = \"cloud-a\"\n", "name = \"cloud-a\"\npod_cidr = \"10.244.65.0/24\"\n"),
            ("name = \"cloud-b\"\n", "name = \"cloud-b\"\npod_cidr = \"10.244.64.0/24\"\n"),
        ]),
    ];
    for text in exchanges {
        let before = Deployment::of(&base(), SandboxState::new(7));
        before.iterate().await;
        let deployment = before.edited(&text);
        let plan = deployment.plan().await;
        let refused = |it: &&stargate::plan::Blocked| it.failure.code == Code::AddressExchange;
        let refused: BTreeSet<String> =
            plan.blocked.iter().filter(refused).map(|it| it.address.name.to_string()).collect();
        assert!(refused.contains("cloud-a") && refused.contains("cloud-b"), "{}", summary(&plan));
        let observer = PairObserver::of(&deployment);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        assert_eq!(applied.status, ApplyStatus::Blocked, "{}", failures(&applied).join("\n"));
        deployment.sandbox.set_fault_injector(None);
        assert_eq!(observer.most_cut(), 0, "{}", summary(&plan));
        assert_eq!(connected(&deployment.sandbox), observer.before);
        let wide = text + "\n[rollout]\nwidth = 2\n";
        let deployment = before.edited(&wide);
        let plan = deployment.plan().await;
        assert_eq!(waves(&plan), [["cloud-a", "cloud-b"]], "{}", summary(&plan));
        let observer = PairObserver::of(&deployment);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        deployment.sandbox.set_fault_injector(None);
        assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
        assert!(observer.widest().unwrap().0 <= 2, "{}", summary(&plan));
        assert_eq!(connected(&deployment.sandbox), observer.before);
    }
}
