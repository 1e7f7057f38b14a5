//! Two replicas: the Leases of the API server elect one, and the other one follows it.

use std::time::Duration;

use stargate::sandbox::faults::{self, Fault};
use stargate::watch::ReconcileResult;
use tokio::time::{Instant, sleep};

use super::replica::{Replica, until};
use super::stage::{Stage, signal_api_server, text, until_ready};
use super::wire::{State, Wire};

const LEADER: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/\
                      stargate-leader-stargate-aks-e2e-2";
/// The time in which another replica has to go on.
const MAX_FAILOVER: Duration = Duration::from_secs(20);
/// Longer than a Lease is valid without a renewal.
const LONG: Duration = Duration::from_secs(30);

pub(super) async fn check(stage: &Stage) {
    let watched = text("");
    let (first_wire, second_wire) = (Wire::to(stage.port()).await, Wire::to(stage.port()).await);
    let start = |name, wire: &Wire| {
        Replica::start(name, stage.deployment(&watched, Some(wire.port)), &watched)
    };
    let first = start("replica-a", &first_wire);
    first.results_in(ReconcileResult::Matches).await;
    let second = start("replica-b", &second_wire);
    second.results_in(ReconcileResult::StandingBy).await;
    assert_eq!(leader(stage).await, "replica-a");
    scale(stage, Fault::AksScaleOut);
    changes_begin(&first, 0).await;
    first.is_idle().await;
    assert_eq!(second.changes(), 0, "one replica makes changes");

    // Killed: its Lease is not released.
    first.kill().await;
    let before = second.changes();
    let begin = Instant::now();
    scale(stage, Fault::AksScaleOut);
    changes_begin(&second, before).await;
    println!("another replica followed a killed one after {:?}", begin.elapsed());
    assert!(begin.elapsed() < MAX_FAILOVER, "{:?}", begin.elapsed());
    second.is_idle().await;

    // Paused: nothing of it arrives, and it begins nothing until it leads again.
    let third = start("replica-a", &first_wire);
    third.results_in(ReconcileResult::StandingBy).await;
    second_wire.set(State::Paused);
    let (before, begin) = (second.changes(), Instant::now());
    scale(stage, Fault::AksScaleIn);
    changes_begin(&third, 0).await;
    println!("another replica followed a paused one after {:?}", begin.elapsed());
    assert!(begin.elapsed() < MAX_FAILOVER, "{:?}", begin.elapsed());
    second_wire.set(State::Open);
    third.is_idle().await;
    assert_eq!((second.changes(), leader(stage).await), (before, "replica-a".to_owned()));

    // The API server stands still for longer than the Leases are valid.
    signal_api_server("-STOP");
    let before = (second.changes(), third.changes());
    scale(stage, Fault::AksScaleOut);
    sleep(LONG).await;
    assert_eq!((second.changes(), third.changes()), before, "no change without a Lease");
    signal_api_server("-CONT");
    until_ready(&stage.admin).await;
    let begin = Instant::now();
    let follows = || second.changes() + third.changes() > before.0 + before.1;
    until("a replica goes on", follows, || format!("{:#?}", third.log.finished().last())).await;
    println!("a replica went on {:?} after the API server did", begin.elapsed());
    second.is_idle().await;
    third.is_idle().await;
    for replica in [second, third] {
        replica.end().await;
    }
    let released = stage.admin.get(LEADER).await;
    assert_eq!(released.code, 404, "the Lease is released: {released:?}");
    let left = stage.deployment(&watched, None).plan().await;
    assert!(left.is_empty(), "{}", crate::harness::summary(&left));
}

async fn leader(stage: &Stage) -> String {
    let lease = stage.object(LEADER).await;
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn scale(stage: &Stage, fault: Fault) {
    stage.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now)).unwrap();
}

async fn changes_begin(replica: &Replica, before: usize) {
    let begins = || replica.changes() > before;
    until("changes begin", begins, || format!("{:#?}", replica.log.finished().last())).await;
}
