//! Facts about the account that clients read: sizes, images, quotas, regions, permissions.

use serde_json::Value;

use super::errors::ArmError;
use super::kind::ArmKind;
use super::request::ArmRequest;
use super::{ArmStore, images, regions, sizes};
use crate::resource::ArmId;

/// A fact about the account that a list returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AccountFact {
    /// The regions of the cloud.
    Regions,
    /// The resource providers.
    Providers,
    /// The VM sizes of all regions.
    Sizes,
    /// The VM sizes of one region, in the older form.
    SizesOf(String),
    /// The versions of an image in a region.
    ImageVersions(Vec<String>),
    /// A version of an image in a region.
    Image(Vec<String>, String),
    /// The quotas of compute in a region.
    ComputeUsages(String),
    /// The quotas of the network in a region.
    NetworkUsages(String),
    Permissions,
    PolicyAssignments,
    PolicyExemptions,
    Locks,
}

impl AccountFact {
    /// The action that reads it.
    pub(super) fn action(&self) -> &'static str {
        match self {
            Self::Regions => "Microsoft.Resources/subscriptions/locations/read",
            Self::Providers => "Microsoft.Resources/subscriptions/providers/read",
            Self::Sizes => "Microsoft.Compute/skus/read",
            Self::SizesOf(_) => "Microsoft.Compute/locations/vmSizes/read",
            Self::ImageVersions(_) | Self::Image(..) => {
                "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read"
            }
            Self::ComputeUsages(_) => "Microsoft.Compute/locations/usages/read",
            Self::NetworkUsages(_) => "Microsoft.Network/locations/usages/read",
            Self::Permissions => "Microsoft.Authorization/permissions/read",
            Self::PolicyAssignments => "Microsoft.Authorization/policyAssignments/read",
            Self::PolicyExemptions => "Microsoft.Authorization/policyExemptions/read",
            Self::Locks => "Microsoft.Authorization/locks/read",
        }
    }

    /// Parses the lower-case segments below a subscription.
    pub(super) fn parse(segments: &[&str]) -> Option<Self> {
        let rest = match segments {
            ["locations"] => return Some(Self::Regions),
            ["providers"] => return Some(Self::Providers),
            ["providers", rest @ ..] => rest,
            _ => return None,
        };
        match rest {
            ["microsoft.compute", "skus"] => Some(Self::Sizes),
            ["microsoft.compute", "locations", region, "vmsizes"] => {
                Some(Self::SizesOf((*region).to_owned()))
            }
            ["microsoft.compute", "locations", region, "usages"] => {
                Some(Self::ComputeUsages((*region).to_owned()))
            }
            ["microsoft.compute", "locations", region, image @ ..] => image_fact(region, image),
            ["microsoft.network", "locations", region, "usages"] => {
                Some(Self::NetworkUsages((*region).to_owned()))
            }
            ["microsoft.authorization", "permissions"] => Some(Self::Permissions),
            ["microsoft.authorization", "policyassignments"] => Some(Self::PolicyAssignments),
            ["microsoft.authorization", "policyexemptions"] => Some(Self::PolicyExemptions),
            ["microsoft.authorization", "locks"] => Some(Self::Locks),
            _ => None,
        }
    }
}

fn image_fact(region: &str, segments: &[&str]) -> Option<AccountFact> {
    let path = match segments {
        [
            "publishers",
            publisher,
            "artifacttypes",
            "vmimage",
            "offers",
            offer,
            "skus",
            sku,
            "versions",
            ..,
        ] => {
            vec![region.to_owned(), (*publisher).to_owned(), (*offer).to_owned(), (*sku).to_owned()]
        }
        _ => return None,
    };
    match segments.get(9..) {
        Some([]) => Some(AccountFact::ImageVersions(path)),
        Some([version]) => Some(AccountFact::Image(path, (*version).to_owned())),
        _ => None,
    }
}

/// The answer to a request for a fact.
pub(super) fn read(
    store: &ArmStore,
    subscription: &str,
    scope: Option<&ArmId>,
    fact: &AccountFact,
    call: &ArmRequest<'_>,
) -> Result<Value, ArmError> {
    match scope.and_then(|scope| Some((scope, ArmKind::parse(&scope.resource_type()?)?))) {
        Some((object, kind)) if store.get(object).is_none() => {
            return Err(ArmError::resource_not_found(kind, object));
        }
        Some(_) => {}
        None => _ = scope.map(|group| store.existing_group(group)).transpose()?,
    }
    let account = &store.account;
    Ok(match fact {
        AccountFact::Regions => regions::list(subscription),
        AccountFact::Providers => super::subscriptions::registrations(account, subscription),
        AccountFact::Sizes => match call.parameter("$filter") {
            Some(filter) => {
                let region =
                    filter.strip_prefix("location eq '").and_then(|it| it.strip_suffix('\''));
                let Some(region) = region else {
                    let message = format!("The filter '{filter}' is not supported.");
                    return Err(ArmError::bad("InvalidFilter", message));
                };
                sizes::list(account, &[region])
            }
            None => sizes::list(account, &regions::names()),
        },
        AccountFact::SizesOf(region) => sizes::of_region(account, region),
        AccountFact::ImageVersions(path) => images::versions(subscription, path)?,
        AccountFact::Image(path, version) => images::image(subscription, path, version)?,
        AccountFact::ComputeUsages(region) => sizes::compute_usages(store, region),
        AccountFact::NetworkUsages(region) => sizes::network_usages(store, region),
        AccountFact::Permissions => account.permissions(),
        AccountFact::PolicyAssignments => account.policy_assignments(subscription),
        AccountFact::PolicyExemptions => account.policy_exemptions(subscription),
        AccountFact::Locks => account.management_locks(subscription),
    })
}
