//! Where the hosts of an iteration are reached.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tokio::sync::Mutex;

use super::iteration::Iteration;
use crate::diagnostics::Failure;
use crate::plan::{HostLocation, HostRoute};
use crate::provider::host::HostTarget;
use crate::refresh::{find_device, targets};

/// The tailnet addresses of the routers, cached for this iteration. All workers of a
/// datacenter are reached through one router, and the limit of Tailscale is two requests a
/// second.
#[derive(Debug, Default)]
pub(super) struct RouterAddresses {
    /// Addresses that the tailnet returned in this iteration.
    current: Mutex<BTreeMap<String, Ipv4Addr>>,
    /// Addresses that the plan used, for devices without the router's name.
    planned: Mutex<BTreeMap<String, Ipv4Addr>>,
}

impl RouterAddresses {
    /// The addresses that a plan was made with.
    pub(super) fn planned(addresses: &BTreeMap<String, Ipv4Addr>) -> Self {
        Self { current: Mutex::default(), planned: Mutex::new(addresses.clone()) }
    }

    /// The address of a host and of the jump host before it. `None` if the router has not
    /// joined the tailnet and there is no other path to it.
    pub(super) async fn resolve(
        &self,
        iteration: &Iteration<'_>,
        route: &HostRoute,
    ) -> Result<Option<HostTarget>, Failure> {
        let first = route.first_hop();
        let mut addresses = BTreeMap::new();
        if matches!(first.location, HostLocation::Tailnet { .. }) {
            let address = self.get(iteration, &first.hostname).await?;
            addresses.extend(address.map(|address| (first.hostname.clone(), address)));
        }
        Ok(targets::resolve(route, &addresses))
    }

    async fn get(
        &self,
        iteration: &Iteration<'_>,
        router: &str,
    ) -> Result<Option<Ipv4Addr>, Failure> {
        // Held while asking: others that need the address wait for this answer.
        let mut known = self.current.lock().await;
        if let Some(address) = known.get(router) {
            return Ok(Some(*address));
        }
        let device = find_device(iteration.readers, &iteration.settings.owner, router).await?;
        let Some(device) = device else {
            return Ok(self.planned.lock().await.get(router).copied());
        };
        let address = device.addresses.first().copied();
        known.extend(address.map(|address| (router.to_owned(), address)));
        Ok(address)
    }

    /// Removes a router from the cache when its device was created or deleted.
    pub(super) async fn forget(&self, router: &str) {
        self.current.lock().await.remove(router);
        self.planned.lock().await.remove(router);
    }
}
