//! The command line itself.

use stargate::diagnostics::Code;

use super::location::{Ran, TestFolder, too_wide};

const COMMANDS: [&str; 16] = [
    "init",
    "validate",
    "plan",
    "apply",
    "drift",
    "destroy",
    "repave",
    "reboot",
    "status",
    "routes",
    "graph",
    "sandbox",
    "manifests",
    "schema",
    "explain",
    "completions",
];

#[test]
fn help_is_data_and_fits_a_terminal() {
    let location = TestFolder::empty();
    let all = location.run("--help").exits(0);
    assert!(all.err.is_empty() && too_wide(&all.out).is_empty(), "{:#?}", too_wide(&all.out));
    insta::assert_snapshot!("help", all.out);
    for command in COMMANDS {
        assert!(all.out.contains(&format!("\n  {command} ")), "{command}");
        for flag in ["-h", "--help"] {
            let help = location.run(&format!("{command} {flag}")).exits(0);
            assert!(too_wide(&help.out).is_empty(), "{command}: {:#?}", too_wide(&help.out));
        }
    }
    let version = location.run("--version").exits(0);
    assert_eq!(version.out, format!("stargate {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn invalid_usage_has_its_own_exit_code() {
    let location = TestFolder::new();
    for line in [
        "",
        "plam",
        "plan --format yaml",
        "plan --frobnicate",
        "trace a b --port 0",
        "apply --adopt nothing",
        "plan --adopt-from Not_A_Name",
        "apply --adopt-from Not_A_Name",
        "plan -q -v",
        "explain",
        "explain SG9999",
        "completions tcsh",
        "sandbox",
        "graph --format png",
    ] {
        let ran = location.run(line).exits(64);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{line}");
    }
}

#[test]
fn every_code_is_explained_within_the_width() {
    let location = TestFolder::empty();
    for code in Code::ALL {
        let ran = location.run(&format!("explain {code}")).exits(0);
        assert!(ran.out.starts_with(&format!("{code}: {}\n\n", code.title())), "{}", ran.out);
        assert!(ran.out.lines().count() > 2 && too_wide(&ran.out).is_empty(), "{}", ran.out);
    }
}

#[test]
fn schemas_and_completions_are_data() {
    let location = TestFolder::empty();
    for line in ["schema", "schema --plan"] {
        let ran = location.run(line).exits(0);
        let schema: serde_json::Value = serde_json::from_str(&ran.out).expect("JSON");
        assert!(schema["$schema"].is_string() && ran.err.is_empty(), "{line}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let ran = location.run(&format!("completions {shell}")).exits(0);
        assert!(ran.out.contains("stargate") && ran.out.contains("routes"), "{shell}");
    }
}

#[test]
fn colors_follow_the_environment() {
    let location = TestFolder::new();
    let plain = location.run("plan --sandbox").exits(0);
    assert!(!plain.out.contains('\u{1b}'), "a pipe is not a terminal");
    let forced = location.run("plan --sandbox --color always").exits(0);
    assert!(forced.out.contains("\u{1b}["));
    let mut command = location.command("plan --sandbox");
    let forced = Ran::of(command.env("CLICOLOR_FORCE", "1")).exits(0);
    assert!(forced.out.contains("\u{1b}["));
    let mut command = location.command("plan --sandbox");
    let none = Ran::of(command.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).exits(0);
    assert_eq!(none.out, plain.out);
}

#[test]
fn quiet_prints_only_data_and_errors() {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    let ran = location.run("apply --sandbox --yes --quiet").exits(0);
    assert_eq!(ran.err, "");
}

#[test]
fn the_environment_can_set_the_topology() {
    let location = TestFolder::new();
    location.write("lab/other.toml", super::location::EXAMPLE);
    let mut command = location.command("validate");
    let ran = Ran::of(command.env("STARGATE_TOPOLOGY", "lab/other.toml")).exits(0);
    assert!(ran.out.starts_with("lab/other.toml is valid"), "{}", ran.out);
}
