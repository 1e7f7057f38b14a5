//! `--format sarif`, `junit` and `github` of the commands that report something.

use serde_json::Value;

use super::location::{EXAMPLE, TestFolder};

const COMMANDS: [&str; 4] = ["validate", "plan --sandbox", "drift --sandbox", "check --sandbox"];

fn results(sarif: &str) -> Vec<Value> {
    let log: serde_sarif::sarif::Sarif = serde_json::from_str(sarif).expect("a log of SARIF");
    assert_eq!(log.runs.len(), 1);
    let log: Value = serde_json::from_str(sarif).expect("JSON");
    log["runs"][0]["results"].as_array().expect("results").clone()
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
    for command in ["drift --sandbox", "check --sandbox"] {
        let junit = location.run(&format!("{command} --format junit")).exits(1).out;
        assert!(junit.contains("<error"), "{junit}");
        let sarif = location.run(&format!("{command} --format sarif")).exits(1).out;
        let log: Value = serde_json::from_str(&sarif).expect("JSON");
        assert_eq!(log["runs"][0]["invocations"][0]["executionSuccessful"], false);
    }
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
