//! The systemd unit of `examples/watch`, by `systemd-analyze`.

use std::io::Write as _;
use std::process::{Command, Output};

use super::location::{PROGRAM, TestFolder};

const UNIT: &str = include_str!("../../examples/watch/stargate-watch@.service");

/// Runs systemd-analyze; `None` if it is not installed.
fn analyze(location: &TestFolder, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).current_dir(location.path("")).output();
    if output.is_err() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: systemd-analyze is not installed");
    }
    output.ok()
}

#[test]
fn the_unit_is_valid_and_hardened() {
    let location = TestFolder::empty();
    location.write("stargate-watch@lab.service", UNIT.replace("/usr/local/bin/stargate", PROGRAM));
    let Some(output) = analyze(&location, &["verify", "./stargate-watch@lab.service"]) else {
        return;
    };
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.is_empty(), "{printed}");
    // Exposure from 0 to 10, here times 10.
    let security = ["security", "--offline=true", "--threshold=20", "./stargate-watch@lab.service"];
    if let Some(output) = analyze(&location, &security) {
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}");
    }
}

/// The options of the unit are those of the command.
#[test]
fn the_command_of_the_unit_is_accepted() {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let listen = UNIT.lines().find_map(|line| line.strip_prefix("Environment=LISTEN="));
    let line = line.replace("${LISTEN}", listen.expect("an address"));
    let arguments: Vec<&str> = line.split(' ').skip(1).collect();
    let location = TestFolder::empty();
    let ran = location.run(&arguments.join(" "));
    let expected = "/etc/stargate/%i.toml";
    assert!(ran.code == 1 && ran.err.contains(expected), "{} {}", ran.code, ran.err);
}
