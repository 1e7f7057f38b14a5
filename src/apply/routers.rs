//! Where the routers of a round are reached.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use tokio::sync::Mutex;

use super::Run;
use crate::diagnostics::Failure;
use crate::refresh::find_device;

/// The tailnet addresses of the routers that were asked for in this round. All
/// workers of a datacenter are reached through one of them, and Tailscale may
/// be asked only twice a second.
#[derive(Debug, Default)]
pub(super) struct RouterAddresses(Mutex<BTreeMap<String, Ipv4Addr>>);

impl RouterAddresses {
    /// The address of a router, if it has joined.
    pub(super) async fn get(
        &self,
        run: &Run<'_>,
        router: &str,
    ) -> Result<Option<Ipv4Addr>, Failure> {
        // Held while asking: who else wants to know waits for this answer.
        let mut known = self.0.lock().await;
        if let Some(address) = known.get(router) {
            return Ok(Some(*address));
        }
        let device = find_device(run.doors, run.scope, router).await?;
        let address = device.and_then(|device| device.addresses.first().copied());
        known.extend(address.map(|address| (router.to_owned(), address)));
        Ok(address)
    }

    /// Forgets a router whose device came or went.
    pub(super) async fn forget(&self, router: &str) {
        self.0.lock().await.remove(router);
    }
}
