//! The meaning of a service's error for the user: its stable code and a remedy.
//!
//! ARM's status alone says little: a policy, a deny assignment and a missing
//! role are all 403, a lock, a quota and a running operation all 409. The
//! service's own code decides, the innermost first, and the status only if no
//! code is known.

mod azure;
mod text;

use std::borrow::Cow;

use super::azure::codec::DecodeError;
use super::cluster::CLUSTER_ROLES;
use super::error::{Detail, RequestError};
use super::http::Api;
use super::policy_violation::PolicyViolation;
use crate::diagnostics::{Code, Failure};

const APPLY_AGAIN: &str =
    "run `stargate apply` again: completed changes stay in place, and the rest is planned again";
const PLAN_AGAIN: &str = "run `stargate plan` again: it reads the live state again";
const WAIT_FOR_OPERATION: &str =
    "wait until the other operation has ended, then run `stargate apply` again";
const WAIT_FOR_LIMIT: &str =
    "wait a few minutes, then run the same command again: the service limits its request rate";

/// Codes of Azure with the same meaning, and the remedy.
struct Known {
    names: &'static [&'static str],
    code: Code,
    remedy: &'static str,
}

/// The codes that stargate has a remedy for. The names are those of ARM's common
/// error codes and of the resource providers of Network, Compute and AKS.
const KNOWN: [Known; 19] = [
    Known {
        names: &["RequestDisallowedByAzure"],
        code: Code::PolicyDenied,
        remedy: "choose a region that the subscription may use: Azure itself restricts the regions \
                 of some subscriptions, and grants no exemption",
    },
    Known {
        names: &["RequestDisallowedByPolicy"],
        code: Code::PolicyDenied,
        remedy: "ask the owner of the policy assignment for an exemption of the resource group: \
                 `az policy exemption create`",
    },
    Known {
        names: &["DenyAssignmentAuthorizationFailed"],
        code: Code::DenyAssignment,
        remedy: "roles cannot override a deny assignment; for an AKS node resource group run `az \
                 aks update --nrg-lockdown-restriction-level Unrestricted`",
    },
    Known {
        names: &["ScopeLocked"],
        code: Code::ManagementLock,
        remedy: "remove the management lock (`az lock list`), or leave the object to its owner",
    },
    Known {
        names: &["MissingSubscriptionRegistration", "SubscriptionNotRegistered"],
        code: Code::ProviderNotRegistered,
        remedy: "run `az provider register --namespace NAMESPACE --wait` with the namespace in \
                 the message, then apply again",
    },
    Known {
        names: &[
            "QuotaExceeded",
            "ResourceQuotaExceeded",
            "PublicIPCountLimitReached",
            "ErrCode_InsufficientVCPUQuota",
            "InsufficientVCPUQuota",
        ],
        code: Code::QuotaExceeded,
        remedy: "request a higher quota (`az vm list-usage --location REGION` shows it), or \
                 choose another VM size or region",
    },
    Known {
        names: &[
            "AllocationFailed",
            "ZonalAllocationFailed",
            "OverconstrainedAllocationRequest",
            "OverconstrainedZonalAllocationRequest",
        ],
        code: Code::SkuUnavailable,
        remedy: "Azure has no capacity for the VM size now: run `stargate apply` again later, or \
                 choose another vm_size, zone or region in the topology",
    },
    Known {
        names: &["SkuNotAvailable", "VMSizeNotSupported"],
        code: Code::SkuUnavailable,
        remedy: "choose another VM size or region: `az vm list-skus --location REGION --size SIZE \
                 --all` shows what is offered",
    },
    Known {
        names: &["ReadOnlyDisabledSubscription", "SubscriptionDisabled"],
        code: Code::SubscriptionUnusable,
        remedy: "enable the subscription again: its spending limit, credit or payment is used up \
                 (`az account show --query state`)",
    },
    Known {
        names: &[
            "SubscriptionNotFound",
            "InvalidSubscriptionId",
            "InvalidAuthenticationTokenTenant",
        ],
        code: Code::SubscriptionUnusable,
        remedy: "compare [azure] subscription with `az account list`; for a subscription of \
                 another tenant run `az login --tenant TENANT`",
    },
    Known {
        names: &[
            "K8sVersionNotSupported",
            "AgentPoolK8sVersionNotSupported",
            "NodePoolMcVersionIncompatible",
            "UpgradeNotAllowed",
        ],
        code: Code::VersionUnsupported,
        remedy: "set [cluster] kubernetes_version to a version of `az aks get-versions --location \
                 REGION`",
    },
    Known {
        names: &["ResourceGroupBeingDeleted"],
        code: Code::OperationInProgress,
        remedy: "wait until the resource group is deleted, then run `stargate apply` again",
    },
    Known {
        names: &[
            "AnotherOperationInProgress",
            "ReferencedResourceNotProvisioned",
            "RetryableErrorDueToAnotherOperation",
            "RetryableError",
            "OperationPreempted",
        ],
        code: Code::OperationInProgress,
        remedy: WAIT_FOR_OPERATION,
    },
    Known {
        names: &["EtagMismatch", "PreconditionFailedEtagMismatch", "PreconditionFailed"],
        code: Code::ChangedSinceRead,
        remedy: PLAN_AGAIN,
    },
    Known {
        names: &[
            "InUseSubnetCannotBeDeleted",
            "NicInUse",
            "InUseRouteTableCannotBeDeleted",
            "InUseNetworkSecurityGroupCannotBeDeleted",
            "PublicIPAddressCannotBeDeleted",
            "NetworkSecurityGroupInUseByVirtualMachineScaleSet",
        ],
        code: Code::ObjectInUse,
        remedy: "delete or detach the object that the message names, then apply again",
    },
    Known {
        names: &["AuthorizationFailed", "LinkedAuthorizationFailed", "LinkedAccessCheckFailed"],
        code: Code::AzureRefused,
        remedy: AZURE_ROLES,
    },
    Known {
        names: &[
            "InvalidAuthenticationToken",
            "ExpiredAuthenticationToken",
            "AuthenticationFailed",
        ],
        code: Code::AzureRefused,
        remedy: "log in again with `az login`, or renew the secret of the service principal",
    },
    Known {
        names: &[
            "SubscriptionRequestsThrottled",
            "TooManyRequests",
            "ResourceCollectionRequestsThrottled",
        ],
        code: Code::Throttled,
        remedy: WAIT_FOR_LIMIT,
    },
    Known {
        names: &[
            "ResourceNotFound",
            "NotFound",
            "ResourceGroupNotFound",
            "ParentResourceNotFound",
            "InvalidResourceReference",
        ],
        code: Code::ObjectMissing,
        remedy: PLAN_AGAIN,
    },
];

const AZURE_ROLES: &str = "log in as another identity (`az login`), or assign this one the roles \
                           Contributor and Azure Kubernetes Service Cluster User on the \
                           subscription: `az role assignment create`";
const TAILSCALE_SCOPES: &str = "use an API key, or an OAuth client with the scopes auth_keys, \
                                devices:core and devices:routes that carries the topology's tag";

impl From<&RequestError> for Failure {
    fn from(error: &RequestError) -> Self {
        let (code, remedy) = explain(error);
        let failure = Self::new(code, error.to_string(), remedy);
        match error {
            RequestError::Response { details, .. } | RequestError::Operation { details, .. } => {
                let rest = details.iter().skip(1);
                rest.fold(failure, |failure, detail| failure.caused_by(detail.to_string()))
            }
            RequestError::Transport { .. }
            | RequestError::Credentials { .. }
            | RequestError::Malformed { .. } => failure,
        }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::from(&error)
    }
}

impl From<&DecodeError> for Failure {
    fn from(error: &DecodeError) -> Self {
        Self::new(
            Code::ObjectUnreadable,
            error.to_string(),
            "update stargate, or report the object's JSON: `az resource show --ids ID`",
        )
    }
}

/// The subject of an error, beside its codes and messages.
#[derive(Debug, Clone, Copy)]
struct Context<'a> {
    /// The request, as in `PUT route table t in resource group g`.
    activity: &'a str,
    /// The policy that denied it.
    policy: Option<&'a PolicyViolation>,
}

fn explain(error: &RequestError) -> (Code, Cow<'static, str>) {
    match error {
        RequestError::Credentials { api, refused, remedy, .. } => {
            (credentials(*api, *refused), Cow::Owned(remedy.clone()))
        }
        RequestError::Transport { source, .. } => {
            let remedy = format!(
                "check that this machine reaches {}: DNS, proxy (`HTTPS_PROXY`) and firewall; then \
                 run the same command again",
                source.host
            );
            (Code::ServiceUnreachable, Cow::Owned(remedy))
        }
        RequestError::Malformed { .. } => (
            Code::UnexpectedResponse,
            Cow::Borrowed(
                "run the same command again; if the response stays the same, a proxy may respond \
                 in place of the service",
            ),
        ),
        RequestError::Response { api, status, code, message, details, policy, activity } => {
            let context = Context { activity, policy: policy.as_deref() };
            named(*api, code, message, details, context).unwrap_or_else(|| {
                let (code, remedy) = by_status(*api, *status, message);
                (code, Cow::Borrowed(remedy))
            })
        }
        RequestError::Operation { api, code, message, details, policy, activity, .. } => {
            let context = Context { activity, policy: policy.as_deref() };
            named(*api, code, message, details, context)
                .unwrap_or((Code::OperationFailed, Cow::Borrowed(APPLY_AGAIN)))
        }
    }
}

fn credentials(api: Api, refused: bool) -> Code {
    match (api, refused) {
        (Api::Tailscale, true) => Code::TailscaleRefused,
        (Api::Tailscale, false) => Code::TailscaleCredentialsMissing,
        (Api::Kubernetes, true) => Code::ClusterRefused,
        (Api::Kubernetes, false) => Code::KubeconfigMissing,
        (Api::Azure, true) => Code::AzureRefused,
        (Api::Azure, false) => Code::AzureCredentialsMissing,
    }
}

/// The meaning of the service's own codes, the innermost first.
fn named(
    api: Api,
    code: &str,
    message: &str,
    details: &[Detail],
    context: Context<'_>,
) -> Option<(Code, Cow<'static, str>)> {
    if api != Api::Azure {
        return None;
    }
    let inner = details.iter().rev().map(|detail| (detail.code.as_str(), detail.message.as_str()));
    let all = inner.chain([(code, message)]);
    let with_embedded = all
        .flat_map(|(code, message)| azure::embedded(message).into_iter().chain([(code, message)]));
    with_embedded.into_iter().find_map(|(code, message)| {
        let (code, general) = of_azure(code, message)?;
        let remedy = azure::remedy(code, message, context);
        Some((code, remedy.map_or(Cow::Borrowed(general), Cow::Owned)))
    })
}

fn of_azure(code: &str, message: &str) -> Option<(Code, &'static str)> {
    // Compute and AKS use one code for a quota and for a running operation.
    if code == "OperationNotAllowed" {
        let says = |word: &str| message.to_ascii_lowercase().contains(word);
        let meant = match (says("quota") || says("cores"), says("in progress")) {
            (true, _) => "QuotaExceeded",
            (false, true) => "AnotherOperationInProgress",
            (false, false) => return None,
        };
        return of_azure(meant, message);
    }
    let known = KNOWN.iter().find(|known| known.names.contains(&code))?;
    Some((known.code, known.remedy))
}

fn by_status(api: Api, status: u16, message: &str) -> (Code, &'static str) {
    match status {
        400 if api == Api::Tailscale && message.contains("tags") => (
            Code::TagOwnersMissing,
            "add the tag to `tagOwners` of the tailnet's policy, owned by the tag of the OAuth \
             client or by the user of the API key",
        ),
        401 | 403 => match api {
            Api::Azure => (Code::AzureRefused, AZURE_ROLES),
            Api::Tailscale => (Code::TailscaleRefused, TAILSCALE_SCOPES),
            Api::Kubernetes => (Code::ClusterRefused, CLUSTER_ROLES),
        },
        400 | 422 => (
            Code::InvalidRequest,
            "correct the value that the message names in the topology, then run `stargate plan`",
        ),
        404 | 410 => (Code::ObjectMissing, PLAN_AGAIN),
        409 => (Code::Conflict, PLAN_AGAIN),
        412 => (Code::ChangedSinceRead, PLAN_AGAIN),
        429 => (Code::Throttled, WAIT_FOR_LIMIT),
        500.. => (
            Code::ServiceUnavailable,
            "wait, then run the same command again: the error is on the service's side",
        ),
        _ => (Code::RequestError, APPLY_AGAIN),
    }
}

#[cfg(test)]
mod tests;
