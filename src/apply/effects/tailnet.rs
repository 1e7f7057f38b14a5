//! Writes to the tailnet.

use std::time::Duration;

use tokio::time::Instant;

use super::{failed, hosts, progress};
use crate::apply::Iteration;
use crate::apply::events::Outcome;
use crate::plan::Change;
use crate::refresh::find_device;
use crate::resource::tailnet::{Device, RouteSet};

/// How long a router may take from its first boot to the tailnet.
const JOIN_WITHIN: Duration = Duration::from_secs(600);
const JOIN_POLL: Duration = Duration::from_secs(5);

fn of_read(error: crate::refresh::ReadError) -> Outcome {
    Outcome::Failed { reason: error.reason, remedy: error.remedy }
}

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
    let deadline = Instant::now() + JOIN_WITHIN;
    loop {
        let found =
            find_device(iteration.readers, &iteration.settings.owner, &device.hostname).await;
        if found.map_err(of_read)?.is_some_and(|device| device.online) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Outcome::Failed {
                reason: format!("{} did not join the tailnet in time", device.hostname),
                remedy: "read /var/log/cloud-init-output.log on the machine; its key lapses \
                         unused, and the next apply makes the machine anew"
                    .to_owned(),
            });
        }
        tokio::time::sleep(JOIN_POLL).await;
    }
}

/// Approves exactly these prefixes of a router.
pub(super) async fn approve(iteration: &Iteration<'_>, routes: &RouteSet) -> Result<(), Outcome> {
    let Some(prefixes) = routes.prefixes.known() else { return Ok(()) };
    let device = find_device(iteration.readers, &iteration.settings.owner, &routes.hostname).await;
    let Some(device) = device.map_err(of_read)? else {
        return Err(failed(
            &format!("{} is not in the tailnet", routes.hostname),
            "run the same command again once the router has joined",
        ));
    };
    let answer = iteration.clients.tailnet.set_enabled_routes(&device.node_id, prefixes).await;
    answer.map(drop).map_err(|error| failed(&error, error.remedy()))
}

/// Removes a device.
pub(super) async fn delete_device(iteration: &Iteration<'_>, name: &str) -> Result<(), Outcome> {
    let device =
        find_device(iteration.readers, &iteration.settings.owner, name).await.map_err(of_read)?;
    let Some(device) = device else { return Ok(()) };
    iteration.routers.forget(&device.hostname).await;
    let answer = iteration.clients.tailnet.delete_device(&device.node_id).await;
    answer.map_err(|error| failed(&error, error.remedy()))
}
