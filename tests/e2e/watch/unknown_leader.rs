//! Replicas while nothing says which of them leads.

use std::time::Duration;

use stargate::provider::http::Api as ServiceApi;
use stargate::sandbox::faults::Fault;
use stargate::watch::{ReconcileResult, Trigger};
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::replicas::{NAMES, Replica, end, is_right, leader, until_idle};
use super::watched;
use crate::harness::Deployment;

/// While the API server does not answer, it is unknown which replica leads: none makes
/// changes, in Azure and the tailnet neither.
#[tokio::test(start_paused = true)]
async fn no_replica_makes_changes_while_the_leader_is_unknown() {
    let deployment = Deployment::example_applied().await;
    LocalSet::new()
        .run_until(async {
            let start = |name: &&'static str| Replica::start(name, &deployment, &watched(""));
            let replicas: Vec<Replica> = NAMES[..2].iter().map(start).collect();
            leader(&replicas, &deployment.sandbox).await;
            until_idle(&replicas).await;
            let request = || replicas.iter().for_each(|it| it.triggers.add(Trigger::Request));
            deployment.sandbox.change(|sandbox, _| sandbox.down.insert(ServiceApi::Kubernetes));
            deployment.inject(Fault::TailnetRouteUnapproved, None);
            for _ in 0..5 {
                request();
                sleep(Duration::from_secs(60)).await;
            }
            assert!(replicas.iter().all(|it| it.changes() == 0));
            assert!(replicas.iter().any(|it| it.last_result() == Some(ReconcileResult::Failed)));
            deployment.sandbox.change(|sandbox, _| sandbox.down.clear());
            sleep(Duration::from_secs(60)).await;
            request();
            until_idle(&replicas).await;
            assert_eq!(replicas.iter().filter(|it| it.changes() > 0).count(), 1);
            is_right(&replicas, &deployment).await;
            end(replicas, &deployment).await;
        })
        .await;
}
