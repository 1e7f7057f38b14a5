//! `--format sarif`, `junit` and `github` of the commands that report something.

use serde_json::Value;

use super::location::{EXAMPLE, Ran, TestFolder};
use super::sarif_schema;

const COMMANDS: [&str; 4] = ["validate", "plan --sandbox", "drift --sandbox", "check --sandbox"];

/// The results of a log that the published schema accepts.
#[track_caller]
fn results(sarif: &str) -> Vec<Value> {
    log(sarif)["runs"][0]["results"].as_array().expect("results").clone()
}

#[track_caller]
fn log(sarif: &str) -> Value {
    let log: Value = serde_json::from_str(sarif).expect("JSON");
    assert_eq!(sarif_schema::violations(&log), Vec::<String>::new(), "{sarif}");
    assert_eq!(log["runs"].as_array().map(Vec::len), Some(1));
    log
}

/// Failures and errors of a JUnit report, by rule.
fn failed(junit: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(junit).expect("an XML document");
    let cases = document.descendants().filter(|it| it.has_tag_name("testcase"));
    let failed = cases.filter(|case| {
        case.children().any(|it| it.has_tag_name("failure") || it.has_tag_name("error"))
    });
    failed.map(|case| case.attribute("classname").expect("a rule").to_owned()).collect()
}

#[test]
fn a_deployment_without_drift_has_no_results() {
    let location = TestFolder::applied();
    for command in COMMANDS {
        let sarif = location.run(&format!("{command} --format sarif")).exits(0);
        assert_eq!(results(&sarif.out), Vec::<Value>::new(), "{command}");
        let junit = location.run(&format!("{command} --format junit")).exits(0);
        assert_eq!(failed(&junit.out), Vec::<String>::new(), "{command}");
        assert!(junit.out.contains("<testcase"), "{command}: nothing was checked");
        assert_eq!(location.run(&format!("{command} --format github")).exits(0).out, "");
    }
}

#[test]
fn a_missing_route_is_at_its_block_in_every_format() {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    let line = EXAMPLE.lines().position(|line| line.starts_with("[cluster]")).expect("a block");
    for (command, rule, level) in [
        ("drift", "changed-resource", "warning"),
        ("plan --detailed-exitcode", "changed-resource", "note"),
        ("check", "dropped-packets", "error"),
    ] {
        let run = |format: &str| location.run(&format!("{command} --sandbox --format {format}"));
        let found = results(&run("sarif").exits(2).out);
        let one = found.iter().find(|it| it["ruleId"] == rule).expect("the route");
        assert_eq!(one["level"], level, "{command}");
        let place = &one["locations"][0];
        assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"].as_str(), Some(TABLE));
        let start = place["physicalLocation"]["region"]["startLine"].as_u64().expect("a line");
        assert!(start as usize > line, "{command}: line {start} is not in [cluster]");
        let junit = failed(&run("junit").exits(2).out);
        assert_eq!(junit.contains(&rule.to_owned()), level != "note", "{command}: {junit:?}");
        let github = run("github").exits(2).out;
        assert!(github.contains(&format!("title={rule}%3A ")), "{command}: {github}");
        assert!(github.lines().all(|line| line.starts_with("::")), "{github}");
    }
}

const TABLE: &str = "route-table/cluster/stargate-workers-rt";

#[test]
fn a_source_that_is_down_is_an_error_and_no_failure() {
    let location = TestFolder::applied();
    location.run("sandbox break source-down").exits(0);
    for command in ["plan --sandbox", "drift --sandbox", "check --sandbox"] {
        let sarif = location.run(&format!("{command} --format sarif")).exits(1).out;
        assert_eq!(log(&sarif)["runs"][0]["invocations"][0]["executionSuccessful"], false);
    }
    let junit = location.run("check --sandbox --format junit").exits(1).out;
    assert!(junit.contains("<error"), "{junit}");
    let github = location.run("drift --sandbox --format github").exits(1).out;
    assert!(github.lines().any(|line| line.starts_with("::error ")), "{github}");
}

#[test]
fn errors_of_the_file_have_their_place() {
    let location = TestFolder::with(&EXAMPLE.replacen("\n[cluster]", "\ntypo = 1\n[cluster]", 1));
    let line = EXAMPLE.lines().position(|line| line.starts_with("[cluster]")).expect("a block") + 1;
    let github = location.run("validate --format github").exits(1).out;
    assert!(github.starts_with(&format!("::error file=stargate.toml,line={line},")), "{github}");
    let sarif = results(&location.run("validate --format sarif").exits(1).out);
    assert_eq!(sarif[0]["locations"][0]["physicalLocation"]["region"]["startLine"], line);
    assert_eq!(failed(&location.run("validate --format junit").exits(1).out).len(), sarif.len());
}

#[test]
fn a_file_that_is_missing_is_a_result() {
    let location = TestFolder::empty();
    let sarif = results(&location.run("validate --format sarif").exits(1).out);
    assert_eq!(sarif.len(), 1);
    assert!(location.run("validate --format github").exits(1).out.starts_with("::error "));
}

/// The commands that make a plan.
const PLANNING: [&str; 3] = ["plan --sandbox", "drift --sandbox", "check --sandbox"];

/// An error of a command is data in each of the formats, and on stderr as always.
#[track_caller]
fn is_reported(run: &dyn Fn(&str) -> Ran, exit: i32, rule: &str, words: &str) {
    let sarif = run("sarif").exits(exit);
    let found = results(&sarif.out);
    let one = found.iter().find(|one| one["ruleId"] == rule);
    let one = one.unwrap_or_else(|| panic!("no {rule} in {found:?}"));
    assert_eq!(one["level"], "error");
    assert!(one["message"]["text"].as_str().is_some_and(|text| text.contains(words)), "{one}");
    assert_eq!(log(&sarif.out)["runs"][0]["invocations"][0]["executionSuccessful"], false);
    let junit = run("junit").exits(exit).out;
    assert!(failed(&junit).contains(&rule.to_owned()), "{junit}");
    let github = run("github").exits(exit).out;
    let is_it =
        |line: &str| line.starts_with("::error ") && line.contains(&format!("title={rule}%3A "));
    assert!(github.lines().any(is_it), "{github}");
    assert!(sarif.err.contains("error"), "{}", sarif.err);
}

#[test]
fn an_invalid_topology_is_reported_by_every_command_that_plans() {
    let location = TestFolder::with(&EXAMPLE.replacen("\n[cluster]", "\ntypo = 1\n[cluster]", 1));
    let line = EXAMPLE.lines().position(|line| line.starts_with("[cluster]")).expect("a block") + 1;
    let validated = results(&location.run("validate --format sarif").exits(1).out);
    let rule = validated[0]["ruleId"].as_str().expect("a rule");
    for command in PLANNING {
        let run = |format: &str| location.run(&format!("{command} --format {format}"));
        is_reported(&run, 1, rule, "typo");
        let found = results(&run("sarif").out);
        assert_eq!(found, validated, "{command}: as `validate` has it");
        let place = &found[0]["locations"][0]["physicalLocation"]["region"]["startLine"];
        assert_eq!(place, line, "{command}");
    }
    for command in ["plan --sandbox", "drift --sandbox"] {
        let comment = location.run(&format!("{command} --format markdown")).exits(1).out;
        let title = format!("### `stargate {}` failed", command.trim_end_matches(" --sandbox"));
        assert!(comment.starts_with(&title), "{comment}");
        assert!(comment.contains(&format!("- **error** in line {line} ({rule}): ")), "{comment}");
    }
}

#[test]
fn a_command_that_cannot_run_reports_why() {
    for command in PLANNING {
        let missing = TestFolder::empty();
        let run = |format: &str| missing.run(&format!("{command} --format {format}"));
        is_reported(&run, 1, "SG0115", "not found");
        let no_account = TestFolder::new();
        let command = command.trim_end_matches(" --sandbox");
        let run = |format: &str| no_account.run(&format!("{command} --format {format}"));
        is_reported(&run, 1, "SG0603", "TAILSCALE_API_KEY");
    }
    let location = TestFolder::applied();
    let run = |format: &str| {
        location.run(&format!("plan --sandbox --adopt subnet/cluster/nothing --format {format}"))
    };
    is_reported(&run, 64, "SG0525", "subnet/cluster/nothing");
}

/// A preflight error is an error in each format.
#[test]
fn an_error_that_forbids_all_changes_is_reported() {
    for fault in ["prefix-served-twice", "foreign-node", "aks-pod-cidr-collision"] {
        let location = TestFolder::applied();
        location.run(&format!("sandbox break {fault}")).exits(0);
        for command in PLANNING {
            let run = |format: &str| location.run(&format!("{command} --format {format}")).exits(5);
            let found = results(&run("sarif").out);
            let errors: Vec<&Value> = found.iter().filter(|one| one["level"] == "error").collect();
            let is_coded =
                |one: &&&Value| one["ruleId"].as_str().is_some_and(|it| it.starts_with("SG"));
            let code =
                errors.iter().find(is_coded).expect("an error with a code")["ruleId"].clone();
            let code = code.as_str().expect("a code");
            assert!(failed(&run("junit").out).contains(&code.to_owned()), "{command} {fault}");
            let github = run("github").out;
            assert!(github.contains(&format!("title={code}%3A ")), "{command} {fault}: {github}");
        }
    }
}

/// Two documents in one file cannot be read: an error after the data stays on stderr.
#[test]
fn data_is_printed_once() {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    let ran = location.run("plan --sandbox --out nowhere/plan.json --format sarif").exits(1);
    assert!(ran.err.contains("could not write"), "{}", ran.err);
    assert!(results(&ran.out).iter().any(|one| one["ruleId"] == "changed-resource"));
}
