//! Moves of existing machines that do not answer at their new place: the worker, its records and
//! its objects stay as they are, and the report says why.

use serde_json::Value;
use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;

use crate::harness::{Deployment, TWO_DATACENTERS, failures};
use crate::moves::{allowing_loss, applied, edit, pairs};

const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";
const LOFT: &str = "\n[datacenters.loft]\npod_pool = \"10.244.160.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.loft.existing]\nnetwork_cidr = \"10.61.0.0/16\"\n\n\
    [datacenters.loft.router]\nname = \"loft-router\"\nip = \"10.61.0.4\"\n\n\
    [[datacenters.loft.workers]]\nname = \"loft-a\"\nip = \"10.61.1.5\"\nmac = \
    \"52:54:00:00:02:05\"\n";
const IN_LOFT: &str = "\n[[datacenters.loft.workers]]\nname = \"attic-a\"\nip = \"10.61.1.9\"\n\
    mac = \"52:54:00:00:00:05\"\n";

/// The objects of a worker in the cluster, without what changes by itself.
fn objects(deployment: &Deployment) -> Vec<Value> {
    let spec = |api: &str, kind: &str, namespace: Option<&str>| {
        deployment.sandbox.read(|sandbox| {
            let store = sandbox.kubernetes.as_ref().unwrap();
            let object = store.get(api, kind, namespace, "attic-a").unwrap();
            serde_json::json!([object["spec"], object["metadata"]["labels"]])
        })
    };
    vec![
        spec("v1", "Node", None),
        spec("cilium.io/v2", "CiliumNode", None),
        spec("stargate.io/v1alpha1", "Server", Some("stargate")),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_failed_move_leaves_the_worker_and_its_records() {
    let both = format!("{TWO_DATACENTERS}{LOFT}");
    let elsewhere = edit(&both, &[(ATTIC_A, "")]) + IN_LOFT;
    let cases = [
        ("another address", TWO_DATACENTERS, edit(TWO_DATACENTERS, &[("10.60.1.5", "10.60.1.9")])),
        (
            "another pod CIDR, too",
            TWO_DATACENTERS,
            edit(
                TWO_DATACENTERS,
                &[("ip = \"10.60.1.5\"\n", "ip = \"10.60.1.9\"\npod_cidr = \"10.244.140.0/24\"\n")],
            ),
        ),
        ("another datacenter", &both, elsewhere),
    ];
    for (name, before, text) in cases {
        let before = applied(before, 23).await;
        let (all, records) = (pairs(&before), objects(&before));
        let deployment = before.edited(&text);
        for _ in 0..2 {
            let applied = deployment.apply(&allowing_loss()).await;
            let report = format!("{name}\n{}", failures(&applied).join("\n"));
            assert!(matches!(applied.status, ApplyStatus::Partial(_)), "{report}");
            assert!(report.contains("its new host was probed first"), "{report}");
            let is_half = |it: &Outcome| matches!(it, Outcome::HalfReplaced { .. });
            assert!(!applied.outcomes.values().any(is_half), "{report}");
            assert_eq!(objects(&deployment), records, "{report}");
            assert_eq!(pairs(&deployment), all, "{report}");
        }
    }
}
