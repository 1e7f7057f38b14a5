//! A Lease whose holder is paused, or whose clock differs from those of others.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt as _;
use stargate::lease::{Acquisition, LeaseIdentity, LeaseLoss, LeaseSlot};
use stargate::provider::cluster::LeaseClaim;
use tokio::time::Instant;

use crate::harness::Deployment;
use crate::lease::{LEASE, Other, VALID, with_work};

/// Lets time pass in which this process does not run, as one that is paused.
fn pause(time: Duration) {
    let _ = tokio::time::advance(time).now_or_never();
}

/// A Lease of a watch that another process may take after 15 seconds.
async fn held_by_watch(deployment: &Deployment) -> (LeaseSlot, Arc<Mutex<Vec<String>>>) {
    let slot = LeaseSlot::new(LeaseIdentity::of_watch(&deployment.topology.name, "watch"));
    let lost: Arc<Mutex<Vec<String>>> = Arc::new(Mutex::default());
    let note = Arc::clone(&lost);
    let on_loss = move |loss: LeaseLoss| note.lock().unwrap().push(loss.to_string());
    let client = Other::of(deployment).await.0;
    let now = deployment.sandbox.now();
    let acquired = slot.acquire(client, now, &|_| (), on_loss).await.unwrap();
    assert_eq!(acquired, Acquisition::Free);
    (slot, lost)
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_nothing_begins_before_the_renewal() {
    let deployment = Deployment::example_applied().await;
    let (slot, lost) = held_by_watch(&deployment).await;
    let mut validity = slot.validity().await.unwrap();
    for seconds in [11, 600] {
        assert_eq!(validity.now(), Some(true));
        let writes = deployment.writes();
        pause(Duration::from_secs(seconds));
        assert_eq!(validity.now(), None, "its time may be over");
        assert!(validity.confirmed().await, "no other process has taken it");
        assert_eq!(deployment.writes(), writes + 1, "it was renewed");
    }
    assert_eq!(*lost.lock().unwrap(), Vec::<String>::new());
    slot.release().await.unwrap();
    assert_eq!(Other::of(&deployment).await.read().await, None);
}

/// Another process holds the Lease, or held it and has ended.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_over_during_a_pause_is_lost() {
    for is_held in [true, false] {
        let deployment = Deployment::example_applied().await;
        let (slot, lost) = held_by_watch(&deployment).await;
        let mut validity = slot.validity().await.unwrap();
        let other = Other::of(&deployment).await;
        other.hold("other process").await;
        if !is_held {
            let record = other.read().await.unwrap();
            other.0.delete_lease(LEASE, &record).await.unwrap();
        }
        pause(Duration::from_secs(16));
        assert!(!validity.confirmed().await);
        assert_eq!(validity.now(), Some(false));
        let reasons = lost.lock().unwrap().clone();
        let holder = if is_held { "other process" } else { "another process" };
        assert_eq!(reasons, [format!("{holder} has taken it over")]);
        slot.release().await.unwrap();
        let left = other.read().await.map(|it| it.holder);
        assert_eq!(left.as_deref(), is_held.then_some("other process"), "it is not ours");
    }
}

/// Times of day are never compared: one that is far ahead or far behind does not matter.
#[tokio::test(start_paused = true)]
async fn another_clock_neither_extends_nor_ends_a_lease() {
    for time in ["1990-01-01T00:00:00Z", "2090-01-01T00:00:00Z"] {
        let deployment = with_work().await;
        let other = Other::of(&deployment).await;
        let (now, previous) = (time.parse().unwrap(), None);
        let claim = LeaseClaim {
            name: LEASE,
            holder: "other",
            duration: VALID,
            now,
            annotations: &Default::default(),
            previous,
        };
        other.0.write_lease(claim).await.unwrap();
        let begin = Instant::now();
        deployment.iterate().await;
        let took = begin.elapsed();
        assert!(took >= VALID && took < VALID * 2, "{took:?}");
    }
}
