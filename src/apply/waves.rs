//! The wave of workers that may begin, by the plan's rollout.

use std::collections::BTreeMap;

use super::events::Outcome;
use crate::diagnostics::counted;
use crate::plan::{Change, InWave, Plan, Rollout};
use crate::resource::Address;

/// How far the rollout of a plan is.
#[derive(Debug, Default)]
pub(super) struct Waves {
    rollout: Option<Rollout>,
    /// The wave of each change of a worker that has not ended.
    left: BTreeMap<Address, InWave>,
    /// How many of each wave have not ended.
    open: BTreeMap<u32, usize>,
    failed: u32,
}

/// The effect of a finished change on the rest of the rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RolloutDecision {
    /// Nothing.
    Nothing,
    /// This wave may begin.
    Begin(u32),
    /// Changes that have not started are not started, for this reason.
    Stop(String),
}

impl Waves {
    pub(super) fn of(plan: &Plan) -> Self {
        let place = |change: &Change| Some((change.address.clone(), change.wave?));
        Self::with(plan.rollout, plan.changes.iter().filter_map(place).collect())
    }

    fn with(rollout: Option<Rollout>, left: BTreeMap<Address, InWave>) -> Self {
        let mut open = BTreeMap::new();
        left.values().for_each(|wave| *open.entry(wave.number).or_default() += 1);
        Self { rollout, left, open, failed: 0 }
    }

    /// Whether a change belongs to a worker of a wave and has not ended.
    pub(super) fn contains(&self, address: &Address) -> bool {
        self.left.contains_key(address)
    }

    /// Notes how a change ended. A skipped change does not count: its cause
    /// is a dependency, not the rollout.
    pub(super) fn ended(&mut self, address: &Address, outcome: &Outcome) -> RolloutDecision {
        let (Some(rollout), Some(wave)) = (self.rollout, self.left.remove(address)) else {
            return RolloutDecision::Nothing;
        };
        let failed = matches!(outcome, Outcome::Failed(_) | Outcome::GuardFailed { .. });
        self.failed += u32::from(failed);
        if failed && let Some(reason) = self.stops(rollout, wave, address) {
            return RolloutDecision::Stop(reason);
        }
        self.begins_after(wave.number)
    }

    fn stops(&self, rollout: Rollout, wave: InWave, address: &Address) -> Option<String> {
        if wave.is_canary && rollout.waves > wave.number {
            return Some(format!("canary {address} failed"));
        }
        let most = rollout.max_failures;
        (self.failed > most)
            .then(|| format!("{} failed; `max_failures` is {most}", counted(self.failed, "worker")))
    }

    /// The wave that begins with the end of one of this wave; one whose workers
    /// were all skipped by then is over already.
    fn begins_after(&mut self, wave: u32) -> RolloutDecision {
        if let Some(left) = self.open.get_mut(&wave) {
            *left -= 1;
        }
        let was_current = self.open.range(..wave).all(|(_, left)| *left == 0);
        if !was_current || self.open.get(&wave) != Some(&0) {
            return RolloutDecision::Nothing;
        }
        let next = self.open.range(wave + 1..).find(|(_, left)| **left > 0);
        next.map_or(RolloutDecision::Nothing, |(next, _)| RolloutDecision::Begin(*next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{Code, Failure};
    use crate::resource::{Kind, Site};

    fn address(name: &str) -> Address {
        Address::new(Kind::Worker, Site::Cluster, name)
    }

    fn waves(workers: &[(&str, u32)], canary: u32, max_failures: u32) -> Waves {
        let in_wave = |number: u32| {
            let is_canary = number == 1 && canary > 0;
            InWave { number, destroy_waits: true, is_canary }
        };
        let left = workers.iter().map(|(name, wave)| (address(name), in_wave(*wave))).collect();
        let numbers = workers.iter().map(|(_, wave)| *wave);
        let waves = numbers.collect::<std::collections::BTreeSet<_>>().len() as u32;
        Waves::with(Some(Rollout { canary, width: 2, max_failures, waves }), left)
    }

    fn failed() -> Outcome {
        Outcome::Failed(Failure::new(Code::StepFailed, "it broke", ""))
    }

    #[test]
    fn a_wave_starts_when_the_previous_one_has_ended() {
        let mut waves = waves(&[("a", 1), ("b", 2), ("c", 2), ("d", 3), ("e", 4)], 1, 3);
        assert_eq!(waves.ended(&address("a"), &Outcome::Done), RolloutDecision::Begin(2));
        assert_eq!(waves.ended(&address("b"), &failed()), RolloutDecision::Nothing, "three may");
        let skipped = Outcome::Skipped { because_of: address("vm") };
        assert_eq!(
            waves.ended(&address("d"), &skipped),
            RolloutDecision::Nothing,
            "before its turn"
        );
        assert_eq!(
            waves.ended(&address("c"), &Outcome::Done),
            RolloutDecision::Begin(4),
            "3 is over"
        );
        assert_eq!(waves.ended(&address("x"), &Outcome::Done), RolloutDecision::Nothing);
    }

    #[test]
    fn a_failed_canary_or_too_many_failures_halt_the_rollout() {
        let workers = [("a", 1), ("b", 2), ("c", 2), ("d", 3)];
        let mut first = waves(&workers, 1, 3);
        assert!(matches!(first.ended(&address("a"), &failed()), RolloutDecision::Stop(_)));
        let mut alike = waves(&workers, 0, 1);
        assert_eq!(alike.ended(&address("a"), &failed()), RolloutDecision::Begin(2), "no canary");
        let RolloutDecision::Stop(reason) = alike.ended(&address("b"), &failed()) else { panic!() };
        assert_eq!(reason, "2 workers failed; `max_failures` is 1");
        assert!(alike.contains(&address("c")) && !alike.contains(&address("b")));
    }
}
