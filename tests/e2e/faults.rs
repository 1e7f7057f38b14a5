//! Every fault is reported where it struck and nowhere else, mended, and gone.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Plan, PlanStatus, Severity};
use stargate::provider::http::Api;
use stargate::sandbox::World;
use stargate::sandbox::faults::Fault;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, told};

/// What a fault is to show as.
struct Case {
    fault: Fault,
    deep: bool,
    /// The objects that it struck, each with its fields.
    struck: &'static [(&'static str, &'static [&'static str])],
    /// What only follows: the object, and the one that it follows from.
    follows: &'static [(&'static str, &'static str)],
}

const fn case(fault: Fault, struck: &'static [(&'static str, &'static [&'static str])]) -> Case {
    Case { fault, deep: false, struck, follows: &[] }
}

/// The router on the AKS side of the example.
const ROUTER: &str = "stargate-aks-e2e-2-router";

const CASES: [Case; 20] = [
    case(
        Fault::RouteMissing,
        &[("route-table/cluster/stargate-workers-rt", &["routes[10.244.64.0/20].appliance"])],
    ),
    case(
        Fault::RouteWrongHop,
        &[("route-table/cluster/stargate-workers-rt", &["routes[10.244.64.0/20].appliance"])],
    ),
    case(
        Fault::RouteStale,
        &[("route-table/cluster/stargate-router-rt", &["routes[10.244.2.0/24].appliance"])],
    ),
    case(
        Fault::RouterTableDetached,
        &[("subnet/cluster/stargate-aks-router-subnet", &["route_table"])],
    ),
    case(
        Fault::NicForwardingOff,
        &[("network-interface/dc1/stargate-aks-e2e-2-dc-router-nic", &["ip_forwarding"])],
    ),
    case(
        Fault::DcRouteMissing,
        &[(
            "route-table/dc1/stargate-aks-e2e-2-dc-route-table",
            &["routes[10.244.65.0/24].appliance"],
        )],
    ),
    case(
        Fault::TailnetRouteUnapproved,
        &[("approved-routes/dc1/stargate-aks-e2e-2-dc-router", &["prefixes"])],
    ),
    // The broad prefix is both offered and approved: two things to take back.
    case(
        Fault::TailnetBroadRoute,
        &[
            ("advertised-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            ("approved-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
        ],
    ),
    case(
        Fault::CiliumNodeEmpty,
        &[("cilium-node/dc1/stargate-aks-e2e-2-worker-1", &["pod_cidrs"])],
    ),
    case(
        Fault::ServerRouterIpHostname,
        &[("server/dc1/stargate-aks-e2e-2-worker-1", &["spec.routerIP"])],
    ),
    Case {
        fault: Fault::CniConfigMissing,
        deep: true,
        struck: &[(
            "worker/dc1/stargate-aks-e2e-2-worker-1",
            &["host.cni_chosen", "host.cni_configuration", "ready"],
        )],
        follows: &[],
    },
    case(
        Fault::KernelRouteMissing,
        &[("router-host/dc1/stargate-aks-e2e-2-dc-router", &["kernel_routes[10.224.0.0/12]"])],
    ),
    case(
        Fault::ForwardingOff,
        &[("router-host/dc1/stargate-aks-e2e-2-dc-router", &["ip_forwarding"])],
    ),
    case(
        Fault::MasqueradeMissing,
        &[("router-host/dc1/stargate-aks-e2e-2-dc-router", &["masquerade"])],
    ),
    case(
        Fault::AcceptRoutesOff,
        &[("router-host/dc1/stargate-aks-e2e-2-dc-router", &["accept_routes"])],
    ),
    case(
        Fault::MssClampMissing,
        &[("router-host/dc1/stargate-aks-e2e-2-dc-router", &["mss_clamp"])],
    ),
    case(Fault::WorkerNotReady, &[("worker/dc1/stargate-aks-e2e-2-worker-1", &["ready"])]),
    Case {
        fault: Fault::WorkerVmDeleted,
        deep: false,
        struck: &[("virtual-machine/dc1/stargate-aks-e2e-2-worker-1", &[])],
        follows: &[
            (
                "worker/dc1/stargate-aks-e2e-2-worker-1",
                "virtual-machine/dc1/stargate-aks-e2e-2-worker-1",
            ),
            (
                "cilium-node/dc1/stargate-aks-e2e-2-worker-1",
                "worker/dc1/stargate-aks-e2e-2-worker-1",
            ),
        ],
    },
    case(
        Fault::NsgDeny,
        &[(
            "network-security-group/dc1/stargate-router-subnet-nsg",
            &[
                "rules.deny-all.access",
                "rules.deny-all.destination_ports",
                "rules.deny-all.destination_prefixes",
                "rules.deny-all.direction",
                "rules.deny-all.priority",
                "rules.deny-all.protocol",
                "rules.deny-all.source_prefixes",
            ],
        )],
    ),
    // The new node's range is missing on every layer.
    case(
        Fault::AksScaleOut,
        &[
            ("advertised-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            ("approved-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            ("route-table/cluster/stargate-router-rt", &["routes[10.244.2.0/24].appliance"]),
            ("router-host/cluster/stargate-aks-e2e-2-router", &["local_prefixes"]),
            ("router-host/dc1/stargate-aks-e2e-2-dc-router", &["kernel_routes[10.244.2.0/24]"]),
        ],
    ),
];

async fn healthy() -> World {
    Deployment::example_applied().await.copy_of_world()
}

fn struck(healthy: &World, fault: Fault, target: Option<&str>) -> Deployment {
    let deployment = Deployment::of(EXAMPLE, healthy.clone());
    deployment.strike(fault, target);
    deployment
}

fn check(case: &Case, plan: &Plan) {
    let text = told(plan);
    let (follows, direct): (Vec<_>, Vec<_>) =
        plan.changes.iter().partition(|change| change.caused_by.is_some());
    let mut found: Vec<(String, Vec<String>)> = direct
        .into_iter()
        .map(|change| {
            let fields = change.fields().iter().map(|field| field.path.to_string()).collect();
            (change.address.to_string(), fields)
        })
        .collect();
    found.sort();
    assert_eq!(found.len(), case.struck.len(), "{}: {text}", case.fault);
    for ((address, fields), (expected, expected_fields)) in found.iter().zip(case.struck) {
        assert_eq!(address, expected, "{}: {text}", case.fault);
        assert!(expected_fields.is_empty() || fields == expected_fields, "{}: {text}", case.fault);
    }
    let follows: Vec<(String, String)> = follows
        .into_iter()
        .map(|it| (it.address.to_string(), it.caused_by.as_ref().unwrap().to_string()))
        .collect();
    let expected: Vec<(String, String)> =
        case.follows.iter().map(|(it, from)| ((*it).to_owned(), (*from).to_owned())).collect();
    assert_eq!(follows, expected, "{}: {text}", case.fault);
    assert!(plan.blocked.is_empty() && plan.deferred.is_empty(), "{}: {text}", case.fault);
    assert!(plan.findings.is_empty() && plan.gaps.is_empty(), "{}: {text}", case.fault);
    assert_eq!(plan.standing(), PlanStatus::Differs, "{}: {text}", case.fault);
}

#[tokio::test(start_paused = true)]
async fn each_is_named_and_mended() {
    let healthy = healthy().await;
    let expected = canonical_state(&healthy);
    for case in &CASES {
        let deployment = struck(&healthy, case.fault, None);
        let look = RefreshOptions { deep: case.deep, ..RefreshOptions::default() };
        check(case, &deployment.look(&look).await.plan);
        let applied = deployment.apply(&look).await;
        assert_eq!(applied.ending, ApplyStatus::Converged, "{}", case.fault);
        assert!(deployment.look(&RefreshOptions::deep()).await.plan.is_empty(), "{}", case.fault);
        if case.fault != Fault::AksScaleOut {
            let differing = differences(&expected, &canonical_state(&deployment.copy_of_world()));
            assert_eq!(differing, Vec::<String>::new(), "{}", case.fault);
        }
    }
}

/// The newest node goes; what pointed at it goes from every layer.
#[tokio::test(start_paused = true)]
async fn a_node_that_left_takes_its_routes_along() {
    let deployment = struck(&healthy().await, Fault::AksScaleIn, None);
    let plan = deployment.plan().await;
    let text = told(&plan);
    assert_eq!(plan.changes.len(), 5, "{text}");
    assert!(!text.contains("managed-cluster"), "{text}");
    deployment.iterate().await;
    assert!(deployment.plan().await.is_empty());
}

/// Without its mark nothing of an object is certain: only a word helps.
#[tokio::test(start_paused = true)]
async fn lost_marks_wait_for_an_adoption() {
    let address = "route-table/cluster/stargate-workers-rt";
    let healthy = healthy().await;
    let deployment = struck(&healthy, Fault::TagRemoved, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.standing(), PlanStatus::Blocked, "{}", told(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", told(&plan)) };
    assert_eq!(blocked.address.to_string(), address);
    assert!(
        blocked.failure.remedy.contains(&format!("--adopt {address}")),
        "{}",
        blocked.failure.remedy
    );
    let writes = deployment.writes();
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.ending, ApplyStatus::Blocked);
    assert_eq!(deployment.writes(), writes);
    let adopted = deployment.apply(&RefreshOptions::adopting(address)).await;
    assert_eq!(adopted.ending, ApplyStatus::Converged);
    assert_eq!(adopted.outcomes.len(), 1);
    assert!(deployment.plan().await.is_empty());
    let differing =
        differences(&canonical_state(&healthy), &canonical_state(&deployment.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_put_there_is_left_alone() {
    let deployment = struck(&healthy().await, Fault::ForeignObject, None);
    let foreign = canonical_state(&deployment.copy_of_world());
    let plan = deployment.plan().await;
    assert_eq!(plan.standing(), PlanStatus::Blocked, "{}", told(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", told(&plan)) };
    assert!(blocked.failure.remedy.contains("--adopt"), "{}", blocked.failure.remedy);
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.ending, ApplyStatus::Blocked);
    let differing = differences(&foreign, &canonical_state(&deployment.copy_of_world()));
    assert_eq!(differing, Vec::<String>::new());
    let address = blocked.address.to_string();
    assert_eq!(
        deployment.apply(&RefreshOptions::adopting(&address)).await.ending,
        ApplyStatus::Converged
    );
    assert!(deployment.plan().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_router_that_is_off_is_for_its_owner_to_start() {
    let deployment = struck(&healthy().await, Fault::RouterOffline, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.standing(), PlanStatus::Differs, "{}", told(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", told(&plan)) };
    assert_eq!(blocked.address.name, "stargate-aks-e2e-2-dc-router");
    assert!(blocked.failure.remedy.contains("start the machine"), "{}", blocked.failure.remedy);
    assert!(plan.changes.is_empty() && plan.gaps.iter().all(|gap| gap.explained));
}

#[tokio::test(start_paused = true)]
async fn a_collision_of_pod_cidrs_is_an_error_with_a_remedy() {
    let deployment = struck(&healthy().await, Fault::AksPodCidrCollision, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.standing(), PlanStatus::Wrong, "{}", told(&plan));
    let [finding] = &plan.findings[..] else { panic!("{}", told(&plan)) };
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.failure.message.contains("10.244.65.0/24"), "{}", finding.failure.message);
    assert!(!finding.failure.remedy.is_empty());
    let writes = deployment.writes();
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.ending, ApplyStatus::Blocked);
    assert_eq!(deployment.writes(), writes);
}

/// A source that does not answer hides its objects; nothing of it is deleted,
/// made again or taken for gone.
#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_from_ignorance() {
    let healthy = healthy().await;
    for api in Api::ALL {
        let deployment = struck(&healthy, Fault::SourceDown, Some(api.as_str()));
        let plan = deployment.plan().await;
        assert_eq!(plan.standing(), PlanStatus::Unknown, "{api}: {}", told(&plan));
        assert!(plan.unexplained_gaps().count() > 0, "{api}");
        let none = plan.changes.is_empty() && plan.deferred.is_empty() && plan.blocked.is_empty();
        assert!(none, "{api}: {}", told(&plan));
        let writes = deployment.writes();
        let ending = deployment.apply(&RefreshOptions::default()).await.ending;
        assert!(matches!(ending, ApplyStatus::Partial { .. }), "{api}: {ending:?}");
        assert_eq!(deployment.writes(), writes, "{api}");
        // Not even where everything is to go.
        let destroy = deployment.look(&RefreshOptions::destroying()).await.plan;
        assert!(destroy.unexplained_gaps().count() > 0, "{api}");
        deployment.strike(Fault::SourceDown, Some("none"));
        assert!(deployment.plan().await.is_empty(), "{api}");
    }
}

/// Both routers can be struck, and the one that is named is.
#[tokio::test(start_paused = true)]
async fn a_target_is_struck() {
    let deployment = struck(&healthy().await, Fault::MasqueradeMissing, Some(ROUTER));
    let plan = deployment.plan().await;
    assert_eq!(told(&plan), format!("~ router-host/cluster/{ROUTER} [masquerade]"));
}

/// The field shows what stands there now, whoever wrote it.
#[tokio::test(start_paused = true)]
async fn a_field_that_another_manager_took_shows_its_value() {
    let deployment = struck(&healthy().await, Fault::ServerRouterIpHostname, None);
    let plan = deployment.plan().await;
    let field = &plan.changes[0].differences[0];
    assert_eq!(field.before, Some("stargate-aks-e2e-2-worker-1-router".into()));
}

/// A kernel route with another protocol number is somebody else's: it is told
/// before anything is touched, and the rest goes on.
#[tokio::test(start_paused = true)]
async fn a_kernel_route_of_somebody_else_blocks_its_router_alone() {
    let deployment = Deployment::example_applied().await;
    let router = "stargate-aks-e2e-2-dc-router";
    let theirs = |protocol: u8| {
        deployment.world.change(|world, _| {
            let routes = &mut world.hosts.get_mut(router).unwrap().kernel.routes;
            let route = routes.iter_mut().find(|it| it.destination.prefix_len() == 24).unwrap();
            route.protocol = protocol;
            route.destination
        })
    };
    let prefix = theirs(4);
    deployment.strike(Fault::RouteMissing, None);
    let plan = deployment.plan().await;
    let [blocked] = plan.blocked.as_slice() else { panic!("{}", told(&plan)) };
    assert_eq!(blocked.failure.code, Code::ForeignKernelRoute);
    assert!(blocked.failure.message.contains(&format!("{prefix} ")), "{}", blocked.failure.message);
    assert!(blocked.failure.message.contains("proto 4"), "{}", blocked.failure.message);
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.ending, ApplyStatus::Blocked, "{}", failures(&applied).join("\n"));
    assert!(deployment.plan().await.changes.is_empty(), "the route table was mended");
    deployment.world.change(|world, _| {
        let routes = &mut world.hosts.get_mut(router).unwrap().kernel.routes;
        routes.retain(|it| it.protocol != 4);
    });
    deployment.iterate().await;
}
