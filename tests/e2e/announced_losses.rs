//! After each edit of a block, compares the reachability in the sandbox during and after
//! the apply with the plan's announcement.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::impact::{IntermediateState, Reachability, ReachabilityReport};
use stargate::plan::{Action, Plan};
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::block_edits::{ATTIC_A, CLOUD_B, CLOUD_B_IN_ATTIC, EDITS, Edit, Outcome, without};
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::observer::Observer;

/// Ordered pairs of nodes.
type Pairs = BTreeSet<(String, String)>;

fn connected(sandbox: &SharedSandbox) -> Pairs {
    let now = sandbox.now();
    sandbox.read(|state| state.connected_nodes(now))
}

/// The largest number of these pairs that were cut at the same time.
#[derive(Clone)]
struct Cuts {
    sandbox: SharedSandbox,
    pairs: Pairs,
    most: Arc<Mutex<usize>>,
}

impl std::fmt::Debug for Cuts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Cuts").finish_non_exhaustive()
    }
}

impl Cuts {
    fn observe(deployment: &Deployment, pairs: &Pairs) -> Self {
        let sandbox = deployment.sandbox.clone();
        let cuts = Self { sandbox, pairs: pairs.clone(), most: Arc::default() };
        deployment.sandbox.set_fault_injector(Some(Arc::new(cuts.clone())));
        cuts
    }

    fn most(&self) -> u64 {
        *self.most.lock().unwrap() as u64
    }
}

impl FaultInjector for Cuts {
    fn before(&self, effect: &Call) -> Disposition {
        if effect.writes() {
            let cut = self.pairs.difference(&connected(&self.sandbox)).count();
            let mut most = self.most.lock().unwrap();
            *most = cut.max(*most);
        }
        Disposition::Pass
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// Another datacenter of existing machines.
const LOFT: &str = "\n[datacenters.loft]\npod_pool = \"10.244.160.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.loft.existing]\nnetwork_cidr = \"10.61.0.0/16\"\n\n\
    [datacenters.loft.router]\nname = \"loft-router\"\nip = \"10.61.0.4\"\n\n\
    [[datacenters.loft.workers]]\nname = \"loft-a\"\nip = \"10.61.1.5\"\nmac = \
    \"52:54:00:00:02:05\"\n";

/// The pairs that a plan announces to end, and those that it announces to be cut for a time.
fn announced(found: &Reachability) -> (u64, u64) {
    (found.lost + found.removed, found.disruptions.iter().map(|it| it.pairs).sum())
}

/// The effects of an apply, and the plan's announcement.
pub(crate) struct Applied {
    plan: Plan,
    pub(crate) status: ApplyStatus,
    pub(crate) iterations: u32,
    /// Pairs that were carried before, and are not.
    ended: u64,
    /// The most pairs that were cut at the same time.
    cut: u64,
    pub(crate) report: String,
}

pub(crate) async fn apply(deployment: &Deployment, options: &RefreshOptions) -> Applied {
    let before = connected(&deployment.sandbox);
    let plan = deployment.refresh_and_plan(options).await.plan;
    let cuts = Cuts::observe(deployment, &before);
    let applied = deployment.apply(options).await;
    deployment.sandbox.set_fault_injector(None);
    let ended = before.difference(&connected(&deployment.sandbox)).count() as u64;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let report = format!("{}\n{}\n{left}", summary(&plan), failures(&applied).join("\n"));
    let iterations = applied.iterations;
    Applied { plan, status: applied.status, iterations, ended, cut: cuts.most(), report }
}

impl Applied {
    /// Asserts that the plan understated nothing.
    fn check(&self, name: &str) {
        assert_eq!(self.understated(), None, "{name}\n{}", self.report);
    }

    /// Effects that the plan understated.
    pub(crate) fn understated(&self) -> Option<String> {
        let found = &self.plan.reachability;
        let (ends, for_a_time) = announced(found);
        let is_incomplete = self.status != ApplyStatus::Converged;
        let most_cut = (ends + for_a_time).max(ends);
        let ends = if is_incomplete { ends + for_a_time } else { ends };
        // While a part is refused, cuts beside it are not all counted.
        let counts_cuts = self.status != ApplyStatus::Blocked;
        let most_cut = if counts_cuts { most_cut } else { u64::MAX };
        let ended = (self.ended > ends).then(|| format!("{} end, {found:?}", self.ended));
        ended.or_else(|| (self.cut > most_cut).then(|| format!("{} are cut, {found:?}", self.cut)))
    }
}

async fn healthy() -> SandboxState {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(1));
    deployment.iterate().await;
    deployment.copy_of_state()
}

fn edited(healthy: &SandboxState, text: &str) -> Deployment {
    Deployment::of(TWO_DATACENTERS, healthy.clone()).edited(text)
}

/// Asserts that a refused edit modifies nothing, promises nothing and loses nothing.
async fn check_refused(deployment: &Deployment, edit: &Edit) {
    let writes = deployment.writes();
    let applied = apply(deployment, &edit.options(false)).await;
    applied.check(edit.name);
    let Applied { plan, status, report, .. } = applied;
    assert_eq!(status, ApplyStatus::Blocked, "{}\n{report}", edit.name);
    assert_eq!(deployment.writes(), writes, "{}\n{report}", edit.name);
    let promised = Action::ALL.map(|action| plan.count(action));
    assert_eq!(promised, [0; 6], "{}\n{report}", edit.name);
    let found = &plan.reachability;
    assert_eq!((found.lost, found.removed, found.broken), (0, 0, 0), "{}: {found:?}", edit.name);
}

async fn check(healthy: &SandboxState, edit: &Edit) {
    let deployment = edited(healthy, &edit.text());
    if edit.outcome == Outcome::Refused {
        return check_refused(&deployment, edit).await;
    }
    let plan = deployment.refresh_and_plan(&edit.options(false)).await.plan;
    let needs_permission = edit.outcome == Outcome::NeedsPermission;
    let found = &plan.reachability;
    assert_eq!(found.is_refused(), needs_permission, "{}: {found:?}", edit.name);
    if needs_permission {
        let writes = deployment.writes();
        deployment.apply(&edit.options(false)).await;
        assert_eq!(deployment.writes(), writes, "{}", edit.name);
    }
    let applied = apply(&deployment, &edit.options(needs_permission)).await;
    applied.check(edit.name);
    match edit.outcome {
        Outcome::Applies | Outcome::NeedsPermission => {
            assert_eq!(applied.status, ApplyStatus::Converged, "{}\n{}", edit.name, applied.report);
        }
        Outcome::PartlyRefused => {
            assert_eq!(applied.status, ApplyStatus::Blocked, "{}\n{}", edit.name, applied.report);
            assert_eq!((applied.ended, applied.cut), (0, 0), "{}\n{}", edit.name, applied.report);
        }
        Outcome::Refused => {}
    }
}

#[tokio::test(start_paused = true)]
async fn no_edit_costs_more_than_its_plan_announced() {
    let healthy = healthy().await;
    for edit in EDITS {
        check(&healthy, edit).await;
    }
}

/// A refused edit leaves its objects in service, and no check reports them as broken
/// because the topology describes others in their place.
#[tokio::test(start_paused = true)]
async fn a_check_reports_no_pair_dropped_by_an_edit_that_is_refused() {
    let healthy = healthy().await;
    for edit in EDITS.iter().filter(|edit| edit.outcome == Outcome::Refused) {
        let deployment = edited(&healthy, &edit.text());
        let planned = deployment.refresh_and_plan(&edit.options(false)).await;
        let sources = planned.paths(&deployment.topology);
        let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, 3);
        assert_eq!(report.matrix.total().dropped, 0, "{}: {:?}", edit.name, report.remedies);
    }
}

#[tokio::test(start_paused = true)]
async fn a_datacenter_is_removed_only_with_the_permission_to_lose_its_pairs() {
    let healthy = healthy().await;
    for (datacenter, cause) in [
        ("cloud", "resource-group/cloud/lab-cloud"),
        ("attic", "tailnet-device/attic/attic-router"),
    ] {
        let deployment = edited(&healthy, &without(datacenter));
        let plan = deployment.plan().await;
        let found = &plan.reachability;
        assert_eq!((found.lost, found.kept), (22, 20), "{datacenter}: {found:?}");
        assert!(found.is_refused());
        let [loss] = &found.loss_summaries()[..] else { panic!("{found:?}") };
        assert!(loss.contains(cause), "{loss}");
        let writes = deployment.writes();
        let refused = deployment.apply(&RefreshOptions::default()).await;
        assert!(matches!(
            &refused.status,
            ApplyStatus::Partial(failure) if failure.code == Code::ReachabilityLost
        ));
        assert_eq!(deployment.writes(), writes, "{datacenter}");
        let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
        let applied = apply(&deployment, &options).await;
        applied.check(datacenter);
        assert_eq!((applied.status, applied.ended), (ApplyStatus::Converged, 22), "{datacenter}");
    }
}

/// The plan names deleted nodes and counts their pairs with all others.
#[tokio::test(start_paused = true)]
async fn a_plan_says_which_pairs_go_with_a_node() {
    let healthy = healthy().await;
    for (from, to, cause) in [
        (CLOUD_B, "", "worker/cloud/cloud-b"),
        (ATTIC_A, "", "worker/attic/attic-a"),
        ("\"cloud-b\"", "\"cloud-x\"", "worker/cloud/cloud-b"),
        ("count = 3", "count = 2", "node-pool/cluster/system"),
    ] {
        let plan = edited(&healthy, &TWO_DATACENTERS.replace(from, to)).plan().await;
        let found = &plan.reachability;
        assert_eq!((found.removed, found.lost, found.kept), (12, 0, 30), "{cause}: {found:?}");
        let [text] = &found.removal_summaries()[..] else { panic!("{found:?}") };
        assert!(text.contains("removes 12 pairs together with a node"), "{text}");
        assert!(text.contains(cause), "{text}");
        assert!(!found.is_refused());
    }
}

/// Renames of objects on the path of packets cut pairs for a time, and the plan counts
/// them.
#[tokio::test(start_paused = true)]
async fn a_renamed_router_keeps_its_pairs_and_announces_the_disruption() {
    let healthy = healthy().await;
    for (from, to, pairs) in
        [("\"cloud-router\"", "\"cloud-gate\"", 20), ("\"lab-router\"", "\"lab-gate\"", 24)]
    {
        let plan = edited(&healthy, &TWO_DATACENTERS.replace(from, to)).plan().await;
        let found = &plan.reachability;
        assert_eq!((found.kept, found.gained, found.lost), (42, 0, 0), "{to}: {found:?}");
        let [disruption] = &found.disruptions[..] else { panic!("{to}: {found:?}") };
        assert_eq!(disruption.pairs, pairs, "{to}");
        assert!(disruption.seconds > 60, "{to}: {disruption:?}");
    }
}

/// The resources of a worker's new place are not created if the worker may not move.
#[tokio::test(start_paused = true)]
async fn nothing_is_made_for_a_worker_that_may_not_move() {
    let healthy = healthy().await;
    let next = "[profiles.standard]\nkubernetes_version = \"1.33.5\"\n\n[profiles.older]\n\
                kubernetes_version = \"1.33.2\"\n";
    let with_older = |text: &str, datacenter: &str| {
        let pool = if datacenter == "cloud" { "10.244.64.0/20" } else { "10.244.128.0/20" };
        let pool = format!("pod_pool = \"{pool}\"\n");
        let text = text.replace("[profiles.standard]\nkubernetes_version = \"1.33.5\"\n", next);
        let edited = text.replace(
            &format!("{pool}profile = \"standard\""),
            &format!("{pool}profile = \"older\""),
        );
        assert_ne!(edited, text);
        edited
    };
    let to_attic = TWO_DATACENTERS.replace(CLOUD_B, "") + "\n" + CLOUD_B_IN_ATTIC;
    let to_cloud = TWO_DATACENTERS.replace(ATTIC_A, "").replace(
        CLOUD_B,
        &format!("{CLOUD_B}\n[[datacenters.cloud.workers]]\nname = \"attic-a\"\n"),
    );
    let attic = "[datacenters.attic]\n";
    let protected = to_attic.replace(attic, &format!("{attic}protect = true\n"));
    for (name, text) in [
        ("an older version in the attic", with_older(&to_attic, "attic")),
        ("an older version in the cloud", with_older(&to_cloud, "cloud")),
        ("a protected attic", protected),
    ] {
        assert_nothing_is_made(&edited(&healthy, &text), name).await;
    }
}

/// Neither machine existed in Azure: it is the routes that stay.
#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_move_between_existing_machines_keeps_its_routes() {
    let base = format!("{TWO_DATACENTERS}{LOFT}");
    let deployment = Deployment::of(&base, SandboxState::new(1));
    deployment.iterate().await;
    let protected = base
        .replace(ATTIC_A, "")
        .replace("[datacenters.loft]\n", "[datacenters.loft]\nprotect = true\n")
        + "\n[[datacenters.loft.workers]]\nname = \"attic-a\"\nip = \"10.61.1.9\"\nmac = \
           \"52:54:00:00:00:05\"\n";
    assert_nothing_is_made(&deployment.edited(&protected), "a protected loft").await;
}

/// Asserts that an apply creates no machine and that every pair stays, as the plan says.
async fn assert_nothing_is_made(deployment: &Deployment, name: &str) {
    let before = connected(&deployment.sandbox);
    let observer = Observer::of(deployment);
    let plan = deployment.plan().await;
    let found = &plan.reachability;
    let pairs = before.len() as u64;
    assert_eq!(
        (found.kept, found.pairs()),
        (pairs, pairs),
        "{name}: {found:?}\n{}",
        summary(&plan)
    );
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked, "{name}\n{}", summary(&plan));
    let made =
        |call: &String| call.contains("virtualMachines") || call.contains("networkInterfaces");
    let calls: Vec<String> = observer.calls().into_iter().filter(made).collect();
    assert_eq!(calls, Vec::<String>::new(), "{name}");
    assert_eq!(connected(&deployment.sandbox), before, "{name}");
}

/// Translated sources are no reason for an unknown pair: the plan knows the address of each
/// renamed router's successor as far as packets depend on it.
#[tokio::test(start_paused = true)]
async fn a_renamed_router_that_translates_sources_keeps_its_pairs() {
    let text = TWO_DATACENTERS.replace("\"preserve\"", "\"masquerade\"");
    assert_ne!(text, TWO_DATACENTERS);
    let before = Deployment::of(&text, SandboxState::new(9));
    before.iterate().await;
    for (from, to) in [("\"cloud-router\"", "\"cloud-gate\""), ("\"lab-router\"", "\"lab-gate\"")] {
        let plan = edited(&before.copy_of_state(), &text.replace(from, to)).plan().await;
        let found = &plan.reachability;
        assert_eq!((found.kept, found.lost, found.unknown), (42, 0, 0), "{to}: {found:?}");
    }
}

/// Pairs go with a single node of a datacenter; with all of its nodes they are lost, even if the
/// topology lists the workers under other names.
#[tokio::test(start_paused = true)]
async fn a_datacenter_whose_workers_all_get_other_names_loses_its_pairs() {
    let healthy = healthy().await;
    let renamed = TWO_DATACENTERS.replace("\"cloud-a\"", "\"cloud-x\"");
    let all_renamed = renamed.replace("\"cloud-b\"", "\"cloud-y\"");
    for (text, removed, lost) in [(&renamed, 12, 0), (&all_renamed, 0, 22)] {
        let found = edited(&healthy, text).plan().await.reachability.clone();
        assert_eq!((found.removed, found.lost), (removed, lost), "{found:?}");
    }
    let none = all_renamed.replace("[[datacenters.cloud.workers]]\nname = \"cloud-x\"\n", "");
    let none = none.replace("[[datacenters.cloud.workers]]\nname = \"cloud-y\"\n", "");
    let found = edited(&healthy, &none).plan().await.reachability.clone();
    assert_eq!((found.removed, found.lost), (0, 22), "{found:?}");
}
