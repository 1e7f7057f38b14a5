//! Writes to Azure: one PUT for each object, based on the last body from Azure.

use std::collections::BTreeMap;

use serde_json::Value;

use super::report::{failed, progress};
use super::written::{Creation, Written};
use crate::apply::events::{Event, Outcome};
use crate::apply::guard::{self, GuardVerdict};
use crate::apply::iteration::Iteration;
use crate::bootstrap::cloud_init;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Action, Change};
use crate::provider::azure::TagUpdate;
use crate::provider::azure::client::Precondition;
use crate::provider::azure::codec::{self, Marks, virtual_machine::MachineCreation};
use crate::provider::error::RequestError;
use crate::provider::tailnet::key_description;
use crate::refresh::{Current, object_of_body};
use crate::resource::azure::{MachineRole, RouteTableAssociation, VirtualMachine};
use crate::resource::protection::PROTECT_TAG;
use crate::resource::{ArmId, Kind, ObjectKey, Pending, Resource};

/// How many times an object is written that other clients change between each read and write.
const MAX_CONDITIONAL_WRITES: u32 = 5;

fn of_api(error: &RequestError) -> Outcome {
    if error.is_precondition_failed() {
        return Outcome::GuardFailed { reason: "it was changed at the same time".to_owned() };
    }
    failed(error)
}

/// Writes an object: the record of its protection by an update of its tags, everything
/// else whole.
pub(super) async fn put(
    iteration: &Iteration<'_>,
    change: &Change,
    desired: &Resource,
    current: &Current,
) -> Result<Written, Outcome> {
    let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = &change.key else {
        return Ok(None);
    };
    match &current.observed {
        Some(observed) if observed.resource.protected_by() != desired.protected_by() => {
            // The object is written first: an update of its tags gives it another etag.
            if !change.records_protection_only() {
                put_whole(iteration, change, desired, current, id).await?;
            }
            record_protection(iteration, id, &observed.resource, desired).await?;
            Ok(None)
        }
        _ => put_whole(iteration, change, desired, current, id).await,
    }
}

/// Creates an object with a condition that the service checks.
pub(super) async fn create(
    iteration: &Iteration<'_>,
    change: &Change,
    desired: &Resource,
) -> Result<Creation, Outcome> {
    let ObjectKey::Azure(id) = &change.key else { return Ok(Creation::Made(None)) };
    match write(iteration, change, desired, None, id).await? {
        Ok(written) => Ok(Creation::Made(written)),
        Err(error) if is_refusal(&error) => Ok(Creation::Refused(of_api(&error))),
        Err(error) => Err(of_api(&error)),
    }
}

async fn record_protection(
    iteration: &Iteration<'_>,
    id: &ArmId,
    observed: &Resource,
    desired: &Resource,
) -> Result<(), Outcome> {
    let tag = |block: &str| BTreeMap::from([(PROTECT_TAG.to_owned(), block.to_owned())]);
    let update = match (observed.protected_by(), desired.protected_by()) {
        (_, Some(block)) => TagUpdate::Set(tag(block)),
        (Some(block), None) => TagUpdate::Remove(tag(block)),
        (None, None) => return Ok(()),
    };
    iteration.clients.azure.update_tags(id, &update).await.map_err(|error| of_api(&error))
}

/// A write whose response was lost is repeated, and may be refused because of its old ETag
/// or because the first one still runs: if the object has the desired value in the end, the
/// first write succeeded. If other clients changed nothing that the plan relies on, the
/// object is written again on its new body.
async fn put_whole(
    iteration: &Iteration<'_>,
    change: &Change,
    desired: &Resource,
    current: &Current,
    id: &ArmId,
) -> Result<Written, Outcome> {
    let mut base = current.body.clone();
    for attempt in 1.. {
        let error = match write(iteration, change, desired, base.as_ref(), id).await? {
            Ok(written) => return Ok(written),
            Err(error) if is_refusal(&error) => error,
            Err(error) => return Err(of_api(&error)),
        };
        let now = read_once_idle(iteration, id, change).await?;
        match now.as_ref().map(|now| guard::check(change, now.observed.as_ref())) {
            Some(GuardVerdict::UpToDate) => return Ok(now),
            Some(GuardVerdict::Act)
                if error.is_precondition_failed() && attempt < MAX_CONDITIONAL_WRITES =>
            {
                base = now.and_then(|now| now.body);
            }
            _ => return Err(of_api(&error)),
        }
    }
    Ok(None)
}

/// Whether Azure refused a write for the state of its object.
fn is_refusal(error: &RequestError) -> bool {
    error.is_precondition_failed() || error.is_conflict()
}

/// Writes an object on the body that Azure sent for it, if it exists, and waits for the end.
async fn write(
    iteration: &Iteration<'_>,
    change: &Change,
    desired: &Resource,
    base: Option<&Value>,
    id: &ArmId,
) -> Result<Result<Written, RequestError>, Outcome> {
    let marks = Marks { owner: &iteration.settings.owner, site: &change.address.site, object: id };
    let creation = match desired {
        Resource::VirtualMachine(machine) if base.is_none() => {
            forget_host_key(iteration, change).await;
            Some(machine_creation(iteration, change, machine).await?)
        }
        _ => None,
    };
    let body = codec::encode_any(desired, base, &marks, creation.as_ref());
    let Some(body) = body else { return Ok(Ok(None)) };
    let body = body.map_err(|error| {
        let remedy = "run the same command again: a later iteration knows the value";
        failed(Failure::of(Code::StepFailed, &error, remedy))
    })?;
    progress(iteration, change, "writing and waiting for Azure to finish");
    match iteration.clients.azure.put(id, &body, precondition(change, base)).await {
        Ok(body) => written(iteration, change, body).map(Ok),
        Err(error) => Ok(Err(error)),
    }
}

/// A recorded key that stays makes the first connection fail, not the creation.
async fn forget_host_key(iteration: &Iteration<'_>, change: &Change) {
    if let Err(failure) = iteration.clients.hosts.host_recreated(&change.address.name).await {
        iteration.reporter.event(&Event::Warning(failure));
    }
}

/// The object as Azure returned it once all operations on it had ended.
fn written(iteration: &Iteration<'_>, change: &Change, body: Value) -> Result<Written, Outcome> {
    let current = object_of_body(&iteration.settings.owner, change, body);
    current.map(|current| Some(Box::new(current))).map_err(Outcome::Failed)
}

/// The object once all operations on it have ended; `None` if it does not exist.
async fn read_once_idle(
    iteration: &Iteration<'_>,
    id: &ArmId,
    change: &Change,
) -> Result<Written, Outcome> {
    let body = iteration.clients.azure.wait_until_idle(id).await.map_err(|error| of_api(&error))?;
    Ok(body.map(|body| written(iteration, change, body)).transpose()?.flatten())
}

fn precondition(change: &Change, base: Option<&Value>) -> Precondition {
    match base.and_then(codec::etag) {
        Some(etag) => Precondition::IfMatch(etag.to_owned()),
        // Another applier may create it at the same time, with other values that cannot be
        // changed later. A repeat after a lost response is refused as well; then the object
        // is compared with the desired one.
        None if base.is_none() && change.address.kind.facts().conditional_creation.is_some() => {
            Precondition::IfNoneMatch
        }
        None => {
            debug_assert!(change.action != Action::Delete);
            Precondition::None
        }
    }
}

/// A router's key is made at the last moment, works once, and lapses within
/// the hour.
async fn machine_creation(
    iteration: &Iteration<'_>,
    change: &Change,
    machine: &VirtualMachine,
) -> Result<MachineCreation, Outcome> {
    let name = &change.address.name;
    let tag = iteration.settings.owner.tag.as_str();
    let auth_key = match machine.role {
        MachineRole::Worker => None,
        MachineRole::Router => {
            progress(iteration, change, "creating an auth key for the tailnet");
            let description = key_description(name);
            let key = iteration.clients.tailnet.create_auth_key(tag, &description).await;
            Some(key.map_err(|error| of_api(&error))?)
        }
    };
    let data = cloud_init::user_data(name, machine.role, auth_key.as_ref());
    Ok(MachineCreation::new(name.as_str(), data))
}

/// Waits until all operations on an object have ended.
pub(super) async fn wait(iteration: &Iteration<'_>, id: &ArmId) -> Result<(), Outcome> {
    iteration.clients.azure.wait_until_idle(id).await.map(drop).map_err(|error| of_api(&error))
}

/// Deletes an object and waits until it is deleted: the version that was read last, if
/// Azure documents a condition.
pub(super) async fn delete(
    iteration: &Iteration<'_>,
    id: &ArmId,
    body: Option<&Value>,
) -> Result<(), Outcome> {
    let etag = body.filter(|_| has_conditional_deletion(id)).and_then(codec::etag);
    let condition = etag.map_or(Precondition::None, |etag| Precondition::IfMatch(etag.to_owned()));
    iteration.clients.azure.delete(id, condition).await.map_err(|error| of_api(&error))
}

/// Whether Azure documents `If-Match` for the deletion of an object: `ManagedClusters_Delete`
/// and `AgentPools_Delete` in Azure/azure-rest-api-specs,
/// Microsoft.ContainerService/aks/stable/2025-05-01/managedClusters.json. The others document
/// none: there the object is read again right before.
fn has_conditional_deletion(id: &ArmId) -> bool {
    let conditional = [Kind::ManagedCluster, Kind::NodePool].map(Kind::arm_type);
    let resource_type = id.resource_type().unwrap_or_default();
    conditional.iter().any(|it| it.eq_ignore_ascii_case(&resource_type))
}

/// Removes our route table from a subnet that the topology does not own.
pub(super) async fn detach(
    iteration: &Iteration<'_>,
    subnet: &ArmId,
    current: &Current,
) -> Result<(), Outcome> {
    let Some(base) = &current.body else { return Ok(()) };
    let nothing =
        RouteTableAssociation { subnet: Pending::Known(subnet.clone()), route_table: None };
    let body = codec::association::encode(&nothing, Some(base));
    let precondition =
        codec::etag(base).map_or(Precondition::None, |etag| Precondition::IfMatch(etag.to_owned()));
    let response = iteration.clients.azure.put(subnet, &body, precondition).await;
    response.map(drop).map_err(|error| of_api(&error))
}
