use std::path::Path;

use super::arguments::Global;
use super::session::ReadSession;
use super::ui::testing::buffered;
use super::*;
use crate::diagnostics::Code;

fn parsed(line: &str) -> Result<Arguments, clap::Error> {
    parse(line.split(' ').map(OsString::from))
}

fn global(line: &str) -> Global {
    parsed(line).expect("a command line").global
}

/// Runs a command line; returns the exit code, stdout and stderr.
fn ran(line: &str) -> (u8, String, String) {
    let (ui, out, err) = buffered(None, false);
    let arguments = parsed(line).expect("a command line");
    let code = run(&arguments, &ui).unwrap_or_else(|error| {
        ui.error(&error);
        error.exit
    });
    (code, out.text(), err.text())
}

/// A command that changes nothing gets a session whose clients cannot write; see
/// [`crate::provider::read_write`].
#[test]
fn commands_that_change_nothing_cannot_write() {
    fn only_reads<A>(_: impl AsyncFn(&A, &ReadSession, &Ui) -> Result<u8, CliError>) {}
    only_reads(commands::plan::run);
    only_reads(commands::drift::run);
    only_reads(commands::status::run);
    only_reads(commands::check::run);
    only_reads(commands::trace::run);
    only_reads(commands::routes::run);
    only_reads(commands::graph::run);
}

#[test]
fn the_definition_is_valid() {
    command().debug_assert();
}

#[test]
fn every_command_has_help() {
    for command in command().get_subcommands() {
        assert!(command.get_about().is_some(), "{}", command.get_name());
    }
}

#[test]
fn invalid_usage_has_its_own_exit_code() {
    let code = |line| exit::from_parser(parsed(line).expect_err("no command to run").kind());
    assert_eq!(code("stargate --help"), exit::DONE);
    assert_eq!(code("stargate plan --help"), exit::DONE);
    assert_eq!(code("stargate --version"), exit::DONE);
    let mistakes = [
        "stargate",
        "stargate plam",
        "stargate plan --format yaml",
        "stargate apply --adopt nothing",
        "stargate plan -q -v",
        "stargate sandbox",
    ];
    for line in mistakes {
        assert_eq!(code(line), exit::USAGE, "{line}");
    }
}

#[test]
fn exit_codes_match_the_documentation() {
    let codes = [
        exit::DONE,
        exit::ERROR,
        exit::CHANGES,
        exit::PARTIAL,
        exit::STALE,
        exit::BLOCKED,
        exit::USAGE,
        exit::INTERRUPTED,
    ];
    assert_eq!(codes, [0, 1, 2, 3, 4, 5, 64, 130]);
}

#[test]
fn the_sandbox_is_next_to_the_topology() {
    let folder = |line| global(line).sandbox_folder();
    assert_eq!(folder("stargate plan"), None);
    let default = Some(Path::new("lab/.stargate/sandbox").to_owned());
    assert_eq!(folder("stargate plan -f lab/stargate.toml --sandbox"), default);
    assert_eq!(folder("stargate --sandbox -f lab/stargate.toml plan"), default);
    assert_eq!(folder("stargate plan --sandbox=state"), Some(Path::new("state").to_owned()));
    assert_eq!(folder("stargate --sandbox plan"), Some(Path::new(".stargate/sandbox").to_owned()));
}

#[test]
fn init_writes_a_valid_topology() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("stargate.toml").display().to_string();
    assert_eq!(ran(&format!("stargate init -f {file}")).0, exit::DONE);
    let (code, _, err) = ran(&format!("stargate init -f {file}"));
    assert_eq!(code, exit::ERROR);
    assert!(err.contains("already exists"), "{err}");
    let (code, out, err) = ran(&format!("stargate validate -f {file}"));
    assert_eq!(code, exit::DONE, "{err}");
    assert!(out.contains("is valid: "), "{out}");
    let (code, out, _) = ran(&format!("stargate validate --format json -f {file}"));
    assert_eq!(code, exit::DONE);
    assert!(out.contains("\"valid\": true"), "{out}");
}

#[test]
fn an_unusable_topology_is_an_error_with_a_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.toml");
    let binary = folder.path().join("binary.toml");
    let large = folder.path().join("large.toml");
    std::fs::write(&binary, b"a = \"\xff\"").expect("a file");
    std::fs::write(&large, vec![b'#'; 10 * 1024 * 1024]).expect("a file");
    let cases = [
        (missing.as_path(), Code::Unreadable, "not found"),
        (folder.path(), Code::Unreadable, "is a directory"),
        (&binary, Code::NotUtf8, "has 1 error"),
        (&large, Code::TooLarge, "has 10485760 bytes"),
    ];
    for (path, code, words) in cases {
        let (exit, _, err) = ran(&format!("stargate validate -f {}", path.display()));
        assert_eq!(exit, exit::ERROR, "{err}");
        assert!(err.contains(code.as_str()) && err.contains(words), "{err}");
        assert!(err.contains("help: "), "{err}");
    }
}

#[test]
fn codes_are_explained() {
    let (code, out, _) = ran("stargate explain sg0303");
    assert_eq!(code, exit::DONE);
    assert!(out.starts_with("SG0303: two networks overlap\n\n"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (code, _, err) = ran("stargate explain SG0333");
    assert_eq!(code, exit::USAGE);
    assert!(err.contains("did you mean `SG0303`?"), "{err}");
}

#[test]
fn schemas_and_completions_are_data() {
    for line in ["stargate schema", "stargate schema --plan"] {
        let (_, out, _) = ran(line);
        assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{line}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(ran(&format!("stargate completions {shell}")).1.contains("stargate"), "{shell}");
    }
}

#[cfg(feature = "sandbox")]
#[test]
fn the_log_shows_the_last_command_with_requests() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = format!("--sandbox={}", folder.path().join("state").display());
    let (code, out, _) = ran(&format!("stargate sandbox log {sandbox}"));
    assert_eq!((code, out.as_str()), (exit::DONE, "No command has used this sandbox yet.\n"));
    let plan = format!("stargate plan -f examples/aks-e2e/stargate.toml {sandbox}");
    assert_eq!(ran(&plan).0, exit::DONE);
    let (code, _, err) = ran(&format!("stargate sandbox break route-missing {sandbox}"));
    assert_eq!(code, exit::ERROR, "{err}");
    assert_eq!(ran(&format!("stargate sandbox break source-down {sandbox}")).0, exit::DONE);
    let (_, out, _) = ran(&format!("stargate sandbox log {sandbox}"));
    assert!(out.lines().next().is_some_and(|line| line.ends_with("UTC  plan")), "{out}");
    assert!(out.ends_with(" reads, 0 writes\n") && !out.contains("break"), "{out}");
    let (_, out, _) = ran(&format!("stargate sandbox log --all --format json {sandbox}"));
    let log: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let commands: Vec<_> = log["runs"].as_array().expect("runs").iter().collect();
    assert_eq!(commands.len(), 2, "{out}");
    assert_eq!((&commands[0]["command"], &commands[0]["writes"]), (&"plan".into(), &0.into()));
    assert_eq!(commands[1]["command"], "sandbox break source-down");
}
