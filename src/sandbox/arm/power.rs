//! The effects of power actions, and the instance views of VMs.

use serde_json::{Value, json};

use super::index::key;
use super::kind::ArmKind;
use super::operation::Operation;
use super::power_state::{PowerChange, PowerOff};
use super::{ArmContext, ArmStore, etags, json};
use crate::resource::ArmId;

impl ArmStore {
    /// The power state of a VM; `None` if it runs.
    pub fn power_off(&self, vm: &ArmId) -> Option<PowerOff> {
        self.off.get(&key(vm)).copied()
    }

    /// Sets the power state of a VM.
    pub(in crate::sandbox) fn set_power(&mut self, vm: &ArmId, off: Option<PowerOff>) {
        match off {
            Some(off) => drop(self.off.insert(key(vm), off)),
            None => drop(self.off.remove(&key(vm))),
        }
        self.touch(key(vm));
    }

    /// Whether a VM was restarted since the last call.
    pub(in crate::sandbox) fn take_restart(&mut self, vm: &ArmId) -> bool {
        self.restarted.remove(&key(vm))
    }

    /// Completes an action: the state is final, and the machine or the cluster is on or off.
    pub(super) fn end_power(
        &mut self,
        operation: &Operation,
        change: PowerChange,
        context: &mut ArmContext<'_>,
    ) {
        let target = operation.target.clone();
        let is_cluster = self.stored(&target).is_some_and(|it| it.kind == ArmKind::ManagedCluster);
        if operation.failure.is_none() && is_cluster {
            let code = if change == PowerChange::Start { "Running" } else { "Stopped" };
            self.modify(&target, |body| set_cluster_power(body, code), context.guid);
        } else if operation.failure.is_none() {
            let off = match change {
                PowerChange::Stop => Some(PowerOff::Stopped),
                PowerChange::Deallocate => Some(PowerOff::Deallocated),
                PowerChange::Start | PowerChange::Restart => None,
            };
            if change == PowerChange::Restart && self.power_off(&target).is_none() {
                self.restarted.insert(key(&target));
            }
            self.set_power(&target, off);
        }
        self.end_write(operation, context);
    }
}

fn set_cluster_power(body: &mut Value, code: &str) {
    json::set(body, &["properties", "powerState", "code"], json!(code));
    for pool in json::items_mut(body, "/properties/agentPoolProfiles") {
        json::set(pool, &["powerState", "code"], json!(code));
    }
}

/// The instance view of a VM.
pub(super) fn instance_view(store: &ArmStore, vm: &ArmId, body: &Value) -> Value {
    let state = etags::state(body);
    let (power, display) = match store.power_off(vm) {
        None => ("running", "VM running"),
        Some(PowerOff::Stopped) => ("stopped", "VM stopped"),
        Some(PowerOff::Deallocated) => ("deallocated", "VM deallocated"),
    };
    json!({
        "computerName": json::text(body, "/properties/osProfile/computerName"),
        "osName": "ubuntu",
        "osVersion": "24.04",
        "hyperVGeneration": "V2",
        "statuses": [
            {
                "code": format!("ProvisioningState/{}", state.to_ascii_lowercase()),
                "level": "Info",
                "displayStatus": format!("Provisioning {}", state.to_ascii_lowercase()),
            },
            { "code": format!("PowerState/{power}"), "level": "Info", "displayStatus": display },
        ],
    })
}

/// Adds the instance view to the body of a VM.
pub(super) fn expand(store: &ArmStore, vm: &ArmId, body: &mut Value) {
    if store.stored(vm).is_some_and(|stored| stored.kind == ArmKind::VirtualMachine) {
        let view = instance_view(store, vm, body);
        json::set(body, &["properties", "instanceView"], view);
    }
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, cluster, compute, network};

    fn power(client: &mut TestClient, path: &str) -> String {
        let view = client.get(&format!("{path}/instanceView")).body;
        view["statuses"][1]["code"].as_str().unwrap().to_owned()
    }

    #[test]
    fn actions_change_the_power_state_of_a_vm() {
        let mut client = TestClient::new();
        client.make_network();
        client.make(&network("networkInterfaces/i"), TestClient::interface(None));
        let path = compute("virtualMachines/m");
        client.make(&path, TestClient::machine("i"));
        assert_eq!(power(&mut client, &path), "PowerState/running");
        for (action, state) in [
            ("powerOff", "stopped"),
            ("deallocate", "deallocated"),
            ("start", "running"),
            ("restart", "running"),
        ] {
            let reply = client.call(Method::POST, &format!("{path}/{action}"), &[], None);
            assert_eq!(reply.status, 202, "{action}: {}", reply.body);
            assert_eq!(client.follow(&reply).body["status"], "Succeeded");
            assert_eq!(power(&mut client, &path), format!("PowerState/{state}"));
        }
        let expanded = client.get(&format!("{path}?$expand=instanceView")).body;
        assert_eq!(
            expanded["properties"]["instanceView"]["statuses"][1]["code"],
            "PowerState/running"
        );
        assert!(client.get(&path).body["properties"].get("instanceView").is_none());
        let unknown = client.call(Method::POST, &format!("{path}/explode"), &[], None);
        assert_eq!(unknown.refusal(), (404, "InvalidResourceType"));
    }

    #[test]
    fn a_vm_that_is_made_again_runs() {
        let mut client = TestClient::new();
        client.make_network();
        client.make(&network("networkInterfaces/i"), TestClient::interface(None));
        let path = compute("virtualMachines/m");
        client.make(&path, TestClient::machine("i"));
        let reply = client.call(Method::POST, &format!("{path}/deallocate"), &[], None);
        client.follow(&reply);
        client.destroy(&path);
        client.make(&path, TestClient::machine("i"));
        assert_eq!(power(&mut client, &path), "PowerState/running");
    }

    #[test]
    fn a_cluster_is_stopped_and_started() {
        let mut client = TestClient::new();
        let pool = json!({"name": "p", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System"});
        client.make(
            &cluster("k"),
            json!({"location": "westeurope", "properties": {"agentPoolProfiles": [pool]}}),
        );
        for (action, code) in [("stop", "Stopped"), ("start", "Running")] {
            let path = format!("{}/{action}", cluster("k"));
            let reply = client.call(Method::POST, &path, &[], None);
            client.follow(&reply);
            let body = client.get(&cluster("k")).body;
            assert_eq!(body["properties"]["powerState"]["code"], code);
        }
    }
}
