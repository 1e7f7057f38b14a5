//! Everything that stargate does on Kubernetes, by its own client: once against
//! the sandbox's API server, and, where there is one, against a real one.
//!
//! There is one body. What it expects is written down once, so the two servers
//! answer the same or one of the tests fails. `tests/kubernetes/run` starts a real
//! cluster and names its kubeconfig in `STARGATE_CLUSTER_KUBECONFIG`.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "how many checks held is what a run is looked at for")]

mod api_server;
mod body;
mod certificates;
mod definitions;
mod drains;
mod joining;
mod manifests;
mod nodes;
mod records;
mod refusals;
mod rights;
mod sandbox;
mod tokens;
mod verdicts;
mod watches;

use api_server::ApiServer;

const REAL_CLUSTER: &str = "STARGATE_CLUSTER_KUBECONFIG";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sandbox_answers_as_a_cluster_does() {
    let sandbox = sandbox::start().await;
    let server = ApiServer::connect(&sandbox.kubeconfig).await;
    let verdicts = body::run(&server).await;
    sandbox.stop().await;
    verdicts.conclude("the sandbox");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_cluster_answers() {
    let Ok(path) = std::env::var(REAL_CLUSTER) else {
        println!("skipped: {REAL_CLUSTER} names no kubeconfig (see tests/kubernetes/run)");
        return;
    };
    let kubeconfig = std::fs::read_to_string(&path).unwrap();
    let server = ApiServer::connect(&kubeconfig).await;
    body::run(&server).await.conclude("the real cluster");
}
