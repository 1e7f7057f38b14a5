//! Faults of the subscription, of the tailnet's policy and of the credentials.

use serde_json::Value;

use super::{Fault, FaultError, Injection};
use crate::sandbox::arm::{
    AccountLock, AccountPolicy, PolicyRule, VersionSupport, quota_names, size_names,
};
use crate::sandbox::state::SandboxState;
use crate::sandbox::tailnet::TAILNET_SCOPES;

type Outcome = Result<String, FaultError>;

/// Actions that a role may lack, those of the first deployment first.
const ACTIONS: [&str; 8] = [
    "Microsoft.Compute/virtualMachines/write",
    "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action",
    "Microsoft.ContainerService/managedClusters/write",
    "Microsoft.Network/networkInterfaces/write",
    "Microsoft.Network/routeTables/write",
    "Microsoft.Network/virtualNetworks/subnets/write",
    "Microsoft.Network/virtualNetworks/write",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
];
const PROVIDERS: [&str; 3] =
    ["Microsoft.Compute", "Microsoft.ContainerService", "Microsoft.Network"];
/// The oldest and the newest minor version of the sandbox.
const MINORS: std::ops::RangeInclusive<u16> = 28..=38;
/// The only region and the only size that a policy allows.
const ONLY_LOCATION: &str = "norwayeast";
const ONLY_SIZE: &str = "Standard_B2s";
const LOCK: &str = "landing-zone";

fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(String, ())> {
    names.into_iter().map(|name| (name.to_owned(), ())).collect()
}

pub(super) fn inject(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    match injection.fault {
        Fault::AzureActionMissing => {
            let (action, ()) = injection.choose(named(ACTIONS))?;
            let done = format!("the role of the credential no longer has {action}");
            sandbox.arm.account.not_actions.insert(action);
            Ok(done)
        }
        Fault::ProviderUnregistered => {
            let (namespace, ()) = injection.choose(named(PROVIDERS))?;
            let done = format!("{namespace} is not registered in the subscription");
            sandbox.arm.account.unregistered.insert(namespace);
            Ok(done)
        }
        Fault::QuotaExhausted => {
            let names = quota_names();
            let (name, ()) = injection.choose(named(names.iter().map(String::as_str)))?;
            sandbox.arm.account.limits.insert(name.clone(), 0);
            Ok(format!("the quota {name} is 0 in every region"))
        }
        Fault::SizeRestricted => {
            let names = size_names();
            let (name, ()) = injection.choose(named(names.iter().map(String::as_str)))?;
            let done = format!("the subscription may not use {name}");
            sandbox.arm.account.restricted_sizes.insert(name);
            Ok(done)
        }
        Fault::VersionEnded => version(sandbox, injection, VersionSupport::Ended),
        Fault::VersionLongTermOnly => version(sandbox, injection, VersionSupport::LongTermOnly),
        Fault::PolicyDenies => policy(sandbox, injection),
        Fault::ManagementLock => lock(sandbox, injection),
        Fault::TagUnowned => tag_unowned(sandbox, injection),
        Fault::TailnetScopeMissing => {
            let (scope, ()) = injection.choose(named(TAILNET_SCOPES))?;
            let done = format!("the credential of the tailnet no longer has the scope {scope}");
            sandbox.tailnet.missing_scopes.insert(scope);
            Ok(done)
        }
        _ => Err(injection.no_target()),
    }
}

fn version(
    sandbox: &mut SandboxState,
    injection: Injection<'_>,
    support: VersionSupport,
) -> Outcome {
    let minors = MINORS.map(|minor| (format!("1.{minor}"), minor)).collect();
    let (name, minor) = injection.choose(minors)?;
    sandbox.arm.account.versions.insert(minor, support);
    Ok(match support {
        VersionSupport::Ended => format!("AKS no longer offers Kubernetes {name}"),
        VersionSupport::LongTermOnly => {
            format!("AKS offers Kubernetes {name} with long-term support only")
        }
    })
}

fn policy(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let rule = |rule, allowed: &[&str]| AccountPolicy {
        rule,
        allowed: allowed.iter().map(|it| (*it).to_owned()).collect(),
    };
    let candidates = vec![
        ("ip-forwarding".to_owned(), rule(PolicyRule::NoIpForwarding, &[])),
        ("locations".to_owned(), rule(PolicyRule::AllowedLocations, &[ONLY_LOCATION])),
        ("public-ips".to_owned(), rule(PolicyRule::NoPublicIps, &[])),
        ("sizes".to_owned(), rule(PolicyRule::AllowedSizes, &[ONLY_SIZE])),
    ];
    let (name, policy) = injection.choose(candidates)?;
    let done = format!("the policy assignment deny-{name} applies to the subscription");
    sandbox.arm.account.policies.insert(format!("deny-{name}"), policy);
    Ok(done)
}

fn lock(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let read_only = |group: Option<String>| AccountLock { group, is_read_only: true };
    let groups = sandbox.arm.list("Microsoft.Resources/resourceGroups");
    let groups: Vec<String> = groups.map(|(id, _)| id.name().to_owned()).collect();
    let of_group = |name: String| (name.clone(), read_only(Some(name)));
    let mut candidates: Vec<(String, AccountLock)> = groups.into_iter().map(of_group).collect();
    candidates.push(("subscription".to_owned(), read_only(None)));
    let (name, lock) = injection.choose(candidates)?;
    sandbox.arm.account.locks.insert(LOCK.to_owned(), lock);
    Ok(format!("the lock {LOCK} makes {name} read-only"))
}

fn tag_unowned(sandbox: &mut SandboxState, injection: Injection<'_>) -> Outcome {
    let policy = sandbox.tailnet.policy().value();
    let owners = policy.get("tagOwners").and_then(Value::as_object);
    let tags = named(owners.into_iter().flat_map(|owners| owners.keys().map(String::as_str)));
    let (tag, ()) = injection.choose(tags)?;
    sandbox.tailnet.policy_mut().remove_tag(&tag);
    sandbox.tailnet.unowned_tags.insert(tag.clone());
    Ok(format!("removed the owners of {tag} from the policy"))
}
