//! `doctor` reports a refused sign-in to Azure, and checks the other services.

use serde_json::Value;

use super::methods::Method;
use super::service::{Environment, Service};

#[test]
fn a_refused_sign_in_is_a_finding_and_the_other_services_are_checked() {
    let service = Service::start(None);
    let right = Method::Secret.register(&service);
    let (changed, words) = Method::Secret.wrong(&service);
    let wrong: Environment = right.into_iter().chain(changed).collect();
    let ran = service.run("doctor", &wrong);
    assert_eq!(ran.code, Some(5), "{}", ran.text);
    for word in words.into_iter().chain(["failed access", "SG0602", "as above"]) {
        assert!(ran.text.contains(word), "no `{word}` in: {}", ran.text);
    }
    assert!(ran.text.contains("ok access the tailnet of the credential"), "{}", ran.text);
    let output = service.command("doctor --format json", &wrong).output().expect("a report");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["status"], "failed");
    let checks = report["checks"].as_array().expect("checks");
    let access = |service: &str| {
        let is_it = |it: &&Value| it["service"] == service && it["name"] == "access";
        checks.iter().find(is_it).expect("a check")
    };
    let azure = access("azure");
    assert_eq!(azure["status"], "failed");
    assert_eq!(azure["findings"][0]["code"], "SG0602", "{azure}");
    let remedy = azure["findings"][0]["remedy"].as_str().expect("a remedy");
    assert!(!remedy.is_empty() && azure["findings"].as_array().map(Vec::len) == Some(1), "{azure}");
    for check in checks.iter().filter(|it| it["status"] == "failed" || it["status"] == "unknown") {
        assert_eq!(check["summary"], "", "{check}");
        let gaps = check["unknown"].as_array().expect("gaps");
        assert!((1..gaps.len()).all(|it| !gaps[..it].contains(&gaps[it])), "{check}");
    }
    assert_eq!(access("tailscale")["status"], "passed", "{report:#}");
    // Every other command ends with it, before it reads anything.
    assert_eq!(service.run("plan", &wrong).code, Some(1));
}
