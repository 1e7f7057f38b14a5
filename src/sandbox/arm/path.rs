//! Parses URL paths.

use super::account_facts::AccountFact;
use super::directory::IdentityEndpoint;
use super::kind::{ArmKind, ChildKind, Provider};
use super::power_state::PowerChange;
use crate::resource::ArmId;

/// The target of a request.
#[derive(Debug, Clone)]
pub(super) enum ArmTarget {
    Token {
        tenant: String,
    },
    ManagedIdentityToken(IdentityEndpoint),
    /// The endpoints of the cloud.
    CloudMetadata,
    OpenIdConfiguration {
        tenant: String,
    },
    Tenants,
    Subscriptions,
    Subscription(String),
    Registration {
        subscription: String,
        provider: Provider,
    },
    /// Registers or unregisters a provider.
    Register {
        subscription: String,
        provider: Provider,
        registers: bool,
    },
    Groups {
        subscription: String,
    },
    Group(ArmId),
    /// A template deployment in a group, or the validation of one.
    Deployment {
        group: ArmId,
        name: String,
        validates: bool,
    },
    /// The management locks of a subscription or a group.
    Lock {
        subscription: String,
        group: Option<ArmId>,
        /// `None` for the list.
        name: Option<String>,
    },
    /// All resources in a group or a subscription, without properties.
    Resources(ListScope),
    Collection {
        scope: ListScope,
        kind: ArmKind,
    },
    Object(ObjectPath),
    Children {
        object: ObjectPath,
        child: ChildKind,
    },
    Child {
        object: ObjectPath,
        child: ChildKind,
        id: ArmId,
    },
    Action {
        object: ObjectPath,
        action: ArmAction,
    },
    View {
        object: ObjectPath,
        /// The pool of a cluster, if it is about one.
        pool: Option<ArmId>,
        view: ArmView,
    },
    Operation {
        id: String,
        url: OperationUrl,
    },
    /// The tags resource of a resource group or an object in one.
    Tags {
        group: ArmId,
        object: Option<ObjectPath>,
    },
    /// The Kubernetes versions that AKS offers in a region.
    KubernetesVersions,
    /// A fact about the account.
    Account {
        subscription: String,
        /// The resource group or the object, for facts about one.
        scope: Option<ArmId>,
        what: AccountFact,
    },
}

/// A subscription, or one of its groups.
#[derive(Debug, Clone)]
pub(super) struct ListScope {
    pub(super) subscription: String,
    pub(super) group: Option<ArmId>,
}

/// An object in a group.
#[derive(Debug, Clone)]
pub(super) struct ObjectPath {
    pub(super) subscription: String,
    pub(super) group: ArmId,
    pub(super) kind: ArmKind,
    pub(super) id: ArmId,
}

/// A POST action on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArmAction {
    UserCredential,
    AdminCredential,
    EffectiveRoutes,
    Power(PowerChange),
}

/// A fact about an object that is read at a URL of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ArmView {
    /// The state of a VM's instance.
    Instance,
    /// The versions to which a cluster or a pool can be upgraded.
    Upgrades,
}

/// The two URLs of an operation: status and result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationUrl {
    Status,
    Result,
}

/// Why a path is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathError {
    UnknownPath,
    UnknownType(String),
}

impl ArmTarget {
    /// Parses a path. The letter case of fixed segments is ignored.
    pub(super) fn parse(path: &str) -> Result<Self, PathError> {
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let folded: Vec<String> = segments.iter().map(|s| s.to_ascii_lowercase()).collect();
        let folded: Vec<&str> = folded.iter().map(String::as_str).collect();
        match folded.as_slice() {
            ["metadata", "identity", "oauth2", "token"] => {
                Ok(Self::ManagedIdentityToken(IdentityEndpoint::Imds))
            }
            ["msi", "token"] => Ok(Self::ManagedIdentityToken(IdentityEndpoint::AppService)),
            ["metadata", "endpoints"] => Ok(Self::CloudMetadata),
            [_, "oauth2", "v2.0", "token"] | [_, "oauth2", "token"] => {
                Ok(Self::Token { tenant: segments[0].to_owned() })
            }
            [_, "v2.0", ".well-known", "openid-configuration"]
            | [_, ".well-known", "openid-configuration"] => {
                Ok(Self::OpenIdConfiguration { tenant: segments[0].to_owned() })
            }
            ["tenants"] => Ok(Self::Tenants),
            ["subscriptions"] => Ok(Self::Subscriptions),
            ["subscriptions", subscription] => Ok(Self::Subscription((*subscription).to_owned())),
            ["subscriptions", _, ..] => {
                below_subscription(segments[1], &segments[2..], &folded[2..])
            }
            _ => Err(PathError::UnknownPath),
        }
    }
}

fn below_subscription(
    subscription: &str,
    segments: &[&str],
    folded: &[&str],
) -> Result<ArmTarget, PathError> {
    let subscription = subscription.to_owned();
    if let Some(what) = AccountFact::parse(folded) {
        return Ok(ArmTarget::Account { subscription, scope: None, what });
    }
    match folded {
        ["resourcegroups"] => Ok(ArmTarget::Groups { subscription }),
        ["resources"] => Ok(ArmTarget::Resources(ListScope { subscription, group: None })),
        ["operationresults", _] => {
            Ok(ArmTarget::Operation { id: segments[1].to_owned(), url: OperationUrl::Result })
        }
        ["providers", _] => match Provider::parse(segments[1]) {
            Some(provider) => Ok(ArmTarget::Registration { subscription, provider }),
            None => Err(PathError::UnknownType(segments[1].to_owned())),
        },
        ["providers", _, verb @ ("register" | "unregister")] => {
            match Provider::parse(segments[1]) {
                Some(provider) => Ok(ArmTarget::Register {
                    subscription,
                    provider,
                    registers: *verb == "register",
                }),
                None => Err(PathError::UnknownType(segments[1].to_owned())),
            }
        }
        ["providers", _, "locations", _, "operations", _] => {
            Ok(ArmTarget::Operation { id: segments[5].to_owned(), url: OperationUrl::Status })
        }
        ["providers", _, "locations", _, "operationresults", _] => {
            Ok(ArmTarget::Operation { id: segments[5].to_owned(), url: OperationUrl::Result })
        }
        ["providers", "microsoft.containerservice", "locations", _, "kubernetesversions"] => {
            Ok(ArmTarget::KubernetesVersions)
        }
        ["providers", "microsoft.authorization", "locks", _] => {
            lock(subscription, None, &segments[3..])
        }
        ["providers", _, _] => {
            let kind = kind(segments[1], segments[2])?;
            Ok(ArmTarget::Collection { scope: ListScope { subscription, group: None }, kind })
        }
        ["resourcegroups", _] => {
            Ok(ArmTarget::Group(ArmId::resource_group(&subscription, segments[1])))
        }
        ["resourcegroups", _, ..] => {
            let group = ArmId::resource_group(&subscription, segments[1]);
            below_group(subscription, group, &segments[2..], &folded[2..])
        }
        _ => Err(PathError::UnknownPath),
    }
}

fn below_group(
    subscription: String,
    group: ArmId,
    segments: &[&str],
    folded: &[&str],
) -> Result<ArmTarget, PathError> {
    match folded {
        ["resources"] => Ok(ArmTarget::Resources(ListScope { subscription, group: Some(group) })),
        [scope @ .., "providers", "microsoft.resources", "tags", "default"] => {
            let object = match scope {
                [] => None,
                ["providers", _, _, _] => {
                    let kind = kind(segments[1], segments[2])?;
                    let id = group.in_group(kind.resource_type(), segments[3]);
                    Some(ObjectPath { subscription, group: group.clone(), kind, id })
                }
                // Children of an object are proxy resources, which have no tags.
                _ => return Err(PathError::UnknownPath),
            };
            Ok(ArmTarget::Tags { group, object })
        }
        ["providers", "microsoft.resources", "deployments", _, rest @ ..]
            if matches!(rest, [] | ["validate"]) =>
        {
            let name = segments[3].to_owned();
            Ok(ArmTarget::Deployment { group, name, validates: !rest.is_empty() })
        }
        ["providers", "microsoft.authorization", "locks", ..] => {
            lock(subscription, Some(group), &segments[3..])
        }
        [object @ .., "providers", "microsoft.authorization", "permissions"] => {
            let (what, kind) = (AccountFact::Permissions, || kind(segments[1], segments[2]));
            let scope = match object {
                [] => group,
                ["providers", _, _, _] => group.in_group(kind()?.resource_type(), segments[3]),
                _ => return Err(PathError::UnknownPath),
            };
            Ok(ArmTarget::Account { subscription, scope: Some(scope), what })
        }
        ["providers", _, _] => {
            let kind = kind(segments[1], segments[2])?;
            Ok(ArmTarget::Collection {
                scope: ListScope { subscription, group: Some(group) },
                kind,
            })
        }
        ["providers", _, _, _, ..] => {
            let kind = kind(segments[1], segments[2])?;
            let id = group.in_group(kind.resource_type(), segments[3]);
            below_object(ObjectPath { subscription, group, kind, id }, &segments[4..])
        }
        _ => Err(PathError::UnknownPath),
    }
}

fn lock(subscription: String, group: Option<ArmId>, name: &[&str]) -> Result<ArmTarget, PathError> {
    let name = match name {
        [] => None,
        [name] => Some((*name).to_owned()),
        _ => return Err(PathError::UnknownPath),
    };
    Ok(ArmTarget::Lock { subscription, group, name })
}

fn below_object(object: ObjectPath, segments: &[&str]) -> Result<ArmTarget, PathError> {
    let Some((first, rest)) = segments.split_first() else {
        return Ok(ArmTarget::Object(object));
    };
    if let Some(child) = object.kind.child(first) {
        return match rest {
            [] => Ok(ArmTarget::Children { object, child }),
            [name] => {
                let id = object.id.child(child.segment(), name);
                Ok(ArmTarget::Child { object, child, id })
            }
            [name, view @ ..] if child == ChildKind::AgentPool => {
                let pool = Some(object.id.child(child.segment(), name));
                ArmView::parse(object.kind, view)
                    .map(|view| ArmTarget::View { object, pool, view })
                    .ok_or(PathError::UnknownPath)
            }
            _ => Err(PathError::UnknownPath),
        };
    }
    if let Some(view) = ArmView::parse(object.kind, segments) {
        return Ok(ArmTarget::View { object, pool: None, view });
    }
    match (ArmAction::parse(object.kind, first), rest) {
        (Some(action), []) => Ok(ArmTarget::Action { object, action }),
        _ => Err(PathError::UnknownType(format!("{}/{first}", object.kind.resource_type()))),
    }
}

fn kind(namespace: &str, type_name: &str) -> Result<ArmKind, PathError> {
    let resource_type = format!("{namespace}/{type_name}");
    match ArmKind::parse(&resource_type) {
        Some(ArmKind::ResourceGroup) | None => Err(PathError::UnknownType(resource_type)),
        Some(kind) => Ok(kind),
    }
}

impl ArmAction {
    fn parse(kind: ArmKind, segment: &str) -> Option<Self> {
        match (kind, segment.to_ascii_lowercase().as_str()) {
            (ArmKind::ManagedCluster, "listclusterusercredential") => Some(Self::UserCredential),
            (ArmKind::ManagedCluster, "listclusteradmincredential") => Some(Self::AdminCredential),
            (ArmKind::NetworkInterface, "effectiveroutetable") => Some(Self::EffectiveRoutes),
            (ArmKind::VirtualMachine | ArmKind::ManagedCluster, "start") => {
                Some(Self::Power(PowerChange::Start))
            }
            (ArmKind::VirtualMachine, "poweroff") | (ArmKind::ManagedCluster, "stop") => {
                Some(Self::Power(PowerChange::Stop))
            }
            (ArmKind::VirtualMachine, "deallocate") => Some(Self::Power(PowerChange::Deallocate)),
            (ArmKind::VirtualMachine, "restart") => Some(Self::Power(PowerChange::Restart)),
            _ => None,
        }
    }
}

impl ArmView {
    fn parse(kind: ArmKind, segments: &[&str]) -> Option<Self> {
        let is = |text: &str, expected: &str| text.eq_ignore_ascii_case(expected);
        match (kind, segments) {
            (ArmKind::VirtualMachine, [view]) if is(view, "instanceView") => Some(Self::Instance),
            (ArmKind::ManagedCluster, [view, name])
                if is(view, "upgradeProfiles") && is(name, "default") =>
            {
                Some(Self::Upgrades)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_case_insensitive() {
        let subnet = "/subscriptions/S/resourcegroups/G/PROVIDERS/microsoft.network/\
                      VirtualNetworks/v/Subnets/n";
        let Ok(ArmTarget::Child { object, child, id }) = ArmTarget::parse(subnet) else {
            panic!("a subnet is a child");
        };
        assert_eq!(object.kind, ArmKind::VirtualNetwork);
        assert_eq!(child, ChildKind::Subnet);
        assert_eq!(id, ArmId::new(subnet));
    }

    #[test]
    fn unknown_paths_and_types_are_distinguished() {
        let unknown = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/oracles/o";
        assert_eq!(
            ArmTarget::parse(unknown).err(),
            Some(PathError::UnknownType("Microsoft.Network/oracles".to_owned()))
        );
        assert_eq!(ArmTarget::parse("/nowhere").err(), Some(PathError::UnknownPath));
    }
}
