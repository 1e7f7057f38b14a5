//! A deployment that is in another subscription than the topology says.
//!
//! Azure answers only for one subscription, and the tailnet for all of them: routers that are
//! connected while the subscription has nothing of the topology run somewhere else.

use super::{Observation, Scope};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::plan::{Finding, FindingSeverity};
use crate::resource::ObjectKey;

/// Notes that the topology's deployment is in another subscription, so that it is not created
/// a second time. `connected` are the routers whose devices are connected and whose machines
/// the subscription does not have. Returns whether it is.
pub(super) fn note(connected: &[String], scope: &Scope<'_>, observation: &mut Observation) -> bool {
    if connected.is_empty() || !is_empty(observation) {
        return false;
    }
    let failure = Failure::new(
        Code::OtherSubscription,
        format!(
            "the subscription {} has no object of the topology `{}`, and routers of the topology \
             are connected to the tailnet: {}",
            scope.subscription,
            scope.topology.name,
            connected.join(", ")
        ),
        "set `[azure] subscription` (or AZURE_SUBSCRIPTION_ID) to the subscription of the \
         deployment; to move it, run `stargate destroy` there first; if its resource groups were \
         deleted a moment ago, run the same command again in a minute",
    );
    observation.findings.push(Finding::new(FindingSeverity::Error, failure));
    true
}

/// Whether Azure was read and showed nothing of the topology.
fn is_empty(observation: &Observation) -> bool {
    let inventory = &observation.inventory;
    let mut azure = inventory.iter().filter(|(key, _)| matches!(key, ObjectKey::Azure(_)));
    // An unread object, or one of an earlier version, may be the deployment.
    let is_unread = inventory.gaps().any(|gap| gap.source == Source::Azure);
    let is_ours = azure.any(|(_, observed)| observed.ownership.is_ours());
    !is_unread && !is_ours && observation.without_name.is_empty()
}
