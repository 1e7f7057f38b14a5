//! The pairs that a router's replacement interrupts, and for how long: measured at every
//! write, and compared with the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use stargate::apply::ApplyStatus;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};

type Pair = (String, String);

/// Since when each pair is cut, and for how long each was at most.
#[derive(Debug, Default)]
struct Outages {
    since: BTreeMap<Pair, Timestamp>,
    longest: BTreeMap<Pair, u64>,
}

#[derive(Clone)]
struct OutageObserver {
    sandbox: SharedSandbox,
    before: BTreeSet<Pair>,
    outages: Arc<Mutex<Outages>>,
}

impl std::fmt::Debug for OutageObserver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OutageObserver").finish_non_exhaustive()
    }
}

fn connected(sandbox: &SharedSandbox) -> BTreeSet<Pair> {
    let now = sandbox.now();
    sandbox.read(|state| state.connected_nodes(now))
}

impl OutageObserver {
    fn of(deployment: &Deployment) -> Self {
        let sandbox = deployment.sandbox.clone();
        let observer = Self { before: connected(&sandbox), sandbox, outages: Arc::default() };
        deployment.sandbox.set_fault_injector(Some(Arc::new(observer.clone())));
        observer
    }

    fn measure(&self) {
        let (now, connected) = (self.sandbox.now(), connected(&self.sandbox));
        let mut outages = self.outages.lock().unwrap();
        let Outages { since, longest } = &mut *outages;
        for pair in &self.before {
            if connected.contains(pair) {
                since.remove(pair);
                continue;
            }
            let began = *since.entry(pair.clone()).or_insert(now);
            let seconds = u64::try_from(now.duration_since(began).as_secs()).unwrap();
            let known = longest.entry(pair.clone()).or_default();
            *known = seconds.max(*known);
        }
    }
}

impl FaultInjector for OutageObserver {
    fn before(&self, _effect: &Call) -> Disposition {
        self.measure();
        Disposition::Pass
    }

    fn after(&self, _effect: &Call) -> Delivery {
        self.measure();
        Delivery::Deliver
    }
}

/// Renames of routers on VMs take the address of the router that goes, so that the pairs behind
/// them are cut until the new one serves: the plan says which, and for how long.
#[tokio::test(start_paused = true)]
async fn the_plan_of_another_router_reports_its_disruption_and_duration() {
    let mut problems = Vec::new();
    for (name, from, to) in [
        ("a datacenter's router on a VM", "\"cloud-router\"", "\"cloud-gate\""),
        ("the cluster's router", "\"lab-router\"", "\"lab-gate\""),
    ] {
        let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(11));
        before.iterate().await;
        let deployment = before.edited(&TWO_DATACENTERS.replace(from, to));
        let plan = deployment.plan().await;
        let found = &plan.reachability;
        let pairs: u64 = found.disruptions.iter().map(|it| it.pairs).sum();
        let seconds = found.disruptions.iter().map(|it| it.seconds).max().unwrap_or_default();
        let observer = OutageObserver::of(&deployment);
        let applied = deployment.apply(&RefreshOptions::default()).await;
        deployment.sandbox.set_fault_injector(None);
        assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
        let longest = observer.outages.lock().unwrap().longest.clone();
        let cut = longest.len() as u64;
        let outage = longest.values().max().copied().unwrap_or_default();
        let is_true = cut <= pairs && outage * 85 <= seconds * 100;
        if !is_true {
            let of_site = summary(&plan);
            problems.push(format!(
                "{name}: {cut} pairs for {outage} s; announced: {pairs} pairs for {seconds} s: \
                 {:?}\n{of_site}",
                found.disruptions
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
