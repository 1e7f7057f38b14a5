//! Machines that cannot join the tailnet any more.
//!
//! A router's machine joins with the single-use auth key of its first boot. A machine that
//! was created a moment ago may still be booting, and its device is expected; but if its
//! key was used and there is no device, the device was deleted since.

use std::collections::BTreeMap;

use super::{Observation, Scope};
use crate::desired::DesiredSet;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::provider::tailnet::{TailnetDevice, key_description};
use crate::resource::{Kind, ObjectKey, Owner};

impl Observation {
    /// Finds the machines that exist, have no device and cannot join: a plan replaces
    /// them at once, instead of waiting for them.
    pub async fn find_spent_machines(
        &mut self,
        clients: &ReadClients,
        scope: &Scope<'_>,
        desired: &DesiredSet,
    ) {
        let owner = scope.owner();
        let mut spent = Vec::new();
        for (machine, name) in self.booting(desired) {
            match cannot_join(clients, &owner, &name).await {
                Ok(true) => spent.push(machine),
                Ok(false) => {}
                // Without an answer the machine counts as booting.
                Err(error) => tracing::debug!(%error, router = name, "keys cannot be read"),
            }
        }
        for machine in spent {
            self.inventory.recently_created.remove(&machine);
        }
    }

    /// Machines created a moment ago whose devices are missing, with their names.
    fn booting(&self, desired: &DesiredSet) -> BTreeMap<ObjectKey, String> {
        let devices = desired.iter().filter(|desired| {
            let key = desired.key.as_ref();
            desired.address.kind == Kind::TailnetDevice
                && key.is_some_and(|key| self.inventory.get(key).is_none())
                && self.inventory.gap_for(Kind::TailnetDevice, key).is_none()
        });
        devices
            .filter_map(|device| {
                let machine = desired.get(device.created_by.as_ref()?)?.key.clone()?;
                let is_new = self.inventory.recently_created.contains(&machine);
                is_new.then(|| (machine, device.address.name.to_string()))
            })
            .collect()
    }
}

/// Whether the key of a router's machine was used although its device is missing. The
/// devices are read after the keys: a machine that joined in between is among them. Another
/// topology of the tailnet may have a router of the same name: neither its key nor its
/// device counts.
async fn cannot_join(
    clients: &ReadClients,
    owner: &Owner,
    name: &str,
) -> Result<bool, RequestError> {
    let tag = owner.tag.as_str();
    if clients.tailnet.has_unused_key(&key_description(name), tag).await? {
        return Ok(false);
    }
    let devices = clients.tailnet.devices().await?;
    let is_it = |device: &TailnetDevice| {
        let may_be_ours = device.unreadable.is_some() || owner.tag_among(&device.tags).is_some();
        device.hostname.eq_ignore_ascii_case(name) && may_be_ours
    };
    Ok(!devices.iter().any(is_it))
}
