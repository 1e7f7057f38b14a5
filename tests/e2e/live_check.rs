//! Compares Goldpinger's measurements in the sandbox with the connectivity model. The sandbox
//! forwards packets by its own state, and the model by the facts that were read from it, so each
//! validates the other.

use std::sync::Arc;

use jiff::SignedDuration;
use serde_json::{Value, json};
use stargate::connectivity::{MeasurementComparison, PathModel, by_nearness};
use stargate::diagnostics::{Code, Failure};
use stargate::inventory::{Measurement, PingFailure, PingResult};
use stargate::pipeline::Planned;
use stargate::plan::impact::IntermediateState;
use stargate::refresh::measure::{Unmeasured, measure};
use stargate::resource::ArmId;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use crate::connectivity::model;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};

const WORKER: &str = "stargate-aks-e2e-2-worker-1";

async fn healthy() -> SandboxState {
    Deployment::example_applied().await.copy_of_state()
}

async fn measure_once(planned: &Planned, model: &PathModel) -> Result<Measurement, Unmeasured> {
    let access = planned.observation.cluster_access().ok_or(Unmeasured::NoCluster)?;
    measure(access.client.as_ref(), None, |pods| by_nearness(model, pods)).await
}

async fn measured(deployment: &Deployment) -> (Measurement, MeasurementComparison) {
    let planned = deployment.refresh_and_plan(&RefreshOptions::deep()).await;
    let model = model(deployment, &planned, &IntermediateState::Observed);
    let measurement = measure_once(&planned, &model).await.unwrap();
    let comparison = measurement.compare(&model);
    (measurement, comparison)
}

/// The counts: reached, not reached, undecided, not measured, differing.
fn counts(found: &MeasurementComparison) -> (u64, u64, u64, u64, u64) {
    let differing = found.differences.iter().map(|it| it.pairs).sum();
    (found.reached, found.dropped, found.undecided, found.unmeasured, differing)
}

#[tokio::test(start_paused = true)]
async fn every_pod_reaches_every_pod_in_a_healthy_network() {
    for (text, pods) in [(EXAMPLE, 4), (TWO_DATACENTERS, 7)] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        deployment.iterate().await;
        let (measurement, found) = measured(&deployment).await;
        assert_eq!(measurement.pods.len(), pods);
        assert_eq!(counts(&found), ((pods * pods) as u64, 0, 0, 0, 0));
        assert!(!found.is_broken() && !found.has_gaps(), "{found:#?}");
    }
}

#[track_caller]
fn assert_no_differences(found: &MeasurementComparison, what: &str) {
    let differing: Vec<_> = found
        .differences
        .iter()
        .map(|it| (it.measured, it.example, it.round_trip.broken(), it.pairs))
        .collect();
    assert!(differing.is_empty(), "{what}: {differing:#?}");
}

/// For every fault that affects packets, measurement and model agree on the affected pairs.
#[tokio::test(start_paused = true)]
async fn measurement_and_model_agree_on_every_fault() {
    let healthy = healthy().await;
    for fault in Fault::ALL {
        if matches!(fault, Fault::WorkerFirewall | Fault::SourceDown) {
            continue;
        }
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.inject(*fault, None);
        let (_, found) = measured(&deployment).await;
        assert_no_differences(&found, fault.as_str());
        assert!(found.reached > 0, "{fault}: {found:#?}");
        // The address of this pod now belongs to another node's pod CIDR, so it cannot be assigned
        // to a node.
        let homeless = *fault == Fault::AksPodCidrCollision;
        assert_eq!(found.strangers.len(), usize::from(homeless), "{fault}: {found:#?}");
    }
}

/// Of two devices that serve one prefix Tailscale selects the oldest. The model follows it.
#[tokio::test(start_paused = true)]
async fn measurement_and_model_agree_on_prefixes_of_foreign_devices() {
    let healthy = healthy().await;
    for (prefix, is_older, breaks) in [
        ("10.224.0.0/16", true, false),
        ("10.244.0.0/24", true, true),
        ("10.244.0.0/24", false, false),
        ("10.244.65.0/24", false, true),
        ("10.0.0.0/8", true, false),
    ] {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.sandbox.change(|sandbox, now| {
            let SandboxState { tailnet, entropy, .. } = sandbox;
            let id = tailnet.add_foreign("office", &[prefix.parse().unwrap()], now, entropy);
            let joined = now + SignedDuration::from_hours(1);
            tailnet.device_mut(&id).unwrap().joined = (!is_older).then_some(joined);
        });
        let (_, found) = measured(&deployment).await;
        assert_no_differences(&found, prefix);
        assert_eq!(found.dropped > 0, breaks, "{prefix} {is_older}: {found:#?}");
    }
}

/// Where a group of others denies traffic.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GroupOfOthers {
    /// On a worker's interface, in the resource group of the interface.
    OnInterface,
    /// The same, in a resource group that the topology has nothing to do with.
    OnInterfaceFromElsewhere,
    /// AKS's own.
    OfAks,
}

/// Others attach a group to the interface of a worker, or deny traffic in AKS's own group. An
/// apply removes the first, and the second is AKS's.
#[tokio::test(start_paused = true)]
async fn measurement_and_model_agree_on_groups_of_others() {
    let healthy = healthy().await;
    let variants =
        [GroupOfOthers::OnInterface, GroupOfOthers::OnInterfaceFromElsewhere, GroupOfOthers::OfAks];
    for place in variants {
        let repairs = place != GroupOfOthers::OfAks;
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.sandbox.change(|sandbox, _| deny_all(sandbox, place));
        let (_, found) = measured(&deployment).await;
        assert_no_differences(&found, "a group of others");
        assert!(found.dropped > 0, "{found:#?}");
        let plan = deployment.plan().await;
        let changed: Vec<String> = plan.changes.iter().map(|it| it.address.to_string()).collect();
        let expected = format!("network-interface/dc1/{WORKER}-nic");
        assert_eq!(changed, if repairs { vec![expected] } else { vec![] });
        for change in &plan.changes {
            let named = change.interrupts.as_deref().unwrap_or_default();
            assert!(named.starts_with("security group theirs no longer filters"), "{named}");
        }
        deployment.iterate().await;
        let (_, found) = measured(&deployment).await;
        assert_no_differences(&found, "after an apply");
        assert_eq!(found.dropped == 0, repairs, "{found:#?}");
    }
}

/// Denies everything that arrives, in a new group on a worker's interface, or in AKS's group.
fn deny_all(sandbox: &mut SandboxState, place: GroupOfOthers) {
    const GROUPS: &str = "Microsoft.Network/networkSecurityGroups";
    let SandboxState { arm, entropy, .. } = sandbox;
    let mut guid = || entropy.next_guid();
    let rule = json!({ "name": "no-in", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "*",
    }});
    if place == GroupOfOthers::OfAks {
        let is_of_aks = |id: &&ArmId| id.name().starts_with("aks-agentpool");
        let group = arm.list(GROUPS).map(|(id, _)| id).find(is_of_aks).unwrap().clone();
        let deny = |body: &mut Value| body["properties"]["securityRules"] = json!([rule]);
        assert!(arm.modify(&group, deny, &mut guid));
        return;
    }
    let interfaces = arm.list("Microsoft.Network/networkInterfaces").map(|(id, _)| id);
    let is_of_worker = |id: &&ArmId| id.name() == format!("{WORKER}-nic");
    let interface = interfaces.into_iter().find(is_of_worker).unwrap().clone();
    let name = match place {
        GroupOfOthers::OnInterfaceFromElsewhere => "security",
        _ => interface.resource_group_name().unwrap(),
    };
    let group = ArmId::resource_group(interface.subscription().unwrap(), name);
    let group = group.in_group(GROUPS, "theirs");
    let body = json!({ "location": "canadacentral", "properties": { "securityRules": [rule] } });
    arm.upsert(&group, body, &mut guid);
    let attach = |body: &mut Value| {
        body["properties"]["networkSecurityGroup"] = json!({ "id": group.as_str() });
    };
    assert!(arm.modify(&interface, attach, &mut guid));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_only_the_measurement_shows_is_a_difference() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::WorkerFirewall, Some(WORKER));
    let (_, found) = measured(&deployment).await;
    // All other pods to the worker's pod; its own pings and their replies pass. Its measurements
    // are unknown, because it did not answer the pod that was asked.
    assert_eq!(counts(&found), (9, 0, 0, 4, 3));
    assert!(found.is_broken());
    let failed = PingResult::Failed(PingFailure::TimedOut);
    for difference in &found.differences {
        assert_eq!(difference.measured, failed);
        assert!(difference.round_trip.reached() && difference.resource.is_none());
    }
    let sites: Vec<_> = found.differences.iter().map(|it| it.sites.clone()).collect();
    assert_eq!(sites, [[(0, 1)].into(), [(1, 1)].into()], "two from AKS, one from beside it");
    let silent: Vec<&str> = found.silent.iter().map(|pod| pod.node.as_str()).collect();
    assert_eq!(silent, [WORKER]);
}

/// Pings from before a fault succeed, but the model predicts drops.
#[tokio::test(start_paused = true)]
async fn a_failure_that_only_the_model_shows_is_a_difference_with_its_cause() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    let (before, _) = measured(&deployment).await;
    deployment.inject(Fault::RouteMissing, None);
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let found = before.compare(&model(&deployment, &planned, &IntermediateState::Observed));
    assert_eq!(counts(&found), (12, 0, 0, 0, 4));
    assert_eq!(found.differences.len(), 1, "one fact");
    let difference = &found.differences[0];
    assert_eq!(difference.measured, PingResult::Reached);
    let resource = difference.resource.as_ref().unwrap().to_string();
    assert_eq!(resource, "route-table/cluster/stargate-workers-rt");
    // Connections from workers come from the router, and need no such route.
    assert_eq!(difference.sites, [(0, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn unassignable_pods_and_read_errors_are_reported() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    let (mut measurement, _) = measured(&deployment).await;
    let unused = "10.99.0.7".parse().unwrap();
    let known = measurement.pods[0].address.unwrap();
    measurement.pings.insert((unused, known), PingResult::Reached);
    let moved = measurement.pods[1].name.clone();
    measurement.pods[1].node = "another-node".to_owned();
    deployment.inject(Fault::SourceDown, Some("tailscale"));
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let found = measurement.compare(&model(&deployment, &planned, &IntermediateState::Observed));
    assert_eq!(found.strangers.len(), 2, "{:#?}", found.strangers);
    let unknown = found.strangers.iter().find(|it| it.address == unused).unwrap();
    assert_eq!((&unknown.pod, unknown.taken_for), (&None, None));
    let other = found.strangers.iter().find(|it| it.address != unused).unwrap();
    assert_eq!(other.pod.as_ref().unwrap().name, moved);
    assert!(other.taken_for.is_some());
    assert!(found.undecided > 0 && found.has_gaps() && !found.is_broken());
    assert_eq!(found.without_pinger.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_missing_goldpinger_is_reported() {
    let without = EXAMPLE.replace("[network]\n", "[network]\ngoldpinger = false\n");
    let deployment = Deployment::of(&without, SandboxState::new(1));
    deployment.iterate().await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let model = model(&deployment, &planned, &IntermediateState::Observed);
    let error = measure_once(&planned, &model).await.unwrap_err();
    assert_eq!(Failure::from(&error).code, Code::GoldpingerMissing);
    deployment.inject(Fault::SourceDown, Some("kubernetes"));
    let error = measure_once(&planned, &model).await.unwrap_err();
    assert_eq!(Failure::from(&error).code, Code::ServiceUnavailable, "{error}");
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    assert_eq!(measure_once(&planned, &model).await.unwrap_err(), Unmeasured::NoCluster);
}

/// A measurement takes one list and one proxied request. Other refreshes make neither.
#[tokio::test(start_paused = true)]
async fn a_measurement_takes_two_requests() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let model = model(&deployment, &planned, &IntermediateState::Observed);
    let count = || deployment.clients.requests.by_api().values().sum::<u64>();
    let before = count();
    measure_once(&planned, &model).await.unwrap();
    assert_eq!(count() - before, 2);
}

/// Blocks requests to the pods of these names.
#[derive(Debug)]
struct UnreachablePods(Vec<String>);

impl FaultInjector for UnreachablePods {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Request { path, .. } if self.0.iter().any(|name| path.contains(name)) => {
                Disposition::Refuse { status: 503, retry_after: None }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_does_not_answer_is_skipped() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let model = model(&deployment, &planned, &IntermediateState::Observed);
    let first = measure_once(&planned, &model).await.unwrap();
    let on_aks = first.pods.iter().find(|pod| pod.name == first.requested).unwrap();
    assert!(on_aks.node.starts_with("aks-"), "the nearest to the API server: {}", on_aks.node);
    let mute = Arc::new(UnreachablePods(vec![first.requested.clone()]));
    deployment.sandbox.set_fault_injector(Some(mute));
    let second = measure_once(&planned, &model).await.unwrap();
    assert_ne!(first.requested, second.requested);
    assert_eq!(first.pings, second.pings);
    let all = first.pods.iter().map(|pod| pod.name.clone()).collect();
    deployment.sandbox.set_fault_injector(Some(Arc::new(UnreachablePods(all))));
    let error = measure_once(&planned, &model).await.unwrap_err();
    assert_eq!(Failure::from(&error).code, Code::GoldpingerUnusable);
    let text = format!("{} did not answer the API server (status 503)", first.requested);
    assert_eq!(error.to_string(), text);
}
