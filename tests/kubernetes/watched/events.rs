//! No event is lost: connections that are cut or silent, an API server that is restarted or stands
//! still, and a history that begins after the version of a watch.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use stargate::sandbox::faults::{self, Fault};
use stargate::watch::ReconcileResult;
use tokio::time::{Instant, sleep};

use super::replica::Replica;
use super::stage::{Stage, compact_history, signal_api_server, text, until_ready};
use super::wire::{State, Wire};

/// The time from the end of a disturbance until the routes are right: the longest pause of a watch
/// that is begun again, and the work.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// For how long a disturbance lasts.
const PAUSE: Duration = Duration::from_secs(5);

/// A disturbance of the watches while nodes come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    Nothing,
    Closed,
    HalfOpen,
    Restarted,
    Stopped,
    HistoryLost,
}

const DISTURBANCES: [Disturbance; 6] = [
    Disturbance::Nothing,
    Disturbance::Closed,
    Disturbance::HalfOpen,
    Disturbance::Restarted,
    Disturbance::Stopped,
    Disturbance::HistoryLost,
];

pub(super) async fn check(stage: &Stage) {
    let wire = Wire::to(stage.port()).await;
    let watched = text("");
    let deployment = stage.deployment(&watched, Some(wire.port));
    let replica = Replica::start("replica-a", deployment, &watched);
    replica.results_in(ReconcileResult::Matches).await;
    for disturbance in DISTURBANCES {
        for fault in [Fault::AksScaleOut, Fault::AksScaleIn] {
            // A silent connection is noticed after a minute: one time is enough.
            let during = match (disturbance, fault) {
                (Disturbance::HalfOpen, Fault::AksScaleIn) => Disturbance::Nothing,
                _ => disturbance,
            };
            replica.is_idle().await;
            let passed = follows(stage, &wire, during, fault).await;
            println!("{during:?}, {fault:?}: routes are right after {passed:?}");
            assert!(passed < MAX_DELAY, "{during:?}, {fault:?}: {passed:?}");
        }
    }
    let is_of_timer = |it: &crate::watch_harness::Finished| {
        it.triggers.contains(&stargate::watch::Trigger::Interval)
    };
    assert!(!replica.log.finished().iter().any(is_of_timer), "events alone led to reconciles");
    replica.end().await;
    let left = stage.deployment(&watched, None).plan().await;
    assert!(left.is_empty(), "{}", crate::harness::summary(&left));
}

fn scale(stage: &Stage, fault: Fault) {
    stage.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now)).unwrap();
}

/// A node comes or goes during the disturbance. Returns the time from its end to the routes.
async fn follows(stage: &Stage, wire: &Wire, disturbance: Disturbance, fault: Fault) -> Duration {
    match disturbance {
        Disturbance::Nothing => scale(stage, fault),
        Disturbance::Closed | Disturbance::HalfOpen => {
            let is_closed = disturbance == Disturbance::Closed;
            wire.set(if is_closed { State::Closed } else { State::HalfOpen });
            scale(stage, fault);
            sleep(PAUSE).await;
            wire.set(State::Open);
        }
        Disturbance::Restarted => {
            scale(stage, fault);
            signal_api_server("-KILL");
            until_ready(&stage.admin).await;
        }
        Disturbance::Stopped => {
            signal_api_server("-STOP");
            scale(stage, fault);
            sleep(2 * PAUSE).await;
            signal_api_server("-CONT");
        }
        Disturbance::HistoryLost => {
            wire.set(State::Closed);
            let version =
                stage.object("/api/v1/nodes").await["metadata"]["resourceVersion"].clone();
            scale(stage, fault);
            sleep(Duration::from_secs(1)).await;
            compact_history().await;
            signal_api_server("-KILL");
            until_ready(&stage.admin).await;
            is_too_old(stage, version.as_str().unwrap()).await;
            wire.set(State::Open);
        }
    }
    until_right(stage).await
}

/// A watch that continues from this version is refused with 410.
async fn is_too_old(stage: &Stage, version: &str) {
    let path = format!("/api/v1/nodes?watch=true&timeoutSeconds=1&resourceVersion={version}");
    let refused = stage.admin.get(&path).await;
    let codes = (refused.body["code"].as_u64(), refused.body["object"]["code"].as_u64());
    assert!(codes.0 == Some(410) || codes.1 == Some(410), "{refused:?}");
}

/// Waits until each node of the API server has its route, and no other one has.
async fn until_right(stage: &Stage) -> Duration {
    let begin = Instant::now();
    loop {
        stage.mirror.send().await;
        let nodes = nodes(&stage.object("/api/v1/nodes").await);
        let routes = routes(stage);
        if nodes == routes && !nodes.is_empty() {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < MAX_DELAY, "nodes {nodes:?}, routes {routes:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The addresses of AKS's nodes.
fn nodes(list: &Value) -> BTreeSet<String> {
    let items = list["items"].as_array().into_iter().flatten();
    let of_aks =
        items.filter(|it| it["metadata"]["labels"]["kubernetes.azure.com/agentpool"].is_string());
    of_aks
        .filter_map(|it| it["status"]["addresses"][0]["address"].as_str().map(str::to_owned))
        .collect()
}

/// The next hops of the routes to the pods of AKS's nodes.
fn routes(stage: &Stage) -> BTreeSet<String> {
    stage.sandbox.read(|sandbox| {
        let tables = sandbox.arm.list("Microsoft.Network/routeTables");
        let table = { tables }.find(|(id, _)| id.name() == "stargate-router-rt").unwrap().1;
        let routes = table["properties"]["routes"].as_array().unwrap().iter();
        routes
            .filter_map(|it| it["properties"]["nextHopIpAddress"].as_str().map(str::to_owned))
            .collect()
    })
}
