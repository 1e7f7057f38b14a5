//! Hosts that must answer before a change is made.

use futures::{StreamExt, TryStreamExt, stream};

use super::hosts::resolve;
use super::report::failed;
use crate::apply::events::Outcome;
use crate::apply::iteration::Iteration;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Change, HostRoute};

/// How many hosts are probed at the same time.
const MAX_PROBES: usize = 16;

/// Probes the hosts that a change leads packets to instead of where they are now.
pub(super) async fn probe(iteration: &Iteration<'_>, change: &Change) -> Result<(), Outcome> {
    let probes = change.required_hosts.iter().map(|route| probe_one(iteration, change, route));
    stream::iter(probes).buffer_unordered(MAX_PROBES).try_collect::<Vec<()>>().await.map(drop)
}

async fn probe_one(
    iteration: &Iteration<'_>,
    change: &Change,
    route: &HostRoute,
) -> Result<(), Outcome> {
    let name = &route.hostname;
    let context = format!(
        "{} stays as it is, because {name} would be cut off: its new host was probed first",
        change.address
    );
    let Some(target) = resolve(iteration, route).await? else {
        return Err(failed(Failure::new(
            Code::HostUnreachable,
            context,
            "the datacenter's router must join the tailnet first; then run the same command again",
        )));
    };
    let probe = iteration.clients.hosts.probe_worker(&target).await;
    probe.map(drop).map_err(|error| failed(Failure::from(&error).within(&context)))
}
