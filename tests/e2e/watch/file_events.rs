//! The topology file is edited, broken, removed and replaced: only valid versions that
//! were written completely are ever in force.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use stargate::apply::StopSignal;
use stargate::topology::load::Loaded;
use stargate::watch::{
    Controller, FileWatcher, ReconcileResult, Reconciled, Reconciler, TopologySource, Trigger,
    Triggers, WatchEvent,
};
use tokio::time::{sleep, timeout};

use super::{EventLog, MemoryFile, watched};

/// An operation on the file.
#[derive(Debug, Clone, Copy)]
enum FileEvent {
    /// A valid version is written.
    Write(u8),
    /// A prefix of a valid version is written.
    Truncate(usize),
    /// It is removed.
    Remove,
    /// A trigger comes without a change.
    Touch,
    /// The timer, or a request, comes at that moment.
    Trigger(Trigger),
}

fn file_events() -> impl Strategy<Value = Vec<(FileEvent, u64, bool)>> {
    const TRIGGERS: &[Trigger] = &[Trigger::Interval, Trigger::Cluster, Trigger::Retry];
    let event = prop_oneof![
        (0..3_u8).prop_map(FileEvent::Write),
        (0..version(0).len()).prop_map(FileEvent::Truncate),
        Just(FileEvent::Remove),
        Just(FileEvent::Touch),
        prop::sample::select(TRIGGERS).prop_map(FileEvent::Trigger),
    ];
    // Waits in milliseconds, and whether the system reports the event.
    prop::collection::vec((event, 0..1_500_u64, any::<bool>()), 1..30)
}

fn version(number: u8) -> String {
    watched(&format!("max_removals = {}", 10 + u32::from(number)))
}

/// Records the versions that are reconciled.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<String>>);

#[async_trait(?Send)]
impl Reconciler for Recorder {
    async fn reconcile(
        &self,
        topology: &Loaded,
        _: &dyn TopologySource,
        _: &BTreeSet<Trigger>,
    ) -> Reconciled {
        self.0.lock().unwrap().push(topology.digest.clone());
        sleep(Duration::from_millis(300)).await;
        Reconciled { result: ReconcileResult::Matches, ..Reconciled::interrupted() }
    }
}

fn digest(text: &str) -> Option<String> {
    stargate::topology::load::load_text("stargate.toml", text).ok().map(|it| it.digest)
}

/// The versions that were reconciled, those that were written completely or stood still,
/// and the last state of the file.
async fn play(
    events: &[(FileEvent, u64, bool)],
) -> (Vec<String>, BTreeSet<String>, Option<String>, Vec<WatchEvent>) {
    let (file, log, recorder) =
        (MemoryFile::new(&version(0)), EventLog::default(), Recorder::default());
    let stop = StopSignal::default();
    let triggers = Triggers::default();
    let controller = Controller {
        source: &file,
        reconciler: &recorder,
        reporter: &log,
        stop: stop.clone(),
        jitter: &|| 0.5,
    };
    let mut written = Some(version(0));
    let mut stood: BTreeSet<String> = (0..3).filter_map(|it| digest(&version(it))).collect();
    let mut unchanged_for = 0;
    let scenario = async {
        for (event, wait, is_reported) in events {
            let mut trigger = Some(Trigger::TopologyFile).filter(|_| *is_reported);
            let before = written.clone();
            match event {
                FileEvent::Write(number) => written = Some(version(*number)),
                FileEvent::Truncate(length) => {
                    let text = version(1);
                    written = Some(text[..(*length).min(text.len())].to_owned());
                }
                FileEvent::Remove => written = None,
                FileEvent::Touch => {}
                FileEvent::Trigger(other) => trigger = Some(*other),
            }
            file.write(written.as_deref());
            if let Some(trigger) = trigger {
                triggers.add(trigger);
            }
            // A file that does not change is taken for a version, even if it is half of
            // one.
            unchanged_for = if before == written { unchanged_for + wait } else { *wait };
            if unchanged_for >= 500 {
                stood.extend(written.as_deref().and_then(digest));
            }
            sleep(Duration::from_millis(*wait)).await;
        }
        triggers.add(Trigger::TopologyFile);
        stood.extend(written.as_deref().and_then(digest));
        sleep(Duration::from_secs(20)).await;
        stop.stop();
    };
    let (ended, ()) = tokio::join!(controller.run(&triggers), scenario);
    ended.unwrap();
    (recorder.0.into_inner().unwrap(), stood, written, log.events())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn only_versions_that_stood_in_the_file_are_reconciled(events in file_events()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        let (reconciled, stood, last, log) = runtime.block_on(play(&events));
        for digest in &reconciled {
            prop_assert!(stood.contains(digest), "{digest} was never written completely");
        }
        let now = last.as_deref().and_then(digest);
        match &now {
            Some(now) => prop_assert_eq!(reconciled.last(), Some(now), "the last version is in force"),
            None => {
                let is_reported = |it: &WatchEvent| matches!(it, WatchEvent::TopologyInvalid { .. });
                prop_assert!(log.iter().any(is_reported), "an invalid file is reported");
            }
        }
    }
}

/// Waits for a trigger of the file; further ones of the same change are dropped.
async fn is_noticed(triggers: &Triggers) -> bool {
    let noticed = timeout(Duration::from_secs(10), triggers.added()).await;
    forget(triggers).await;
    noticed.is_ok_and(|kinds| kinds == [Trigger::TopologyFile].into())
}

/// Drops the triggers of earlier writes, until none comes any more.
async fn forget(triggers: &Triggers) {
    loop {
        sleep(Duration::from_millis(300)).await;
        if triggers.take().is_empty() {
            return;
        }
    }
}

fn folder_with(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    (folder, file)
}

#[tokio::test]
async fn writes_renames_and_removals_of_the_file_are_noticed() {
    let (folder, file) = folder_with("watched/stargate.toml");
    fs::create_dir(folder.path().join("watched")).unwrap();
    fs::write(&file, "a").unwrap();
    let triggers = Triggers::default();
    let _watcher = FileWatcher::start(&file, triggers.clone()).unwrap();
    fs::write(&file, "b").unwrap();
    assert!(is_noticed(&triggers).await, "a write");
    // Beside the watched folder, so that only the rename is to be noticed.
    let other = folder.path().join("stargate.toml.swp");
    fs::write(&other, "c").unwrap();
    forget(&triggers).await;
    fs::rename(&other, &file).unwrap();
    assert!(is_noticed(&triggers).await, "a rename over it");
    fs::write(&file, "d").unwrap();
    assert!(is_noticed(&triggers).await, "a write after the rename");
    fs::remove_file(&file).unwrap();
    assert!(is_noticed(&triggers).await, "a removal");
    fs::write(&file, "e").unwrap();
    assert!(is_noticed(&triggers).await, "its return");
    fs::read_to_string(&file).unwrap();
    forget(&triggers).await;
    fs::read_to_string(&file).unwrap();
    sleep(Duration::from_millis(300)).await;
    assert!(triggers.take().is_empty(), "a read is no change");
}

/// A ConfigMap volume: the file is a link into `..data`, a link to a folder, which is
/// replaced by renaming another link over it.
#[tokio::test]
async fn a_swap_of_a_config_map_is_noticed_each_time() {
    let (folder, file) = folder_with("stargate.toml");
    let prepare = |name: &str, text: &str| {
        let version = folder.path().join(name);
        fs::create_dir(&version).unwrap();
        fs::write(version.join("stargate.toml"), text).unwrap();
        symlink(name, folder.path().join("..data_tmp")).unwrap();
    };
    let swap = || {
        let link = folder.path().join("..data_tmp");
        fs::rename(&link, folder.path().join("..data")).unwrap();
    };
    prepare("..2026_01", "first");
    swap();
    symlink(Path::new("..data").join("stargate.toml"), &file).unwrap();
    let triggers = Triggers::default();
    let _watcher = FileWatcher::start(&file, triggers.clone()).unwrap();
    for (number, text) in [("..2026_02", "second"), ("..2026_03", "third")] {
        prepare(number, text);
        // Only the swap itself is to be noticed.
        forget(&triggers).await;
        swap();
        assert!(is_noticed(&triggers).await, "{text}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}
