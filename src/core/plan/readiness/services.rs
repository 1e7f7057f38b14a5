//! Checks of what a plan read: each service, the version, hosts, the lease and the plan itself.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::types::{Check, CheckArea, ReadinessInput, named};
use crate::desired::facts::ClusterFacts;
use crate::diagnostics::{Code, Failure, counted};
use crate::inventory::Source;
use crate::inventory::readiness::LeaseHolder;
use crate::plan::{Finding, FindingSeverity};
use crate::resource::{Api, ArmId, Kind, ObjectKey};

/// Azure refuses tokens of machines whose clocks differ by more
/// (<https://learn.microsoft.com/entra/identity-platform/reference-error-codes>, AADSTS500133).
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);
/// A difference that is no network delay.
const NOTABLE_SKEW: SignedDuration = SignedDuration::from_mins(1);
/// Findings that have a check of their own.
const OWN_CHECKS: [Code; 2] = [Code::TagOwnersMissing, Code::VersionUnsupported];
/// How many names a line has.
const MAX_NAMED: usize = 3;

/// The plan's findings of these codes.
pub(super) fn findings_of(input: ReadinessInput<'_>, codes: &[Code]) -> Vec<Finding> {
    let findings = input.plan.findings.iter();
    findings.filter(|it| codes.contains(&it.failure.code)).cloned().collect()
}

/// A check that all of a service could be read.
fn read(input: ReadinessInput<'_>, area: CheckArea, source: &Source, summary: String) -> Check {
    let mut check = Check::passed(area, "access", summary);
    let gaps = input.inventory.gaps().filter(|gap| gap.source == *source && !gap.explained);
    for gap in gaps {
        note(&mut check, &gap.failure);
    }
    check
}

/// A refusal must be resolved before an apply; anything else leaves the facts unknown.
fn note(check: &mut Check, failure: &Failure) {
    let is_refusal = matches!(
        failure.code,
        Code::AzureCredentialsMissing
            | Code::AzureRefused
            | Code::TailscaleCredentialsMissing
            | Code::TailscaleRefused
            | Code::ClusterRefused
            | Code::KubeconfigServer
            | Code::KubeconfigMissing
            | Code::SubscriptionUnusable
            | Code::LoginRefused
            | Code::HostKeyChanged
            | Code::HostKeyUntrusted
            | Code::WrongHost
            | Code::HostCommandFailed
    );
    let finding = Finding::new(FindingSeverity::Error, failure.clone());
    let is_known = check.gaps.contains(failure) || check.findings.contains(&finding);
    match (is_known, is_refusal) {
        (true, _) => {}
        (false, true) => check.findings.push(finding),
        (false, false) => check.gaps.push(failure.clone()),
    }
}

pub(super) fn azure(input: ReadinessInput<'_>) -> Check {
    let subscription = input.facts.subscription.as_str();
    let summary = format!("subscription {subscription}");
    read(input, CheckArea::Azure, &Source::Azure, summary)
}

pub(super) fn tailnet(input: ReadinessInput<'_>) -> Check {
    let summary = match input.topology.tailnet.name.as_str() {
        "-" => "the tailnet of the credential".to_owned(),
        name => format!("tailnet {name}"),
    };
    read(input, CheckArea::Tailscale, &Source::Tailscale, summary)
}

pub(super) fn cluster(input: ReadinessInput<'_>) -> Check {
    let name = &input.topology.cluster.name;
    let summary = match &input.facts.cluster {
        Some(cluster) => format!("cluster {name}, Kubernetes {}", cluster.version),
        None => String::new(),
    };
    let check = read(input, CheckArea::Kubernetes, &Source::Kubernetes, summary);
    let is_read = check.findings.is_empty() && check.gaps.is_empty();
    let reason = match &input.facts.cluster {
        Some(cluster) if cluster.stopped => format!("the cluster {name} is stopped"),
        Some(_) => return check,
        None if exists(input) => format!("the cluster {name} is not supported"),
        None if input.topology.cluster.existing => format!("the cluster {name} does not exist"),
        None => format!("the cluster {name} does not exist yet"),
    };
    match is_read {
        true => Check::skipped(CheckArea::Kubernetes, "access", reason),
        false => check,
    }
}

/// Whether Azure lists the cluster, whatever is known about it.
fn exists(input: ReadinessInput<'_>) -> bool {
    let name = input.topology.cluster.name.as_str();
    input.inventory.iter().any(|(key, observed)| {
        let is_named = |id: &ArmId| id.name().eq_ignore_ascii_case(name);
        observed.resource.kind() == Kind::ManagedCluster
            && matches!(key, ObjectKey::Azure(id) if is_named(id))
    })
}

pub(super) fn version(input: ReadinessInput<'_>) -> Check {
    let desired = input.topology.cluster.kubernetes_version;
    let summary = match (&input.facts.offered_versions, &input.facts.cluster) {
        (Some(_), _) => format!("AKS offers {desired}"),
        (None, Some(cluster)) if !is_upgraded(input, cluster) => {
            format!("the cluster runs {}", cluster.version)
        }
        (None, _) => String::new(),
    };
    let mut check = Check::passed(CheckArea::Azure, "kubernetes-version", summary);
    check.findings = findings_of(input, &[Code::VersionUnsupported]);
    let blocked = input.plan.blocked.iter();
    let blocked = blocked.filter(|it| it.failure.code == Code::VersionUnsupported);
    check.findings.extend(blocked.map(|it| Finding {
        severity: FindingSeverity::Error,
        address: Some(it.address.clone()),
        failure: it.failure.clone(),
    }));
    if check.findings.is_empty() && check.summary.is_empty() {
        let message = format!("it is unknown whether AKS offers Kubernetes {desired}");
        let remedy = "`az aks get-versions --location REGION` lists the versions";
        check.gaps.push(Failure::new(Code::SourceGap, message, remedy));
    }
    check
}

/// Whether an apply asks AKS for a newer version than the cluster runs.
fn is_upgraded(input: ReadinessInput<'_>, cluster: &ClusterFacts) -> bool {
    let desired = &input.topology.cluster;
    !desired.existing && desired.kubernetes_version.is_newer_than(cluster.version)
}

pub(super) fn other_topologies(input: ReadinessInput<'_>) -> Check {
    const NAME: &str = "other-topologies";
    let mut others = match &input.readiness.other_topologies {
        Ok(others) => others.clone(),
        Err(failure) => return Check::unknown(CheckArea::Azure, NAME, failure.clone()),
    };
    others.extend(input.inventory.foreign_nodes.iter().filter_map(|node| node.topology.clone()));
    let summary = match others.len() {
        0 => "none".to_owned(),
        _ => named(&others, MAX_NAMED),
    };
    Check::passed(CheckArea::Azure, NAME, summary)
}

/// Why facts behind whole sources are unknown: sources that did not answer, and the facts of
/// the AKS cluster, without which there is no access to its API server.
fn gaps_of(input: ReadinessInput<'_>, sources: &[Source]) -> Vec<Failure> {
    let inventory = input.inventory;
    let of_sources = sources.iter().filter_map(|source| inventory.gap_at(source));
    let gaps = of_sources.chain(inventory.cluster_gap()).filter(|gap| !gap.explained);
    let mut failures: Vec<Failure> = Vec::new();
    for gap in gaps {
        if !failures.contains(&gap.failure) {
            failures.push(gap.failure.clone());
        }
    }
    failures
}

pub(super) fn lease(input: ReadinessInput<'_>) -> Check {
    const NAME: &str = "lease";
    match &input.readiness.lease {
        None => {
            let reason = match exists(input) {
                true => "the cluster was not read",
                false => "there is no cluster that could hold it",
            };
            let gaps = gaps_of(input, &[Source::Azure, Source::Kubernetes]);
            Check { gaps, ..Check::skipped(CheckArea::Kubernetes, NAME, reason) }
        }
        Some(Err(failure)) => Check::unknown(CheckArea::Kubernetes, NAME, failure.clone()),
        Some(Ok(None)) => Check::passed(CheckArea::Kubernetes, NAME, "free"),
        Some(Ok(Some(LeaseHolder { lease, holder, renewed }))) => {
            let mut check = Check::passed(CheckArea::Kubernetes, NAME, "held");
            check.warning(
                Code::LeaseHeld,
                format!("{holder} holds the lease {lease}, renewed at {renewed}"),
                "an apply waits until the other process has ended; `kubectl --namespace \
                 kube-system get lease` shows the holder",
            );
            check
        }
    }
}

/// Routers and existing machines that can be reached before an apply. Which of them exist is
/// unknown without Azure, the tailnet or the cluster.
pub(super) fn hosts(input: ReadinessInput<'_>) -> Check {
    const NAME: &str = "ssh";
    let mut check = Check::passed(CheckArea::Hosts, NAME, "");
    let gaps = input.inventory.gaps().filter(|gap| matches!(gap.source, Source::Host(_)));
    for gap in gaps.filter(|gap| !gap.explained) {
        note(&mut check, &gap.failure);
    }
    for failure in input.readiness.hosts.values().filter_map(|answer| answer.as_ref().err()) {
        note(&mut check, failure);
    }
    check.gaps.extend(gaps_of(input, &[Source::Azure, Source::Tailscale, Source::Kubernetes]));
    let reached = input.readiness.hosts.len() + input.inventory.primary_routes.len();
    let not_probed = not_probed(input);
    let names = named(&not_probed, MAX_NAMED);
    check.is_skipped = reached == 0;
    check.summary = match (reached, not_probed.is_empty()) {
        (0, true) => "no host exists yet".to_owned(),
        (0, false) => format!("not probed yet: {names}"),
        (reached, true) => format!("{} reached", counted(reached, "host")),
        (reached, false) => {
            format!("{} reached; not probed yet: {names}", counted(reached, "host"))
        }
    };
    check
}

/// Existing machines that have not joined and were not probed: their router is not in the
/// tailnet, or they have no address or host key that a connection could use.
fn not_probed<'a>(input: ReadinessInput<'a>) -> Vec<&'a str> {
    let existing = input.topology.datacenters.iter().filter(|it| it.is_existing());
    let names = existing.flat_map(|it| &it.workers).map(|worker| worker.name.as_str());
    let is_known = |name: &str| {
        let is_node = input.inventory.get(&ObjectKey::node(name)).is_some();
        is_node || input.readiness.hosts.contains_key(name)
    };
    names.filter(|name| !is_known(name)).collect()
}

pub(super) fn clocks(input: ReadinessInput<'_>) -> Check {
    let clocks = &input.readiness.clocks;
    let mut check = Check::passed(CheckArea::Hosts, "clock", "agrees with the services");
    if clocks.is_empty() {
        let message = "no service sent its time";
        let remedy = "compare the clock of this machine with `timedatectl`";
        check.gaps.push(Failure::new(Code::SourceGap, message, remedy));
    }
    let Some((api, ahead)) = worst(clocks).filter(|(_, ahead)| ahead.abs() >= NOTABLE_SKEW) else {
        return check;
    };
    let direction = if ahead.is_negative() { "ahead of" } else { "behind" };
    // The dates of services are whole seconds.
    let minutes = (ahead.abs().as_secs() + 30) / 60;
    let message =
        format!("the clock of this machine is {minutes} min {direction} that of {}", service(api));
    let remedy = "set the clock: `timedatectl set-ntp true`";
    match ahead.abs() >= MAX_SKEW {
        true => check.error(Code::ClockSkew, message, remedy),
        false => check.warning(Code::ClockSkew, message, remedy),
    }
    check
}

/// The clock that differs most.
fn worst(clocks: &BTreeMap<Api, SignedDuration>) -> Option<(Api, SignedDuration)> {
    let worst = clocks.iter().max_by_key(|(_, ahead)| ahead.abs());
    worst.map(|(api, ahead)| (*api, *ahead))
}

fn service(api: Api) -> &'static str {
    match api {
        Api::Azure => "Azure",
        Api::Tailscale => "Tailscale",
        Api::Kubernetes => "the API server",
    }
}

/// The findings of the plan, and the changes that it blocks.
pub(super) fn plan(input: ReadinessInput<'_>) -> Check {
    let plan = input.plan;
    let is_refused = plan.findings.iter().any(|it| it.severity == FindingSeverity::Error);
    let changes = plan.changes.len() + plan.expected().count();
    let summary = match changes {
        0 if is_refused => "no change is planned while a check above fails".to_owned(),
        0 => "no changes".to_owned(),
        changes => counted(changes, "change"),
    };
    let mut check = Check::passed(CheckArea::Plan, "preflight", summary);
    check.is_skipped = is_refused;
    for gap in plan.unexplained_gaps() {
        if !check.gaps.contains(&gap.failure) {
            check.gaps.push(gap.failure.clone());
        }
    }
    let findings = plan.findings.iter().filter(|it| !OWN_CHECKS.contains(&it.failure.code));
    check.findings = findings.cloned().collect();
    let blocked = plan.blocked.iter().filter(|it| !OWN_CHECKS.contains(&it.failure.code));
    check.findings.extend(blocked.map(|it| Finding {
        severity: FindingSeverity::Error,
        address: Some(it.address.clone()),
        failure: it.failure.clone(),
    }));
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both differences are five minutes when rounded, and only one of them is refused.
    #[test]
    fn the_worst_clock_is_that_with_the_largest_difference() {
        let (more, less) = (SignedDuration::from_secs(-310), SignedDuration::from_secs(280));
        for (azure, tailscale) in [(more, less), (less, more)] {
            let clocks = BTreeMap::from([(Api::Azure, azure), (Api::Tailscale, tailscale)]);
            assert_eq!(worst(&clocks).map(|(_, ahead)| ahead), Some(more));
        }
    }
}
