//! What of the network is broken is named, with the fact that breaks it.

use std::collections::BTreeSet;

use stargate::connectivity::{Matrix, PROTOCOL, PathModel, addresses};
use stargate::dataplane::{Drop, Verdict};
use stargate::pipeline::Planned;
use stargate::plan::impact::find_remedy;
use stargate::plan::impact::{IntermediateState, Projection, breaches};
use stargate::plan::impact::{Question, Remedy};
use stargate::sandbox::World;
use stargate::sandbox::faults::Fault;

use crate::connectivity::model;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, told};

/// What a check says: what drops packets, and what else does not hold.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    /// Cause, resource, and how many pairs.
    dropped: BTreeSet<String>,
    unknown: BTreeSet<String>,
    /// Rule and resource.
    breaches: BTreeSet<String>,
}

fn cause(drop: &Drop) -> String {
    let text = format!("{:?}", drop.cause);
    text.split(['(', ' ']).next().unwrap().to_owned()
}

fn said(sources: Projection<'_>, model: &PathModel) -> Said {
    let matrix = Matrix::of(model);
    let mut said = Said::default();
    for broken in &matrix.broken {
        let (_, verdict) = broken.trip.broken().unwrap();
        let named = addresses(model, verdict);
        let named = named.first().map(ToString::to_string).unwrap_or_default();
        match verdict {
            Verdict::Dropped(drop) => said.dropped.insert(format!("{} {named}", cause(drop))),
            _ => said.unknown.insert(named),
        };
    }
    for (_, origin) in &matrix.unread {
        said.unknown.insert(model.provenance.get(*origin).unwrap().address.to_string());
    }
    for breach in breaches(sources, model, &IntermediateState::Observed) {
        said.breaches.insert(format!("{:?} {}", breach.rule, breach.address));
    }
    said
}

async fn check(deployment: &Deployment, deep: bool) -> (Planned, Said) {
    let look = RefreshOptions { deep, ..RefreshOptions::default() };
    let planned = deployment.look(&look).await;
    let model = model(deployment, &planned, &IntermediateState::Observed);
    let said = said(planned.paths(&deployment.topology), &model);
    (planned, said)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_of_a_healthy_world() {
    for text in [EXAMPLE, TWO_DATACENTERS] {
        let deployment = Deployment::of(text, World::new(1));
        deployment.iterate().await;
        for deep in [false, true] {
            assert_eq!(check(&deployment, deep).await.1, Said::default());
        }
    }
}

/// A fault, and what a check is to say of it: what drops packets, and which
/// rules do not hold.
pub(crate) type Case = (Fault, &'static [&'static str], &'static [&'static str]);

pub(crate) const CASES: [Case; 27] = [
    (Fault::RouteMissing, &["Nowhere route-table/cluster/stargate-workers-rt"], &[]),
    (
        Fault::RouteWrongHop,
        &["NobodyAt route-table/cluster/stargate-workers-rt"],
        &["NextHopExists route-table/cluster/stargate-workers-rt"],
    ),
    // No node has the range of a stale route: the next one would.
    (
        Fault::RouteStale,
        &[],
        &[
            "NoStaleRoutes route-table/cluster/stargate-router-rt",
            "NextHopExists route-table/cluster/stargate-router-rt",
        ],
    ),
    (Fault::RouterTableDetached, &["Nowhere subnet/cluster/stargate-aks-router-subnet"], &[]),
    (
        Fault::NicForwardingOff,
        &["DestinationCheck network-interface/dc1/stargate-aks-e2e-2-dc-router-nic"],
        &["IpForwardingEnabled network-interface/dc1/stargate-aks-e2e-2-dc-router-nic"],
    ),
    // The router's own table still leads there, by a way round.
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
    // Our rule before Tailscale's keeps the workers' own packets at home.
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
        &["PodsNotPlumbed worker/dc1/stargate-aks-e2e-2-worker-1"],
        &[
            "CniConfigActive worker/dc1/stargate-aks-e2e-2-worker-1",
            "WorkersReady worker/dc1/stargate-aks-e2e-2-worker-1",
        ],
    ),
    // The route that ends what nobody has.
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
            "Nowhere route-table/cluster/stargate-router-rt",
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
    // Tags carry no packets.
    (Fault::TagRemoved, &[], &[]),
    (Fault::ForeignObject, &["Denied network-security-group/dc1/stargate-router-subnet-nsg"], &[]),
    // Nothing that is read shows it; `check --live` does.
    (Fault::WorkerFirewall, &[], &[]),
    (Fault::SourceDown, &[], &[]),
];

/// Faults that hide facts: behind a router that is offline nobody looks at hosts.
const HIDING: [Fault; 2] = [Fault::SourceDown, Fault::RouterOffline];

/// Every fault is named where it bites and nowhere else, and the mend that is
/// named mends it.
#[tokio::test(start_paused = true)]
async fn every_fault_is_named_where_it_bites() {
    let healthy = Deployment::example_applied().await.copy_of_world();
    let cases: BTreeSet<Fault> = CASES.iter().map(|case| case.0).collect();
    assert_eq!(cases, Fault::ALL.iter().copied().collect());
    for (fault, dropped, broken) in CASES {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.strike(fault, None);
        let (planned, said) = check(&deployment, true).await;
        let texts = |set: &[&str]| set.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(said.dropped, texts(dropped), "{fault}: {}", told(&planned.plan));
        assert_eq!(said.breaches, texts(broken), "{fault}");
        assert_eq!(!said.unknown.is_empty(), HIDING.contains(&fault), "{fault} {said:?}");
        mends_are_right(&deployment, &planned, fault);
    }
}

fn mends_are_right(deployment: &Deployment, planned: &Planned, fault: Fault) {
    let observed = model(deployment, planned, &IntermediateState::Observed);
    for broken in Matrix::of(&observed).broken {
        let (from, to) = (broken.example.0.address, broken.example.1.address);
        let question = Question { from, to, protocol: PROTOCOL };
        let sources = planned.paths(&deployment.topology);
        match find_remedy(sources, question) {
            Remedy::Apply(changes) => {
                assert!(!changes.is_empty(), "{fault}");
                let moment = IntermediateState::PlannedOnly(changes.iter().cloned().collect());
                let mended = question.walk(&model(deployment, planned, &moment)).unwrap();
                assert!(mended.reached(), "{fault}: {changes:?}");
            }
            Remedy::Decide(blocked) => assert!(!blocked.failure.remedy.is_empty(), "{fault}"),
            Remedy::Correct { remedy, .. } => {
                assert!(fault == Fault::AksPodCidrCollision && !remedy.is_empty(), "{fault}");
            }
            Remedy::Read { remedy, .. } => {
                assert!(HIDING.contains(&fault) && !remedy.is_empty(), "{fault}");
            }
            other => panic!("{fault}: {other:?}"),
        }
    }
}

/// Each source that is down makes what depends on it unknown: nothing is
/// dropped by guess, and nothing is called reached by guess.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_makes_answers_unknown() {
    let healthy = Deployment::example_applied().await.copy_of_world();
    // Within the VNets nothing hangs on the tailnet.
    for (api, within) in [("azure", 0), ("tailscale", 8), ("kubernetes", 0)] {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.strike(Fault::SourceDown, Some(api));
        let (planned, said) = check(&deployment, false).await;
        assert_eq!((said.dropped, said.breaches), Default::default(), "{api}");
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
            let Some((_, Verdict::Unknown { origin, .. })) = broken.trip.broken() else {
                panic!("{api}: {:?}", broken.trip.broken())
            };
            let told = observed.provenance.get(*origin).unwrap();
            let gap = inventory.gap_at(&told.source);
            let gap = gap.or_else(|| inventory.gap_for(told.address.kind, None));
            assert!(gap.is_some(), "{api}: {told:?}");
        }
    }
}
