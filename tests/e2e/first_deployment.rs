//! What went wrong in the first deployment of this network, one thing after
//! another and found by hand, made to go wrong again: a walk names the layer
//! that was found in the end, and the plan holds the mend.

use std::net::Ipv4Addr;

use serde_json::json;
use stargate::connectivity::{PROTOCOL, Rule, addresses};
use stargate::dataplane::{Cause, Direction, RoundTrip, Verdict};
use stargate::plan::impact::find_remedy;
use stargate::plan::impact::{IntermediateState, breaches};
use stargate::plan::impact::{Question, Remedy};
use stargate::resource::ArmId;
use stargate::sandbox::World;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::hosts::Host;

use crate::connectivity::model;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions};

const CLUSTER_ROUTER: &str = "stargate-aks-e2e-2-router";
const DATACENTER_ROUTER: &str = "stargate-aks-e2e-2-dc-router";
const WORKER: &str = "stargate-aks-e2e-2-worker-1";
const WORKER_POD: &str = "10.244.65.10";

async fn healthy() -> World {
    Deployment::example_applied().await.copy_of_world()
}

/// An address of a pod on AKS's first node.
fn aks_pod(deployment: &Deployment, planned: &stargate::pipeline::Planned) -> Ipv4Addr {
    let model = model(deployment, planned, &IntermediateState::Observed);
    crate::connectivity::pod(&model, model.sites[0].nodes[0])
}

/// What a walk and the plan say of it.
struct Told {
    trip: RoundTrip,
    resource: Option<String>,
    find_remedy: Vec<String>,
    notes: Vec<(Rule, String)>,
}

impl Told {
    fn cause(&self) -> (Direction, Cause) {
        match self.trip.broken() {
            Some((way, Verdict::Dropped(drop))) => (way, drop.cause.clone()),
            other => panic!("it is dropped: {other:?}"),
        }
    }
}

/// Walks from an AKS node's pod to a worker's.
async fn told(deployment: &Deployment) -> Told {
    let planned = deployment.look(&RefreshOptions::deep()).await;
    let question = Question {
        from: aks_pod(deployment, &planned),
        to: WORKER_POD.parse().unwrap(),
        protocol: PROTOCOL,
    };
    let sources = planned.paths(&deployment.topology);
    let model = model(deployment, &planned, &IntermediateState::Observed);
    let trip = question.walk(&model).unwrap();
    let named = trip.broken().map(|(_, verdict)| addresses(&model, verdict)).unwrap_or_default();
    let mends = match trip.broken().map(|_| find_remedy(sources, question)) {
        Some(Remedy::Apply(changes)) => changes.iter().map(ToString::to_string).collect(),
        Some(other) => panic!("the plan mends it: {other:?}"),
        None => Vec::new(),
    };
    Told {
        resource: named.first().map(ToString::to_string),
        find_remedy: mends,
        notes: breaches(sources, &model, &IntermediateState::Observed)
            .into_iter()
            .map(|breach| (breach.rule, breach.address.to_string()))
            .collect(),
        trip,
    }
}

/// After one apply the pods reach each other and no rule is broken.
async fn is_mended(deployment: &Deployment) {
    deployment.apply(&RefreshOptions::deep()).await;
    let told = told(deployment).await;
    assert!(told.trip.reached() && told.notes.is_empty(), "{:?}", told.trip.broken());
}

fn host(world: &mut World, name: &str, change: impl FnOnce(&mut Host)) {
    change(world.hosts.get_mut(name).unwrap());
}

/// pods stay in ContainerCreating for want of a CNI configuration.
#[tokio::test(start_paused = true)]
async fn no_cni_configuration_on_a_worker() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.strike(Fault::CniConfigMissing, Some(WORKER));
    let told = told(&deployment).await;
    assert_eq!(told.cause(), (Direction::Forward, Cause::PodsNotPlumbed));
    assert_eq!(told.find_remedy, [format!("worker/dc1/{WORKER}")]);
    is_mended(&deployment).await;
}

/// nobody can resolve the router's host name.
#[tokio::test(start_paused = true)]
async fn a_server_that_names_its_router_by_host_name() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.strike(Fault::ServerRouterIpHostname, Some(WORKER));
    let told = told(&deployment).await;
    assert!(told.trip.reached(), "packets go all the same");
    assert_eq!(told.notes, [(Rule::ServerRouterAddressCurrent, format!("server/dc1/{WORKER}"))]);
    is_mended(&deployment).await;
}

/// no layer at all knows the workers' pods.
#[tokio::test(start_paused = true)]
async fn no_layer_knows_the_workers_pods() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.strike(Fault::RouteMissing, Some("10.244.64.0/20"));
    deployment.world.change(|world, _| {
        let pool = "10.244.64.0/20".parse().unwrap();
        host(world, CLUSTER_ROUTER, |host| host.kernel.routes.retain(|it| it.destination != pool));
        let mut device = None;
        host(world, DATACENTER_ROUTER, |host| {
            host.kernel.routes.retain(|it| !pool.contains(&it.destination));
            let tailscale = host.tailscale.as_mut().unwrap();
            tailscale.advertised_routes.remove(&pool);
            device.clone_from(&tailscale.device);
        });
        let device = world.tailnet.device_mut(&device.unwrap()).unwrap();
        device.enabled_routes.remove(&pool.into());
        device.advertised_routes.remove(&pool.into());
    });
    let told = told(&deployment).await;
    assert!(matches!(told.cause(), (Direction::Forward, Cause::Nowhere(_))));
    assert_eq!(told.resource.unwrap(), "route-table/cluster/stargate-workers-rt");
    // All of the layers at once, which took the log's author days.
    for layer in
        ["route-table/cluster/stargate-workers-rt", "advertised-routes/dc1", "approved-routes/dc1"]
    {
        assert!(
            told.find_remedy.iter().any(|it| it.starts_with(layer)),
            "{layer}: {:?}",
            told.find_remedy
        );
    }
    is_mended(&deployment).await;
}

/// Cilium shows no range for the worker. Packets go by routes all the
/// same, so that it is told beside the way and not as what drops them.
#[tokio::test(start_paused = true)]
async fn a_cilium_node_without_pods() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.strike(Fault::CiliumNodeEmpty, Some(WORKER));
    let told = told(&deployment).await;
    assert!(told.trip.reached());
    assert_eq!(told.notes, [(Rule::CiliumNodePodCidrSet, format!("cilium-node/dc1/{WORKER}"))]);
    is_mended(&deployment).await;
}

/// the answer dies at the router, whose subnet has no table.
#[tokio::test(start_paused = true)]
async fn no_table_on_the_router_s_subnet() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.strike(Fault::RouterTableDetached, None);
    let told = told(&deployment).await;
    assert!(matches!(told.cause(), (Direction::Return, Cause::Nowhere(_))));
    assert_eq!(told.find_remedy, ["subnet/cluster/stargate-aks-router-subnet"]);
    is_mended(&deployment).await;
}

/// The worker's interface takes nothing for pods.
#[tokio::test(start_paused = true)]
async fn a_worker_s_interface_that_does_not_forward() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.world.change(|world, _| {
        let World { arm, entropy, .. } = world;
        let interfaces = arm.list("Microsoft.Network/networkInterfaces");
        let ids: Vec<ArmId> = interfaces.map(|(id, _)| id.clone()).collect();
        let id = ids.iter().find(|id| id.name() == format!("{WORKER}-nic")).unwrap();
        let off = |body: &mut serde_json::Value| {
            body["properties"]["enableIPForwarding"] = json!(false);
        };
        arm.modify(id, off, &mut || entropy.next_guid());
    });
    let told = told(&deployment).await;
    assert_eq!(told.cause(), (Direction::Forward, Cause::DestinationCheck));
    assert_eq!(told.find_remedy, [format!("network-interface/dc1/{WORKER}-nic")]);
    is_mended(&deployment).await;
}

/// The datacenter's tables know no worker's pods, only the
/// broad range to the router.
#[tokio::test(start_paused = true)]
async fn no_routes_to_workers_in_the_datacenter() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.world.change(|world, _| {
        let World { arm, entropy, .. } = world;
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
    let told = told(&deployment).await;
    assert!(matches!(told.cause(), (Direction::Forward, Cause::Nowhere(_))));
    let table = "route-table/dc1/stargate-aks-e2e-2-dc-router-route-table";
    assert_eq!(told.find_remedy, [table]);
    is_mended(&deployment).await;
}

/// An AKS node needs no kernel route to the datacenter.
/// Its default route hands the packet to the fabric, which has one.
#[tokio::test(start_paused = true)]
async fn an_aks_node_needs_no_kernel_route() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    let told = told(&deployment).await;
    assert!(told.trip.reached());
    let first = format!("{:?}", told.trip.forward.hops[0]);
    assert!(first.contains("prefix: 0.0.0.0/0"), "{first}");
    let second = format!("{:?}", told.trip.forward.hops[1]);
    assert!(second.contains("prefix: 10.244.64.0/20"), "{second}");
}

/// the AKS router offers the whole pod range, and the datacenter's
/// router, without a rule before Tailscale's table, sends its workers' packets
/// back where they came from.
#[tokio::test(start_paused = true)]
async fn a_broad_route_that_sends_packets_round() {
    let deployment = Deployment::of(EXAMPLE, healthy().await);
    deployment.strike(Fault::TailnetBroadRoute, None);
    deployment.world.change(|world, _| {
        host(world, DATACENTER_ROUTER, |host| host.kernel.rules.clear());
    });
    let told = told(&deployment).await;
    assert_eq!(told.cause(), (Direction::Forward, Cause::Loop));
    let named = told.resource.unwrap();
    assert_eq!(named, format!("approved-routes/cluster/{CLUSTER_ROUTER}"));
    assert!(!told.find_remedy.is_empty(), "{:?}", told.find_remedy);
    is_mended(&deployment).await;
}
