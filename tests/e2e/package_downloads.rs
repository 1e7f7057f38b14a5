//! Packages are downloaded to workers ahead of their waves.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Reporter};
use stargate::provider::host::HostError;
use stargate::resource::{Address, Kind};
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use crate::harness::{Deployment, RefreshOptions, failures};
use crate::makespan::many_workers;

/// Events of workers, in order.
#[derive(Default)]
struct History(Mutex<Vec<(String, String)>>);

impl Reporter for History {
    fn event(&self, event: &Event) {
        let (address, what): (&Address, &str) = match event {
            Event::PhaseFinished { address, phase, .. } => (address, phase),
            Event::StepStarted { address, .. } => (address, "begins"),
            Event::StepFinished { address, .. } => (address, "ends"),
            Event::StepProgress { address, text } if text.contains("ahead") => (address, "warns"),
            _ => return,
        };
        if address.kind == Kind::Worker {
            self.0.lock().unwrap().push((address.name.to_string(), what.to_owned()));
        }
    }
}

impl History {
    /// The place of each event among all, by worker.
    fn positions(&self) -> BTreeMap<String, BTreeMap<String, usize>> {
        let mut found: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for (place, (worker, what)) in self.0.lock().unwrap().iter().enumerate() {
            found.entry(worker.clone()).or_default().entry(what.clone()).or_insert(place);
        }
        found
    }
}

/// Six workers, of which two are disturbed at the same time, at this version.
fn workers(version: &str) -> String {
    many_workers(6, "canary = 1\nwidth = 2").replace("1.33.5", version)
}

async fn upgraded(faults: Option<Arc<dyn FaultInjector>>) -> History {
    let before = Deployment::of(&workers("1.33.5"), SandboxState::new(41));
    before.iterate().await;
    let deployment = before.edited(&workers("1.33.7"));
    deployment.sandbox.simulate_host_delays();
    deployment.sandbox.set_fault_injector(faults);
    let history = History::default();
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let applied = deployment.apply_planned(&RefreshOptions::default(), planned, &history).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    history
}

/// A wave of an upgrade holds the drain and the installation: every download after the
/// canary's is over before the worker's turn begins.
#[tokio::test(start_paused = true)]
async fn an_upgrade_downloads_before_the_waves() {
    let positions = upgraded(None).await.positions();
    assert_eq!(positions.len(), 6);
    let (_, canary) = positions.iter().min_by_key(|(_, positions)| positions["begins"]).unwrap();
    assert!(canary["begins"] < canary["package download"]);
    assert!(canary["package download"] < canary["drain"], "pods run while it downloads");
    let others = || positions.values().filter(|positions| positions["begins"] > canary["begins"]);
    assert_eq!(others().count(), 5);
    for positions in others() {
        assert!(canary["ends"] < positions["package download"], "the canary succeeded first");
        assert!(positions["package download"] < positions["begins"], "{positions:?}");
        assert!(
            positions["begins"] < positions["drain"] && positions["drain"] < positions["kubelet"]
        );
    }
    let last_download = others().map(|positions| positions["package download"]).max().unwrap();
    let last_end = others().map(|positions| positions["ends"]).max().unwrap();
    assert!(last_download < last_end, "downloads wait for no wave");
}

/// Downloads fail until a worker's own turn comes.
#[derive(Debug, Default)]
struct NoDownloads(Mutex<BTreeMap<String, u32>>);

impl FaultInjector for NoDownloads {
    fn before(&self, call: &Call) -> Disposition {
        let Call::Host { hostname, activity: "stage-packages", .. } = call else {
            return Disposition::Pass;
        };
        let mut tries = self.0.lock().unwrap();
        let tries = tries.entry(hostname.clone()).or_default();
        *tries += 1;
        if *tries > 1 {
            return Disposition::Pass;
        }
        Disposition::Fail(HostError::failed(hostname, "stage-packages", "no mirror answers"))
    }

    fn after(&self, _call: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// A download that fails ahead is only a warning: the worker's own turn repeats it.
#[tokio::test(start_paused = true)]
async fn a_failed_download_is_repeated_in_the_workers_turn() {
    let faults = NoDownloads::default();
    // The canary has no second try: its download is a part of its own turn.
    faults.0.lock().unwrap().insert("dc1-worker-001".to_owned(), 1);
    let positions = upgraded(Some(Arc::new(faults))).await.positions();
    let warned = positions.values().filter(|positions| positions.contains_key("warns"));
    assert_eq!(warned.clone().count(), 5, "{positions:?}");
    for positions in warned {
        assert!(
            positions["warns"] < positions["begins"]
                && positions["begins"] < positions["package download"]
        );
    }
}
