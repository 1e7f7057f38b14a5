use std::collections::BTreeSet;

use serde_sarif::sarif::{ResultLevel, Sarif};

use super::*;
use crate::diagnostics::Diagnostic;
use crate::plan::{IgnoredDrift, Plan, PlanContents};
use crate::render::{Purpose, fixture};
use crate::topology::load::load_text;

const EXAMPLE: &str = include_str!("../../../examples/aks-e2e/stargate.toml");

fn report(plan: &Plan, purpose: Purpose) -> AnnotationReport<'static> {
    let mut report = AnnotationReport::new("drift", "environments/a b/stargate.toml", EXAMPLE);
    let loaded = load_text("stargate.toml", EXAMPLE).expect("a valid topology");
    report.extend(Annotation::of_plan(plan, purpose), Some(&loaded.spans));
    report
}

/// A result with everything that is special in one of the formats.
fn hostile() -> AnnotationReport<'static> {
    let message = "100 % of <a href=\"x\">&amp;</a>, ]]> and a::b\r\n::error::\u{7}";
    let diagnostic = Diagnostic::error(Code::Unreadable, message).remedy("do, this: now");
    let mut report = AnnotationReport::new("validate", "a,b:c.toml", "name = 1\n");
    report.extend([Annotation::from(&diagnostic)], None);
    report
}

#[test]
fn workflow_commands_of_a_plan_with_everything() {
    let report = report(&fixture::everything(), Purpose::Drift);
    insta::assert_snapshot!(report.render(AnnotationFormat::Github).expect("a report"));
}

#[test]
fn workflow_commands_are_one_line_each() {
    let text = hostile().render(AnnotationFormat::Github).expect("a report");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("::error file=a%2Cb%3Ac.toml,line=1,"), "{text}");
    assert!(text.contains("::100 %25 of") && text.contains("%0D%0A::error::"), "{text}");
}

/// The types of serde-sarif are generated from the schema, and refuse unknown fields.
#[test]
fn sarif_has_the_published_shape() {
    for report in [report(&fixture::everything(), Purpose::Drift), hostile()] {
        let text = report.render(AnnotationFormat::Sarif).expect("a report");
        let log: Sarif = serde_json::from_str(&text).expect("a log of SARIF");
        let run = &log.runs[0];
        let rules: BTreeSet<&str> =
            run.tool.driver.rules.iter().flatten().map(|it| &*it.id).collect();
        let results = run.results.as_ref().expect("results");
        assert_eq!(results.len(), report.annotations.len());
        let mut levels = BTreeSet::new();
        for result in results {
            levels.insert(format!("{:?}", result.level.unwrap_or(ResultLevel::None)));
            assert!(rules.contains(result.rule_id.as_deref().expect("a rule")), "{result:?}");
            let place = &result.locations.as_ref().expect("a location")[0];
            let place = place.physical_location.as_ref().expect("a file");
            let region = place.region.as_ref().expect("a region");
            assert!(region.start_line >= Some(1) && region.end_line >= region.start_line);
            let uri = place.artifact_location.as_ref().and_then(|it| it.uri.as_deref());
            assert!(!uri.expect("a path").contains([' ', ':', ',']), "{uri:?}");
        }
        assert!(levels.contains("Error"), "{levels:?}");
    }
}

#[test]
fn an_ignored_difference_is_suppressed_with_its_reason() {
    let everything = fixture::everything();
    let change = everything.changes.iter().find(|it| !it.fields().is_empty()).expect("a change");
    let ignored = IgnoredDrift {
        address: change.address.clone(),
        fields: change.fields().to_vec(),
        reason: "the network team keeps it".to_owned(),
        until: None,
    };
    let plan =
        fixture::with_contents(PlanContents { ignored: vec![ignored], ..(*everything).clone() });
    let report = report(&plan, Purpose::Drift);
    let ignored: Vec<&str> =
        report.annotations.iter().filter_map(|one| one.ignored.as_deref()).collect();
    assert!(!ignored.is_empty());
    let log: Sarif =
        serde_json::from_str(&report.render(AnnotationFormat::Sarif).expect("a report"))
            .expect("a log of SARIF");
    let suppressions =
        log.runs[0].results.iter().flatten().filter_map(|it| it.suppressions.as_ref());
    let reasons: Vec<String> =
        suppressions.flatten().filter_map(|it| it.justification.clone()).collect();
    assert_eq!(reasons, ignored);
    let github = report.render(AnnotationFormat::Github).expect("a report");
    assert_eq!(github.lines().count(), report.annotations.len() - ignored.len());
}

#[test]
fn junit_is_well_formed_and_counts_its_cases() {
    let mut full = report(&fixture::everything(), Purpose::Drift);
    full.pass("I1 cni-config-active");
    for report in [full, hostile()] {
        let text = report.render(AnnotationFormat::Junit).expect("a report");
        let document = roxmltree::Document::parse(&text).expect("an XML document");
        let suite =
            document.descendants().find(|it| it.has_tag_name("testsuite")).expect("a suite");
        let number = |name: &str| suite.attribute(name).and_then(|it| it.parse().ok());
        let count = |name: &str| suite.descendants().filter(|it| it.has_tag_name(name)).count();
        assert_eq!(number("tests"), Some(report.annotations.len() + report.passed.len()));
        assert_eq!(number("failures"), Some(count("failure")));
        assert_eq!(number("errors"), Some(count("error")));
        assert!(count("failure") > 0);
    }
}

#[test]
fn a_difference_is_at_the_block_that_describes_the_resource() {
    let loaded = load_text("stargate.toml", EXAMPLE).expect("a valid topology");
    let place = |address: &str| {
        let address: Address = address.parse().expect("an address");
        EXAMPLE[loaded.spans.block_of(&address)].to_owned()
    };
    let worker = "stargate-aks-e2e-2-worker-1";
    assert_eq!(place(&format!("worker/dc1/{worker}")), format!("\"{worker}\""));
    assert_eq!(place(&format!("network-interface/dc1/{worker}-nic")), format!("\"{worker}\""));
    assert_eq!(place("route-table/dc1/workers-rt"), "dc1");
    assert_eq!(place("worker/gone/w"), EXAMPLE[loaded.spans.name.clone()]);
}

#[test]
fn fingerprints_survive_another_value_and_tell_resources_apart() {
    let fingerprints = |plan: &Plan| -> Vec<String> {
        let log = report(plan, Purpose::Drift).render(AnnotationFormat::Sarif).expect("a report");
        let log: Sarif = serde_json::from_str(&log).expect("a log of SARIF");
        let results = log.runs.into_iter().flat_map(|run| run.results.unwrap_or_default());
        results.filter_map(|it| it.partial_fingerprints?.get("stargate/v1").cloned()).collect()
    };
    let found = fingerprints(&fixture::everything());
    let distinct: BTreeSet<&String> = found.iter().collect();
    assert_eq!(distinct.len(), found.len(), "{found:?}");
}
