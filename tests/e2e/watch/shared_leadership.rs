//! Replicas that watch a folder share its topologies.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::Timestamp;
use stargate::resource::names::TopologyName;
use stargate::watch::{Leadership, ReplicaRole, SharedLeadership, Triggers};

use crate::harness::{Deployment, RefreshOptions};

const TOPOLOGIES: u32 = 8;

/// Each topology has one leader, and none of two replicas that start together leads all.
#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_share_the_topologies() {
    let deployment = Deployment::example_applied().await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let access = planned.observation.cluster_access().unwrap();
    let client = access.credentials.connect(&deployment.clients).await.unwrap();
    let (first, second) = (SharedLeadership::default(), SharedLeadership::default());
    let mut candidates = Vec::new();
    for (holder, share) in [("first", &first), ("second", &second)] {
        for number in 0..TOPOLOGIES {
            let topology = TopologyName::new(format!("lab-{number}"));
            let leadership = Leadership::new(&topology, holder, Triggers::default());
            candidates.push((topology, leadership.sharing(share.clone())));
        }
    }
    let decided = join_all(candidates.iter().map(|(topology, leadership)| {
        let decided = leadership.decided(access, client.clone(), Timestamp::now());
        async move { (topology.clone(), decided.await) }
    }))
    .await;
    let mut leaders: BTreeMap<TopologyName, u32> = BTreeMap::new();
    for (topology, role) in decided {
        let leads = matches!(role, ReplicaRole::Leader(_));
        *leaders.entry(topology).or_default() += u32::from(leads);
    }
    assert!(leaders.values().all(|count| *count == 1), "{leaders:?}");
    assert_eq!(first.count() + second.count(), TOPOLOGIES);
    assert!(first.count().min(second.count()) >= 2, "{} and {}", first.count(), second.count());
    for (_, leadership) in &candidates {
        leadership.resign().await.unwrap();
    }
    assert_eq!((first.count(), second.count()), (0, 0));
}
