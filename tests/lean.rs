//! The binary without the sandbox, as a server has it:
//! `cargo test --no-default-features --test lean`.

#![cfg(not(feature = "sandbox"))]
#![expect(clippy::expect_used, reason = "tests fail by panicking")]

use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_stargate");
const TOPOLOGY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/aks-e2e/stargate.toml");
const USAGE: i32 = 64;

/// Runs the binary with an empty environment.
fn run(arguments: &[&str]) -> Output {
    Command::new(BINARY).args(arguments).env_clear().output().expect("the binary starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The messages with each line break and its indent as one space.
fn stderr(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn help_lists_neither_the_command_nor_the_option() {
    for arguments in [["--help"], ["-h"]] {
        let help = stdout(&run(&arguments));
        assert!(help.contains("apply") && help.contains("--topology"), "{help}");
        assert!(!help.contains("sandbox"), "{help}");
    }
    let plan = stdout(&run(&["plan", "--help"]));
    assert!(plan.contains("--topology") && !plan.contains("--sandbox"), "{plan}");
}

#[test]
fn the_command_is_unknown() {
    let output = run(&["sandbox", "reset"]);
    assert_eq!(output.status.code(), Some(USAGE));
    let text = stderr(&output);
    assert!(text.contains("unrecognized subcommand 'sandbox'"), "{text}");
}

#[test]
fn the_option_is_refused_with_a_remedy() {
    for arguments in [
        ["plan", "-f", TOPOLOGY, "--sandbox"],
        ["apply", "-f", TOPOLOGY, "--sandbox=folder"],
        ["validate", "-f", TOPOLOGY, "--sandbox"],
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(USAGE), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        let text = stderr(&output);
        assert!(text.contains("this build of stargate does not contain the sandbox"), "{text}");
        assert!(text.contains("help: build stargate with its default features"), "{text}");
    }
}

#[test]
fn a_topology_is_validated_and_a_plan_asks_the_real_services() {
    let output = run(&["validate", "-f", TOPOLOGY]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("is valid: "), "{}", stdout(&output));
    let output = run(&["plan", "-f", TOPOLOGY]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("error[SG0603]: cannot authenticate to "), "{text}");
    assert!(text.contains("TAILSCALE_API_KEY"), "{text}");
}

#[test]
fn the_binary_does_not_contain_the_emulator() {
    let binary = std::fs::read(BINARY).expect("the binary");
    let contains = |text: &str| binary.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(contains("8stargate3cli"), "the binary has no symbols to look at");
    assert!(!contains("8stargate7sandbox"));
}
