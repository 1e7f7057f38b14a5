//! Connectivity checks name every fault and the resource that it affects.

use std::collections::BTreeSet;

use stargate::connectivity::{Matrix, PROTOCOL, PathModel, addresses};
use stargate::dataplane::{Drop, Verdict};
use stargate::pipeline::Planned;
use stargate::plan::impact::find_remedy;
use stargate::plan::impact::{IntermediateState, Projection, violations};
use stargate::plan::impact::{PathQuery, Remedy};
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::connectivity::model;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, summary};

/// The result of a check: causes of drops, and violated rules.
#[derive(Debug, Default, PartialEq, Eq)]
struct CheckReport {
    /// Cause, resource, and number of pairs.
    dropped: BTreeSet<String>,
    unknown: BTreeSet<String>,
    /// Rule and resource.
    violations: BTreeSet<String>,
}

fn cause(drop: &Drop) -> String {
    let text = format!("{:?}", drop.cause);
    text.split(['(', ' ']).next().unwrap().to_owned()
}

fn report(sources: Projection<'_>, model: &PathModel) -> CheckReport {
    let matrix = Matrix::of(model);
    let mut report = CheckReport::default();
    for broken in &matrix.broken {
        let (_, verdict) = broken.round_trip.broken().unwrap();
        let named = addresses(model, verdict);
        let named = named.first().map(ToString::to_string).unwrap_or_default();
        match verdict {
            Verdict::Dropped(drop) => report.dropped.insert(format!("{} {named}", cause(drop))),
            _ => report.unknown.insert(named),
        };
    }
    for (_, origin) in &matrix.unread {
        report.unknown.insert(model.provenance.get(*origin).unwrap().address.to_string());
    }
    for violation in violations(sources, model, &IntermediateState::Observed) {
        report.violations.insert(format!("{:?} {}", violation.rule, violation.address));
    }
    report
}

async fn check(deployment: &Deployment, deep: bool) -> (Planned, CheckReport) {
    let options = RefreshOptions { deep, ..RefreshOptions::default() };
    let planned = deployment.refresh_and_plan(&options).await;
    let model = model(deployment, &planned, &IntermediateState::Observed);
    let report = report(planned.paths(&deployment.topology), &model);
    (planned, report)
}

#[tokio::test(start_paused = true)]
async fn a_healthy_network_has_no_findings() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, SandboxState::new(1));
        deployment.iterate().await;
        for deep in [false, true] {
            assert_eq!(check(&deployment, deep).await.1, CheckReport::default());
        }
    }
}

/// A fault, and the expected result of a check: causes of drops, and violated rules.
pub(crate) type Case = (Fault, &'static [&'static str], &'static [&'static str]);

pub(crate) const CASES: [Case; 54] = [
    (Fault::RouteMissing, &["RouteNone route-table/cluster/stargate-workers-rt"], &[]),
    (
        Fault::RouteWrongHop,
        &["NoInterface route-table/cluster/stargate-workers-rt"],
        &["NextHopExists route-table/cluster/stargate-workers-rt"],
    ),
    // No node has the pod CIDR of a stale route. The next node would get it.
    (
        Fault::RouteStale,
        &[],
        &[
            "NoStaleRoutes route-table/cluster/stargate-router-rt",
            "NextHopExists route-table/cluster/stargate-router-rt",
        ],
    ),
    (Fault::RouterTableDetached, &["RouteNone subnet/cluster/stargate-aks-router-subnet"], &[]),
    (
        Fault::NicForwardingOff,
        &["DestinationCheck network-interface/dc1/stargate-aks-e2e-2-dc-router-nic"],
        &["IpForwardingEnabled network-interface/dc1/stargate-aks-e2e-2-dc-router-nic"],
    ),
    // The router's own table still routes there, with a detour.
    (
        Fault::DcRouteMissing,
        &[],
        &["NoRouterHairpinInVnet route-table/dc1/stargate-aks-e2e-2-dc-route-table"],
    ),
    (
        Fault::TailnetRouteUnapproved,
        &["NoPeer approved-routes/dc1/stargate-aks-e2e-2-dc-router"],
        &["AdvertisedRoutesApproved approved-routes/dc1/stargate-aks-e2e-2-dc-router"],
    ),
    // Stargate's rule precedes Tailscale's, so packets between the workers stay in the site.
    (
        Fault::TailnetBroadRoute,
        &[],
        &[
            "NoOverlappingAdvertisements advertised-routes/cluster/stargate-aks-e2e-2-router",
            "NoOverlappingAdvertisements approved-routes/cluster/stargate-aks-e2e-2-router",
        ],
    ),
    (
        Fault::CiliumNodeEmpty,
        &[],
        &["CiliumNodePodCidrSet cilium-node/dc1/stargate-aks-e2e-2-worker-1"],
    ),
    (
        Fault::ServerRouterIpHostname,
        &[],
        &["ServerRouterAddressCurrent server/dc1/stargate-aks-e2e-2-worker-1"],
    ),
    (
        Fault::CniConfigMissing,
        &["CniNotConfigured worker/dc1/stargate-aks-e2e-2-worker-1"],
        &[
            "CniConfigActive worker/dc1/stargate-aks-e2e-2-worker-1",
            "WorkersReady worker/dc1/stargate-aks-e2e-2-worker-1",
        ],
    ),
    // The blackhole route for unassigned pod CIDRs.
    (
        Fault::KernelRouteMissing,
        &[],
        &["UnroutedPodsBlackholed router-host/dc1/stargate-aks-e2e-2-dc-router"],
    ),
    (Fault::ForwardingOff, &["NotForwarding router-host/dc1/stargate-aks-e2e-2-dc-router"], &[]),
    (
        Fault::MasqueradeMissing,
        &[],
        &["SnatSymmetric router-host/dc1/stargate-aks-e2e-2-dc-router"],
    ),
    (
        Fault::AksScaleOut,
        &[
            "RouteNone route-table/cluster/stargate-router-rt",
            "Unreachable router-host/dc1/stargate-aks-e2e-2-dc-router",
        ],
        &[],
    ),
    (
        Fault::AksScaleIn,
        &[],
        &[
            "NoStaleRoutes route-table/cluster/stargate-router-rt",
            "NextHopExists route-table/cluster/stargate-router-rt",
        ],
    ),
    (
        Fault::AksPodCidrCollision,
        &["SourceNotAllowed approved-routes/cluster/stargate-aks-e2e-2-router"],
        &[
            "NoOverlappingAdvertisements advertised-routes/dc1/stargate-aks-e2e-2-dc-router",
            "NoOverlappingAdvertisements approved-routes/dc1/stargate-aks-e2e-2-dc-router",
            "PodCidrsDisjoint worker/dc1/stargate-aks-e2e-2-worker-1",
            "NoStaleRoutes route-table/cluster/stargate-router-rt",
        ],
    ),
    (Fault::RouterLockedOut, &["Offline tailnet-device/dc1/stargate-aks-e2e-2-dc-router"], &[]),
    (Fault::RouterShieldsUp, &["ShieldsUp tailnet-device/dc1/stargate-aks-e2e-2-dc-router"], &[]),
    // Its own traffic to the internet is not that of pods.
    (Fault::RouterExitNode, &[], &[]),
    (Fault::WorkerTailscale, &["NotInTunnel worker/dc1/stargate-aks-e2e-2-worker-1"], &[]),
    (Fault::WorkerSysctl, &[], &[]),
    (Fault::WorkerSwap, &[], &[]),
    (Fault::ForeignNode, &[], &["PodCidrsDisjoint worker/dc1/stargate-aks-e2e-2-worker-1"]),
    (
        Fault::AksProvisionedNode,
        &[
            "RouteNone route-table/cluster/stargate-router-rt",
            "Unreachable router-host/dc1/stargate-aks-e2e-2-dc-router",
        ],
        &[],
    ),
    (Fault::DeviceRenamed, &[], &[]),
    (
        Fault::DeviceDeleted,
        &[
            "NoPeer tailnet-device/dc1/stargate-aks-e2e-2-dc-router",
            "Offline tailnet-device/dc1/stargate-aks-e2e-2-dc-router",
        ],
        &[
            "ServerRouterAddressCurrent server/dc1/stargate-aks-e2e-2-worker-1",
            "ServerRouterAddressCurrent server/dc1/stargate-aks-e2e-2-worker-2",
        ],
    ),
    (
        Fault::DeviceUnauthorized,
        &["Offline tailnet-device/dc1/stargate-aks-e2e-2-dc-router"],
        // The device keeps its address, which Servers name.
        &[],
    ),
    (Fault::DeviceKeyExpiring, &[], &[]),
    (Fault::DeviceKeyExpired, &["Offline tailnet-device/dc1/stargate-aks-e2e-2-dc-router"], &[]),
    (Fault::PrefixServedTwice, &["ForeignPeer tailnet-device/(foreign)/office-router"], &[]),
    (Fault::WorkerNotReady, &[], &["WorkersReady worker/dc1/stargate-aks-e2e-2-worker-1"]),
    (
        Fault::WorkerVmDeleted,
        &["NotRunning virtual-machine/dc1/stargate-aks-e2e-2-worker-1"],
        &["WorkersReady worker/dc1/stargate-aks-e2e-2-worker-1"],
    ),
    (Fault::NsgDeny, &["Denied network-security-group/dc1/stargate-router-subnet-nsg"], &[]),
    (Fault::AcceptRoutesOff, &["NoPeer router-host/dc1/stargate-aks-e2e-2-dc-router"], &[]),
    // The other router's clamp keeps packets going.
    (Fault::MssClampMissing, &[], &["MssClamped router-host/dc1/stargate-aks-e2e-2-dc-router"]),
    (Fault::RouterOffline, &["Offline tailnet-device/dc1/stargate-aks-e2e-2-dc-router"], &[]),
    // Tags do not affect packets.
    (Fault::TagRemoved, &[], &[]),
    (Fault::ForeignObject, &["Denied network-security-group/dc1/stargate-router-subnet-nsg"], &[]),
    // No fact that stargate reads shows it; `check --live` does.
    (Fault::WorkerFirewall, &[], &[]),
    // Rules of the account do not affect packets.
    (Fault::AzureActionMissing, &[], &[]),
    (Fault::ProviderUnregistered, &[], &[]),
    (Fault::QuotaExhausted, &[], &[]),
    (Fault::SizeRestricted, &[], &[]),
    (Fault::VersionEnded, &[], &[]),
    (Fault::VersionLongTermOnly, &[], &[]),
    (Fault::PolicyDenies, &[], &[]),
    (Fault::ManagementLock, &[], &[]),
    (Fault::TagUnowned, &[], &[]),
    (Fault::TailnetScopeMissing, &[], &[]),
    (Fault::LoginRefused, &[], &[]),
    (Fault::SudoPassword, &[], &[]),
    (Fault::ClockSkew, &[], &[]),
    (Fault::SourceDown, &[], &[]),
];

/// Faults that make facts unavailable: hosts behind an offline router cannot be read.
const FAULTS_THAT_HIDE_FACTS: [Fault; 5] = [
    Fault::SourceDown,
    Fault::RouterOffline,
    Fault::DeviceKeyExpired,
    Fault::LoginRefused,
    Fault::SudoPassword,
];

/// Faults that stargate reports and that an administrator repairs.
const FAULTS_REPAIRED_BY_HAND: [Fault; 3] =
    [Fault::RouterLockedOut, Fault::RouterShieldsUp, Fault::WorkerTailscale];

/// Every fault is reported for the affected resource and no other, and the suggested remedy repairs
/// it.
#[tokio::test(start_paused = true)]
async fn every_fault_is_reported_for_the_affected_resource() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    let cases: BTreeSet<Fault> = CASES.iter().map(|case| case.0).collect();
    assert_eq!(cases, Fault::ALL.iter().copied().collect());
    for (fault, dropped, broken) in CASES {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.inject(fault, None);
        let (planned, report) = check(&deployment, true).await;
        let texts = |set: &[&str]| set.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(report.dropped, texts(dropped), "{fault}: {}", summary(&planned.plan));
        assert_eq!(report.violations, texts(broken), "{fault}");
        assert_eq!(
            !report.unknown.is_empty(),
            FAULTS_THAT_HIDE_FACTS.contains(&fault),
            "{fault} {report:?}"
        );
        remedies_repair_the_fault(&deployment, &planned, fault);
    }
}

fn remedies_repair_the_fault(deployment: &Deployment, planned: &Planned, fault: Fault) {
    let observed = model(deployment, planned, &IntermediateState::Observed);
    for broken in Matrix::of(&observed).broken {
        let (from, to) = (broken.example.0.address, broken.example.1.address);
        let question = PathQuery { from, to, protocol: PROTOCOL };
        let sources = planned.paths(&deployment.topology);
        match find_remedy(sources, question) {
            Remedy::Apply(changes) => {
                assert!(!changes.is_empty(), "{fault}");
                let moment = IntermediateState::PlannedOnly(changes.iter().cloned().collect());
                let repaired = question.traced(&model(deployment, planned, &moment)).unwrap();
                assert!(repaired.reached(), "{fault}: {changes:?}");
            }
            Remedy::ResolveBlocked(blocked) => {
                assert!(!blocked.failure.remedy.is_empty(), "{fault}");
            }
            Remedy::FixError { remedy, .. } => {
                let is_error =
                    matches!(fault, Fault::AksPodCidrCollision | Fault::PrefixServedTwice);
                assert!(is_error && !remedy.is_empty(), "{fault}");
            }
            Remedy::Read { remedy, .. } => {
                // The host of a router that joins again is known after it has joined.
                let joins_again = matches!(fault, Fault::DeviceDeleted | Fault::DeviceUnauthorized);
                let is_hidden = FAULTS_THAT_HIDE_FACTS.contains(&fault) || joins_again;
                assert!(is_hidden && !remedy.is_empty(), "{fault}");
            }
            Remedy::Manual(remedy) => {
                let is_by_hand = FAULTS_REPAIRED_BY_HAND.contains(&fault);
                assert!(is_by_hand && !remedy.contains("no route"), "{fault}: {remedy}");
            }
            other => panic!("{fault}: {other:?}"),
        }
    }
}

/// If a source is down, everything that depends on it is unknown: neither dropped nor reached by
/// guess.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_makes_results_unknown() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    // Connectivity within the virtual networks does not depend on the tailnet.
    for (api, within) in [("azure", 0), ("tailscale", 4), ("kubernetes", 0)] {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.inject(Fault::SourceDown, Some(api));
        let (planned, report) = check(&deployment, false).await;
        assert_eq!((report.dropped, report.violations), Default::default(), "{api}");
        let observed = model(&deployment, &planned, &IntermediateState::Observed);
        let matrix = Matrix::of(&observed);
        assert_eq!(matrix.total().dropped, 0, "{api}");
        let reached = |within: bool| -> u64 {
            let cells = matrix.cells.iter().filter(|(at, _)| (at.0 == at.1) == within);
            cells.map(|(_, cell)| cell.reached).sum()
        };
        assert_eq!((reached(false), reached(true)), (0, within), "{api}");
        assert!(!matrix.broken.is_empty() || !matrix.unread.is_empty(), "{api}");
        let inventory = &planned.observation.inventory;
        for broken in &matrix.broken {
            let Some((_, Verdict::Unknown { origin, .. })) = broken.round_trip.broken() else {
                panic!("{api}: {:?}", broken.round_trip.broken())
            };
            let summary = observed.provenance.get(*origin).unwrap();
            let gap = inventory.gap_at(&summary.source);
            let gap = gap.or_else(|| inventory.gap_for(summary.address.kind, None));
            assert!(gap.is_some(), "{api}: {summary:?}");
        }
    }
}
