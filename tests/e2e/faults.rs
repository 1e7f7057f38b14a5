//! Every fault is reported for the affected resource and no other, and is repaired by an apply.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{FindingSeverity, Plan, PlanStatus};
use stargate::provider::http::Api;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};

/// The expected changes for a fault.
struct Case {
    fault: Fault,
    deep: bool,
    /// The affected objects, each with its fields.
    affected: &'static [(&'static str, &'static [&'static str])],
    /// Consequential changes: the object, and the one that caused its change.
    follows: &'static [(&'static str, &'static str)],
}

const fn case(fault: Fault, affected: &'static [(&'static str, &'static [&'static str])]) -> Case {
    Case { fault, deep: false, affected, follows: &[] }
}

/// The router on the AKS side of the example.
const ROUTER: &str = "stargate-aks-e2e-2-router";
const WORKERS_TABLE: &str = "route-table/cluster/stargate-workers-rt";
const ROUTER_TABLE: &str = "route-table/cluster/stargate-router-rt";

const CASES: [Case; 23] = [
    case(Fault::RouteMissing, &[(WORKERS_TABLE, &["routes[10.244.64.0/20].virtual_appliance"])]),
    case(Fault::RouteWrongHop, &[(WORKERS_TABLE, &["routes[10.244.64.0/20].virtual_appliance"])]),
    case(Fault::RouteStale, &[(ROUTER_TABLE, &["routes[10.244.2.0/24].virtual_appliance"])]),
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
            &["routes[10.244.65.0/24].virtual_appliance"],
        )],
    ),
    case(
        Fault::TailnetRouteUnapproved,
        &[("approved-routes/dc1/stargate-aks-e2e-2-dc-router", &["prefixes"])],
    ),
    // The broad prefix is both advertised and approved, so both must be withdrawn.
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
        affected: &[(
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
    Case {
        fault: Fault::WorkerSysctl,
        deep: true,
        affected: &[(
            "worker/dc1/stargate-aks-e2e-2-worker-1",
            &["host.wrong_sysctls[vm.overcommit_memory]"],
        )],
        follows: &[],
    },
    Case {
        fault: Fault::WorkerSwap,
        deep: true,
        affected: &[("worker/dc1/stargate-aks-e2e-2-worker-1", &["host.swap"])],
        follows: &[],
    },
    // A node of AKS in no pool is one like others.
    case(
        Fault::AksProvisionedNode,
        &[
            ("advertised-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            ("approved-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            (ROUTER_TABLE, &["routes[10.244.9.0/24].virtual_appliance"]),
            ("router-host/cluster/stargate-aks-e2e-2-router", &["local_prefixes"]),
            ("router-host/dc1/stargate-aks-e2e-2-dc-router", &["kernel_routes[10.244.9.0/24]"]),
        ],
    ),
    case(Fault::WorkerNotReady, &[("worker/dc1/stargate-aks-e2e-2-worker-1", &["ready"])]),
    Case {
        fault: Fault::WorkerVmDeleted,
        deep: false,
        affected: &[("virtual-machine/dc1/stargate-aks-e2e-2-worker-1", &[])],
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
    // The new node's pod CIDR is missing on every layer.
    case(
        Fault::AksScaleOut,
        &[
            ("advertised-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            ("approved-routes/cluster/stargate-aks-e2e-2-router", &["prefixes"]),
            (ROUTER_TABLE, &["routes[10.244.2.0/24].virtual_appliance"]),
            ("router-host/cluster/stargate-aks-e2e-2-router", &["local_prefixes"]),
            ("router-host/dc1/stargate-aks-e2e-2-dc-router", &["kernel_routes[10.244.2.0/24]"]),
        ],
    ),
];

async fn healthy() -> SandboxState {
    Deployment::example_applied().await.copy_of_state()
}

fn affected(healthy: &SandboxState, fault: Fault, target: Option<&str>) -> Deployment {
    let deployment = Deployment::of(EXAMPLE, healthy.clone());
    deployment.inject(fault, target);
    deployment
}

fn check(case: &Case, plan: &Plan) {
    let text = summary(plan);
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
    assert_eq!(found.len(), case.affected.len(), "{}: {text}", case.fault);
    for ((address, fields), (expected, expected_fields)) in found.iter().zip(case.affected) {
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
    assert_eq!(plan.status(), PlanStatus::Differs, "{}: {text}", case.fault);
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_reported_and_repaired() {
    let healthy = healthy().await;
    let expected = canonical_state(&healthy);
    for case in &CASES {
        let deployment = affected(&healthy, case.fault, None);
        let options = RefreshOptions { deep: case.deep, ..RefreshOptions::default() };
        check(case, &deployment.refresh_and_plan(&options).await.plan);
        let applied = deployment.apply(&options).await;
        assert_eq!(applied.status, ApplyStatus::Converged, "{}", case.fault);
        assert!(
            deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty(),
            "{}",
            case.fault
        );
        if !matches!(case.fault, Fault::AksScaleOut | Fault::AksProvisionedNode) {
            let differing = differences(&expected, &canonical_state(&deployment.copy_of_state()));
            assert_eq!(differing, Vec::<String>::new(), "{}", case.fault);
        }
    }
}

/// The newest node is deleted, and every layer drops the routes to it.
#[tokio::test(start_paused = true)]
async fn routes_of_a_deleted_node_are_deleted() {
    let deployment = affected(&healthy().await, Fault::AksScaleIn, None);
    let plan = deployment.plan().await;
    let text = summary(&plan);
    assert_eq!(plan.changes.len(), 5, "{text}");
    assert!(!text.contains("managed-cluster"), "{text}");
    deployment.iterate().await;
    assert!(deployment.plan().await.is_empty());
}

/// Without its ownership tags an object is foreign until it is adopted.
#[tokio::test(start_paused = true)]
async fn objects_without_ownership_tags_need_adoption() {
    let address = WORKERS_TABLE;
    let healthy = healthy().await;
    let deployment = affected(&healthy, Fault::TagRemoved, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.address.to_string(), address);
    assert!(
        blocked.failure.remedy.contains(&format!("--adopt {address}")),
        "{}",
        blocked.failure.remedy
    );
    let writes = deployment.writes();
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    assert_eq!(deployment.writes(), writes);
    let adopted = deployment.apply(&RefreshOptions::adopting(address)).await;
    assert_eq!(adopted.status, ApplyStatus::Converged);
    assert_eq!(adopted.outcomes.len(), 1);
    assert!(deployment.plan().await.is_empty());
    let differing =
        differences(&canonical_state(&healthy), &canonical_state(&deployment.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn foreign_objects_are_not_changed() {
    let deployment = affected(&healthy().await, Fault::ForeignObject, None);
    let foreign = canonical_state(&deployment.copy_of_state());
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert!(blocked.failure.remedy.contains("--adopt"), "{}", blocked.failure.remedy);
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    let differing = differences(&foreign, &canonical_state(&deployment.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
    let address = blocked.address.to_string();
    assert_eq!(
        deployment.apply(&RefreshOptions::adopting(&address)).await.status,
        ApplyStatus::Converged
    );
    assert!(deployment.plan().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_powered_off_router_must_be_started_by_its_owner() {
    let deployment = affected(&healthy().await, Fault::RouterOffline, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.address.name, "stargate-aks-e2e-2-dc-router");
    let start = "start the machine with `az vm start --resource-group stargate-aks-e2e-2-dc --name \
                 stargate-aks-e2e-2-dc-router`";
    assert!(blocked.failure.remedy.contains(start), "{}", blocked.failure.remedy);
    assert!(plan.changes.is_empty() && plan.gaps.iter().all(|gap| gap.explained));
}

#[tokio::test(start_paused = true)]
async fn a_collision_of_pod_cidrs_is_an_error_with_a_remedy() {
    let deployment = affected(&healthy().await, Fault::AksPodCidrCollision, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Wrong, "{}", summary(&plan));
    let [finding] = &plan.findings[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(finding.severity, FindingSeverity::Error);
    assert!(finding.failure.message.contains("10.244.65.0/24"), "{}", finding.failure.message);
    assert!(!finding.failure.remedy.is_empty());
    let writes = deployment.writes();
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    assert_eq!(deployment.writes(), writes);
}

/// If a source is down, its objects are unknown: none is deleted, created again or regarded as
/// deleted.
#[tokio::test(start_paused = true)]
async fn unknown_objects_are_not_deleted() {
    let healthy = healthy().await;
    for api in Api::ALL {
        let deployment = affected(&healthy, Fault::SourceDown, Some(api.as_str()));
        let plan = deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{api}: {}", summary(&plan));
        assert!(plan.unexplained_gaps().count() > 0, "{api}");
        let none = plan.changes.is_empty() && plan.deferred.is_empty() && plan.blocked.is_empty();
        assert!(none, "{api}: {}", summary(&plan));
        let writes = deployment.writes();
        let ending = deployment.apply(&RefreshOptions::default()).await.status;
        assert!(matches!(ending, ApplyStatus::Partial(_)), "{api}: {ending:?}");
        assert_eq!(deployment.writes(), writes, "{api}");
        // Not even by a destroy.
        let destroy = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
        assert!(destroy.unexplained_gaps().count() > 0, "{api}");
        deployment.inject(Fault::SourceDown, Some("none"));
        assert!(deployment.plan().await.is_empty(), "{api}");
    }
}

/// The fault is injected into the named one of two routers.
#[tokio::test(start_paused = true)]
async fn a_fault_is_injected_into_the_named_target() {
    let deployment = affected(&healthy().await, Fault::MasqueradeMissing, Some(ROUTER));
    let plan = deployment.plan().await;
    assert_eq!(summary(&plan), format!("~ router-host/cluster/{ROUTER} [masquerade]"));
}

/// The change shows the current value of the field, independent of the manager that wrote it.
#[tokio::test(start_paused = true)]
async fn a_field_of_another_manager_shows_its_current_value() {
    let deployment = affected(&healthy().await, Fault::ServerRouterIpHostname, None);
    let plan = deployment.plan().await;
    let field = &plan.changes[0].differences[0];
    assert_eq!(field.before, Some("stargate-aks-e2e-2-worker-1-router".into()));
}

/// A kernel route with another protocol number is foreign. It is reported before anything is
/// changed, and the rest is applied.
#[tokio::test(start_paused = true)]
async fn a_foreign_kernel_route_blocks_only_its_router() {
    let deployment = Deployment::example_applied().await;
    let router = "stargate-aks-e2e-2-dc-router";
    let theirs = |protocol: u8| {
        deployment.sandbox.change(|sandbox, _| {
            let routes = &mut sandbox.hosts.get_mut(router).unwrap().kernel.routes;
            let route = routes.iter_mut().find(|it| it.destination.prefix_len() == 24).unwrap();
            route.protocol = protocol;
            route.destination
        })
    };
    let prefix = theirs(4);
    deployment.inject(Fault::RouteMissing, None);
    let plan = deployment.plan().await;
    let [blocked] = plan.blocked.as_slice() else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.failure.code, Code::ForeignKernelRoute);
    assert!(blocked.failure.message.contains(&format!("{prefix} ")), "{}", blocked.failure.message);
    assert!(blocked.failure.message.contains("proto 4"), "{}", blocked.failure.message);
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked, "{}", failures(&applied).join("\n"));
    assert!(deployment.plan().await.changes.is_empty(), "the route table was repaired");
    deployment.sandbox.change(|sandbox, _| {
        let routes = &mut sandbox.hosts.get_mut(router).unwrap().kernel.routes;
        routes.retain(|it| it.protocol != 4);
    });
    deployment.iterate().await;
}
