//! Facts that could not be read: each check that needs them is unknown, and none passes or is
//! skipped.

use std::sync::Arc;

use stargate::plan::readiness::{Check, ReadinessStatus};
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;

use super::{BARE_METAL, examine, problems};
use crate::harness::{Deployment, EXAMPLE};
use crate::refused_calls::{RefusedCalls, is_request};
use crate::upgrades::with_versions;

/// Answers the calls that match with a body.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) matches: fn(&Call) -> bool,
    pub(super) body: String,
}

impl FaultInjector for Answers {
    fn before(&self, call: &Call) -> Disposition {
        match (self.matches)(call) {
            true => Disposition::Respond { status: 200, body: self.body.clone() },
            false => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

fn states(checks: &[Check]) -> Vec<String> {
    checks.iter().map(|it| format!("{:?} {:?} {}", it.status(), it.area, it.name)).collect()
}

/// The unknown checks.
fn unknown(checks: &[Check]) -> Vec<&'static str> {
    let unknown = checks.iter().filter(|it| it.status() == ReadinessStatus::Unknown);
    unknown.map(|it| it.name).collect()
}

/// All checks of a deployment while a source is down: what it alone knows is unknown, and
/// nothing else is.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_makes_its_checks_unknown() {
    let cases: [(&str, &[&str]); 3] = [
        (
            "azure",
            &[
                "Azure access",
                "Azure permissions",
                "Azure providers",
                "Azure vm-sizes",
                "Azure cores",
                "Azure public-ips",
                "Azure kubernetes-version",
                "Azure policies",
                "Azure locks",
                "Azure other-topologies",
                "Kubernetes access",
                "Kubernetes lease",
                "Hosts ssh",
                "Plan preflight",
            ],
        ),
        (
            "tailscale",
            &[
                "Tailscale access",
                "Tailscale scopes",
                "Tailscale tag-owners",
                "Tailscale route-approval",
                "Hosts ssh",
                "Plan preflight",
            ],
        ),
        ("kubernetes", &["Kubernetes access", "Kubernetes lease", "Hosts ssh", "Plan preflight"]),
    ];
    for (source, expected) in cases {
        let deployment = Deployment::example_applied().await;
        let healthy = examine(&deployment).await;
        deployment.inject(Fault::SourceDown, Some(source));
        let checks = examine(&deployment).await;
        let expected: Vec<String> = healthy
            .iter()
            .map(|it| format!("{:?} {}", it.area, it.name))
            .map(|name| match expected.contains(&name.as_str()) {
                true => format!("Unknown {name}"),
                false => format!("Passed {name}"),
            })
            .collect();
        assert_eq!((states(&checks), checks.len()), (expected, 19), "{source}");
    }
}

/// A list that is refused hides which objects of its kind exist: none of them counts as created.
#[tokio::test(start_paused = true)]
async fn objects_that_a_gap_hides_do_not_count_as_created() {
    type Case = (fn(&Call) -> bool, &'static [&'static str]);
    let cases: [Case; 2] = [
        (
            |call| is_request(call, "Microsoft.Network/publicIPAddresses"),
            &["access", "public-ips", "preflight"],
        ),
        (
            |call| is_request(call, "Microsoft.Compute/virtualMachines"),
            &["access", "vm-sizes", "cores", "preflight"],
        ),
    ];
    for (matches, expected) in cases {
        let deployment = Deployment::example_applied().await;
        deployment.inject(Fault::QuotaExhausted, Some("StandardSkuPublicIpAddresses"));
        deployment.inject(Fault::QuotaExhausted, Some("cores"));
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(503, matches)));
        let checks = examine(&deployment).await;
        assert_eq!(unknown(&checks), expected, "{:#?}", problems(&checks));
        let failed = checks.iter().filter(|it| it.status() == ReadinessStatus::Failed);
        assert_eq!(failed.count(), 0, "{:#?}", problems(&checks));
    }
}

/// Without a pending upgrade the versions on offer are not needed; with one, the version of the
/// cluster does not answer for the one that AKS is asked for.
#[tokio::test(start_paused = true)]
async fn an_upgrade_to_a_version_of_unknown_support_is_unknown() {
    let deployment = Deployment::example_applied().await;
    let edited = deployment.edited(&with_versions(EXAMPLE, "1.34", "1.33.5"));
    let is_list = |call: &Call| is_request(call, "/kubernetesVersions");
    let answers = |body: &str| Arc::new(Answers { matches: is_list, body: body.to_owned() });
    let injectors: [Arc<dyn FaultInjector>; 4] = [
        RefusedCalls::of(403, is_list),
        answers("{}"),
        answers("{\"values\": []}"),
        answers("{\"values\": [{\"version\": \"1.34\"}]}"),
    ];
    for injector in injectors {
        edited.sandbox.set_fault_injector(Some(injector));
        let checks = examine(&edited).await;
        assert_eq!(unknown(&checks), ["kubernetes-version"], "{:#?}", problems(&checks));
        let reasons = checks.iter().filter(|it| it.name == "preflight");
        let mut reasons = reasons.flat_map(|it| &it.findings).map(|it| it.failure.message.as_str());
        let reason = "it is unknown whether AKS offers Kubernetes 1.34";
        assert!(reasons.any(|it| it.starts_with(reason)), "{:#?}", problems(&checks));
        let current = examine(&deployment).await;
        assert_eq!(problems(&current), [] as [String; 0], "{current:#?}");
    }
}

/// Machines that exist already cannot be probed before their router is in the tailnet.
#[tokio::test(start_paused = true)]
async fn machines_that_were_not_probed_are_named() {
    let deployment = Deployment::of(BARE_METAL, SandboxState::new(1));
    let checks = examine(&deployment).await;
    let ssh = checks.iter().find(|it| it.name == "ssh").unwrap();
    assert!(ssh.summary.contains("not probed yet: "), "{ssh:?}");
}

/// An entry of a list that cannot be decoded is no proof that its object does not exist.
#[tokio::test(start_paused = true)]
async fn entries_that_cannot_be_decoded_make_their_check_unknown() {
    type Case = (fn(&Call) -> bool, &'static str, &'static [&'static str]);
    let cases: [Case; 7] = [
        (|call| is_request(call, "/locks"), "{\"name\": \"l\"}", &["locks"]),
        (|call| is_request(call, "/policyAssignments"), "{\"id\": \"i\"}", &["policies"]),
        (|call| is_request(call, "/permissions"), "{}", &["permissions"]),
        (
            |call| is_request(call, "/skus"),
            "{\"resourceType\": \"virtualMachines\"}",
            &["vm-sizes", "cores"],
        ),
        (|call| is_request(call, "Microsoft.Compute/locations"), "{}", &["cores"]),
        (
            |call| is_request(call, "Microsoft.Network/locations"),
            "{\"name\": {\"value\": \"StandardSkuPublicIpAddresses\"}}",
            &["public-ips"],
        ),
        // A quota that the list lacks.
        (
            |call| is_request(call, "Microsoft.Network/locations"),
            "{\"name\": {\"value\": \"other\"}, \"limit\": 1, \"currentValue\": 0}",
            &["public-ips"],
        ),
    ];
    for (matches, entry, expected) in cases {
        let deployment = Deployment::example();
        let body = format!("{{\"value\": [{entry}]}}");
        deployment.sandbox.set_fault_injector(Some(Arc::new(Answers { matches, body })));
        let checks = examine(&deployment).await;
        assert_eq!(unknown(&checks), expected, "{entry}: {:#?}", problems(&checks));
        let failed = checks.iter().filter(|it| it.status() == ReadinessStatus::Failed);
        assert_eq!(failed.count(), 0, "{entry}: {:#?}", problems(&checks));
    }
}

/// A size on offer without its family can be created; how much of which quota it needs is
/// unknown.
#[tokio::test(start_paused = true)]
async fn a_size_without_a_family_is_on_offer() {
    let deployment = Deployment::example();
    let sizes = ["Standard_D2s_v5", "Standard_D2ads_v5"].map(|name| {
        let zones = "[{\"location\": \"canadacentral\", \"zones\": [\"1\", \"2\", \"3\"]}]";
        format!(
            "{{\"resourceType\": \"virtualMachines\", \"name\": \"{name}\", \"locationInfo\": {zones}}}"
        )
    });
    let body = format!("{{\"value\": [{}]}}", sizes.join(", "));
    let matches = |call: &Call| is_request(call, "/skus");
    deployment.sandbox.set_fault_injector(Some(Arc::new(Answers { matches, body })));
    let checks = examine(&deployment).await;
    assert_eq!(problems(&checks), ["Unknown cores: SG0409 SG0409"], "{checks:#?}");
}
