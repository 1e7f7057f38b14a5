//! Schedules downloads for workers before their waves, so that a wave contains disruptive
//! steps only.

use std::collections::BTreeSet;

use super::{Action, Change, Execution, InWave};
use crate::resource::settings::PackageSource;
use crate::resource::{Kind, Resource};

/// The maximum number of concurrent steps on one API; the budgets of the APIs are the
/// effective limit.
pub const MAX_STEPS_PER_API: u64 = 64;
/// How many hosts download packages side by side at the most. Each download holds one
/// connection to its own host.
pub const MAX_DOWNLOADS: u64 = 128;
/// The part of a worker's usual seconds that the download of its packages takes.
const DOWNLOAD_SECONDS: u64 = 60;

/// The usual seconds until so many workers have joined for the first time after their
/// canary: they download their packages, and join as soon as they have them.
pub(super) fn seconds_after_canary(workers: u64) -> u64 {
    if workers == 0 {
        return 0;
    }
    let join = Kind::Worker.facts().seconds.create.saturating_sub(DOWNLOAD_SECONDS);
    let of_downloads = DOWNLOAD_SECONDS * workers.div_ceil(MAX_DOWNLOADS) + join;
    of_downloads.max(DOWNLOAD_SECONDS + join * workers.div_ceil(MAX_STEPS_PER_API))
}

/// The waves of a rollout that downloads wait for.
#[derive(Debug)]
pub struct Preparation {
    canaries: BTreeSet<u32>,
}

impl Preparation {
    /// The waves of these changes.
    pub fn of(changes: &[Change]) -> Self {
        let waves = changes.iter().filter_map(|change| change.wave);
        Self { canaries: waves.filter(|it| it.is_canary).map(|it| it.number).collect() }
    }

    /// The wave with which a worker's packages are downloaded, if that precedes its own
    /// step: the one after the canary. A canary downloads them in its own step, and a
    /// replaced worker after the reset of its host.
    pub fn wave(&self, change: &Change) -> Option<u32> {
        let InWave { number, is_canary, .. } = change.wave?;
        if is_canary || !downloads_packages(change) {
            return None;
        }
        let canary = self.canaries.range(..number).next_back();
        Some(canary.map_or(1, |canary| canary + 1))
    }
}

fn downloads_packages(change: &Change) -> bool {
    let Execution::Worker(execution) = &change.execution else { return false };
    let profile = execution.profile.as_ref();
    if profile.is_none_or(|profile| profile.packages == PackageSource::Preinstalled) {
        return false;
    }
    let kubelet = |value: &Option<Resource>| match value {
        Some(Resource::Worker(worker)) => Some(worker.kubelet_version),
        _ => None,
    };
    match change.action {
        Action::Create => true,
        Action::Update | Action::Adopt => kubelet(&change.before) != kubelet(&change.after),
        Action::Replace | Action::Delete | Action::Reboot => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::plan::{WorkerExecution, WorkerProfile};
    use crate::resource::{Address, ObjectKey, Site};
    use crate::topology::names::ProfileName;

    fn worker(action: Action, packages: PackageSource, wave: (u32, bool)) -> Change {
        let address = Address::new(Kind::Worker, Site::Cluster, format!("w{}", wave.0));
        let mut change = Change::new(address, ObjectKey::Host("w".to_owned()), action, "");
        change.wave = Some(InWave { number: wave.0, destroy_waits: true, is_canary: wave.1 });
        change.execution = Execution::Worker(Box::new(WorkerExecution {
            route: None,
            is_existing: true,
            drain_within: Duration::ZERO,
            request: None,
            departure: None,
            present_route: None,
            profile: Some(WorkerProfile {
                name: ProfileName::new("standard"),
                max_pods: 250,
                packages,
                cluster_dns: Ipv4Addr::LOCALHOST,
            }),
        }));
        change
    }

    #[test]
    fn packages_are_downloaded_after_the_canary() {
        let create = |wave| worker(Action::Create, PackageSource::Upstream, wave);
        let waves = [(1, true), (2, false), (3, true), (4, false), (6, false)];
        let changes = waves.map(create);
        let preparation = Preparation::of(&changes);
        let found = changes.each_ref().map(|change| preparation.wave(change));
        assert_eq!(found, [None, Some(2), None, Some(4), Some(4)]);
        let without_canary = [create((1, false))];
        assert_eq!(Preparation::of(&without_canary).wave(&without_canary[0]), Some(1));
    }

    #[test]
    fn nothing_is_downloaded_for_hosts_that_have_all_or_are_reset() {
        let changes = [
            worker(Action::Create, PackageSource::Preinstalled, (2, false)),
            worker(Action::Replace, PackageSource::Upstream, (2, false)),
            worker(Action::Update, PackageSource::Upstream, (2, false)),
            worker(Action::Reboot, PackageSource::Upstream, (2, false)),
        ];
        let preparation = Preparation::of(&changes);
        for change in &changes {
            assert_eq!(preparation.wave(change), None, "{:?}", change.action);
        }
    }

    #[test]
    fn downloads_and_joins_overlap() {
        assert_eq!(seconds_after_canary(0), 0);
        assert_eq!(seconds_after_canary(64), 90);
        assert_eq!(seconds_after_canary(128), 60 + 2 * 30);
        assert_eq!(seconds_after_canary(999), 60 + 16 * 30);
    }
}
