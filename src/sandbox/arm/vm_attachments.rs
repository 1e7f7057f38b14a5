//! The interfaces and the disk of a virtual machine.

use serde_json::{Value, json};

use super::index::key;
use super::kind::ArmKind;
use super::store::StoredResource;
use super::{ArmContext, ArmStore, json, resource_body};
use crate::resource::ArmId;

/// The interfaces in the body of a VM.
pub(super) const INTERFACES: &str = "/properties/networkProfile/networkInterfaces";

/// Writes the VM's id into its interfaces, which changes their etags.
pub(super) fn attach_interfaces(
    store: &mut ArmStore,
    vm: &ArmId,
    guid: &mut dyn FnMut() -> String,
) {
    for (index, interface) in interfaces(store.get(vm)).into_iter().enumerate() {
        let user =
            store.get(&interface).and_then(|b| json::text(b, "/properties/virtualMachine/id"));
        if user.is_some_and(|user| ArmId::new(user) == *vm) {
            continue;
        }
        let address = mac_address(&interface);
        store.modify(
            &interface,
            |body| {
                json::set(body, &["properties", "virtualMachine"], json!({"id": vm}));
                json::set(body, &["properties", "primary"], json!(index == 0));
                json::fill(body, &["properties", "macAddress"], json!(address));
            },
            guid,
        );
    }
}

/// Detaches the interfaces of a deleted VM.
pub(super) fn detach_interfaces(store: &mut ArmStore, vm: &StoredResource) {
    for interface in interfaces(Some(&vm.body)) {
        if let Some(stored) = store.objects.get_mut(&key(&interface)) {
            json::take(&mut stored.body, &["properties", "virtualMachine"]);
        }
    }
}

fn interfaces(vm: Option<&Value>) -> Vec<ArmId> {
    let listed = vm.map_or(&[][..], |body| json::items(body, INTERFACES));
    listed.iter().filter_map(|interface| json::text(interface, "/id")).map(ArmId::new).collect()
}

/// A MAC address in the range that Azure assigns, derived from the interface's id.
fn mac_address(interface: &ArmId) -> String {
    let hash = key(interface)
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let [_, first, second, third] = hash.to_be_bytes();
    format!("00-0D-3A-{first:02X}-{second:02X}-{third:02X}")
}

/// Completes the creation of a VM: its disk gets an id only now.
pub(super) fn create_disk(store: &mut ArmStore, vm: &ArmId, context: &mut ArmContext<'_>) {
    let Some(StoredResource { id, kind, mut body }) = store.stored(vm).cloned() else { return };
    let pointer = "/properties/storageProfile/osDisk";
    if json::text(&body, &format!("{pointer}/managedDisk/id")).is_some() {
        return;
    }
    let name = json::text(&body, &format!("{pointer}/name")).unwrap_or_default();
    let Some((subscription, group)) = id.subscription().zip(id.resource_group_name()) else {
        return;
    };
    let disk =
        ArmId::resource_group(subscription, group).in_group(ArmKind::Disk.resource_type(), name);
    let location = store.location(&id);
    let size = body.pointer(&format!("{pointer}/diskSizeGB")).cloned().unwrap_or_default();
    let mut made = resource_body::new(
        &location,
        json!({
            "osType": "Linux", "creationData": {"createOption": "FromImage"}, "diskSizeGB": size,
            "uniqueId": (context.guid)(), "timeCreated": context.now.to_string(),
            "diskState": "Attached",
        }),
    );
    json::set(&mut made, &["managedBy"], json!(id));
    json::set(&mut made, &["sku"], json!({"name": "Standard_LRS", "tier": "Standard"}));
    let path = ["properties", "storageProfile", "osDisk", "managedDisk", "id"];
    json::set(&mut body, &path, json!(disk));
    store.insert_object(
        disk.clone(),
        ArmKind::Disk,
        resource_body::set_identity(ArmKind::Disk, &disk, made),
    );
    store.insert_object(id, kind, body);
}
