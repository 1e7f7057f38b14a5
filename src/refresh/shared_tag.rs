//! Devices with the topology's tag that may be another topology's.
//!
//! A tag is the only mark of a device. If two topologies share one, the routers of the
//! other look like what is left of a datacenter that was removed from the topology.

use super::router_devices::Devices;
use super::{Observation, Scope};
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::tailnet::TailnetDevice;
use crate::resource::kubernetes::ManifestKind;
use crate::resource::{Kind, ObjectKey, Ownership, Resource};

/// Notes a connected device as foreign if neither the topology names it nor an object of
/// the topology records it: deleting it could cut off another topology.
pub(super) fn check(devices: &Devices, scope: &Scope<'_>, observation: &mut Observation) {
    for (name, device) in devices {
        let is_unknown = device.online && !scope.is_router(name);
        if !is_unknown || is_recorded(name, device, observation) {
            continue;
        }
        let keys: [fn(String) -> ObjectKey; 3] =
            [ObjectKey::Device, ObjectKey::DeviceAdvertised, ObjectKey::DeviceApproved];
        for key in keys {
            let key = key(name.clone());
            if let Some(observed) = observation.inventory.get(&key).cloned() {
                observation.inventory.note(key, observed.resource, Ownership::Foreign);
            }
        }
        let failure = unknown(name, scope);
        observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
    }
}

/// Whether the device is a VM of the topology's, or one of its Servers names it as router.
fn is_recorded(name: &str, device: &TailnetDevice, observation: &Observation) -> bool {
    let objects = observation.inventory.iter();
    let mut ours = objects.filter(|(_, observed)| observed.ownership.is_ours());
    ours.any(|(key, observed)| match &observed.resource {
        Resource::Manifest(manifest) if manifest.kind == ManifestKind::Server => {
            let router = manifest.body.pointer("/spec/routerIP").and_then(|it| it.as_str());
            device.addresses.iter().any(|address| router == Some(&address.to_string()))
        }
        resource => {
            resource.kind() == Kind::VirtualMachine && key.name().eq_ignore_ascii_case(name)
        }
    })
}

fn unknown(name: &str, scope: &Scope<'_>) -> Failure {
    let tag = &scope.topology.tailnet.tag;
    Failure::new(
        Code::OwnedByOtherTopology,
        format!(
            "the device {name} has the topology's tag {tag}, and no object of the topology \
             records it: it is not deleted"
        ),
        "if another topology uses the tag, give each its own `[tailnet] tag`; if the device is \
         left over, remove it in the admin console",
    )
}
