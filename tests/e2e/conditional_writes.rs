//! Writes to AKS carry the ETag of the body that they are based on: what another client changes
//! between the read and the write is not lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use stargate::apply::ApplyStatus;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::{SandboxState, SharedSandbox};

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use crate::node_pools::{cluster_id, live_pools};
use crate::upgrades::with_versions;

/// Changes the cluster right before the first PUTs to a path.
#[derive(Debug)]
struct OtherClient {
    sandbox: SharedSandbox,
    path: &'static str,
    change: fn(&mut Value),
    /// How often it still does.
    left: AtomicUsize,
}

impl OtherClient {
    /// Acts once from now on.
    fn start(deployment: &Deployment, path: &'static str, change: fn(&mut Value)) -> Arc<Self> {
        Self::start_times(deployment, path, change, 1)
    }

    /// Acts so many times from now on.
    fn start_times(
        deployment: &Deployment,
        path: &'static str,
        change: fn(&mut Value),
        times: usize,
    ) -> Arc<Self> {
        let sandbox = deployment.sandbox.clone();
        let client = Arc::new(Self { sandbox, path, change, left: AtomicUsize::new(times) });
        deployment.sandbox.set_fault_injector(Some(client.clone()));
        client
    }
}

impl FaultInjector for OtherClient {
    fn before(&self, call: &Call) -> Disposition {
        let is_it = matches!(call, Call::Request { method, path, .. }
            if *method == http::Method::PUT && path.ends_with(self.path));
        let take = |left: usize| left.checked_sub(1);
        if is_it && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok() {
            self.sandbox.change(|sandbox, _| {
                let SandboxState { arm, entropy, .. } = sandbox;
                arm.modify(&cluster_id(), self.change, &mut || entropy.next_guid());
            });
        }
        Disposition::Pass
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// Applies an edit beside another client, and leaves nothing to do.
async fn converges(deployment: &Deployment, client: &OtherClient) {
    let applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    assert_eq!(client.left.load(Ordering::SeqCst), 0, "too little was written");
    let left = deployment.plan().await;
    assert!(left.is_empty(), "{}", summary(&left));
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_node_pool_by_others_is_kept() {
    let deployment = Deployment::example_applied().await;
    let edited = deployment.edited(&EXAMPLE.replace("max = 5", "max = 6"));
    let client = OtherClient::start(&edited, "/agentPools/nodepool1", |body| {
        body["properties"]["agentPoolProfiles"][0]["tags"]["cost"] = json!("7");
    });
    converges(&edited, &client).await;
    let pool = live_pools(&edited).remove(0);
    assert_eq!((&pool["tags"]["cost"], &pool["maxCount"]), (&json!("7"), &json!(6)), "{pool:#}");
}

/// Another client may be quicker more than once.
#[tokio::test(start_paused = true)]
async fn several_changes_by_others_are_kept() {
    let deployment = Deployment::example_applied().await;
    let edited = deployment.edited(&EXAMPLE.replace("max = 5", "max = 6"));
    let change = |body: &mut Value| {
        let tags = &mut body["properties"]["agentPoolProfiles"][0]["tags"];
        tags["cost"] = json!(format!("{}1", tags["cost"].as_str().unwrap_or_default()));
    };
    let client = OtherClient::start_times(&edited, "/agentPools/nodepool1", change, 3);
    converges(&edited, &client).await;
    let pool = live_pools(&edited).remove(0);
    assert_eq!((&pool["tags"]["cost"], &pool["maxCount"]), (&json!("111"), &json!(6)), "{pool:#}");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_cluster_by_others_is_kept() {
    let earlier = with_versions(EXAMPLE, "1.33.4", "1.33.4");
    let deployment = Deployment::of(&earlier, SandboxState::new(31));
    deployment.iterate().await;
    let edited = deployment.edited(&with_versions(EXAMPLE, "1.33.5", "1.33.5"));
    let client = OtherClient::start(&edited, "/managedClusters/stargate-aks-e2e-2", |body| {
        body["tags"]["cost"] = json!("7");
    });
    converges(&edited, &client).await;
    let cluster = edited.sandbox.read(|sandbox| sandbox.arm.get(&cluster_id()).cloned()).unwrap();
    let version = &cluster["properties"]["currentKubernetesVersion"];
    assert_eq!((&cluster["tags"]["cost"], version), (&json!("7"), &json!("1.33.5")), "{cluster:#}");
}
