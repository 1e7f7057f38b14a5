//! The input of the checks and their results.

use std::collections::BTreeSet;

use crate::desired::{DesiredResource, DesiredSet, Facts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::readiness::ReadinessFacts;
use crate::inventory::subscription::Region;
use crate::inventory::{Gap, Inventory};
use crate::plan::{Finding, FindingSeverity, Plan};
use crate::resource::{Address, ArmId, ArmType, Kind, ObjectKey, Resource};
use crate::topology::model::Topology;

/// The input of the checks.
#[derive(Debug, Clone, Copy)]
pub struct ReadinessInput<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The id of the subscription, as in `/subscriptions/S`.
    pub subscription: &'a str,
    /// The plan of the topology: its findings are checks, too.
    pub plan: &'a Plan,
    /// The facts that the plan was made from.
    pub facts: &'a Facts,
    /// The live state.
    pub inventory: &'a Inventory,
    /// The facts beyond those of a plan.
    pub readiness: &'a ReadinessFacts,
}

/// The service that a check is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckArea {
    /// Azure.
    Azure,
    /// The tailnet.
    Tailscale,
    /// The cluster.
    Kubernetes,
    /// Hosts, and the machine that stargate runs on.
    Hosts,
    /// The plan of the topology.
    Plan,
}

/// A check and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The service.
    pub area: CheckArea,
    /// The name, which is stable.
    pub name: &'static str,
    /// The result in a few words, if there is nothing to report.
    pub summary: String,
    /// The problems.
    pub findings: Vec<Finding>,
    /// Why facts of the check are unknown.
    pub gaps: Vec<Failure>,
    /// Whether it does not apply yet, for the reason in `summary`.
    pub is_skipped: bool,
}

/// The result of a check, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReadinessStatus {
    /// It does not apply yet.
    Skipped,
    /// Nothing is wrong.
    Passed,
    /// An apply works, but not as intended.
    Warned,
    /// Its facts could not be read.
    Unknown,
    /// An apply fails.
    Failed,
}

impl Check {
    pub(super) fn passed(area: CheckArea, name: &'static str, summary: impl Into<String>) -> Self {
        let summary = summary.into();
        Self { area, name, summary, findings: Vec::new(), gaps: Vec::new(), is_skipped: false }
    }

    pub(super) fn skipped(area: CheckArea, name: &'static str, reason: impl Into<String>) -> Self {
        Self { is_skipped: true, ..Self::passed(area, name, reason) }
    }

    pub(super) fn unknown(area: CheckArea, name: &'static str, gap: Failure) -> Self {
        Self { gaps: vec![gap], ..Self::passed(area, name, "") }
    }

    /// The result.
    pub fn status(&self) -> ReadinessStatus {
        let has = |severity| self.findings.iter().any(|it| it.severity == severity);
        if has(FindingSeverity::Error) {
            ReadinessStatus::Failed
        } else if !self.gaps.is_empty() {
            ReadinessStatus::Unknown
        } else if has(FindingSeverity::Warning) {
            ReadinessStatus::Warned
        } else if self.is_skipped {
            ReadinessStatus::Skipped
        } else {
            ReadinessStatus::Passed
        }
    }

    pub(super) fn error(
        &mut self,
        code: Code,
        message: impl AsRef<str>,
        remedy: impl Into<String>,
    ) {
        let failure = Failure::new(code, message, remedy);
        self.findings.push(Finding::new(FindingSeverity::Error, failure));
    }

    pub(super) fn warning(
        &mut self,
        code: Code,
        message: impl AsRef<str>,
        remedy: impl Into<String>,
    ) {
        let failure = Failure::new(code, message, remedy);
        self.findings.push(Finding::new(FindingSeverity::Warning, failure));
    }

    pub(super) fn error_at(&mut self, address: &Address, failure: Failure) {
        let address = Some(address.clone());
        self.findings.push(Finding { severity: FindingSeverity::Error, address, failure });
    }
}

impl<'a> ReadinessInput<'a> {
    /// The resources that the topology asks for.
    pub(super) fn desired(self) -> &'a DesiredSet {
        self.plan.desired()
    }

    /// The resources of Azure that an apply creates. One that a gap hides may exist.
    pub(super) fn created(self) -> impl Iterator<Item = &'a DesiredResource> {
        self.absent().filter(move |desired| self.gap_of(desired).is_none())
    }

    /// Why it is unknown whether an apply creates resources of these kinds.
    pub(super) fn creation_gaps(self, is_kind: impl Fn(Kind) -> bool) -> Vec<Failure> {
        let mut failures = Vec::new();
        let of_kinds = self.absent().filter(|desired| is_kind(desired.resource.kind()));
        for gap in of_kinds.filter_map(|desired| self.gap_of(desired)) {
            if !failures.contains(&gap.failure) {
                failures.push(gap.failure.clone());
            }
        }
        failures
    }

    /// The resources of Azure that the inventory does not have.
    fn absent(self) -> impl Iterator<Item = &'a DesiredResource> {
        self.desired().iter().filter(move |desired| {
            let is_azure = desired.resource.kind().arm().is_some();
            let exists = desired.key.as_ref().is_some_and(|key| self.inventory.get(key).is_some());
            is_azure && !exists
        })
    }

    /// The region of a resource, in the subscription that it is in: an object without an ID
    /// yet is in that of the topology.
    pub(super) fn region(self, desired: &DesiredResource, name: &str) -> Region {
        let subscription = subscription_of(desired);
        Region::new(subscription.as_deref().unwrap_or(self.subscription), name)
    }

    /// The gap that hides an object.
    pub(super) fn gap_of(self, desired: &DesiredResource) -> Option<&'a Gap> {
        self.inventory.gap_for(desired.resource.kind(), desired.key.as_ref())
    }
}

/// The id of an object of Azure, if it is known.
pub(super) fn id_of(desired: &DesiredResource) -> Option<&ArmId> {
    match desired.key.as_ref()? {
        ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => Some(id),
        _ => None,
    }
}

/// The id of the subscription of an object, as in `/subscriptions/s`, if it is known.
pub fn subscription_of(desired: &DesiredResource) -> Option<String> {
    Some(format!("/subscriptions/{}", id_of(desired)?.subscription()?))
}

/// The region of a resource; `None` for parts of others.
pub fn region_of(resource: &Resource) -> Option<&str> {
    match resource {
        Resource::ResourceGroup(it) => Some(&it.location),
        Resource::ManagedCluster(it) => Some(&it.location),
        Resource::VirtualNetwork(it) => Some(&it.location),
        Resource::NatGateway(it) => Some(&it.location),
        Resource::NetworkSecurityGroup(it) => Some(&it.location),
        Resource::PublicIpAddress(it) => Some(&it.location),
        Resource::NetworkInterface(it) => Some(&it.location),
        Resource::VirtualMachine(it) => Some(&it.location),
        Resource::RouteTable(it) => Some(&it.location),
        _ => None,
    }
}

/// At most `most` names, and the number of the others.
pub(super) fn named<T: ToString>(names: impl IntoIterator<Item = T>, most: usize) -> String {
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let rest = names.len().saturating_sub(most);
    let first = names.into_iter().take(most).collect::<Vec<_>>().join(", ");
    if rest > 0 { format!("{first} and {rest} more") } else { first }
}

/// The resource providers of the kinds that the topology asks for.
pub(super) fn providers(input: ReadinessInput<'_>) -> BTreeSet<&'static str> {
    let kinds = input.desired().iter().filter_map(|it| it.resource.kind().arm());
    kinds.map(ArmType::provider).collect()
}
