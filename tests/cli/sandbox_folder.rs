//! Damaged, locked and unusable sandbox folders.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::location::{PROGRAM, TestFolder};

/// Commands that open the folder.
const COMMANDS: [&str; 5] = [
    "plan --sandbox",
    "apply --sandbox --yes",
    "status --sandbox",
    "sandbox log",
    "sandbox break route-missing",
];

#[track_caller]
fn refused(location: &TestFolder, code: &str, words: &str) {
    let before = location.contents();
    for line in COMMANDS {
        location.run(line).fails(1, code, words);
        assert_eq!(location.contents(), before, "{line}");
    }
}

#[test]
fn damaged_state_is_an_error_and_not_overwritten() {
    let location = TestFolder::applied();
    let state_file = location.read(".stargate/sandbox/state.json");
    let cut = &state_file[..state_file.len() / 2];
    for damage in ["", "garbage", "[]", "null", "{\"format_version\": 1}", cut] {
        location.write(".stargate/sandbox/state.json", damage);
        refused(&location, "SG0701", "is damaged");
    }
    location.write(".stargate/sandbox/state.json", b"\xff\xfe\0");
    refused(&location, "SG0701", "is damaged");
    let newer = state_file.replacen("\"format_version\":1", "\"format_version\":99", 1);
    assert_ne!(newer, state_file);
    location.write(".stargate/sandbox/state.json", newer);
    refused(&location, "SG0701", "format version 99");
    location.run("sandbox reset").exits(0);
    location.run("plan --sandbox").exits(0);
}

#[test]
fn a_file_in_place_of_the_folder_is_an_error() {
    let location = TestFolder::new();
    location.write(".stargate/sandbox", "a file");
    refused(&location, "SG0115", "cannot be used");
}

#[test]
fn a_folder_in_place_of_the_state_file_is_an_error() {
    let location = TestFolder::new();
    location.write(".stargate/sandbox/state.json/file", "");
    refused(&location, "SG0115", "cannot be used");
}

#[test]
#[cfg(target_os = "linux")]
fn a_folder_that_cannot_be_created_is_an_error() {
    let location = TestFolder::new();
    let ran = location.run("plan --sandbox=/proc/stargate");
    ran.fails(1, "SG0115", "/proc/stargate cannot be used");
}

/// Serves the sandbox until it is dropped.
pub(crate) struct Serving(Child);

impl Serving {
    pub(crate) fn start(location: &TestFolder) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["sandbox", "serve"]).current_dir(location.path("")).env_clear();
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        assert!(line.contains("\"azure\""), "{line}");
        Self(child)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn commands_share_a_sandbox_that_is_served() {
    let location = TestFolder::new();
    let serving = Serving::start(&location);
    location.run("plan --sandbox").exits(0);
    location.run("apply --sandbox --yes").exits(0);
    location.run("plan --sandbox").exits(0);
    location.run("sandbox break route-missing").exits(0);
    location.run("drift --sandbox").exits(2);
    location.run("apply --sandbox --yes").exits(0);
    let log = location.run("sandbox log --all").exits(0).out;
    let commands: Vec<&str> = log.lines().filter_map(|line| line.split("UTC  ").nth(1)).collect();
    let expected =
        ["sandbox serve", "plan", "apply", "plan", "sandbox break route-missing", "drift", "apply"];
    assert_eq!(commands, expected);
    // The state is not deleted under the server.
    location.run("sandbox reset").fails(1, "SG0702", "in use");
    drop(serving);
    location.run("plan --sandbox").exits(0);
    location.run("sandbox reset").exits(0);
}

#[test]
fn two_applies_share_a_sandbox() {
    let location = TestFolder::new();
    let apply = || location.run("apply --sandbox --yes");
    let both = std::thread::scope(|scope| {
        let both = [scope.spawn(apply), scope.spawn(apply)];
        both.map(|one| one.join().expect("a result"))
    });
    // There is no lease before there is a cluster: an apply may stop half-way because of
    // the other, and the next one continues.
    for ran in both {
        assert!([0, 3].contains(&ran.code), "{}", ran.err);
    }
    location.run("apply --sandbox --yes").exits(0);
    location.run("drift --sandbox").exits(0);
}

/// Other commands and other clients use the live state that a running apply changes.
#[test]
fn commands_and_clients_work_beside_a_running_apply() {
    let location = TestFolder::new();
    let mut command = Command::new(PROGRAM);
    command.args(["apply", "--sandbox", "--yes"]).current_dir(location.path("")).env_clear();
    let mut apply =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut messages = BufReader::new(apply.stderr.take().expect("its messages")).lines();
    let first = messages.find_map(Result::ok).expect("a first message");
    assert!(first.contains("changes"), "{first}");
    // Its messages are read to the end, so that it never waits for a reader.
    let rest = std::thread::spawn(move || messages.map_while(Result::ok).collect::<Vec<_>>());
    let serving = Serving::start(&location);
    for line in ["plan --sandbox", "status --sandbox", "sandbox log"] {
        let ran = location.run(line);
        assert_ne!(ran.code, 1, "{line}: {}", ran.err);
    }
    let code = apply.wait().expect("an end").code();
    let rest = rest.join().expect("its messages");
    assert_eq!(code, Some(0), "{rest:#?}");
    location.run("sandbox break route-missing").exits(0);
    location.run("drift --sandbox").exits(2);
    location.run("apply --sandbox --yes").exits(0);
    drop(serving);
    location.run("drift --sandbox").exits(0);
}

#[test]
fn unknown_faults_and_targets_are_errors() {
    let location = TestFolder::applied();
    let ran = location.run("sandbox break route-mising");
    ran.fails(64, "SG0703", "route-mising");
    let ran = location.run("sandbox break worker-not-ready worker-9");
    ran.fails(64, "SG0704", "worker-9");
    let new = TestFolder::new();
    new.run("sandbox break route-missing").fails(1, "SG0704", "apply the topology");
    let faults = location.run("sandbox faults").exits(0);
    assert!(faults.out.lines().count() > 20);
}
