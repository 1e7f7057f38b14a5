//! Replicas that watch a folder share its topologies.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use stargate::provider::access::ClusterAccess;
use stargate::provider::cluster::LeaseRequest;
use stargate::provider::read_write::ClusterWrite;
use stargate::resource::names::TopologyName;
use stargate::watch::{Leadership, ReplicaRole, SharedLeadership, Triggers};
use tokio::time::{Instant, sleep};

use crate::harness::{Deployment, RefreshOptions};

const TOPOLOGIES: u32 = 6;
/// Another replica leads at the latest after this time.
const MAX_FAILOVER: Duration = Duration::from_secs(20);

/// The cluster in which replicas elect the leader of each topology.
struct Electorate {
    _deployment: Deployment,
    access: ClusterAccess,
    client: Arc<dyn ClusterWrite>,
}

impl Electorate {
    async fn new() -> Self {
        let deployment = Deployment::example_applied().await;
        let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let access = planned.observation.cluster_access().unwrap().clone();
        let client = access.credentials.connect(&deployment.clients).await.unwrap();
        Self { _deployment: deployment, access, client }
    }

    /// Takes part in all elections, and waits until each is decided.
    async fn join(&self, name: &'static str) -> Replica {
        self.join_refused(name, false).await
    }

    async fn join_refused(&self, name: &'static str, is_refused: bool) -> Replica {
        let (share, triggers) = (SharedLeadership::default(), Triggers::default());
        let topologies = (0..TOPOLOGIES).map(|number| {
            let topology = TopologyName::new(format!("lab-{number}"));
            Leadership::new(&topology, name, triggers.clone()).sharing(share.clone())
        });
        let topologies = topologies.collect();
        let replica = Replica { name, share, topologies, triggers, is_refused };
        replica.decided(self).await;
        replica
    }
}

/// A replica of the watch of all topologies.
struct Replica {
    name: &'static str,
    share: SharedLeadership,
    topologies: Vec<Leadership>,
    triggers: Triggers,
    /// Whether a service refuses its credential.
    is_refused: bool,
}

impl Replica {
    /// Finishes a reconcile of each topology.
    async fn decided(&self, electorate: &Electorate) {
        join_all(self.topologies.iter().map(|topology| async {
            let reconcile = topology.begin_reconcile().await;
            topology.fitness().note_read(!self.is_refused);
            let client = Arc::clone(&electorate.client);
            let role = topology.decided(&electorate.access, client, Timestamp::now()).await;
            let leads = matches!(role, ReplicaRole::Leader(_));
            if leads {
                topology.fitness().note_work(!self.is_refused);
            }
            reconcile.end(leads && (!self.is_refused || topology.fitness().is_failing()));
        }))
        .await;
    }

    /// The topologies that it leads: that may be none of them for a moment.
    fn led(&self) -> BTreeSet<usize> {
        let leads = |it: &Leadership| match it.role() {
            ReplicaRole::Leader(validity) => validity.now() == Some(true),
            _ => false,
        };
        (0..self.topologies.len()).filter(|number| leads(&self.topologies[*number])).collect()
    }

    async fn resign(self) {
        for topology in &self.topologies {
            topology.resign().await.unwrap();
        }
        assert_eq!(self.share.count(), 0);
    }
}

/// Watches the shares of replicas for a time: no topology has two leaders, and none is without
/// one for longer than a failover takes. The leaders of the former topologies finish a reconcile
/// every ten seconds. Returns the number of moves, and when the last one was.
async fn observe(replicas: &[Replica], electorate: &Electorate, time: Duration) -> (u32, Duration) {
    let (begin, mut moves, mut last) = (Instant::now(), 0, Duration::ZERO);
    let mut leaders: BTreeMap<usize, &str> = BTreeMap::new();
    let mut led_at: BTreeMap<usize, Instant> = BTreeMap::new();
    for turn in 0_u32.. {
        let now = Instant::now();
        if now - begin >= time {
            break;
        }
        let mut found = BTreeMap::new();
        for replica in replicas {
            for number in replica.led() {
                let other = found.insert(number, replica.name);
                assert_eq!(other, None, "{} leads lab-{number}, too", replica.name);
            }
        }
        for number in 0..usize::try_from(TOPOLOGIES).unwrap() {
            let Some(leader) = found.get(&number) else {
                let since = now - *led_at.entry(number).or_insert(begin);
                assert!(since < MAX_FAILOVER, "lab-{number} has had no leader for {since:?}");
                continue;
            };
            led_at.insert(number, now);
            if leaders.insert(number, leader).is_some_and(|former| former != *leader) {
                (moves, last) = (moves + 1, now - begin);
            }
        }
        if turn % 100 == 99 {
            join_all(replicas.iter().map(|replica| replica.decided(electorate))).await;
        }
        sleep(Duration::from_millis(100)).await;
    }
    (moves, last)
}

fn shares(replicas: &[Replica]) -> Vec<usize> {
    let mut shares: Vec<usize> = replicas.iter().map(|it| it.led().len()).collect();
    shares.sort_unstable();
    shares
}

#[tokio::test(start_paused = true)]
async fn replicas_that_start_together_share_the_topologies() {
    let electorate = Electorate::new().await;
    let (first, second) = tokio::join!(electorate.join("first"), electorate.join("second"));
    let replicas = [first, second];
    assert_eq!(shares(&replicas).iter().sum::<usize>(), TOPOLOGIES as usize);
    assert!(shares(&replicas)[0] >= 1, "{:?}", shares(&replicas));
    observe(&replicas, &electorate, Duration::from_secs(120)).await;
    assert_eq!(shares(&replicas), [3, 3]);
    for replica in replicas {
        replica.resign().await;
    }
}

/// Each replica that starts late gets its share, and then nothing moves any more; one that is
/// killed is followed within 20 seconds, and the shares become equal again.
#[tokio::test(start_paused = true)]
async fn topologies_move_to_replicas_that_start_late_and_then_stay() {
    let electorate = Electorate::new().await;
    let mut replicas = vec![electorate.join("first").await];
    assert_eq!(shares(&replicas), [6]);
    for (name, expected, max_moves) in [("second", vec![3, 3], 3), ("third", vec![2, 2, 2], 2)] {
        replicas.push(electorate.join(name).await);
        let (moves, last) = observe(&replicas, &electorate, Duration::from_secs(900)).await;
        let _ = writeln!(
            std::io::stderr(),
            "{} replicas: {moves} moves, the last one after {last:?}",
            replicas.len()
        );
        assert_eq!((shares(&replicas), moves), (expected, max_moves));
        assert!(last < Duration::from_secs(60), "the last move was after {last:?}");
    }
    let killed = replicas.remove(0);
    let lost = killed.led();
    drop(killed);
    let begin = Instant::now();
    while shares(&replicas).iter().sum::<usize>() < TOPOLOGIES as usize {
        sleep(Duration::from_millis(100)).await;
        assert!(begin.elapsed() < MAX_FAILOVER, "{:?} after {lost:?}", shares(&replicas));
    }
    let _ = writeln!(std::io::stderr(), "others lead all of them after {:?}", begin.elapsed());
    observe(&replicas, &electorate, Duration::from_secs(120)).await;
    assert_eq!(shares(&replicas), [3, 3]);
    for replica in replicas {
        replica.resign().await;
    }
}

/// A topology that is being reconciled stays where it is, and so does one whose leader
/// remembers what another replica would not know.
#[tokio::test(start_paused = true)]
async fn a_topology_moves_between_reconciles_only() {
    let electorate = Electorate::new().await;
    let first = electorate.join("first").await;
    let mut running = Vec::new();
    for topology in &first.topologies {
        running.push(topology.begin_reconcile().await);
    }
    first.triggers.take();
    let second = electorate.join("second").await;
    sleep(Duration::from_secs(300)).await;
    assert_eq!((first.led().len(), second.led().len()), (6, 0), "each is being reconciled");
    running.into_iter().for_each(|reconcile| reconcile.end(false));
    sleep(Duration::from_secs(300)).await;
    assert_eq!((first.led().len(), second.led().len()), (6, 0), "none may move");
    first.topologies[4].begin_reconcile().await.end(true);
    sleep(Duration::from_secs(300)).await;
    assert_eq!(second.led(), BTreeSet::from([4]));
    // The former leader learns of the other one, and the other one reconciles at once.
    assert_eq!(first.topologies[4].leader_elsewhere().as_deref(), Some("second"));
    assert!(first.triggers.waiting() > 0 && second.triggers.waiting() > 0);
    first.resign().await;
    second.resign().await;
}

/// A replica that cannot read everything requests nothing; it gets its share once it can. One
/// that leads already and cannot reconcile any more gives all away.
#[tokio::test(start_paused = true)]
async fn a_replica_that_cannot_reconcile_leads_nothing() {
    let electorate = Electorate::new().await;
    let first = electorate.join("first").await;
    let mut replicas = [first, electorate.join_refused("second", true).await];
    let (moves, _) = observe(&replicas, &electorate, Duration::from_secs(900)).await;
    assert_eq!((moves, replicas[0].led().len()), (0, 6));
    replicas[1].is_refused = false;
    let (moves, _) = observe(&replicas, &electorate, Duration::from_secs(120)).await;
    assert_eq!((moves, shares(&replicas)), (3, vec![3, 3]));
    replicas[0].is_refused = true;
    let (moves, last) = observe(&replicas, &electorate, Duration::from_secs(900)).await;
    let _ = writeln!(std::io::stderr(), "the last topology was given away after {last:?}");
    assert_eq!((moves, replicas[1].led().len()), (3, 6));
    assert!(last < Duration::from_secs(120), "{last:?}");
    for replica in replicas {
        replica.resign().await;
    }
}

/// Neither of them can reconcile: no topology goes back and forth.
#[tokio::test(start_paused = true)]
async fn replicas_that_fail_do_not_exchange_topologies() {
    let electorate = Electorate::new().await;
    let mut replicas = [electorate.join("first").await, electorate.join("second").await];
    observe(&replicas, &electorate, Duration::from_secs(120)).await;
    assert_eq!(shares(&replicas), [3, 3]);
    replicas.iter_mut().for_each(|it| it.is_refused = true);
    let (moves, _) = observe(&replicas, &electorate, Duration::from_secs(3_600)).await;
    assert!(moves <= TOPOLOGIES, "{moves} moves");
    let (moves, _) = observe(&replicas, &electorate, Duration::from_secs(3_600)).await;
    assert_eq!(moves, 0);
    for replica in replicas {
        replica.resign().await;
    }
}

/// Each holder's count is its own: neither the next holder has it before it renews, nor one that
/// does not share.
#[tokio::test(start_paused = true)]
async fn a_lease_does_not_keep_what_its_former_holder_said_of_itself() {
    const LEASE: &str = "stargate-leader-lab-0";
    const OTHER: &str = "stargate-leader-lab-1";
    let electorate = Electorate::new().await;
    let first = electorate.join("first").await;
    sleep(Duration::from_secs(10)).await;
    let lease = electorate.client.lease(LEASE).await.unwrap().unwrap();
    assert_eq!(lease.held(), Some(TOPOLOGIES));
    let request = LeaseRequest { by: "third".to_owned(), held: 0 };
    electorate.client.request_lease(LEASE, &lease, &request).await.unwrap();
    let lease = loop {
        sleep(Duration::from_millis(100)).await;
        let lease = electorate.client.lease(LEASE).await.unwrap().unwrap();
        if lease.holder != "first" {
            break lease;
        }
    };
    assert_eq!((lease.holder.as_str(), lease.held(), lease.request()), ("third", None, None));
    drop(first);

    // A holder of a single file takes over what a process that was killed left.
    let left = electorate.client.lease(OTHER).await.unwrap().unwrap();
    assert!(left.held().is_some(), "{left:?}");
    let single = Leadership::new(&TopologyName::new("lab-1"), "single", Triggers::default());
    let client = Arc::clone(&electorate.client);
    single.decided(&electorate.access, client, Timestamp::now()).await;
    sleep(Duration::from_secs(30)).await;
    let lease = electorate.client.lease(OTHER).await.unwrap().unwrap();
    assert_eq!((lease.holder.as_str(), lease.held()), ("single", None));
    single.resign().await.unwrap();
}

/// A request changes the Lease, and is no sign of life of its holder.
#[tokio::test(start_paused = true)]
async fn requests_do_not_keep_the_lease_of_a_killed_leader_alive() {
    const LEASE: &str = "stargate-leader-lab-0";
    let electorate = Electorate::new().await;
    let first = electorate.join("first").await;
    let mut running = Vec::new();
    for topology in &first.topologies {
        running.push(topology.begin_reconcile().await);
    }
    let second = electorate.join("second").await;
    sleep(Duration::from_secs(10)).await;
    drop(running);
    drop(first);
    let begin = Instant::now();
    for held in 0_u32.. {
        let lease = electorate.client.lease(LEASE).await.unwrap().unwrap();
        if lease.holder != "first" {
            break;
        }
        let request = LeaseRequest { by: "third".to_owned(), held };
        electorate.client.request_lease(LEASE, &lease, &request).await.unwrap();
        sleep(Duration::from_millis(3_100)).await;
        assert!(begin.elapsed() < MAX_FAILOVER, "it is led by a process that was killed");
    }
    let _ = writeln!(std::io::stderr(), "another replica leads after {:?}", begin.elapsed());
    second.resign().await;
}
