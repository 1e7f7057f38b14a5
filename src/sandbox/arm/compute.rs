//! Validation and defaults of virtual machines and disks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::draft::Draft;
use super::errors::ArmError;
use super::kind::ArmKind;
use super::vm_attachments::INTERFACES;
use super::{ArmContext, ArmStore, json};
use crate::resource::ArmId;

/// Properties that are immutable after a VM is created.
const IMMUTABLE_PROPERTIES: [(&str, &str); 4] = [
    ("osProfile.computerName", "/properties/osProfile/computerName"),
    ("osProfile.adminUsername", "/properties/osProfile/adminUsername"),
    (
        "linuxConfiguration.ssh.publicKeys",
        "/properties/osProfile/linuxConfiguration/ssh/publicKeys",
    ),
    ("imageReference", "/properties/storageProfile/imageReference/sku"),
];

/// Removes write-only fields from a VM's body: the password, which is discarded, and the
/// cloud-init, which only the first boot of the machine reads.
pub(super) fn take_custom_data(
    store: &ArmStore,
    kind: ArmKind,
    id: &ArmId,
    exists: bool,
    body: &mut Value,
) -> Result<Option<String>, ArmError> {
    if kind != ArmKind::VirtualMachine {
        return Ok(None);
    }
    json::take(body, &["properties", "osProfile", "adminPassword"]);
    let Some(data) = json::take(body, &["properties", "osProfile", "customData"]) else {
        return Ok(None);
    };
    let decoded = data.as_str().and_then(|data| STANDARD.decode(data).ok());
    let Some(text) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) else {
        let message = "Custom data in OSProfile must be in Base64 encoding and with a maximum \
                       length of 87380 characters.";
        return Err(ArmError::bad("InvalidParameter", message));
    };
    if exists && store.custom_data(id) != Some(&text) {
        return Err(ArmError::property_change(StatusCode::CONFLICT, "osProfile.customData"));
    }
    Ok(Some(text))
}

/// Validates a VM and adds the fields that the service fills in.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    for path in [
        &["properties", "osProfile"][..],
        &["properties", "storageProfile"],
        &["properties", "networkProfile"],
        &["properties", "vmId"],
        &["properties", "timeCreated"],
    ] {
        json::copy_from(body, draft.old, path);
    }
    if json::text(body, "/properties/hardwareProfile/vmSize").is_none() {
        let message = "Required parameter 'hardwareProfile.vmSize' is missing (null).";
        return Err(ArmError::bad("InvalidParameter", message));
    }
    refuse_changes(draft, body)?;
    refuse_taken_interfaces(draft, body)?;
    json::fill(body, &["properties", "vmId"], json!((context.guid)()));
    json::fill(body, &["properties", "timeCreated"], json!(context.now.to_string()));
    add_profile(draft, body);
    add_disk(draft, body, context);
    Ok(())
}

fn refuse_changes(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let Some(old) = draft.old else { return Ok(()) };
    let ids = |body: &Value| -> Vec<ArmId> {
        json::items(body, INTERFACES)
            .iter()
            .filter_map(|i| json::text(i, "/id"))
            .map(ArmId::new)
            .collect()
    };
    if ids(old) != ids(body) {
        return Err(ArmError::property_change(
            StatusCode::CONFLICT,
            "networkProfile.networkInterfaces",
        ));
    }
    let changed =
        |pointer: &str| body.pointer(pointer).is_some_and(|new| old.pointer(pointer) != Some(new));
    match IMMUTABLE_PROPERTIES.into_iter().find(|(_, pointer)| changed(pointer)) {
        Some((property, _)) => Err(ArmError::property_change(StatusCode::CONFLICT, property)),
        None => Ok(()),
    }
}

fn refuse_taken_interfaces(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let interfaces = json::items(body, INTERFACES);
    if interfaces.is_empty() {
        let message = format!(
            "Virtual machine {} must have at least one network interface.",
            draft.id.name()
        );
        return Err(ArmError::bad("InvalidParameter", message));
    }
    for interface in interfaces.iter().filter_map(|interface| json::text(interface, "/id")) {
        let mut users = draft.store.index.users(&ArmId::new(interface));
        if let Some(user) = users.find(|user| *user != draft.id) {
            let message =
                format!("Network Interface {interface} is used by existing resource {user}.");
            return Err(ArmError::bad("NicInUse", message));
        }
    }
    Ok(())
}

fn add_profile(draft: &Draft<'_>, body: &mut Value) {
    if body.pointer("/properties/osProfile").is_none() {
        return;
    }
    let profile = |member: &'static str| ["properties", "osProfile", member];
    json::fill(body, &profile("computerName"), json!(draft.id.name()));
    json::fill(body, &profile("secrets"), json!([]));
    json::fill(body, &profile("allowExtensionOperations"), json!(true));
    json::fill(body, &profile("requireGuestProvisionSignal"), json!(true));
    let linux = ["properties", "osProfile", "linuxConfiguration", "provisionVMAgent"];
    json::fill(body, &linux, json!(true));
}

fn add_disk(draft: &Draft<'_>, body: &mut Value, context: &mut ArmContext<'_>) {
    if body.pointer("/properties/storageProfile/imageReference").is_some() {
        let version = ["properties", "storageProfile", "imageReference", "exactVersion"];
        json::fill(body, &version, json!(super::images::IMAGE_VERSION));
    }
    let disk = |member: &'static str| ["properties", "storageProfile", "osDisk", member];
    json::copy_from(body, draft.old, &disk("name"));
    let guid = (context.guid)().replace('-', "");
    let defaults = [
        ("name", json!(format!("{}_OsDisk_1_{guid}", draft.id.name()))),
        ("osType", json!("Linux")),
        ("createOption", json!("FromImage")),
        ("caching", json!("ReadWrite")),
        ("deleteOption", json!("Detach")),
        ("diskSizeGB", json!(30)),
    ];
    for (member, value) in defaults {
        json::fill(body, &disk(member), value);
    }
    let managed =
        |member: &'static str| ["properties", "storageProfile", "osDisk", "managedDisk", member];
    json::copy_from(body, draft.old, &managed("id"));
    json::fill(body, &managed("storageAccountType"), json!("Standard_LRS"));
    json::fill(body, &["properties", "storageProfile", "dataDisks"], json!([]));
}

/// Adds the fields that the service fills in for a disk.
pub(super) fn complete_disk(draft: &Draft<'_>, body: &mut Value, context: &mut ArmContext<'_>) {
    json::copy_from(body, draft.old, &["properties", "uniqueId"]);
    json::copy_from(body, draft.old, &["properties", "timeCreated"]);
    json::fill(body, &["sku", "name"], json!("Standard_LRS"));
    json::fill(body, &["properties", "uniqueId"], json!((context.guid)()));
    json::fill(body, &["properties", "timeCreated"], json!(context.now.to_string()));
    json::fill(body, &["properties", "diskState"], json!("Unattached"));
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, compute, id, network};

    fn with_machine() -> (TestClient, String, String) {
        let mut client = TestClient::new();
        client.make_network();
        let interface = network("networkInterfaces/i");
        client.make(&interface, TestClient::interface(None));
        let path = compute("virtualMachines/m");
        client.make(&path, TestClient::machine("i"));
        (client, path, interface)
    }

    #[test]
    fn creating_a_vm_is_an_operation_and_secrets_are_never_returned() {
        let (mut client, path, interface) = with_machine();
        let body = client.get(&path).body;
        // VMs have etags since the API versions of 2024.
        assert_eq!(body["etag"], "\"1\"");
        assert!(body["properties"]["osProfile"].get("customData").is_none());
        assert!(body["properties"]["osProfile"].get("adminPassword").is_none());
        assert_eq!(client.store.custom_data(&id(&path)), Some("#cloud-config"));
        let disk = body["properties"]["storageProfile"]["osDisk"]["managedDisk"]["id"].as_str();
        assert_eq!(client.get(disk.unwrap()).status, 200);
        let attached = client.get(&interface).body;
        assert_eq!(attached["properties"]["virtualMachine"]["id"], json!(path));
        assert_eq!(client.delete(&interface).refusal(), (400, "NicInUse"));
        let disk = disk.unwrap().to_owned();
        client.destroy(&path);
        assert_eq!(client.get(&disk).status, 404);
        let freed = client.get(&interface).body;
        assert!(freed["properties"].get("virtualMachine").is_none());
        assert_ne!(freed["etag"], attached["etag"]);
        assert!(client.store.custom_data(&id(&path)).is_none());
    }

    #[test]
    fn immutable_properties_of_a_vm_cannot_change() {
        let (mut client, path, _) = with_machine();
        assert_eq!(client.put(&path, TestClient::machine("i")).status, 200);
        client.get(&path);
        client.get(&path);
        client.make(&network("networkInterfaces/j"), TestClient::interface(None));
        let mut user = TestClient::machine("i");
        user["properties"]["osProfile"]["adminUsername"] = json!("other");
        let mut data = TestClient::machine("i");
        data["properties"]["osProfile"]["customData"] = json!("bw==");
        for body in [TestClient::machine("j"), user, data] {
            assert_eq!(client.put(&path, body).refusal(), (409, "PropertyChangeNotAllowed"));
        }
        let mut moved = TestClient::machine("i");
        moved["location"] = json!("northeurope");
        assert_eq!(client.put(&path, moved).refusal(), (409, "InvalidResourceLocation"));
        let tags = Some(json!({"tags": {"a": "b"}}));
        let patched = client.call(Method::PATCH, &path, &[], tags);
        assert_eq!((patched.status.as_u16(), patched.state()), (200, "Updating"));
    }
}
