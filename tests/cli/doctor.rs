//! `stargate doctor`: the output for people and for scripts, and the exit codes.

use serde_json::Value;

use super::location::{TestFolder, too_wide};

#[test]
fn a_new_deployment_is_healthy() {
    let location = TestFolder::new();
    let ran = location.run("doctor --sandbox").exits(0);
    insta::assert_snapshot!("a_new_deployment", ran.out);
    assert_eq!(too_wide(&ran.out), [] as [&str; 0]);
}

#[test]
fn an_applied_deployment_is_healthy() {
    let ran = TestFolder::applied().run("doctor --sandbox").exits(0);
    assert!(ran.out.ends_with("checks: 19 passed.\n"), "{}", ran.out);
}

#[test]
fn each_defect_has_its_resource_and_a_remedy() {
    let location = TestFolder::new();
    location.run("doctor --sandbox").exits(0);
    for fault in [
        "azure-action-missing Microsoft.Network/routeTables/write",
        "provider-unregistered Microsoft.Compute",
        "quota-exhausted cores",
        "size-restricted Standard_D2s_v5",
        "version-long-term-only 1.33",
        "policy-denies public-ips",
        "management-lock subscription",
        "tag-unowned",
        "tailnet-scope-missing auth_keys",
        "clock-skew",
    ] {
        location.run(&format!("sandbox break {fault}")).exits(0);
    }
    let ran = location.run("doctor --sandbox").exits(5);
    // The clocks of all services differ alike; the slower request decides which is named.
    insta::assert_snapshot!("defects", ran.out.replace("that of Azure", "that of Tailscale"));
    assert_eq!(too_wide(&ran.out), [] as [&str; 0]);
    let json = location.run("doctor --sandbox --format json").exits(5);
    let report: Value = serde_json::from_str(&json.out).expect("JSON");
    assert_eq!(report["status"], "failed");
    let checks = report["checks"].as_array().expect("checks");
    let failed = checks.iter().filter(|it| it["status"] == "failed");
    let findings = failed.flat_map(|it| it["findings"].as_array().expect("findings"));
    let mut count = 0;
    for finding in findings {
        let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        assert!(text("code").starts_with("SG"), "{finding}");
        assert!(!text("message").is_empty() && !text("remedy").is_empty(), "{finding}");
        count += 1;
    }
    assert!(count >= 10, "{}", json.out);
}

/// Facts that could not be read do not pass a check.
#[test]
fn a_service_that_does_not_answer_is_unknown() {
    let location = TestFolder::applied();
    location.run("sandbox break source-down tailscale").exits(0);
    let ran = location.run("doctor --sandbox").exits(1);
    assert!(ran.out.contains("unknown"), "{}", ran.out);
}
