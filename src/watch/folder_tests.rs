use proptest::prelude::*;

use super::*;

type Files = BTreeMap<PathBuf, FolderFile>;

fn name(text: &str) -> TopologyName {
    TopologyName::new(text)
}

fn file(topology: &str, digest: &str) -> FolderFile {
    Ok((name(topology), digest.to_owned()))
}

fn broken() -> FolderFile {
    Err(Failure::new(Code::Syntax, "it is broken", "correct it"))
}

fn files(list: &[(&str, FolderFile)]) -> Files {
    list.iter().map(|(path, file)| (PathBuf::from(path), file.clone())).collect()
}

fn started(topology: &str, file: &str) -> FolderChange {
    FolderChange::Started { topology: name(topology), file: file.into() }
}

/// The steps once the files have stayed the same.
fn observe_twice(
    folder: &mut TopologyFolder,
    files: &Files,
    now: &mut Instant,
) -> Vec<FolderChange> {
    let mut changes = folder.observe(files, *now);
    *now += UNCHANGED_FOR;
    changes.extend(folder.observe(files, *now));
    changes
}

#[test]
fn files_are_watched_once_they_are_written() {
    let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
    let half = files(&[("a.toml", file("lab", "1"))]);
    assert_eq!(folder.observe(&half, now), []);
    assert_eq!(folder.due(now), Some(now + UNCHANGED_FOR));
    now += Duration::from_millis(400);
    let whole = files(&[("a.toml", file("lab", "2"))]);
    assert_eq!(folder.observe(&whole, now), [], "it is still being written");
    assert_eq!(observe_twice(&mut folder, &whole, &mut now), [started("lab", "a.toml")]);
    assert_eq!((folder.len(), folder.due(now)), (1, None));
    let edited = files(&[("a.toml", file("lab", "3"))]);
    assert_eq!(observe_twice(&mut folder, &edited, &mut now), [], "its own watch reads it");
}

#[test]
fn a_file_that_is_renamed_goes_on_and_one_that_is_removed_ends() {
    let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
    observe_twice(&mut folder, &files(&[("a.toml", file("lab", "1"))]), &mut now);
    let moved = files(&[("b.toml", file("lab", "1"))]);
    let change = FolderChange::Moved { topology: name("lab"), file: "b.toml".into() };
    assert_eq!(observe_twice(&mut folder, &moved, &mut now), [change]);
    assert_eq!(
        observe_twice(&mut folder, &files(&[]), &mut now),
        [],
        "a checkout removes it first"
    );
    assert_eq!(observe_twice(&mut folder, &moved, &mut now), [], "it is back");
    assert_eq!(observe_twice(&mut folder, &files(&[]), &mut now), []);
    now += REMOVED_AFTER;
    let ended = folder.observe(&files(&[]), now);
    assert!(matches!(&ended[..], [FolderChange::Ended { .. }]), "{ended:?}");
    assert!(folder.is_empty());
}

#[test]
fn a_broken_file_ends_nothing_and_is_reported_by_its_watch() {
    let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
    observe_twice(&mut folder, &files(&[("a.toml", file("lab", "1"))]), &mut now);
    let broken = files(&[("a.toml", broken()), ("new.toml", broken())]);
    for expected in [1, 0] {
        let found = observe_twice(&mut folder, &broken, &mut now);
        assert_eq!(found.len(), expected, "the other file is reported once: {found:?}");
        now += 10 * REMOVED_AFTER;
    }
    assert_eq!((folder.len(), folder.invalid()), (1, 1));
}

#[test]
fn a_new_file_that_is_being_written_is_not_reported() {
    let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
    let empty = || Err(Failure::new(Code::Syntax, "it is empty", "correct it"));
    for content in [empty(), broken()] {
        assert_eq!(folder.observe(&files(&[("a.toml", content)]), now), []);
        assert_eq!((folder.invalid(), folder.due(now)), (0, Some(now + UNCHANGED_FOR)));
        now += Duration::from_millis(400);
    }
    let whole = files(&[("a.toml", file("lab", "1"))]);
    assert_eq!(observe_twice(&mut folder, &whole, &mut now), [started("lab", "a.toml")]);
    assert_eq!((folder.invalid(), folder.due(now)), (0, None));
}

#[test]
fn another_name_in_a_file_ends_the_former_topology_and_begins_the_new_one() {
    let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
    observe_twice(&mut folder, &files(&[("a.toml", file("lab", "1"))]), &mut now);
    let found = observe_twice(&mut folder, &files(&[("a.toml", file("east", "2"))]), &mut now);
    let [FolderChange::Ended { topology, failure }, begun] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((topology, begun), (&name("lab"), &started("east", "a.toml")));
    assert!(failure.message.contains("now has the topology east"), "{failure:?}");
}

#[test]
fn a_second_file_of_a_topology_is_reported_and_takes_over_when_the_first_one_goes() {
    let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
    observe_twice(&mut folder, &files(&[("b.toml", file("lab", "1"))]), &mut now);
    let both = files(&[("a.toml", file("lab", "2")), ("b.toml", file("lab", "1"))]);
    let found = observe_twice(&mut folder, &both, &mut now);
    assert!(matches!(&found[..], [FolderChange::Invalid { .. }]), "{found:?}");
    let found = observe_twice(&mut folder, &files(&[("a.toml", file("lab", "2"))]), &mut now);
    assert_eq!(found, [FolderChange::Moved { topology: name("lab"), file: "a.toml".into() }]);
    assert_eq!(folder.invalid(), 0);
}

/// The files of a folder at a moment, and the time until the next one in milliseconds.
fn versions() -> impl Strategy<Value = Vec<(Vec<u8>, u64)>> {
    let content = prop::collection::vec(0..5_u8, 3);
    prop::collection::vec((content, 0..90_000_u64), 1..40)
}

/// 0 is no file, 1 a broken one, and the others are topologies.
fn version(contents: &[u8]) -> Files {
    let names = ["a.toml", "b.toml", "c.toml"];
    let all = names.iter().zip(contents).filter(|(_, content)| **content != 0);
    let read = |content: u8| match content {
        1 => broken(),
        other => file(&format!("t{other}"), "1"),
    };
    all.map(|(path, content)| (PathBuf::from(path), read(*content))).collect()
}

proptest! {
    /// A watch ends only if its file was missing for the whole time, or holds another
    /// topology; each topology is watched once, and in the end exactly those that there are.
    #[test]
    fn no_sequence_of_files_ends_a_watch_too_early(versions in versions()) {
        let (mut folder, mut now) = (TopologyFolder::default(), Instant::now());
        let mut seen: BTreeMap<TopologyName, Instant> = BTreeMap::new();
        let mut last = Files::new();
        for (contents, wait) in &versions {
            last = version(contents);
            for found in last.values().flatten() {
                seen.insert(found.0.clone(), now);
            }
            for change in folder.observe(&last, now) {
                if let FolderChange::Ended { topology, failure } = change {
                    let is_renamed = failure.message.contains("now has the topology");
                    let is_old = seen.get(&topology).is_some_and(|seen| now - *seen >= REMOVED_AFTER);
                    prop_assert!(is_renamed || is_old, "{topology}: {}", failure.message);
                }
            }
            now += Duration::from_millis(*wait);
        }
        for _ in 0..3 {
            folder.observe(&last, now);
            now += REMOVED_AFTER;
        }
        let there: BTreeSet<TopologyName> =
            last.values().flatten().map(|(name, _)| name.clone()).collect();
        let watched: BTreeSet<TopologyName> = folder.watched.keys().cloned().collect();
        let kept: BTreeSet<TopologyName> = folder
            .watched
            .iter()
            .filter(|(_, it)| last.get(&it.file).is_some_and(Result::is_err))
            .map(|(name, _)| name.clone())
            .collect();
        prop_assert_eq!(&watched, &(&there | &kept), "a broken file keeps its topology");
    }
}
