//! Reproduces the problems of the first deployment of this network, which were diagnosed by hand
//! one after another. A trace names the layer that turned out to be the cause, and the plan
//! contains the remedy.

use std::net::Ipv4Addr;

use serde_json::json;
use stargate::connectivity::{Invariant, PROTOCOL, addresses};
use stargate::dataplane::{Cause, Direction, RoundTrip, Verdict};
use stargate::plan::impact::find_remedy;
use stargate::plan::impact::{IntermediateState, violations};
use stargate::plan::impact::{PathQuery, Remedy};
use stargate::plan::{Action, Plan};
use stargate::resource::{Address, ArmId};
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::hosts::EmulatedHost;

use crate::connectivity::model;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS};

const CLUSTER_ROUTER: &str = "stargate-aks-e2e-2-router";
const DATACENTER_ROUTER: &str = "stargate-aks-e2e-2-dc-router";
const WORKER: &str = "stargate-aks-e2e-2-worker-1";
const WORKER_POD: &str = "10.244.65.10";

async fn healthy() -> SandboxState {
    Deployment::example_applied().await.copy_of_state()
}

/// An address of a pod on AKS's first node.
fn aks_pod(deployment: &Deployment, planned: &stargate::pipeline::Planned) -> Ipv4Addr {
    let model = model(deployment, planned, &IntermediateState::Observed);
    crate::connectivity::pod(&model, model.sites[0].nodes[0])
}

/// The result of a trace and of the plan.
struct Diagnosis {
    round_trip: RoundTrip,
    resource: Option<String>,
    find_remedy: Vec<String>,
    notes: Vec<(Invariant, String)>,
}

impl Diagnosis {
    fn cause(&self) -> (Direction, Cause) {
        match self.round_trip.broken() {
            Some((hops, Verdict::Dropped(drop))) => (hops, drop.cause.clone()),
            other => panic!("it is dropped: {other:?}"),
        }
    }
}

/// Traces from a pod on an AKS node to a worker's pod.
async fn diagnose(deployment: &Deployment) -> Diagnosis {
    let planned = deployment.refresh_and_plan(&RefreshOptions::deep()).await;
    let question = PathQuery {
        from: aks_pod(deployment, &planned),
        to: WORKER_POD.parse().unwrap(),
        protocol: PROTOCOL,
    };
    let sources = planned.paths(&deployment.topology);
    let model = model(deployment, &planned, &IntermediateState::Observed);
    let round_trip = question.traced(&model).unwrap();
    let named =
        round_trip.broken().map(|(_, verdict)| addresses(&model, verdict)).unwrap_or_default();
    let remedies = match round_trip.broken().map(|_| find_remedy(sources, question)) {
        Some(Remedy::Apply(changes)) => changes.iter().map(ToString::to_string).collect(),
        Some(other) => panic!("the plan has no remedy: {other:?}"),
        None => Vec::new(),
    };
    Diagnosis {
        resource: named.first().map(ToString::to_string),
        find_remedy: remedies,
        notes: violations(sources, &model, &IntermediateState::Observed)
            .into_iter()
            .map(|violation| (violation.rule, violation.address.to_string()))
            .collect(),
        round_trip,
    }
}

/// After one apply the pods reach each other and no rule is violated.
async fn assert_repaired(deployment: &Deployment) {
    deployment.apply(&RefreshOptions::deep()).await;
    let diagnose = diagnose(deployment).await;
    assert!(
        diagnose.round_trip.reached() && diagnose.notes.is_empty(),
        "{:?}",
        diagnose.round_trip.broken()
    );
}

fn host(sandbox: &mut SandboxState, name: &str, change: impl FnOnce(&mut EmulatedHost)) {
    change(sandbox.hosts.get_mut(name).unwrap());
}

/// Pods stay in ContainerCreating because of a missing CNI configuration.
#[tokio::test(start_paused = true)]
async fn no_cni_configuration_on_a_worker() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::CniConfigMissing, Some(WORKER));
    let diagnose = diagnose(&deployment).await;
    assert_eq!(diagnose.cause(), (Direction::Forward, Cause::CniNotConfigured));
    assert_eq!(diagnose.find_remedy, [format!("worker/dc1/{WORKER}")]);
    assert_repaired(&deployment).await;
}

/// The router's host name cannot be resolved.
#[tokio::test(start_paused = true)]
async fn a_server_that_names_its_router_by_host_name() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::ServerRouterIpHostname, Some(WORKER));
    let diagnose = diagnose(&deployment).await;
    assert!(diagnose.round_trip.reached(), "packets are still forwarded");
    assert_eq!(
        diagnose.notes,
        [(Invariant::ServerRouterAddressCurrent, format!("server/dc1/{WORKER}"))]
    );
    assert_repaired(&deployment).await;
}

/// No layer has routes to the workers' pods.
#[tokio::test(start_paused = true)]
async fn no_layer_has_routes_to_the_workers_pods() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::RouteMissing, Some("10.244.64.0/20"));
    deployment.sandbox.change(|sandbox, _| {
        let pool = "10.244.64.0/20".parse().unwrap();
        host(sandbox, CLUSTER_ROUTER, |host| {
            host.kernel.routes.retain(|it| it.destination != pool);
        });
        let mut device = None;
        host(sandbox, DATACENTER_ROUTER, |host| {
            host.kernel.routes.retain(|it| !pool.contains(&it.destination));
            let tailscale = host.tailscale.as_mut().unwrap();
            tailscale.advertised_routes.remove(&pool);
            device.clone_from(&tailscale.device);
        });
        let device = sandbox.tailnet.device_mut(&device.unwrap()).unwrap();
        device.enabled_routes.remove(&pool.into());
        device.advertised_routes.remove(&pool.into());
    });
    let diagnose = diagnose(&deployment).await;
    assert!(matches!(diagnose.cause(), (Direction::Forward, Cause::RouteNone(_))));
    assert_eq!(diagnose.resource.unwrap(), "route-table/cluster/stargate-workers-rt");
    // All of the layers at once, which took the log's author days.
    for layer in
        ["route-table/cluster/stargate-workers-rt", "advertised-routes/dc1", "approved-routes/dc1"]
    {
        assert!(
            diagnose.find_remedy.iter().any(|it| it.starts_with(layer)),
            "{layer}: {:?}",
            diagnose.find_remedy
        );
    }
    assert_repaired(&deployment).await;
}

/// Cilium has no pod CIDR for the worker. Fabric routes deliver the packets anyway, so it is
/// reported as a note and not as the cause of drops.
#[tokio::test(start_paused = true)]
async fn a_cilium_node_without_pods() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::CiliumNodeEmpty, Some(WORKER));
    let diagnose = diagnose(&deployment).await;
    assert!(diagnose.round_trip.reached());
    assert_eq!(
        diagnose.notes,
        [(Invariant::CiliumNodePodCidrSet, format!("cilium-node/dc1/{WORKER}"))]
    );
    assert_repaired(&deployment).await;
}

/// The reply is dropped at the router, whose subnet has no route table.
#[tokio::test(start_paused = true)]
async fn no_table_on_the_router_s_subnet() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::RouterTableDetached, None);
    let diagnose = diagnose(&deployment).await;
    assert!(matches!(diagnose.cause(), (Direction::Return, Cause::RouteNone(_))));
    assert_eq!(diagnose.find_remedy, ["subnet/cluster/stargate-aks-router-subnet"]);
    assert_repaired(&deployment).await;
}

/// The worker's interface drops packets to pods.
#[tokio::test(start_paused = true)]
async fn a_worker_s_interface_that_does_not_forward() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let interfaces = arm.list("Microsoft.Network/networkInterfaces");
        let ids: Vec<ArmId> = interfaces.map(|(id, _)| id.clone()).collect();
        let id = ids.iter().find(|id| id.name() == format!("{WORKER}-nic")).unwrap();
        let off = |body: &mut serde_json::Value| {
            body["properties"]["enableIPForwarding"] = json!(false);
        };
        arm.modify(id, off, &mut || entropy.next_guid());
    });
    let diagnose = diagnose(&deployment).await;
    assert_eq!(diagnose.cause(), (Direction::Forward, Cause::DestinationCheck));
    assert_eq!(diagnose.find_remedy, [format!("network-interface/dc1/{WORKER}-nic")]);
    assert_repaired(&deployment).await;
}

/// The datacenter's tables have no routes to the workers' pods, only the broad route to the router.
#[tokio::test(start_paused = true)]
async fn no_routes_to_workers_in_the_datacenter() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let tables: Vec<ArmId> =
            arm.list("Microsoft.Network/routeTables").map(|(id, _)| id.clone()).collect();
        for id in tables.iter().filter(|id| id.name().starts_with("stargate-aks-e2e-2-dc-")) {
            let forget = |body: &mut serde_json::Value| {
                let routes = body["properties"]["routes"].as_array_mut().unwrap();
                routes.retain(|it| it["properties"]["addressPrefix"] != "10.244.65.0/24");
            };
            arm.modify(id, forget, &mut || entropy.next_guid());
        }
    });
    let diagnose = diagnose(&deployment).await;
    assert!(matches!(diagnose.cause(), (Direction::Forward, Cause::RouteNone(_))));
    let table = "route-table/dc1/stargate-aks-e2e-2-dc-router-route-table";
    assert_eq!(diagnose.find_remedy, [table]);
    assert_repaired(&deployment).await;
}

/// An AKS node needs no kernel route to the datacenter. Its default route sends the packet to the
/// fabric, which has a route.
#[tokio::test(start_paused = true)]
async fn an_aks_node_needs_no_kernel_route() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    let diagnose = diagnose(&deployment).await;
    assert!(diagnose.round_trip.reached());
    let first = format!("{:?}", diagnose.round_trip.forward.hops[0]);
    assert!(first.contains("prefix: 0.0.0.0/0"), "{first}");
    let second = format!("{:?}", diagnose.round_trip.forward.hops[1]);
    assert!(second.contains("prefix: 10.244.64.0/20"), "{second}");
}

/// The AKS router advertises the whole pod CIDR. The datacenter's router has no rule before
/// Tailscale's table and sends its workers' packets back into the tunnel.
#[tokio::test(start_paused = true)]
async fn a_broad_route_that_causes_a_loop() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.inject(Fault::TailnetBroadRoute, None);
    deployment.sandbox.change(|sandbox, _| {
        host(sandbox, DATACENTER_ROUTER, |host| host.kernel.rules.clear());
    });
    let diagnose = diagnose(&deployment).await;
    assert_eq!(diagnose.cause(), (Direction::Forward, Cause::Loop));
    let named = diagnose.resource.unwrap();
    assert_eq!(named, format!("approved-routes/cluster/{CLUSTER_ROUTER}"));
    assert!(!diagnose.find_remedy.is_empty(), "{:?}", diagnose.find_remedy);
    assert_repaired(&deployment).await;
}

/// The part of an estimate that is for deferred resources.
fn seconds_of_deferred(plan: &Plan) -> u64 {
    let is_deferred = |address: &&Address| plan.deferred.iter().any(|it| it.address == **address);
    let of_chain = |address: &Address| address.kind.facts().seconds.create;
    let chain: u64 = plan.cost.critical_path.iter().filter(is_deferred).map(of_chain).sum();
    chain + plan.cost.deferred_join_seconds
}

/// The first plan counts and estimates deferred changes: its estimate is close to the sum
/// over the following iterations.
#[tokio::test(start_paused = true)]
async fn the_first_plan_estimates_the_whole_apply() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        let first = deployment.plan().await;
        assert!(!first.deferred.is_empty());
        let added = first.count(Action::Create);
        let adopted = first.changes.len() + first.deferred.len() - added;
        assert!(adopted <= 1, "a machine that exists is updated: {adopted}");
        let (mut seconds, mut writes, mut plan) = (0, 0, first.clone());
        while !plan.changes.is_empty() {
            let whole = plan.cost.seconds;
            seconds += whole - seconds_of_deferred(&plan);
            writes += plan.changes.len() as u64;
            deployment.apply_once(&plan).await;
            plan = deployment.plan().await;
        }
        let ratio = first.cost.seconds as f64 / seconds as f64;
        println!("estimated {} s, summed up {seconds} s: {ratio:.2}", first.cost.seconds);
        assert!((0.85..=1.15).contains(&ratio), "{ratio}");
        let counted = added as f64 / writes as f64;
        assert!((0.85..=1.15).contains(&counted), "{added} planned, {writes} changed");
    }
}
