//! The tailnet: access, scopes, the tag, and who approves routes.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::services;
use super::types::{Check, CheckArea, ReadinessInput, named};
use crate::diagnostics::{Code, counted};
use crate::inventory::readiness::TailnetRights;
use crate::resource::{Pending, Resource};

/// The scopes of the requests of an apply, but for the approval of routes.
const SCOPES: [&str; 2] = ["auth_keys", "devices:core"];
const ROUTES_SCOPE: &str = "devices:routes";
/// How many prefixes a message names.
const MAX_NAMED: usize = 3;

pub(super) fn check(input: ReadinessInput<'_>) -> [Check; 4] {
    [services::tailnet(input), scopes(input), tag(input), routes(input)]
}

/// Whether a scope is granted: by itself, or by one that includes all.
fn grants(scopes: &BTreeSet<String>, scope: &str) -> bool {
    let family = scope.split(':').next().unwrap_or(scope);
    [scope, family, "all"].iter().any(|it| scopes.contains(*it))
}

fn scopes(input: ReadinessInput<'_>) -> Check {
    let rights = &input.readiness.tailnet;
    let mut check = Check::passed(CheckArea::Tailscale, "scopes", SCOPES.join(", "));
    match &rights.scopes {
        Ok(Some(scopes)) => {
            let missing: Vec<&str> =
                SCOPES.into_iter().filter(|scope| !grants(scopes, scope)).collect();
            if !missing.is_empty() {
                refuse(&mut check, format!("the OAuth client lacks {}", missing.join(", ")));
            }
        }
        Ok(None) => {
            "an API key has the rights of its owner".clone_into(&mut check.summary);
            role(rights, &mut check);
            match &rights.keys {
                Err(failure) if is_refusal(failure.code) => {
                    let message = format!("auth keys cannot be read: {}", failure.message);
                    refuse(&mut check, message);
                }
                Err(failure) => check.gaps.push(failure.clone()),
                Ok(()) => {}
            }
        }
        Err(failure) => check.gaps.push(failure.clone()),
    }
    check
}

/// Whether the owner of an API key may write what an apply writes
/// (<https://tailscale.com/kb/1138/user-roles>): auth keys, devices and their routes.
fn role(rights: &TailnetRights, check: &mut Check) {
    let role = match &rights.role {
        Ok(Some(role)) => role.as_str(),
        Ok(None) => return,
        Err(failure) => {
            check.gaps.push(failure.clone());
            return;
        }
    };
    let lacking = match role {
        "owner" | "admin" => {
            check.summary = format!("the API key of a user with the role {role}");
            return;
        }
        "it-admin" => "the routes of devices",
        "network-admin" => "auth keys and devices",
        "auditor" | "billing-admin" | "member" => "anything of the tailnet",
        _ => return,
    };
    refuse(
        check,
        format!("the owner of the API key has the role {role}, which may not change {lacking}"),
    );
}

fn is_refusal(code: Code) -> bool {
    code == Code::TailscaleRefused
}

fn refuse(check: &mut Check, message: String) {
    check.error(
        Code::TailscaleRefused,
        message,
        "use an API key of an admin, or an OAuth client with the scopes auth_keys, devices:core \
         and devices:routes that carries the topology's tag",
    );
}

/// The finding about missing owners is the plan's; without the policy it is unknown.
fn tag(input: ReadinessInput<'_>) -> Check {
    let tag = input.topology.tailnet.tag.as_str();
    let mut check = Check::passed(CheckArea::Tailscale, "tag-owners", format!("{tag} has owners"));
    check.findings = services::findings_of(input, &[Code::TagOwnersMissing]);
    if check.findings.is_empty() {
        check.gaps.extend(input.readiness.tailnet.auto_approvers.as_ref().err().cloned());
    }
    check
}

/// Routes are approved by stargate with the scope for it, or by the tailnet's policy.
fn routes(input: ReadinessInput<'_>) -> Check {
    let rights = &input.readiness.tailnet;
    let mut check =
        Check::passed(CheckArea::Tailscale, "route-approval", "stargate approves routes");
    let scopes = match &rights.scopes {
        Ok(Some(scopes)) if !grants(scopes, ROUTES_SCOPE) => scopes,
        Ok(scopes) => {
            // The rights of an API key show in what it may read.
            let unknown = rights.keys.as_ref().err().filter(|_| scopes.is_none());
            check.gaps.extend(unknown.cloned());
            return check;
        }
        Err(failure) => {
            check.gaps.push(failure.clone());
            return check;
        }
    };
    match &rights.auto_approvers {
        Err(failure) => check.gaps.push(failure.clone()),
        Ok(approvers) => {
            let tag = input.topology.tailnet.tag.as_str();
            let is_approved = |prefix: &Ipv4Net| {
                approvers.iter().any(|(of, names)| of.contains(prefix) && names.contains(tag))
            };
            let prefixes = advertised(input);
            let missing: Vec<&Ipv4Net> = prefixes.iter().filter(|it| !is_approved(it)).collect();
            if missing.is_empty() {
                check.summary =
                    format!("autoApprovers approve {}", counted(prefixes.len(), "route"));
                return check;
            }
            let message = format!(
                "the OAuth client has {} and not {ROUTES_SCOPE}, and no autoApprovers of the policy \
                 cover {}",
                named(scopes, MAX_NAMED),
                named(missing, MAX_NAMED)
            );
            let remedy = format!(
                "give the OAuth client the scope {ROUTES_SCOPE}, or add the prefixes with \
                 \"{tag}\" to \"autoApprovers\" of the policy"
            );
            check.error(Code::TailscaleRefused, message, remedy);
        }
    }
    check
}

/// The prefixes that routers advertise, as far as they are known before an apply.
fn advertised(input: ReadinessInput<'_>) -> BTreeSet<Ipv4Net> {
    let sets = input.desired().iter().filter_map(|desired| match &desired.resource {
        Resource::AdvertisedRoutes(set) => Some(&set.prefixes),
        _ => None,
    });
    sets.filter_map(Pending::known).flatten().copied().collect()
}
