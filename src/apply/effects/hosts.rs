//! Work on routers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::failed;
use crate::apply::Round;
use crate::apply::events::Outcome;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Action, Change};
use crate::provider::host::{HostError, HostTarget, RouterChange};
use crate::refresh::{Current, targets};
use crate::resource::host::RouterHost;
use crate::resource::tailnet::RouteSet;
use crate::resource::{Pending, Resource, Side};
use crate::topology::model::{Datacenter, Site};

fn of_host(error: &HostError) -> Outcome {
    failed(error)
}

pub(super) fn datacenter<'a>(round: &'a Round<'_>, side: &Side) -> Option<&'a Datacenter> {
    let Side::Datacenter(name) = side else { return None };
    round.run.scope.topology.datacenters.iter().find(|datacenter| datacenter.name == *name)
}

/// The tailnet address of a side's router, if it has joined.
pub(super) async fn addresses(
    round: &Round<'_>,
    router: &str,
) -> Result<BTreeMap<String, Ipv4Addr>, Outcome> {
    let address = round.routers.get(round.run, router).await.map_err(failed)?;
    Ok(address.map(|address| (router.to_owned(), address)).into_iter().collect())
}

/// The way to the router that a change names.
pub(super) async fn router_target(
    round: &Round<'_>,
    change: &Change,
) -> Result<Option<HostTarget>, Outcome> {
    let topology = round.run.scope.topology;
    let addresses = addresses(round, &change.address.name).await?;
    Ok(match &change.address.side {
        Side::Cluster => targets::cluster_router(topology, &addresses),
        side => datacenter(round, side)
            .and_then(|datacenter| targets::datacenter_router(topology, datacenter, &addresses)),
    })
}

async fn reachable_router(round: &Round<'_>, change: &Change) -> Result<HostTarget, Outcome> {
    router_target(round, change).await?.ok_or_else(|| {
        failed(Failure::new(
            Code::HostUnreachable,
            format!("router {} cannot be reached yet", change.address.name),
            "the router must join the tailnet first; then run the same command again",
        ))
    })
}

/// Joins the tailnet on a machine that was there before us.
pub(super) async fn join_tailnet(round: &Round<'_>, change: &Change) -> Result<(), Outcome> {
    let existing = datacenter(round, &change.address.side)
        .is_some_and(|datacenter| matches!(datacenter.site, Site::Existing(_)));
    if !existing {
        return Ok(());
    }
    let target = reachable_router(round, change).await?;
    let hosts = &round.run.doors.hosts;
    let probe = hosts.probe_router(&target).await.map_err(|error| of_host(&error))?;
    if probe.tailscale.is_some_and(|tailscale| tailscale.running) {
        return Ok(());
    }
    let tag = round.run.scope.topology.tailnet.tag.as_str();
    let description = format!("stargate {}", change.address.name);
    let auth_key =
        round.run.doors.tailnet.create_auth_key(tag, &description).await.map_err(failed)?;
    let join = RouterChange::JoinTailnet { auth_key };
    hosts.change_router(&target, &join).await.map_err(|error| of_host(&error))
}

/// Sets what of a router differs, and nothing else.
pub(super) async fn configure(
    round: &Round<'_>,
    change: &Change,
    wanted: &RouterHost,
    current: &Current,
) -> Result<(), Outcome> {
    let target = reachable_router(round, change).await?;
    let seen = match current.observed.as_ref().map(|observed| &observed.resource) {
        Some(Resource::RouterHost(seen)) => Some(seen),
        _ => None,
    };
    for step in differing(wanted, seen) {
        let changed = round.run.doors.hosts.change_router(&target, &step).await;
        changed.map_err(|error| of_host(&error))?;
    }
    Ok(())
}

fn differing(wanted: &RouterHost, seen: Option<&RouterHost>) -> Vec<RouterChange> {
    // What would be lost at the next boot is written anew with the rest.
    let lost = |seen: &RouterHost| wanted.persistent && !seen.persistent;
    let differs =
        |same: &dyn Fn(&RouterHost) -> bool| seen.is_none_or(|seen| lost(seen) || !same(seen));
    let mut changes = Vec::new();
    if differs(&|seen| {
        (seen.ip_forwarding, seen.reverse_path_filter, seen.send_redirects)
            == (wanted.ip_forwarding, wanted.reverse_path_filter, wanted.send_redirects)
    }) {
        changes.push(RouterChange::Sysctls {
            ip_forwarding: wanted.ip_forwarding,
            reverse_path_filter: wanted.reverse_path_filter,
            send_redirects: wanted.send_redirects,
        });
    }
    if differs(&|seen| (seen.masquerade, seen.mss_clamp) == (wanted.masquerade, wanted.mss_clamp)) {
        changes.push(RouterChange::Firewall {
            masquerade: wanted.masquerade,
            mss_clamp: wanted.mss_clamp,
        });
    }
    // Before the tailnet's routes are taken up, so that they cannot steal the
    // local networks for a moment.
    if differs(&|seen| seen.local_prefixes == wanted.local_prefixes) {
        changes.push(RouterChange::LocalPrefixes(wanted.local_prefixes.clone()));
    }
    if differs(&|seen| {
        (seen.accept_routes, seen.snat_subnet_routes)
            == (wanted.accept_routes, wanted.snat_subnet_routes)
    }) {
        changes.push(RouterChange::TailscaleSettings {
            accept_routes: wanted.accept_routes,
            snat_subnet_routes: wanted.snat_subnet_routes,
        });
    }
    if let Pending::Known(routes) = &wanted.kernel_routes
        && differs(&|seen| seen.kernel_routes == wanted.kernel_routes)
    {
        changes.push(RouterChange::KernelRoutes(routes.clone()));
    }
    changes
}

/// Has a router offer exactly these prefixes.
pub(super) async fn advertise(
    round: &Round<'_>,
    change: &Change,
    routes: &RouteSet,
) -> Result<(), Outcome> {
    let Some(prefixes) = routes.prefixes.known() else { return Ok(()) };
    let target = reachable_router(round, change).await?;
    let offer = RouterChange::AdvertisedRoutes(prefixes.clone());
    let changed = round.run.doors.hosts.change_router(&target, &offer).await;
    changed.map_err(|error| of_host(&error))
}

/// Takes everything of ours off a router that stays.
pub(super) async fn clean(round: &Round<'_>, change: &Change) -> Result<(), Outcome> {
    let existing = datacenter(round, &change.address.side)
        .is_some_and(|datacenter| matches!(datacenter.site, Site::Existing(_)));
    // A replaced machine takes its configuration along.
    if !existing || change.action == Action::Replace {
        return Ok(());
    }
    let target = reachable_router(round, change).await?;
    let removed = round.run.doors.hosts.change_router(&target, &RouterChange::Remove).await;
    removed.map_err(|error| of_host(&error))
}
