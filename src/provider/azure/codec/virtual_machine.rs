//! Virtual machines.

use azure_mgmt_compute::package_2024_07_01::models;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::body::{merge_onto, write};
use super::fields::{location, missing, provisioning, read, read_part};
use super::marks::tag;
use super::{DecodeError, Marks};
use crate::provider::secret::Secret;
use crate::resource::ArmId;
use crate::resource::azure::{MachineRole, VirtualMachine};

const WHAT: &str = "virtual machine";
/// The tag with the role of a machine.
pub const ROLE_TAG: &str = "stargate-role";
/// Fields that only Azure may write, or that are objects of their own.
const NOT_FOR_WRITING: [&str; 3] = ["instanceView", "timeCreated", "vmId"];

/// The values that only the creation of a machine uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineCreation {
    /// The name that the host gives itself.
    pub computer_name: String,
    /// cloud-init's user data as plain text.
    pub custom_data: Secret,
    /// The version of the image.
    pub image_version: String,
}

impl MachineCreation {
    /// A machine from the newest image.
    pub fn new(computer_name: impl Into<String>, custom_data: Secret) -> Self {
        let image_version = "latest".to_owned();
        Self { computer_name: computer_name.into(), custom_data, image_version }
    }
}

/// Decodes a response of ARM. A machine without a role counts as a worker.
pub fn decode(body: &Value) -> Result<VirtualMachine, DecodeError> {
    let resource: models::Resource = read(WHAT, body)?;
    let size: Option<String> = read_part(WHAT, body, "properties.hardwareProfile.vmSize")?;
    let user: Option<String> = read_part(WHAT, body, "properties.osProfile.adminUsername")?;
    let keys: Option<Vec<models::SshPublicKey>> =
        read_part(WHAT, body, "properties.osProfile.linuxConfiguration.ssh.publicKeys")?;
    let key = keys.into_iter().flatten().find_map(|key| key.key_data);
    let key = key.ok_or_else(|| missing(WHAT, "properties.osProfile.linuxConfiguration.ssh"))?;
    let interfaces: Option<Vec<models::SubResource>> =
        read_part(WHAT, body, "properties.networkProfile.networkInterfaces")?;
    let interface = interfaces.into_iter().flatten().find_map(|interface| interface.id);
    let role = match tag(body, ROLE_TAG) {
        Some("router") => MachineRole::Router,
        _ => MachineRole::Worker,
    };
    Ok(VirtualMachine {
        location: location(WHAT, Some(&resource.location))?,
        vm_size: size.ok_or_else(|| missing(WHAT, "vmSize"))?,
        admin_user: user.ok_or_else(|| missing(WHAT, "properties.osProfile.adminUsername"))?,
        ssh_public_key: key.trim().to_owned(),
        network_interface: ArmId::new(interface.ok_or_else(|| missing(WHAT, "networkInterfaces"))?),
        role,
        provisioning: provisioning(body),
        protected_by: None,
    })
}

/// Encodes the body of a PUT. `creation` is used only if there is no machine yet.
pub fn encode(
    machine: &VirtualMachine,
    base: Option<&Value>,
    marks: &Marks<'_>,
    creation: Option<&MachineCreation>,
) -> Value {
    let mut tags = marks.tags();
    tags[ROLE_TAG] = json!(match machine.role {
        MachineRole::Router => "router",
        MachineRole::Worker => "worker",
    });
    let creation = creation.filter(|_| base.is_none());
    let ours = json!({
        "location": machine.location,
        "tags": tags,
        "properties": {
            "hardwareProfile": { "vmSize": machine.vm_size },
            "storageProfile": creation.map(|creation| storage(&machine.vm_size, creation)),
            // Azure refuses another login of a machine that exists.
            "osProfile": creation.map(|creation| operating_system(machine, creation)),
            "networkProfile": { "networkInterfaces": [interface_reference(machine)] },
        },
    });
    merge_onto(base.map(writable).as_ref(), write(&ours))
}

/// The current body without fields that a PUT must not contain: extensions are child
/// resources.
fn writable(base: &Value) -> Value {
    let mut body = base.clone();
    if let Some(fields) = body.as_object_mut() {
        fields.remove("resources");
    }
    if let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !NOT_FOR_WRITING.contains(&name.as_str()));
    }
    body
}

/// The image for the processors of a size: the features of Arm sizes have a `p`
/// (<https://learn.microsoft.com/azure/virtual-machines/vm-naming-conventions>).
fn image_sku(size: &str) -> &'static str {
    let series = size.trim_start_matches("Standard_").split('_').next().unwrap_or_default();
    let is_letter = |c: &char| c.is_ascii_alphabetic();
    let features: String = series.chars().skip_while(is_letter).filter(is_letter).collect();
    if features.contains('p') { "22_04-lts-arm64" } else { "22_04-lts-gen2" }
}

fn storage(size: &str, creation: &MachineCreation) -> models::StorageProfile {
    let mut disk = models::OsDisk::new(models::CreateOption::FromImage);
    disk.managed_disk = Some(models::ManagedDiskParameters {
        storage_account_type: Some(models::StorageAccountType::StandardSsdLrs),
        ..Default::default()
    });
    // The disk holds nothing that a new machine would not have.
    disk.delete_option = Some(models::DeleteOption::Delete);
    models::StorageProfile {
        image_reference: Some(models::ImageReference {
            publisher: Some("Canonical".to_owned()),
            offer: Some("0001-com-ubuntu-server-jammy".to_owned()),
            sku: Some(image_sku(size).to_owned()),
            version: Some(creation.image_version.clone()),
            ..Default::default()
        }),
        os_disk: Some(disk),
        ..Default::default()
    }
}

fn operating_system(machine: &VirtualMachine, creation: &MachineCreation) -> models::OsProfile {
    let key = models::SshPublicKey {
        path: Some(format!("/home/{}/.ssh/authorized_keys", machine.admin_user)),
        key_data: Some(machine.ssh_public_key.clone()),
    };
    models::OsProfile {
        computer_name: Some(creation.computer_name.clone()),
        custom_data: Some(STANDARD.encode(creation.custom_data.expose())),
        admin_username: Some(machine.admin_user.clone()),
        linux_configuration: Some(models::LinuxConfiguration {
            disable_password_authentication: Some(true),
            ssh: Some(models::SshConfiguration { public_keys: vec![key] }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// The interface is an object of its own and outlives the machine: nothing says
/// that it is deleted together with it.
fn interface_reference(machine: &VirtualMachine) -> models::NetworkInterfaceReference {
    models::NetworkInterfaceReference {
        sub_resource: models::SubResource {
            id: Some(machine.network_interface.as_str().to_owned()),
        },
        properties: Some(models::NetworkInterfaceReferenceProperties {
            primary: Some(true),
            ..Default::default()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_have_the_architecture_of_the_size() {
        for size in
            ["Standard_D2ps_v5", "Standard_D4pds_v6", "Standard_B2pts_v2", "Standard_E8ps_v5"]
        {
            assert_eq!(image_sku(size), "22_04-lts-arm64", "{size}");
        }
        for size in ["Standard_D2s_v5", "Standard_D2ads_v5", "Standard_NP10s", "Standard_PB6s"] {
            assert_eq!(image_sku(size), "22_04-lts-gen2", "{size}");
        }
    }
}
