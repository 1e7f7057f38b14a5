//! The effects of changes, one file for each service.

mod azure;
mod foreign_tables;
mod hosts;
mod kubernetes;
mod node_pools;
mod report;
mod requested;
mod required_hosts;
mod tailnet;
mod workers;
mod written;

pub(super) use foreign_tables::check_table;
use report::progress;
pub(super) use written::{Creation, Written};

use super::events::Outcome;
use super::iteration::Iteration;
use crate::plan::{Action, Change, Execution};
use crate::provider::host::HostTarget;
use crate::refresh::Current;
use crate::resource::azure::{MachineRole, Provisioning};
use crate::resource::{Kind, ObjectKey, Resource};

/// Whether the service itself refuses to create an existing object, so that no read is
/// needed before. A router's machine is always read: its creation starts with a new auth
/// key.
pub(super) fn is_refused_if_present(change: &Change) -> bool {
    let is_router = matches!(
        &change.after,
        Some(Resource::VirtualMachine(machine)) if machine.role == MachineRole::Router
    );
    let facts = change.address.kind.facts();
    change.action == Action::Create && facts.conditional_creation.is_some() && !is_router
}

/// Creates an object of which [`is_refused_if_present`] holds.
pub(super) async fn create(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<Creation, Outcome> {
    let Some(desired) = &change.after else { return Ok(Creation::Made(None)) };
    if change.address.kind == Kind::NodePool {
        node_pools::wait_for_cluster(iteration, change).await?;
    }
    azure::create(iteration, change, desired).await
}

/// Makes, updates or adopts an object.
pub(super) async fn make(
    iteration: &Iteration<'_>,
    change: &Change,
    current: &Current,
) -> Result<Written, Outcome> {
    let Some(desired) = &change.after else { return Ok(None) };
    required_hosts::probe(iteration, change).await?;
    if let Execution::WorkerRestart(restart) = &change.execution {
        let update = async { azure::put(iteration, change, desired, current).await.map(drop) };
        let restarted = workers::restart_machine(iteration, change, restart, update).await;
        return restarted.map(|()| None);
    }
    let made = match desired {
        Resource::TailnetDevice(device)
            if matches!(change.action, Action::Update | Action::Adopt) =>
        {
            tailnet::update_device(iteration, change, device).await
        }
        Resource::TailnetDevice(device) => tailnet::await_device(iteration, change, device).await,
        Resource::AdvertisedRoutes(routes) => hosts::advertise(iteration, change, routes).await,
        Resource::ApprovedRoutes(routes) => tailnet::approve(iteration, routes).await,
        Resource::Manifest(manifest) => kubernetes::apply(iteration, change, manifest).await,
        Resource::CiliumNode(node) => kubernetes::cilium_node(iteration, node).await,
        Resource::RouterHost(router) => hosts::configure(iteration, change, router, current).await,
        Resource::Worker(worker) if change.action == Action::Reboot => {
            workers::reboot(iteration, change, worker).await
        }
        Resource::Worker(worker) => workers::join(iteration, change, worker).await,
        Resource::NodePool(_) => {
            node_pools::wait_for_cluster(iteration, change).await?;
            return azure::put(iteration, change, desired, current).await;
        }
        // All others are objects in Azure and are written alike.
        _ => return azure::put(iteration, change, desired, current).await,
    };
    made.map(|()| None)
}

/// Performs the part of a change that precedes its wave. A failure is only a warning: the
/// step itself does that part then, and reports why it cannot.
pub(super) async fn prepare(iteration: &Iteration<'_>, change: &Change) {
    let Some(Resource::Worker(worker)) = &change.after else { return };
    if let Err(Outcome::Failed(failure)) = workers::stage_packages(iteration, change, worker).await
    {
        let text = format!("its packages were not downloaded ahead: {}", failure.message);
        progress(iteration, change, text);
    }
}

/// Whether Azure still works on an earlier request.
pub(super) fn is_provisioning(current: &Current) -> bool {
    let provisioning = match current.observed.as_ref().map(|observed| &observed.resource) {
        Some(Resource::ManagedCluster(cluster)) => cluster.provisioning,
        Some(Resource::NodePool(pool)) => pool.provisioning,
        Some(Resource::VirtualMachine(machine)) => machine.provisioning,
        _ => return is_being_deleted(current),
    };
    match provisioning {
        Provisioning::Creating | Provisioning::Updating | Provisioning::Deleting => true,
        Provisioning::Ready | Provisioning::Failed => false,
    }
}

fn is_being_deleted(current: &Current) -> bool {
    let state = current.body.as_ref().and_then(|it| it.pointer("/properties/provisioningState"));
    state.is_some_and(|state| state == "Deleting")
}

/// Waits until Azure has made the object, or given up on it.
pub(super) async fn wait_until_created(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<(), Outcome> {
    progress(iteration, change, "waiting for an earlier operation in Azure");
    match &change.key {
        ObjectKey::Azure(id) => azure::wait(iteration, id).await,
        _ => Ok(()),
    }
}

/// Takes an object away.
pub(super) async fn remove(
    iteration: &Iteration<'_>,
    change: &Change,
    current: &Current,
) -> Result<(), Outcome> {
    match (&change.key, change.before.as_ref().or(change.after.as_ref())) {
        (ObjectKey::Azure(id), Some(Resource::NodePool(_))) => {
            node_pools::remove(iteration, change, id).await
        }
        (ObjectKey::Azure(id), _) => azure::delete(iteration, id, current.body.as_ref()).await,
        (ObjectKey::AzureAssociation(id), _) => azure::detach(iteration, id, current).await,
        (ObjectKey::Device(_), _) => tailnet::delete_device(iteration, change).await,
        (ObjectKey::Kubernetes(_), Some(Resource::Manifest(manifest))) => {
            kubernetes::delete(iteration, manifest).await
        }
        (ObjectKey::Kubernetes(_), Some(Resource::Worker(worker))) => {
            workers::leave(iteration, change, worker).await
        }
        (ObjectKey::Host(_), Some(Resource::Worker(worker))) => {
            workers::reset(iteration, change, worker).await
        }
        (ObjectKey::Host(_), _) => hosts::clean(iteration, change).await,
        // Routes go with their device, a CiliumNode with its Node.
        (
            ObjectKey::DeviceAdvertised(_)
            | ObjectKey::DeviceApproved(_)
            | ObjectKey::Kubernetes(_),
            _,
        ) => Ok(()),
    }
}

/// The way to the router that a change is about, if it is about one.
pub(super) async fn router_target(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<Option<HostTarget>, Outcome> {
    match change.address.kind {
        Kind::RouterHost => hosts::router_target(iteration, change).await,
        _ => Ok(None),
    }
}
