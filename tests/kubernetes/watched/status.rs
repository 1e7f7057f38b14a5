//! The status of the Topology object: written when something changed, and only then.

use serde_json::{Value, json};
use stargate::sandbox::faults::{self, Fault};
use stargate::watch::{ReconcileResult, Trigger};

use super::replica::Replica;
use super::stage::{Stage, text};

pub(super) const TOPOLOGY: &str =
    "/apis/stargate.io/v1alpha1/namespaces/stargate/topologies/stargate-aks-e2e-2";

pub(super) async fn check(stage: &Stage) {
    let watched = text("apply = \"none\"");
    let deployment = stage.deployment(&watched, None);
    let replica = Replica::start("replica-a", deployment, &watched);
    replica.results_in(ReconcileResult::Matches).await;
    replica.is_idle().await;
    let first = stage.object(TOPOLOGY).await;
    assert_eq!(condition(&first, "Ready"), json!("True"), "{first:#}");
    assert_eq!(first["status"]["pairs"]["broken"], 0, "{first:#}");
    assert_eq!(first["status"]["workers"]["ready"], 2, "{first:#}");
    for _ in 0..3 {
        request(&replica).await;
    }
    let unchanged = stage.object(TOPOLOGY).await;
    assert_eq!(version(&unchanged), version(&first), "written while nothing changed");

    inject(stage, Fault::RouteMissing);
    request(&replica).await;
    let waiting = stage.object(TOPOLOGY).await;
    assert_eq!(condition(&waiting, "Ready"), json!("False"), "{waiting:#}");
    let digest = waiting["status"]["pendingApproval"]["digest"].clone();
    assert!(digest.is_string(), "{waiting:#}");
    request(&replica).await;
    assert_eq!(version(&stage.object(TOPOLOGY).await), version(&waiting));

    let approval = json!({ "metadata": { "annotations": { "stargate.io/approve": digest } } });
    let annotated = stage.admin.merge(TOPOLOGY, &approval).await;
    assert_eq!(annotated.code, 200, "{annotated:?}");
    replica.results_in(ReconcileResult::Matches).await;
    replica.is_idle().await;
    let approved = stage.object(TOPOLOGY).await;
    assert_eq!(condition(&approved, "Ready"), json!("True"), "{approved:#}");
    assert!(approved["metadata"]["annotations"]["stargate.io/approve"].is_null(), "{approved:#}");
    replica.end().await;
    println!(
        "the Topology object: versions {}, {} and {}, and none while nothing changed",
        version(&first),
        version(&waiting),
        version(&approved)
    );
}

async fn request(replica: &Replica) {
    let before = replica.log.finished().len();
    replica.triggers.add(Trigger::Request);
    while replica.log.finished().len() == before {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    replica.is_idle().await;
}

fn inject(stage: &Stage, fault: Fault) {
    stage.sandbox.change(|sandbox, now| faults::inject(sandbox, fault, None, now)).unwrap();
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned()
}

fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|it| it["type"] == kind);
    found.map(|it| it["status"].clone()).unwrap_or_default()
}
