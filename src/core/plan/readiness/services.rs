//! Checks of what a plan read: each service, the version, hosts, the lease and the plan itself.

use jiff::SignedDuration;

use super::types::{Check, CheckArea, ReadinessInput, named};
use crate::diagnostics::{Code, Failure, counted};
use crate::inventory::Source;
use crate::inventory::readiness::LeaseHolder;
use crate::plan::{Finding, FindingSeverity};
use crate::resource::Api;

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
    if input.facts.cluster.is_none() && is_read {
        let reason = format!("the cluster {name} does not exist yet");
        return Check::skipped(CheckArea::Kubernetes, "access", reason);
    }
    check
}

pub(super) fn version(input: ReadinessInput<'_>) -> Check {
    let desired = input.topology.cluster.kubernetes_version;
    let summary = match (&input.facts.offered_versions, &input.facts.cluster) {
        (Some(_), _) => format!("AKS offers {desired}"),
        (None, Some(cluster)) => format!("the cluster runs {}", cluster.version),
        (None, None) => String::new(),
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

pub(super) fn lease(input: ReadinessInput<'_>) -> Check {
    const NAME: &str = "lease";
    match &input.readiness.lease {
        None => {
            let reason = "there is no cluster that could hold it";
            Check::skipped(CheckArea::Kubernetes, NAME, reason)
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

/// Routers and existing machines that can be reached before an apply.
pub(super) fn hosts(input: ReadinessInput<'_>) -> Check {
    let probed = input.readiness.hosts.len();
    let mut check = Check::passed(CheckArea::Hosts, "ssh", "");
    let gaps = input.inventory.gaps().filter(|gap| matches!(gap.source, Source::Host(_)));
    for gap in gaps.filter(|gap| !gap.explained) {
        note(&mut check, &gap.failure);
    }
    for failure in input.readiness.hosts.values().filter_map(|answer| answer.as_ref().err()) {
        note(&mut check, failure);
    }
    let routers = input.inventory.primary_routes.len();
    let existing = input.topology.datacenters.iter().filter(|it| it.is_existing());
    let waiting: usize = existing.map(|it| it.workers.len()).sum::<usize>().saturating_sub(probed);
    let is_empty = check.findings.is_empty() && check.gaps.is_empty() && probed + routers == 0;
    if is_empty && waiting == 0 {
        return Check::skipped(CheckArea::Hosts, "ssh", "no host exists yet");
    }
    check.summary = format!("{} reached", counted(probed + routers, "host"));
    if is_empty && waiting > 0 {
        check.summary =
            format!("{} probed once their routers have joined", counted(waiting, "worker"));
    }
    check
}

pub(super) fn clocks(input: ReadinessInput<'_>) -> Check {
    let clocks = &input.readiness.clocks;
    let mut check = Check::passed(CheckArea::Hosts, "clock", "agrees with the services");
    if clocks.is_empty() {
        let message = "no service sent its time";
        let remedy = "compare the clock of this machine with `timedatectl`";
        check.gaps.push(Failure::new(Code::SourceGap, message, remedy));
    }
    // The dates of services are whole seconds.
    let minutes_of = |ahead: &SignedDuration| (ahead.abs().as_secs() + 30) / 60;
    let worst = clocks.iter().max_by_key(|(_, ahead)| minutes_of(ahead));
    let Some((api, ahead)) = worst.filter(|(_, ahead)| ahead.abs() >= NOTABLE_SKEW) else {
        return check;
    };
    let direction = if ahead.is_negative() { "ahead of" } else { "behind" };
    let minutes = minutes_of(ahead);
    let message =
        format!("the clock of this machine is {minutes} min {direction} that of {}", service(*api));
    let remedy = "set the clock: `timedatectl set-ntp true`";
    match ahead.abs() >= MAX_SKEW {
        true => check.error(Code::ClockSkew, message, remedy),
        false => check.warning(Code::ClockSkew, message, remedy),
    }
    check
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
