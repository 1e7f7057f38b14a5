//! A range or an address that an `[[ignore]]` block keeps is given to nothing else: the plan is
//! refused before anything is modified.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Plan, PlanStatus};
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, failures, summary};
use crate::worker_waves::{base, pod_range, with_worker_line};

/// Lines that are added after the names of workers.
fn with_lines(lines: &[(&str, &str)]) -> String {
    lines.iter().fold(base(), |text, (worker, line)| with_worker_line(&text, worker, line))
}

fn ignoring(text: &str, address: &str, field: &str) -> String {
    format!(
        "{text}\n[rollout]\nwidth = 2\n\n[[ignore]]\naddress = \"{address}\"\nfield = \
         \"{field}\"\nreason = \"known\"\n"
    )
}

async fn deployed(lines: &[(&str, &str)]) -> Deployment {
    let deployment = Deployment::of(&with_lines(lines), SandboxState::new(7));
    deployment.iterate().await;
    deployment
}

async fn plan(deployment: &Deployment) -> Plan {
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    deployment.refresh_and_plan(&options).await.plan
}

/// The edit is refused with the rule, and is accepted without it.
async fn assert_refused(
    before: &Deployment,
    name: &str,
    text: &str,
    (address, field): (&str, &str),
) {
    let deployment = before.edited(&ignoring(text, address, field));
    let plan = plan(&deployment).await;
    let report = format!("{name}\n{}", summary(&plan));
    let conflict = plan.findings.iter().find(|it| it.failure.code == Code::IgnoredConflict);
    let conflict = conflict.unwrap_or_else(|| panic!("{report}"));
    assert!(conflict.failure.message.contains(address), "{}", conflict.failure.message);
    assert_eq!((plan.status(), plan.changes.len()), (PlanStatus::Wrong, 0), "{report}");
    let writes = deployment.writes();
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let applied = deployment.apply(&options).await;
    assert_ne!(applied.status, ApplyStatus::Converged, "{report}");
    assert_eq!(deployment.writes(), writes, "{report}\n{}", failures(&applied).join("\n"));
    let plan = before.edited(text).plan().await;
    let conflicts = plan.findings.iter().filter(|it| it.failure.code == Code::IgnoredConflict);
    assert_eq!(conflicts.count(), 0, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_an_ignored_field_keeps_is_given_to_nothing_else() {
    let before = deployed(&[]).await;
    let of_a = |kind: &str| format!("{kind}/cloud/cloud-a");
    let swapped = with_lines(&[("cloud-a", &pod_range(65)), ("cloud-b", &pod_range(64))]);
    let chain = with_lines(&[("cloud-a", &pod_range(70)), ("cloud-b", &pod_range(64))]);
    let outside_of_pools = deployed(&[("cloud-a", &pod_range(210))]).await;
    let elsewhere = with_lines(&[("cloud-a", &pod_range(70)), ("attic-a", &pod_range(210))]);
    let edits = [(&before, &swapped), (&before, &chain), (&outside_of_pools, &elsewhere)];
    for (before, text) in edits {
        assert_refused(before, "worker", text, (&of_a("worker"), "pod_cidr")).await;
        assert_refused(before, "CiliumNode", text, (&of_a("cilium-node"), "pod_cidrs")).await;
        assert_refused(before, "Server", text, (&of_a("server"), "spec.podCIDR")).await;
    }
    let addresses =
        with_lines(&[("cloud-a", "ip = \"10.50.1.40\""), ("cloud-b", "ip = \"10.50.1.4\"")]);
    let interface = ("network-interface/cloud/cloud-a-nic", "private_ip");
    assert_refused(&before, "interface", &addresses, interface).await;
    assert_refused(&before, "machine", &addresses, (&of_a("worker"), "ip")).await;
    for kind in ["advertised-routes", "approved-routes"] {
        let rule = (&*format!("{kind}/cloud/cloud-router"), "prefixes");
        let text = base().replace("10.244.64.0/20", "10.244.96.0/20");
        let text = text.replace("10.244.128.0/20", "10.244.64.0/20");
        assert_refused(&before, kind, &text, rule).await;
    }
}

/// The same of a network whose range another datacenter gets.
#[tokio::test(start_paused = true)]
async fn a_network_that_an_ignored_field_keeps_is_no_other_datacenters() {
    let before = deployed(&[]).await;
    let loft = "\n[datacenters.loft]\npod_pool = \"10.244.160.0/20\"\nprofile = \"standard\"\n\n\
        [datacenters.loft.existing]\nnetwork_cidr = \"10.50.0.0/16\"\n\n\
        [datacenters.loft.router]\nname = \"loft-router\"\nip = \"10.50.0.4\"\n\n\
        [[datacenters.loft.workers]]\nname = \"loft-a\"\nip = \"10.50.1.5\"\nmac = \
        \"52:54:00:00:02:05\"\n";
    let text = base().replace("10.50.", "10.52.") + loft;
    let rule = ("virtual-network/cloud/*", "address_prefixes");
    let ignored = before.edited(&ignoring(&text, rule.0, rule.1));
    let plan = plan(&ignored).await;
    let mut codes = plan.findings.iter().map(|it| it.failure.code);
    assert!(codes.any(|code| code == Code::IgnoredConflict), "{}", summary(&plan));
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
}

/// The cluster keeps a range that the topology gives to a network, or a network one that it gives
/// to the cluster.
#[tokio::test(start_paused = true)]
async fn a_range_of_the_cluster_that_an_ignored_field_keeps_is_no_network() {
    let before = deployed(&[]).await;
    let other_pods = base().replace("10.244.", "10.246.");
    let network_in_pods = other_pods.replace("10.60.", "10.244.");
    let other_services =
        base().replace("service_cidr = \"10.0.0.0/16\"", "service_cidr = \"10.9.0.0/16\"");
    let network_in_services = other_services.replace("10.60.", "10.0.");
    let pods_in_network = base().replace("10.50.", "10.52.").replace("10.244.", "10.50.");
    let cluster = "managed-cluster/cluster/*";
    for (text, address, field, expected) in [
        (&network_in_pods, cluster, "pod_cidr", "the network of [datacenters.attic]"),
        (&network_in_services, cluster, "service_cidr", "the network of [datacenters.attic]"),
        (
            &pods_in_network,
            "virtual-network/cloud/*",
            "address_prefixes",
            "`pod_cidr` of [cluster]",
        ),
    ] {
        assert_ne!(*text, base());
        let ignored = before.edited(&ignoring(text, address, field));
        let plan = plan(&ignored).await;
        let conflicts = plan.findings.iter().filter(|it| it.failure.code == Code::IgnoredConflict);
        let mut messages = conflicts.map(|it| it.failure.message.as_str());
        assert!(messages.any(|it| it.starts_with(expected)), "{field}\n{}", summary(&plan));
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
    }
    let kept = before.edited(&ignoring(&other_pods, cluster, "pod_cidr")).plan().await;
    let conflicts = kept.findings.iter().filter(|it| it.failure.code == Code::IgnoredConflict);
    assert_eq!(conflicts.count(), 0, "{}", summary(&kept));
}

/// A rule that keeps what nothing else gets, or what two objects had before, refuses nothing.
#[tokio::test(start_paused = true)]
async fn a_kept_place_that_nothing_takes_is_no_conflict() {
    let before = deployed(&[]).await;
    let text = with_lines(&[("cloud-a", &pod_range(70))]);
    for (address, field) in [
        ("worker/cloud/cloud-a", "pod_cidr"),
        ("cilium-node/cloud/cloud-a", "pod_cidrs"),
        ("network-interface/*/*", "private_ip"),
        ("*/cloud/cloud-router", "prefixes"),
    ] {
        let plan = plan(&before.edited(&ignoring(&text, address, field))).await;
        let conflicts = plan.findings.iter().filter(|it| it.failure.code == Code::IgnoredConflict);
        assert_eq!(conflicts.count(), 0, "{address}\n{}", summary(&plan));
    }
}
