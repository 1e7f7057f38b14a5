//! Built-in policies that deny what an apply creates.
//!
//! The definitions and their parameters are those of Azure/azure-policy,
//! `built-in-policies/policyDefinitions`. Other policies are counted and not evaluated: Azure
//! names them when it refuses a request.

use super::permissions::RESOURCE_GROUPS;
use super::types::{Check, CheckArea, ReadinessInput, id_of, named, region_of};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure, counted};
use crate::inventory::subscription::{PolicyAssignment, is_in_scope};
use crate::resource::{Kind, Resource};

const NAME: &str = "policies";
/// How many resources a message names.
const MAX_NAMED: usize = 3;

/// The resources that a policy denies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    PublicIps,
    IpForwarding,
    /// Regions other than those in the parameter.
    Regions(&'static str),
    /// Regions of resource groups other than those in the parameter.
    GroupRegions(&'static str),
    /// Sizes other than those in the parameter.
    Sizes(&'static str),
    /// Types other than those in the parameter.
    OtherTypes(&'static str),
    /// The types in the parameter.
    Types(&'static str),
}

const BUILT_IN: [(&str, Rule); 7] = [
    ("83a86a26-fd1f-447c-b59d-e51f44264114", Rule::PublicIps),
    ("88c0b9da-ce96-4b03-9635-f29a937e2900", Rule::IpForwarding),
    ("e56962a6-4747-49cd-b67b-bf8b01975c4c", Rule::Regions("listOfAllowedLocations")),
    ("e765b5de-1225-4ba3-bd56-1ac6695af988", Rule::GroupRegions("listOfAllowedLocations")),
    ("cccc23c7-8427-4f53-ad12-b6a63eb452b3", Rule::Sizes("listOfAllowedSKUs")),
    ("a08ec900-254a-4555-9bf5-e42af04b5c5c", Rule::OtherTypes("listOfResourceTypesAllowed")),
    ("6c112d4e-5bc7-47ae-a041-ea2d9dccd749", Rule::Types("listOfResourceTypesNotAllowed")),
];

pub(super) fn check(input: ReadinessInput<'_>) -> Check {
    let assignments = match &input.readiness.subscription.policies {
        Ok(assignments) => assignments,
        Err(failure) => return Check::unknown(CheckArea::Azure, NAME, failure.clone()),
    };
    let gaps = assignments.iter().filter_map(|it| it.as_ref().err()).cloned().collect();
    let known = assignments.iter().filter_map(|it| it.as_ref().ok());
    let enforced: Vec<_> = known.filter(|it| it.is_enforced && denies(it)).collect();
    let others = enforced.iter().filter(|it| rule(it).is_none()).count();
    let summary = match others {
        0 => "none denies what the topology asks for".to_owned(),
        others => format!("{} not evaluated: Azure names what it denies", counted(others, "other")),
    };
    let mut check = Check { gaps, ..Check::passed(CheckArea::Azure, NAME, summary) };
    if enforced.iter().any(|it| rule(it).is_some()) {
        check.gaps.extend(input.creation_gaps(|_| true));
    }
    for assignment in enforced {
        let Some(rule) = rule(assignment) else { continue };
        let denied = input.created().filter(|it| is_refused(input, assignment, rule, it));
        let refused: Vec<&DesiredResource> =
            denied.filter(|it| !is_exempt(input, assignment, it)).collect();
        if let Some(first) = refused.first() {
            report(&mut check, assignment, first, &refused);
            note_unread_exemptions(input, &mut check);
        }
    }
    check
}

/// Whether an exemption covers a resource, or the scope that it is created in.
fn is_exempt(
    input: ReadinessInput<'_>,
    assignment: &PolicyAssignment,
    desired: &DesiredResource,
) -> bool {
    let id = id_of(desired).map_or(input.subscription, |id| id.as_str());
    let known = input.readiness.subscription.exemptions.as_ref().ok().into_iter().flatten();
    known.filter_map(|it| it.as_ref().ok()).any(|exemption| {
        let arm_type = match desired.resource.kind() {
            Kind::ResourceGroup => RESOURCE_GROUPS,
            kind => kind.arm_type(),
        };
        exemption.assignment.eq_ignore_ascii_case(&assignment.id)
            && exemption.selects(arm_type, region_of(&desired.resource))
            && (is_of_management_group(&exemption.scope) || is_in_scope(id, &exemption.scope))
    })
}

/// Without the exemptions it is unknown whether a policy denies anything.
fn note_unread_exemptions(input: ReadinessInput<'_>, check: &mut Check) {
    let gaps: Vec<Failure> = match &input.readiness.subscription.exemptions {
        Ok(exemptions) => exemptions.iter().filter_map(|it| it.as_ref().err()).cloned().collect(),
        Err(failure) => vec![failure.clone()],
    };
    if gaps.is_empty() {
        return;
    }
    let denials = std::mem::take(&mut check.findings).into_iter().map(|it| it.failure);
    check.gaps.extend(denials.map(|failure| {
        let message = format!("{}, unless an exemption covers it", failure.message);
        failure.with_message(message)
    }));
    for gap in gaps {
        if !check.gaps.contains(&gap) {
            check.gaps.push(gap);
        }
    }
}

/// Whether the effect of an assignment is to deny. Policies without the parameter deny.
fn denies(assignment: &PolicyAssignment) -> bool {
    let effect = assignment.parameters.get("effect").and_then(|it| it.first());
    effect.is_none_or(|effect| effect.eq_ignore_ascii_case("deny"))
}

fn rule(assignment: &PolicyAssignment) -> Option<Rule> {
    let name = assignment.definition.rsplit('/').next()?;
    let found = BUILT_IN.iter().find(|(id, _)| id.eq_ignore_ascii_case(name));
    found.map(|(_, rule)| *rule)
}

fn report(
    check: &mut Check,
    assignment: &PolicyAssignment,
    first: &DesiredResource,
    refused: &[&DesiredResource],
) {
    let names = named(refused.iter().map(|it| &it.address), MAX_NAMED);
    let message = format!("the policy assignment `{}` denies {names}", assignment.title);
    let remedy = format!(
        "ask its owner for an exemption: `az policy exemption create --name stargate \
         --exemption-category Waiver --policy-assignment '{}' --scope SCOPE`",
        assignment.id
    );
    let failure = Failure::new(Code::PolicyDenied, message, remedy);
    check.error_at(&first.address, failure);
}

fn is_refused(
    input: ReadinessInput<'_>,
    assignment: &PolicyAssignment,
    rule: Rule,
    desired: &DesiredResource,
) -> bool {
    is_covered(input, assignment, desired) && breaks(assignment, rule, &desired.resource)
}

/// Whether the assignment applies to a resource. One of a management group applies to the
/// whole subscription.
fn is_covered(
    input: ReadinessInput<'_>,
    assignment: &PolicyAssignment,
    desired: &DesiredResource,
) -> bool {
    let id = id_of(desired).map_or(input.subscription, |id| id.as_str());
    let is_above = is_of_management_group(&assignment.scope);
    let is_excluded = assignment.not_scopes.iter().any(|scope| is_in_scope(id, scope));
    (is_above || is_in_scope(id, &assignment.scope)) && !is_excluded
}

fn is_of_management_group(scope: &str) -> bool {
    scope.to_ascii_lowercase().contains("/managementgroups/")
}

fn breaks(assignment: &PolicyAssignment, rule: Rule, resource: &Resource) -> bool {
    let lists = |name: &str, text: &str| {
        let listed = assignment.parameters.get(name);
        listed.is_some_and(|listed| listed.iter().any(|it| it.eq_ignore_ascii_case(text)))
    };
    let is_group = resource.kind() == Kind::ResourceGroup;
    match (rule, resource) {
        (Rule::PublicIps, Resource::NetworkInterface(it)) => it.public_ip.is_some(),
        (Rule::IpForwarding, Resource::NetworkInterface(it)) => it.ip_forwarding,
        (Rule::Regions(name), _) if !is_group => {
            region_of(resource).is_some_and(|region| !lists(name, region))
        }
        (Rule::GroupRegions(name), Resource::ResourceGroup(it)) => !lists(name, &it.location),
        (Rule::Sizes(name), Resource::VirtualMachine(it)) => !lists(name, &it.vm_size),
        (Rule::OtherTypes(name), _) if !is_group => {
            resource.kind().arm().is_some_and(|arm| !lists(name, arm.name))
        }
        (Rule::Types(name), _) => resource.kind().arm().is_some_and(|arm| lists(name, arm.name)),
        _ => false,
    }
}
