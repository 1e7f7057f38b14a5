//! Work on routers.

use super::report::failed;
use crate::apply::events::Outcome;
use crate::apply::iteration::Iteration;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Action, Change, Execution, HostRoute, RouterExecution};
use crate::provider::host::{HostError, HostTarget, RouterChange};
use crate::provider::tailnet::key_description;
use crate::refresh::Current;
use crate::resource::host::RouterHost;
use crate::resource::tailnet::RouteSet;
use crate::resource::{Pending, Resource};

fn of_host(error: &HostError) -> Outcome {
    failed(error)
}

/// The execution parameters of a router change.
fn execution(change: &Change) -> Option<&RouterExecution> {
    match &change.execution {
        Execution::Router(execution) => Some(execution),
        Execution::Api
        | Execution::Worker(_)
        | Execution::WorkerRestart(_)
        | Execution::RouteDeletion(_)
        | Execution::NodePool(_) => None,
    }
}

fn is_existing(change: &Change) -> bool {
    execution(change).is_some_and(|execution| execution.is_existing)
}

/// The host that a route leads to, if it can be reached already.
pub(super) async fn resolve(
    iteration: &Iteration<'_>,
    route: &HostRoute,
) -> Result<Option<HostTarget>, Outcome> {
    let target = iteration.routers.resolve(iteration, route).await;
    target.map_err(Outcome::Failed)
}

/// The router that a change is about, if it can be reached already.
pub(super) async fn router_target(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<Option<HostTarget>, Outcome> {
    match execution(change) {
        Some(execution) => resolve(iteration, &execution.route).await,
        None => Ok(None),
    }
}

async fn reachable_router(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<HostTarget, Outcome> {
    router_target(iteration, change).await?.ok_or_else(|| {
        failed(Failure::new(
            Code::HostUnreachable,
            format!("router {} cannot be reached yet", change.address.name),
            "the router must join the tailnet first; then run the same command again",
        ))
    })
}

/// Joins the tailnet on a machine that existed before.
pub(super) async fn join_tailnet(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<(), Outcome> {
    if !is_existing(change) {
        return Ok(());
    }
    let target = reachable_router(iteration, change).await?;
    let hosts = &iteration.clients.hosts;
    let probe = hosts.probe_router(&target).await.map_err(|error| of_host(&error))?;
    if probe.tailscale.is_some_and(|tailscale| tailscale.running) {
        return Ok(());
    }
    let tag = iteration.settings.owner.tag.as_str();
    let description = key_description(&change.address.name);
    let auth_key =
        iteration.clients.tailnet.create_auth_key(tag, &description).await.map_err(failed)?;
    let join = RouterChange::JoinTailnet { auth_key };
    hosts.change_router(&target, &join).await.map_err(|error| of_host(&error))
}

/// Sets the host name that a router's device reports to the tailnet.
pub(super) async fn rename_device(
    iteration: &Iteration<'_>,
    change: &Change,
    hostname: &str,
) -> Result<(), Outcome> {
    let target = reachable_router(iteration, change).await?;
    let rename = RouterChange::DeviceName(hostname.to_owned());
    let renamed = iteration.clients.hosts.change_router(&target, &rename).await;
    renamed.map_err(|error| of_host(&error))
}

/// Changes only the settings of a router that differ.
pub(super) async fn configure(
    iteration: &Iteration<'_>,
    change: &Change,
    desired: &RouterHost,
    current: &Current,
) -> Result<(), Outcome> {
    let target = reachable_router(iteration, change).await?;
    let observed = match current.observed.as_ref().map(|observed| &observed.resource) {
        Some(Resource::RouterHost(observed)) => Some(&**observed),
        _ => None,
    };
    for step in differing(desired, observed) {
        let changed = iteration.clients.hosts.change_router(&target, &step).await;
        changed.map_err(|error| of_host(&error))?;
    }
    Ok(())
}

fn differing(desired: &RouterHost, observed: Option<&RouterHost>) -> Vec<RouterChange> {
    // Settings that the next boot would lose are written again with the rest.
    let lost = |observed: &RouterHost| desired.persistent && !observed.persistent;
    let differs = |same: &dyn Fn(&RouterHost) -> bool| {
        observed.is_none_or(|observed| lost(observed) || !same(observed))
    };
    let mut changes = Vec::new();
    if differs(&|observed| {
        (observed.ip_forwarding, observed.reverse_path_filter, observed.send_redirects)
            == (desired.ip_forwarding, desired.reverse_path_filter, desired.send_redirects)
    }) {
        changes.push(RouterChange::Sysctls {
            ip_forwarding: desired.ip_forwarding,
            reverse_path_filter: desired.reverse_path_filter,
            send_redirects: desired.send_redirects,
        });
    }
    if differs(&|observed| {
        (observed.masquerade, observed.mss_clamp) == (desired.masquerade, desired.mss_clamp)
    }) {
        changes.push(RouterChange::Firewall {
            masquerade: desired.masquerade,
            mss_clamp: desired.mss_clamp,
        });
    }
    // Before the tailnet's routes are taken up, so that they cannot steal the
    // local networks for a moment.
    if differs(&|observed| observed.local_prefixes == desired.local_prefixes) {
        changes.push(RouterChange::LocalPrefixes(desired.local_prefixes.clone()));
    }
    if differs(&|observed| {
        (observed.accept_routes, observed.snat_subnet_routes)
            == (desired.accept_routes, desired.snat_subnet_routes)
    }) {
        changes.push(RouterChange::TailscaleSettings {
            accept_routes: desired.accept_routes,
            snat_subnet_routes: desired.snat_subnet_routes,
        });
    }
    if let Pending::Known(routes) = &desired.kernel_routes
        && differs(&|observed| observed.kernel_routes == desired.kernel_routes)
    {
        changes.push(RouterChange::KernelRoutes(routes.clone()));
    }
    let recorded = observed.and_then(|observed| observed.protected_by.as_ref());
    if recorded != desired.protected_by.as_ref() {
        changes.push(RouterChange::ProtectionRecord(desired.protected_by.clone()));
    }
    changes
}

/// Makes a router advertise exactly these prefixes.
pub(super) async fn advertise(
    iteration: &Iteration<'_>,
    change: &Change,
    routes: &RouteSet,
) -> Result<(), Outcome> {
    let Some(prefixes) = routes.prefixes.known() else { return Ok(()) };
    let target = reachable_router(iteration, change).await?;
    let offer = RouterChange::AdvertisedRoutes(prefixes.clone());
    let changed = iteration.clients.hosts.change_router(&target, &offer).await;
    changed.map_err(|error| of_host(&error))
}

/// Removes everything of stargate from a router that stays.
pub(super) async fn clean(iteration: &Iteration<'_>, change: &Change) -> Result<(), Outcome> {
    // A replaced machine takes its configuration along.
    if !is_existing(change) || change.action == Action::Replace {
        return Ok(());
    }
    let target = reachable_router(iteration, change).await?;
    let removed = iteration.clients.hosts.change_router(&target, &RouterChange::Remove).await;
    removed.map_err(|error| of_host(&error))
}
