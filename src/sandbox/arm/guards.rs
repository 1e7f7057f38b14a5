//! Refusals of the account before a provider handles a request: missing permissions, providers
//! that are not registered, locks, policies, quotas and restricted sizes.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::account::{AccountPolicy, PolicyRule, assignment_id};
use super::draft::Draft;
use super::errors::ArmError;
use super::kind::{ArmKind, Provider};
use super::path::{ArmAction, ArmTarget, ArmView};
use super::request::ArmRequest;
use super::{ArmStore, json, sizes};
use crate::resource::ArmId;

/// The object id of the credential in the tenant.
const PRINCIPAL: &str = "9b2d7c3e-0000-4000-8000-000000000003";

/// Refuses a request that the credential, the registrations or the locks do not permit.
pub(super) fn refuse_request(
    store: &ArmStore,
    target: &ArmTarget,
    call: &ArmRequest<'_>,
) -> Result<(), ArmError> {
    let Some(requested) = Requested::of(target, call.method) else { return Ok(()) };
    let account = &store.account;
    if !account.grants(&requested.action) {
        return Err(unauthorized(&requested));
    }
    if requested.verb == Verb::Read {
        return Ok(());
    }
    if !account.is_registered(requested.provider) {
        return Err(unregistered(requested.provider));
    }
    refuse_locked(store, &requested)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Read,
    Write,
    Delete,
    Act,
}

/// A request, as roles and locks see it.
struct Requested {
    provider: Provider,
    action: String,
    verb: Verb,
    scope: String,
}

impl Requested {
    fn of(target: &ArmTarget, method: &Method) -> Option<Self> {
        let verb = match *method {
            Method::PUT | Method::PATCH => Verb::Write,
            Method::DELETE => Verb::Delete,
            Method::POST => Verb::Act,
            _ => Verb::Read,
        };
        let (provider, name, scope) = match target {
            ArmTarget::Group(id) => (
                Provider::Resources,
                "Microsoft.Resources/subscriptions/resourceGroups".to_owned(),
                id.to_string(),
            ),
            ArmTarget::Object(path) => {
                (path.kind.provider(), path.kind.resource_type().to_owned(), path.id.to_string())
            }
            ArmTarget::Child { object, child, id } => {
                (object.kind.provider(), child.shown_type(object.kind), id.to_string())
            }
            ArmTarget::Children { object, child } => {
                (object.kind.provider(), child.shown_type(object.kind), object.id.to_string())
            }
            ArmTarget::Action { object, action } => {
                let name = format!(
                    "{}/{}",
                    object.kind.resource_type(),
                    action_name(object.kind, *action)
                );
                (object.kind.provider(), name, object.id.to_string())
            }
            ArmTarget::Collection { scope, kind } => {
                let at = match &scope.group {
                    Some(group) => group.to_string(),
                    None => format!("/subscriptions/{}", scope.subscription),
                };
                (kind.provider(), kind.resource_type().to_owned(), at)
            }
            ArmTarget::View { object, view: ArmView::Instance, .. } => (
                object.kind.provider(),
                format!("{}/instanceView", object.kind.resource_type()),
                object.id.to_string(),
            ),
            ArmTarget::View { object, view: ArmView::Upgrades, .. } => (
                object.kind.provider(),
                format!("{}/upgradeProfiles", object.kind.resource_type()),
                object.id.to_string(),
            ),
            ArmTarget::Deployment { group, .. } => (
                Provider::Resources,
                "Microsoft.Resources/deployments".to_owned(),
                group.to_string(),
            ),
            ArmTarget::Account { subscription, what, .. } => {
                return Some(Self {
                    provider: Provider::Resources,
                    action: what.action().to_owned(),
                    verb: Verb::Read,
                    scope: format!("/subscriptions/{subscription}"),
                });
            }
            _ => return None,
        };
        let verb_name = match verb {
            Verb::Read => "read",
            Verb::Write => "write",
            Verb::Delete => "delete",
            Verb::Act => "action",
        };
        Some(Self { provider, action: format!("{name}/{verb_name}"), verb, scope })
    }
}

fn action_name(kind: ArmKind, action: ArmAction) -> &'static str {
    match action {
        ArmAction::UserCredential => "listClusterUserCredential",
        ArmAction::AdminCredential => "listClusterAdminCredential",
        ArmAction::EffectiveRoutes => "effectiveRouteTable",
        ArmAction::Power(change) => change.name(kind),
    }
}

fn unauthorized(requested: &Requested) -> ArmError {
    let message = format!(
        "The client '{PRINCIPAL}' with object id '{PRINCIPAL}' does not have authorization to \
         perform action '{}' over scope '{}' or the scope is invalid. If access was recently \
         granted, please refresh your credentials.",
        requested.action, requested.scope
    );
    ArmError::new(StatusCode::FORBIDDEN, "AuthorizationFailed", message)
}

fn unregistered(provider: Provider) -> ArmError {
    let message = format!(
        "The subscription is not registered to use namespace '{}'. See \
         https://aka.ms/rps-not-found for how to register subscriptions.",
        provider.namespace()
    );
    ArmError::conflict("MissingSubscriptionRegistration", message)
}

fn refuse_locked(store: &ArmStore, requested: &Requested) -> Result<(), ArmError> {
    let Some(subscription) = ArmId::new(requested.scope.as_str()).subscription().map(str::to_owned)
    else {
        return Ok(());
    };
    let (scope, verb) = (requested.scope.to_ascii_lowercase(), requested.verb);
    let locked = store.account.locks.values().find(|lock| {
        let forbids = lock.is_read_only || verb == Verb::Delete;
        let at = lock.scope(&subscription).to_ascii_lowercase();
        let rest = scope.strip_prefix(&at);
        forbids && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    let Some(lock) = locked else { return Ok(()) };
    let operation = if verb == Verb::Delete { "delete" } else { "write" };
    let message = format!(
        "The scope '{}' cannot perform {operation} operation because following scope(s) are \
         locked: '{}'. Please remove the lock and try again.",
        requested.scope,
        lock.scope(&subscription)
    );
    Err(ArmError::conflict("ScopeLocked", message))
}

/// Refuses a body that policies deny, or that a quota or a restriction does not permit.
pub(super) fn refuse_body(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let account = &draft.store.account;
    for (name, policy) in &account.policies {
        if denies(policy, draft.kind, body) && !account.is_exempt(name, draft.id) {
            return Err(disallowed(draft.id, name, policy));
        }
    }
    if let Some(size) = demanded(draft.kind, body)
        .into_iter()
        .map(|(size, _)| size)
        .find(|size| account.restricted_sizes.iter().any(|it| it.eq_ignore_ascii_case(size)))
        .filter(|size| {
            !demanded(draft.kind, draft.old.unwrap_or(&Value::Null))
                .iter()
                .any(|(old, _)| old == size)
        })
    {
        return Err(unavailable(draft.kind, size, body));
    }
    if account.limits.is_empty() { Ok(()) } else { refuse_beyond_quota(draft, body) }
}

fn denies(policy: &AccountPolicy, kind: ArmKind, body: &Value) -> bool {
    let configurations = || json::items(body, "/properties/ipConfigurations");
    let is_allowed = |text: Option<&str>| {
        text.is_none_or(|text| policy.allowed.iter().any(|it| it.eq_ignore_ascii_case(text)))
    };
    match policy.rule {
        PolicyRule::NoPublicIps => {
            let has_address = |it: &Value| it.pointer("/properties/publicIPAddress").is_some();
            kind == ArmKind::NetworkInterface && configurations().iter().any(has_address)
        }
        PolicyRule::NoIpForwarding => {
            kind == ArmKind::NetworkInterface
                && body.pointer("/properties/enableIPForwarding") == Some(&json!(true))
        }
        PolicyRule::AllowedLocations => !is_allowed(json::text(body, "/location")),
        PolicyRule::AllowedSizes => {
            kind == ArmKind::VirtualMachine
                && !is_allowed(json::text(body, "/properties/hardwareProfile/vmSize"))
        }
    }
}

fn disallowed(id: &ArmId, name: &str, policy: &AccountPolicy) -> ArmError {
    let scope = format!("/subscriptions/{}", id.subscription().unwrap_or_default());
    let (definition, title, _) = policy.rule.definition();
    let assignment = assignment_id(&scope, name);
    let definition = format!("/providers/Microsoft.Authorization/policyDefinitions/{definition}");
    let identifiers = json!([{
        "policyAssignment": { "name": title, "id": assignment },
        "policyDefinition": { "name": title, "id": definition, "version": "1.0.0" },
    }]);
    let message = format!(
        "Resource '{}' was disallowed by policy. Policy identifiers: '{identifiers}'.",
        id.name()
    );
    ArmError::new(StatusCode::FORBIDDEN, "RequestDisallowedByPolicy", message)
}

/// The sizes of the machines that a body asks for, each with their number.
fn demanded(kind: ArmKind, body: &Value) -> Vec<(&str, u64)> {
    match kind {
        ArmKind::VirtualMachine => json::text(body, "/properties/hardwareProfile/vmSize")
            .map(|size| (size, 1))
            .into_iter()
            .collect(),
        ArmKind::ManagedCluster => json::items(body, "/properties/agentPoolProfiles")
            .iter()
            .filter_map(|pool| Some((json::text(pool, "/vmSize")?, pool["count"].as_u64()?)))
            .collect(),
        _ => Vec::new(),
    }
}

fn unavailable(kind: ArmKind, size: &str, body: &Value) -> ArmError {
    let region = json::text(body, "/location").unwrap_or_default();
    if kind == ArmKind::ManagedCluster {
        let message = format!(
            "The VM size of {size} is not allowed in your subscription in location '{region}'."
        );
        return ArmError::bad("VMSizeNotSupported", message);
    }
    let message = format!(
        "The requested VM size for resource 'Following SKUs have failed for Capacity Restrictions: \
         {size}' is currently not available in location '{region}'. Please try another size or \
         deploy to a different location or different zone. See \
         https://aka.ms/azureskunotavailable for details."
    );
    ArmError::conflict("SkuNotAvailable", message)
}

fn refuse_beyond_quota(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let region = json::text(body, "/location").unwrap_or_default();
    if draft.kind == ArmKind::PublicIpAddress && draft.old.is_none() {
        let (used, limit) = sizes::quota(draft.store, region, sizes::PUBLIC_IPS);
        if used >= limit {
            let message = format!(
                "Cannot create more than {limit} public IP addresses for this subscription in this \
                 region."
            );
            return Err(ArmError::bad("PublicIPCountLimitReached", message));
        }
        return Ok(());
    }
    let cores = |body: &Value, name: &str| -> u64 {
        let of = |(size, count): (&str, u64)| {
            let (family, cpus) = sizes::find(size)?;
            (name == sizes::ALL_CORES || name == family).then_some(cpus * count)
        };
        demanded(draft.kind, body).into_iter().filter_map(of).sum()
    };
    for name in sizes::quota_names() {
        let before = draft.old.map_or(0, |old| cores(old, &name));
        let added = cores(body, &name).saturating_sub(before);
        let (used, limit) = sizes::quota(draft.store, region, &name);
        if added > 0 && used + added > limit {
            return Err(beyond_quota(draft.kind, &name, region, (used, limit, added)));
        }
    }
    Ok(())
}

fn beyond_quota(
    kind: ArmKind,
    name: &str,
    region: &str,
    (used, limit, added): (u64, u64, u64),
) -> ArmError {
    let title = match name {
        sizes::ALL_CORES => "Total Regional Cores".to_owned(),
        family => format!("{family} Cores"),
    };
    let message = format!(
        "Operation could not be completed as it results in exceeding approved {title} quota. \
         Additional details - Deployment Model: Resource Manager, Location: {region}, Current \
         Limit: {limit}, Current Usage: {used}, Additional Required: {added}, (Minimum) New Limit \
         Required: {}. Submit a request for Quota increase.",
        used + added
    );
    match kind {
        ArmKind::ManagedCluster => ArmError::bad("ErrCode_InsufficientVCPUQuota", message),
        _ => ArmError::conflict("OperationNotAllowed", message),
    }
}
