//! The facts of `stargate doctor`: those of a plan, and those that only a first apply needs.

use jiff::SignedDuration;

use super::{Pipeline, Planned};
use crate::inventory::readiness::ReadinessFacts;
use crate::plan::readiness::{Check, ReadinessInput, check};
use crate::refresh::readiness::{
    lease_holder, probe_hosts, read_account, read_group_permissions, read_other_regions,
};

/// A plan and the checks of what its apply needs.
#[derive(Debug, Clone)]
pub struct Examined {
    /// The plan.
    pub planned: Planned,
    /// The checks, by service.
    pub checks: Vec<Check>,
}

impl Pipeline<'_> {
    /// Reads everything that an apply needs, side by side as far as possible, and checks it.
    /// `lease` is the name of the Lease of the process that makes changes.
    pub async fn examine(&self, lease: &str) -> Examined {
        let account = read_account(self.clients, self.scope, (self.now)());
        let (planned, account) = tokio::join!(self.run(), account);
        let observation = &planned.observation;
        let mut subscription = account.subscription;
        let (permissions, regions, hosts, lease) = tokio::join!(
            read_group_permissions(self.clients, self.scope, &planned.plan),
            read_other_regions(self.clients, self.scope, &planned.plan, &subscription.regions),
            probe_hosts(self.clients, self.scope, observation),
            lease_holder(observation, lease, (self.now)()),
        );
        subscription.group_permissions = permissions;
        subscription.regions.extend(regions);
        let now = (self.now)();
        let ahead = |time: jiff::Timestamp| -> SignedDuration { time.duration_since(now) };
        let clocks = self.clients.requests.clocks();
        let readiness = ReadinessFacts {
            subscription,
            tailnet: account.tailnet,
            other_topologies: account.other_topologies,
            hosts,
            lease,
            clocks: clocks.into_iter().map(|(api, time)| (api, ahead(time))).collect(),
        };
        let subscription = format!("/subscriptions/{}", self.scope.subscription);
        let checks = check(ReadinessInput {
            topology: self.scope.topology,
            subscription: &subscription,
            plan: &planned.plan,
            facts: &observation.facts,
            inventory: &observation.inventory,
            readiness: &readiness,
        });
        Examined { planned, checks }
    }
}
