//! `stargate watch` with a real API server: Operations, the status of the Topology object, Leases,
//! and watches that are cut, silent and too old. Azure, the tailnet and the hosts are the sandbox's.

mod account;
mod events;
mod manifests;
mod mirror;
mod operations;
mod replica;
mod replicas;
mod requests;
mod stage;
mod status;
mod wire;

use tokio::task::LocalSet;

use stage::Stage;

/// The file with the process of the API server.
const PROCESS: &str = "STARGATE_CLUSTER_API_SERVER";
/// The URL of its etcd.
const ETCD: &str = "STARGATE_CLUSTER_ETCD";

/// Runs a part on the stage, if there is a real API server. `is_complete` says whether
/// stargate's own objects are there at its start.
async fn on_stage(is_complete: bool, part: impl AsyncFnOnce(&Stage)) {
    let Ok(path) = std::env::var(crate::REAL_CLUSTER) else {
        println!("skipped: {} names no kubeconfig (see tests/kubernetes/run)", crate::REAL_CLUSTER);
        return;
    };
    let kubeconfig = std::fs::read_to_string(&path).unwrap();
    LocalSet::new()
        .run_until(async {
            let stage = Stage::set(&kubeconfig).await;
            if is_complete {
                stage.complete().await;
            }
            part(&stage).await;
            stage.end().await;
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_loses_no_event() {
    on_stage(true, events::check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_requests_operations() {
    on_stage(true, operations::check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_keeps_the_status() {
    on_stage(true, status::check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_elects_one_replica() {
    on_stage(true, replicas::check).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_enforces_the_permissions() {
    on_stage(false, account::check).await;
}
