use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_secs(300);
const KEY: &str = "lab";

fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn middle() -> f64 {
    0.5
}

/// A queue of one topology that was reconciled at a time.
fn after_start(now: Instant) -> WorkQueue<'static, &'static str> {
    let mut queue = WorkQueue::new(&middle);
    queue.insert(KEY, INTERVAL, now);
    assert_eq!(queue.begin(now), Some((KEY, [Trigger::Start].into())));
    queue.end(&KEY, true, now);
    queue
}

#[test]
fn the_first_reconcile_is_due_at_once_and_the_next_after_the_interval() {
    let now = Instant::now();
    let mut queue = after_start(now);
    assert_eq!(queue.due(), Some(now + INTERVAL));
    assert_eq!(queue.begin(now + INTERVAL - milliseconds(1)), None);
    assert_eq!(queue.begin(now + INTERVAL), Some((KEY, [Trigger::Interval].into())));
}

#[test]
fn intervals_vary_by_a_tenth() {
    let now = Instant::now();
    for (drawn, desired) in [(0.0, 270), (1.0, 330)] {
        let jitter = move || drawn;
        let mut queue = WorkQueue::new(&jitter);
        queue.insert(KEY, INTERVAL, now);
        queue.begin(now);
        queue.end(&KEY, true, now);
        let wait = queue.due().unwrap() - now;
        assert!(wait.abs_diff(Duration::from_secs(desired)) < milliseconds(1), "{wait:?}");
    }
}

#[test]
fn edits_are_read_once_they_end() {
    let start = Instant::now();
    let mut queue = after_start(start);
    let begin = start + Duration::from_secs(10);
    let mut now = begin;
    for _ in 0..3 {
        queue.add(&KEY, Trigger::TopologyFile, now);
        assert_eq!(queue.due(), Some(now + milliseconds(500)));
        now += milliseconds(200);
    }
    // A file that is written all the time is still read.
    for _ in 0..100 {
        queue.add(&KEY, Trigger::TopologyFile, now);
        now += milliseconds(200);
    }
    assert_eq!(queue.due(), Some(begin + Duration::from_secs(5)));
    let taken = queue.begin(begin + Duration::from_secs(5));
    assert_eq!(taken, Some((KEY, [Trigger::TopologyFile].into())));
}

#[test]
fn a_request_does_not_wait_and_leaves_an_edit_that_is_still_written() {
    let start = Instant::now();
    let mut queue = after_start(start);
    let now = start + Duration::from_secs(1);
    queue.add(&KEY, Trigger::TopologyFile, now);
    queue.add(&KEY, Trigger::Request, now);
    assert_eq!(queue.begin(now), Some((KEY, [Trigger::Request].into())));
    queue.end(&KEY, true, now);
    assert_eq!(queue.due(), Some(now + milliseconds(500)));
}

#[test]
fn retries_wait_longer_each_time_up_to_the_interval() {
    let mut now = Instant::now();
    let mut queue = after_start(now);
    let mut waits = Vec::new();
    queue.add(&KEY, Trigger::Request, now);
    for _ in 0..9 {
        let due = queue.due().unwrap();
        now = now.max(due);
        queue.begin(now).unwrap();
        queue.end(&KEY, false, now);
        waits.push((queue.due().unwrap() - now).as_secs());
    }
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    // Events do not shorten the wait; a person's request does.
    queue.add(&KEY, Trigger::Cluster, now);
    assert_eq!(queue.due(), Some(now + INTERVAL));
    queue.add(&KEY, Trigger::Request, now);
    assert_eq!(queue.begin(now), Some((KEY, [Trigger::Request].into())));
    queue.end(&KEY, true, now);
    assert_eq!(
        queue.begin(now + INTERVAL).unwrap().1,
        [Trigger::Cluster, Trigger::Interval].into()
    );
}

/// The reconciles that events of the cluster lead to, of which each takes a time.
fn reconciles(events: &[u64], takes: u64) -> (usize, bool) {
    let start = Instant::now();
    let mut queue = after_start(start);
    let (mut count, mut ends, mut events) = (0, None, events.iter().copied().peekable());
    let mut last_event_seen = true;
    for passed in 0..5_000 {
        let now = start + milliseconds(passed);
        while events.next_if_eq(&passed).is_some() {
            queue.add(&KEY, Trigger::Cluster, now);
            last_event_seen = false;
        }
        if ends == Some(passed) {
            queue.end(&KEY, true, now);
            ends = None;
        }
        if queue.begin(now).is_some() {
            assert_eq!(ends, None, "two reconciles of one topology at once");
            count += 1;
            last_event_seen = true;
            ends = Some(passed + takes.max(1));
        }
    }
    (count, last_event_seen)
}

proptest! {
    #[test]
    fn events_within_a_second_lead_to_at_most_three_reconciles(
        mut events in prop::collection::vec(0_u64..1_000, 1..200), takes in 0_u64..2_000,
    ) {
        events.sort_unstable();
        let (count, last_event_seen) = reconciles(&events, takes);
        prop_assert!((1..=3).contains(&count), "{count} reconciles");
        prop_assert!(last_event_seen, "no reconcile began after the last event");
    }

    #[test]
    fn one_topology_is_never_reconciled_twice_at_once(
        steps in prop::collection::vec((0_usize..3, 0_u8..4, 0_u64..4_000), 1..200),
    ) {
        let mut now = Instant::now();
        let mut queue = WorkQueue::new(&middle);
        (0..3).for_each(|key| queue.insert(key, INTERVAL, now));
        let mut running = BTreeSet::new();
        for (key, step, wait) in steps {
            now += milliseconds(wait);
            match step {
                0 => queue.add(&key, Trigger::Cluster, now),
                1 => queue.add(&key, Trigger::TopologyFile, now),
                2 if running.remove(&key) => queue.end(&key, wait % 3 != 0, now),
                _ => {}
            }
            while let Some((begun, triggers)) = queue.begin(now) {
                prop_assert!(running.insert(begun), "{begun} is reconciled twice at once");
                prop_assert!(!triggers.is_empty());
            }
            // Each topology is either reconciled or has a time at which it will be.
            prop_assert_eq!(queue.due().is_none(), running.len() == 3);
        }
    }
}
