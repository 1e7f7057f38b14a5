//! Everything that stargate does with Kubernetes, through its own client: against the sandbox's API
//! server and, if available, against a real one.
//!
//! Both servers run the same test with the same expectations, so a difference between them fails
//! one of the runs. `tests/kubernetes/run` starts a real cluster and sets
//! `STARGATE_CLUSTER_KUBECONFIG` to its kubeconfig.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "how many checks held is what a run is looked at for")]

#[path = "../e2e/api_use.rs"]
mod api_use;
#[path = "../e2e/harness.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod harness;
#[path = "../e2e/refresh_options.rs"]
#[expect(dead_code, reason = "the whole loop's tests use all of it")]
mod refresh_options;
#[path = "../e2e/watch_harness.rs"]
#[expect(dead_code, reason = "the watch's own tests use all of it")]
mod watch_harness;

mod api_server;
mod body;
mod certificates;
mod check_log;
mod definitions;
mod drains;
mod joining;
mod leases;
mod manifests;
mod nodes;
mod operations;
mod records;
mod refusals;
mod rights;
mod sandbox;
mod tokens;
mod topologies;
mod watched;
mod watches;

use api_server::ApiServer;

const REAL_CLUSTER: &str = "STARGATE_CLUSTER_KUBECONFIG";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_behaves_like_a_cluster() {
    let sandbox = sandbox::start().await;
    let server = ApiServer::connect(&sandbox.kubeconfig).await;
    let check_log = body::run(&server).await;
    sandbox.stop().await;
    check_log.report("the sandbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_behaves_as_expected() {
    let Ok(path) = std::env::var(REAL_CLUSTER) else {
        println!("skipped: {REAL_CLUSTER} names no kubeconfig (see tests/kubernetes/run)");
        return;
    };
    let kubeconfig = std::fs::read_to_string(&path).unwrap();
    let server = ApiServer::connect(&kubeconfig).await;
    body::run(&server).await.report("the real cluster");
}
