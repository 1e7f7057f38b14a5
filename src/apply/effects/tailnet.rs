//! Writes to the tailnet.

use std::ops::ControlFlow;
use std::time::Duration;

use super::hosts;
use super::report::{failed, progress};
use crate::apply::events::Outcome;
use crate::apply::iteration::Iteration;
use crate::diagnostics::{Code, Failure};
use crate::plan::Change;
use crate::provider::poll::Polling;
use crate::refresh::{device_of, find_device};
use crate::resource::tailnet::{Device, RouteSet};

/// How long a router may take from its first boot to the tailnet.
const JOIN: Polling =
    Polling { interval: Duration::from_secs(5), timeout: Duration::from_secs(600) };

/// Waits until a router's device exists: it joins when its machine boots. A
/// machine that existed before is made to join.
pub(super) async fn await_device(
    iteration: &Iteration<'_>,
    change: &Change,
    device: &Device,
) -> Result<(), Outcome> {
    hosts::join_tailnet(iteration, change).await?;
    iteration.routers.forget(&device.hostname).await;
    progress(iteration, change, "waiting for the router to join the tailnet");
    let polled = JOIN.poll_until(|| async {
        let owner = &iteration.settings.owner;
        let found = find_device(iteration.readers, owner, &device.hostname).await;
        found.map(|found| match found {
            Some(device) if device.online => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        })
    });
    match polled.await.map_err(failed)? {
        ControlFlow::Break(()) => Ok(()),
        ControlFlow::Continue(()) => Err(failed(Failure::new(
            Code::StepTimedOut,
            format!(
                "{} did not join the tailnet within {} minutes",
                device.hostname,
                JOIN.timeout.as_secs() / 60
            ),
            "read /var/log/cloud-init-output.log on the machine; the next `stargate apply` \
             replaces the machine, with a new auth key",
        ))),
    }
}

/// Brings a device that exists to the settings that a router needs.
pub(super) async fn update_device(
    iteration: &Iteration<'_>,
    change: &Change,
    desired: &Device,
) -> Result<(), Outcome> {
    let found = device_of(iteration.readers, &iteration.settings.owner, change).await;
    let Some(found) = found.map_err(failed)? else {
        return Err(failed(missing(&desired.hostname)));
    };
    let tailnet = &iteration.clients.tailnet;
    let owner = &iteration.settings.owner;
    if let Some(former) = owner.tag_among(&found.tags).filter(|tag| *tag != owner.tag.as_str()) {
        let others = found.tags.iter().filter(|tag| *tag != former).cloned();
        let tags = others.chain([owner.tag.to_string()]).collect();
        tailnet.set_tags(&found.node_id, &tags).await.map_err(failed)?;
    }
    if desired.authorized && !found.authorized {
        tailnet.authorize_device(&found.node_id).await.map_err(failed)?;
    }
    if desired.key_expiry_disabled && !found.key_expiry_disabled {
        tailnet.disable_key_expiry(&found.node_id).await.map_err(failed)?;
    }
    if !found.hostname.eq_ignore_ascii_case(&desired.hostname) {
        hosts::rename_device(iteration, change, &desired.hostname).await?;
    }
    Ok(())
}

fn missing(hostname: &str) -> Failure {
    Failure::new(
        Code::RouterOffline,
        format!("the tailnet has no device {hostname}"),
        "run the same command again once the router has joined",
    )
}

/// Approves exactly these prefixes of a router.
pub(super) async fn approve(iteration: &Iteration<'_>, routes: &RouteSet) -> Result<(), Outcome> {
    let Some(prefixes) = routes.prefixes.known() else { return Ok(()) };
    let device = find_device(iteration.readers, &iteration.settings.owner, &routes.hostname).await;
    let Some(device) = device.map_err(failed)? else {
        return Err(failed(missing(&routes.hostname)));
    };
    let response = iteration.clients.tailnet.set_enabled_routes(&device.node_id, prefixes).await;
    response.map(drop).map_err(failed)
}

/// Removes a device.
pub(super) async fn delete_device(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<(), Outcome> {
    let device =
        device_of(iteration.readers, &iteration.settings.owner, change).await.map_err(failed)?;
    let Some(device) = device else { return Ok(()) };
    iteration.routers.forget(&change.address.name).await;
    let response = iteration.clients.tailnet.delete_device(&device.node_id).await;
    response.map_err(failed)
}
