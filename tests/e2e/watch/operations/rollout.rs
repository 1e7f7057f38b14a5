//! Many Operations at once: canary, width and failure limit of the rollout.

use std::collections::BTreeSet;
use std::sync::Arc;

use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use super::{boots, condition, create, ended, is_whole, manifest, operations, phase, uid};
use crate::harness::Deployment;
use crate::makespan::many_workers;
use crate::observer::Observer;
use crate::watch::{NO_TIMER, watching};

fn names(count: u32) -> Vec<(String, String)> {
    (1..=count).map(|it| (format!("op-{it:03}"), format!("dc1-worker-{it:03}"))).collect()
}

async fn request_all(deployment: &Deployment, names: &[(String, String)], operation: &str) {
    for (name, worker) in names {
        create(deployment, manifest(name, worker, operation, "standard")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn twenty_operations_honour_canary_and_width() {
    let text = many_workers(20, "width = 3\ncanary = 1");
    let text = format!("{text}\n[watch]\n{NO_TIMER}\n");
    for operation in ["reboot", "repave"] {
        let deployment = Deployment::of(&text, SandboxState::new(5));
        deployment.iterate().await;
        deployment.sandbox.simulate_host_delays();
        let all = names(20);
        request_all(&deployment, &all, operation).await;
        let before: Vec<String> = all.iter().map(|(_, worker)| uid(&deployment, worker)).collect();
        let observer = Observer::of(&deployment);
        watching(&deployment, &text, async |_| {
            for (name, _) in &all {
                ended(&deployment, &[name]).await;
            }
        })
        .await;
        let disturbed: Vec<BTreeSet<String>> =
            observer.observed_calls().into_iter().map(|it| it.disturbed).collect();
        let most = disturbed.iter().map(BTreeSet::len).max();
        assert_eq!(most, Some(3), "{operation}: the width is used and kept");
        // The canary comes alone, and is done before another one begins.
        let mut seen: Vec<&String> = Vec::new();
        for workers in &disturbed {
            seen.extend(workers.iter().filter(|it| !seen.contains(it)).collect::<Vec<_>>());
        }
        let canary = seen.first().unwrap();
        let is_other = |workers: &&BTreeSet<String>| workers.iter().any(|it| it != *canary);
        let first_other = disturbed.iter().position(|it| is_other(&it)).unwrap();
        assert!(disturbed[first_other..].iter().all(|it| !it.contains(*canary)), "{operation}");
        for ((name, worker), before) in all.iter().zip(&before) {
            assert_eq!(phase(&deployment, name), "Succeeded", "{name}");
            let done = boots(&deployment, worker) == 1 || uid(&deployment, worker) != *before;
            assert!(done, "{name}");
        }
        deployment.sandbox.set_fault_injector(None);
        is_whole(&deployment).await;
    }
}

/// A step that fails on one host.
#[derive(Debug)]
struct Broken(&'static str, &'static str);

impl FaultInjector for Broken {
    fn before(&self, call: &Call) -> Disposition {
        match call {
            Call::Host { hostname, activity, .. }
                if *activity == self.0 && (self.1.is_empty() || hostname == self.1) =>
            {
                Disposition::Refuse { status: 100, retry_after: None }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_canary_halts_the_others_and_is_not_repeated() {
    let text = many_workers(5, "width = 2");
    let text = format!("{text}\n[watch]\n{NO_TIMER}\n");
    let deployment = Deployment::of(&text, SandboxState::new(6));
    deployment.iterate().await;
    let all = names(5);
    request_all(&deployment, &all, "reboot").await;
    deployment.sandbox.set_fault_injector(Some(Arc::new(Broken("reboot", ""))));
    watching(&deployment, &text, async |watch| {
        for (name, _) in &all {
            ended(&deployment, &[name]).await;
        }
        watch.settles().await;
    })
    .await;
    let reasons: Vec<String> =
        all.iter().map(|(name, _)| condition(&deployment, name, "Stalled").1).collect();
    let of = |reason: &str| reasons.iter().filter(|it| *it == reason).count();
    assert_eq!(of("RolloutHalted"), 4, "{reasons:?}");
    let failed =
        all.iter().find(|(name, _)| condition(&deployment, name, "Stalled").1 != "RolloutHalted");
    let (name, worker) = failed.unwrap();
    assert_eq!(phase(&deployment, name), "Failed");
    assert_eq!(super::node(&deployment, worker)["spec"]["unschedulable"], true);
    let message = condition(&deployment, name, "Stalled").2;
    assert!(message.ends_with("; the Node stays cordoned"), "{message}");
    let halted = all.iter().find(|(other, _)| other != name).unwrap();
    let message = condition(&deployment, &halted.0, "Stalled").2;
    assert!(message.contains(&format!("canary worker/dc1/{worker} failed")), "{message}");
    for (_, worker) in all.iter().filter(|(other, _)| other != name) {
        assert_eq!(boots(&deployment, worker), 0);
        assert!(super::node(&deployment, worker)["spec"]["unschedulable"].is_null());
    }
    let requested = operations(&deployment)
        .into_iter()
        .filter(|it| it["metadata"]["name"].as_str().unwrap().starts_with("op-"));
    assert_eq!(requested.filter(|it| it["status"]["attempts"] == 1).count(), 1);
}
