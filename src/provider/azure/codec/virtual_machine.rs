//! Virtual machines.

use azure_mgmt_compute::package_2024_07_01::models;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::base::{lay_over, location, missing, provisioning, read, write};
use super::marks::tag;
use super::{DecodeError, Marks};
use crate::provider::secret::Secret;
use crate::resource::ArmId;
use crate::resource::azure::{MachineRole, VirtualMachine};

const WHAT: &str = "virtual machine";
/// The tag that says what a machine is for.
pub const ROLE_TAG: &str = "stargate-role";
/// Fields that only Azure may write, or that are objects of their own.
const NOT_FOR_WRITING: [&str; 3] = ["instanceView", "timeCreated", "vmId"];

/// What only the creation of a machine uses.
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

/// Reads what ARM answered. A machine without a role counts as a worker.
pub fn decode(body: &Value) -> Result<VirtualMachine, DecodeError> {
    let model: models::VirtualMachine = read(WHAT, body)?;
    let properties = model.properties.unwrap_or_default();
    let size = properties.hardware_profile.and_then(|hardware| hardware.vm_size);
    let size = size.map(|size| write(&size)).ok_or_else(|| missing(WHAT, "vmSize"))?;
    let os = properties.os_profile.unwrap_or_default();
    let keys = os.linux_configuration.and_then(|linux| linux.ssh).map(|ssh| ssh.public_keys);
    let key = keys.into_iter().flatten().find_map(|key| key.key_data).unwrap_or_default();
    let interfaces = properties.network_profile.unwrap_or_default().network_interfaces;
    let interface = interfaces.into_iter().find_map(|interface| interface.sub_resource.id);
    let role = match tag(body, ROLE_TAG) {
        Some("router") => MachineRole::Router,
        _ => MachineRole::Worker,
    };
    Ok(VirtualMachine {
        location: location(WHAT, Some(&model.resource.location))?,
        vm_size: size.as_str().unwrap_or_default().to_owned(),
        admin_user: os.admin_username.unwrap_or_default(),
        ssh_public_key: key.trim().to_owned(),
        network_interface: ArmId::new(interface.ok_or_else(|| missing(WHAT, "networkInterfaces"))?),
        role,
        provisioning: provisioning(body),
    })
}

/// Writes what ARM takes. `creation` counts only where there is no machine yet.
pub fn encode(
    machine: &VirtualMachine,
    base: Option<&Value>,
    marks: &Marks<'_>,
    creation: Option<&MachineCreation>,
) -> Value {
    let mut resource = models::Resource::new(machine.location.clone());
    let mut tags = marks.tags();
    tags[ROLE_TAG] = json!(match machine.role {
        MachineRole::Router => "router",
        MachineRole::Worker => "worker",
    });
    resource.tags = Some(tags);
    let creation = creation.filter(|_| base.is_none());
    let mut model = models::VirtualMachine::new(resource);
    model.properties = Some(models::VirtualMachineProperties {
        hardware_profile: Some(models::HardwareProfile {
            vm_size: Some(vm_size(&machine.vm_size)),
            ..Default::default()
        }),
        storage_profile: creation.map(storage),
        os_profile: Some(operating_system(machine, creation)),
        network_profile: Some(network(machine)),
        ..Default::default()
    });
    lay_over(base.map(writable).as_ref(), write(&model))
}

/// What is there, without what a PUT may not carry: extensions are children
/// of their own.
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

fn vm_size(text: &str) -> models::hardware_profile::VmSize {
    use models::hardware_profile::VmSize;
    text.parse().unwrap_or_else(|_| VmSize::UnknownValue(text.to_owned()))
}

fn storage(creation: &MachineCreation) -> models::StorageProfile {
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
            sku: Some("22_04-lts-gen2".to_owned()),
            version: Some(creation.image_version.clone()),
            ..Default::default()
        }),
        os_disk: Some(disk),
        ..Default::default()
    }
}

fn operating_system(
    machine: &VirtualMachine,
    creation: Option<&MachineCreation>,
) -> models::OsProfile {
    let key = models::SshPublicKey {
        path: Some(format!("/home/{}/.ssh/authorized_keys", machine.admin_user)),
        key_data: Some(machine.ssh_public_key.clone()),
    };
    models::OsProfile {
        computer_name: creation.map(|creation| creation.computer_name.clone()),
        custom_data: creation.map(|creation| STANDARD.encode(creation.custom_data.expose())),
        admin_username: Some(machine.admin_user.clone()),
        linux_configuration: Some(models::LinuxConfiguration {
            disable_password_authentication: Some(true),
            ssh: Some(models::SshConfiguration { public_keys: vec![key] }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn network(machine: &VirtualMachine) -> models::NetworkProfile {
    models::NetworkProfile {
        network_interfaces: vec![models::NetworkInterfaceReference {
            sub_resource: models::SubResource {
                id: Some(machine.network_interface.as_str().to_owned()),
            },
            // Its interface is an object of its own and outlives the machine.
            properties: Some(models::NetworkInterfaceReferenceProperties {
                primary: Some(true),
                ..Default::default()
            }),
        }],
        ..Default::default()
    }
}
