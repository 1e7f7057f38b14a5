//! One world behind several doors.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::sync::watch;

use super::controllers;
use super::fault_injector::FaultInjector;
use super::world::World;

/// Tells the world's time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A world that doors, faces and the saver share.
#[derive(Clone)]
pub struct SharedWorld(Arc<Inside>);

struct Inside {
    world: Mutex<World>,
    changes: watch::Sender<u64>,
    clock: Clock,
    fault_injector: Mutex<Option<Arc<dyn FaultInjector>>>,
    hosts_take_time: AtomicBool,
}

impl SharedWorld {
    /// Shares a world that follows the wall clock.
    pub fn new(world: World) -> Self {
        Self::with_clock(world, Arc::new(Timestamp::now))
    }

    /// Shares a world with a clock of its own.
    pub fn with_clock(world: World, clock: Clock) -> Self {
        let (changes, _) = watch::channel(0);
        Self(Arc::new(Inside {
            world: Mutex::new(world),
            changes,
            clock,
            fault_injector: Mutex::new(None),
            hosts_take_time: AtomicBool::new(false),
        }))
    }

    /// Puts an interceptor between the in-memory doors and the world.
    pub fn set_interceptor(&self, fault_injector: Option<Arc<dyn FaultInjector>>) {
        *self.0.fault_injector.lock().unwrap_or_else(PoisonError::into_inner) = fault_injector;
    }

    /// The interceptor, if there is one.
    pub fn fault_injector(&self) -> Option<Arc<dyn FaultInjector>> {
        self.0.fault_injector.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has work on hosts take as long as on real machines, by tokio's clock:
    /// where that one is paused, nobody waits for it.
    pub fn let_hosts_take_time(&self) {
        self.0.hosts_take_time.store(true, Ordering::SeqCst);
    }

    /// Whether work on hosts takes time.
    pub(super) fn hosts_take_time(&self) -> bool {
        self.0.hosts_take_time.load(Ordering::SeqCst)
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        (self.0.clock)()
    }

    /// Looks at the world.
    pub fn read<T>(&self, look: impl FnOnce(&World) -> T) -> T {
        look(&self.lock())
    }

    /// Changes the world as one step, draws the consequences and wakes who waits.
    pub fn change<T>(&self, change: impl FnOnce(&mut World, Timestamp) -> T) -> T {
        let now = self.now();
        let result = {
            let mut world = self.lock();
            let result = change(&mut world, now);
            controllers::reconcile(&mut world, now);
            result
        };
        self.wake();
        result
    }

    /// Answers a request as [`World::handle`] does, and wakes who waits if it
    /// may have changed something.
    pub fn handle(
        &self,
        api: crate::provider::http::Api,
        request: &http::Request<bytes::Bytes>,
    ) -> super::Answer {
        let now = self.now();
        let answer = self.lock().handle(api, request, now);
        // Reading Azure can let an operation end, so a read may change the world too.
        self.wake();
        answer
    }

    /// Counts the changes; a receiver wakes with each.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn wake(&self) {
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SharedWorld {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SharedWorld").finish_non_exhaustive()
    }
}
