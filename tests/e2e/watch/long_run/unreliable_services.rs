//! Services that refuse and lose calls for a time, and the count of what they were asked.

use std::collections::BTreeMap;
use std::sync::Mutex;

use stargate::provider::http::Api;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use super::Rng;

/// The fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// One call in ten is refused with 429 or 503, or it or its answer is lost.
    SomeCalls,
    /// No host answers.
    Hosts,
}

/// Decides by a seed which calls fail.
#[derive(Debug)]
pub(super) struct UnreliableServices(Mutex<State>);

#[derive(Debug)]
struct State {
    rng: Rng,
    trouble: Trouble,
    lease_writes: u64,
    reads: BTreeMap<Api, u64>,
}

impl UnreliableServices {
    pub(super) fn new(seed: u64) -> Self {
        let rng = Rng { seed: seed ^ 0x5eed, thrown: 0, divisor: 1 };
        let (trouble, reads) = (Trouble::None, BTreeMap::new());
        Self(Mutex::new(State { rng, trouble, lease_writes: 0, reads }))
    }

    /// Sets what goes wrong from now on.
    pub(super) fn set(&self, trouble: Trouble) {
        self.0.lock().unwrap().trouble = trouble;
    }

    /// How many writes of Leases were made.
    pub(super) fn lease_writes(&self) -> u64 {
        self.0.lock().unwrap().lease_writes
    }

    /// How many reads were made, without those of Leases.
    pub(super) fn reads(&self) -> BTreeMap<Api, u64> {
        self.0.lock().unwrap().reads.clone()
    }
}

impl FaultInjector for UnreliableServices {
    fn before(&self, call: &Call) -> Disposition {
        let mut state = self.0.lock().unwrap();
        let is_host = matches!(call, Call::Host { .. });
        match state.trouble {
            Trouble::SomeCalls if is_host => match state.rng.below(20) {
                0 => Disposition::Lose,
                _ => Disposition::Pass,
            },
            Trouble::SomeCalls => match state.rng.below(40) {
                0 => Disposition::Refuse { status: 429, retry_after: Some(3) },
                1 => Disposition::Refuse { status: 503, retry_after: None },
                2 => Disposition::Lose,
                _ => Disposition::Pass,
            },
            Trouble::Hosts if is_host => Disposition::Lose,
            Trouble::Hosts | Trouble::None => Disposition::Pass,
        }
    }

    fn after(&self, call: &Call) -> Delivery {
        let mut state = self.0.lock().unwrap();
        if let Call::Request { api, path, .. } = call {
            match (path.contains("/leases"), call.writes()) {
                (true, true) => state.lease_writes += 1,
                (false, false) => *state.reads.entry(*api).or_default() += 1,
                _ => {}
            }
        }
        match state.trouble == Trouble::SomeCalls && state.rng.below(40) == 0 {
            true => Delivery::Lose,
            false => Delivery::Deliver,
        }
    }
}
