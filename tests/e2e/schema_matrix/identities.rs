//! Identities of objects, which change when an object is replaced, and foreign objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use stargate::resource::ArmId;
use stargate::resource::host::KernelRoute;
use stargate::sandbox::hosts::{MAIN_TABLE, Route};
use stargate::sandbox::{SandboxState, arm};

const NOW: &str = "2026-01-02T03:04:05Z";
/// A host on which another program has a route.
const SHARED_HOST: &str = "attic-router";

/// The identities of all objects.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Identities {
    /// The UIDs of Nodes.
    pub(super) nodes: BTreeMap<String, String>,
    /// The ids of VMs.
    pub(super) machines: BTreeMap<String, String>,
    /// How often each host was booted.
    pub(super) boots: BTreeMap<String, u32>,
    /// The node ids of devices.
    pub(super) devices: BTreeMap<String, String>,
    /// Objects of others.
    pub(super) foreign: BTreeMap<&'static str, Value>,
}

impl Identities {
    pub(super) fn of(sandbox: &SandboxState) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let store = sandbox.kubernetes.as_ref();
        let nodes = store.map(|store| store.list("v1", "Node", None)).unwrap_or_default();
        let metadata =
            |node: &&Value| (text(&node["metadata"]["name"]), text(&node["metadata"]["uid"]));
        let machines = sandbox.arm.list("Microsoft.Compute/virtualMachines");
        Self {
            nodes: nodes.iter().map(metadata).collect(),
            machines: machines
                .map(|(id, body)| (id.name().to_owned(), text(&body["properties"]["vmId"])))
                .collect(),
            boots: sandbox.hosts.values().map(|host| (host.name.clone(), host.boots)).collect(),
            devices: sandbox
                .tailnet
                .devices()
                .map(|device| (device.hostname.clone(), device.node_id.clone()))
                .collect(),
            foreign: foreign(sandbox),
        }
    }

    /// The names of those that exist in both with another identity, or no longer exist.
    pub(super) fn replaced(
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) -> BTreeSet<String> {
        let stays = |name: &String, identity: &String| after.get(name) == Some(identity);
        let absent = before.iter().filter(|(name, identity)| !stays(name, identity));
        absent.map(|(name, _)| name.clone()).collect()
    }
}

fn table() -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, "theirs")
        .in_group("Microsoft.Network/routeTables", "stargate-workers-rt")
}

/// Adds an object of others to each service.
pub(super) fn add_foreign(sandbox: &mut SandboxState) {
    let SandboxState { arm, entropy, tailnet, kubernetes, hosts, .. } = sandbox;
    let body =
        json!({ "location": "westeurope", "properties": { "provisioningState": "Succeeded" } });
    let group = ArmId::resource_group(arm::SUBSCRIPTION, "theirs");
    arm.upsert(&group, body.clone(), &mut || entropy.next_guid());
    arm.upsert(&table(), body, &mut || entropy.next_guid());
    let theirs = ["192.0.2.0/24".parse().unwrap()];
    tailnet.add_foreign("office", &theirs, NOW.parse().unwrap(), entropy);
    let store = kubernetes.as_mut().unwrap();
    for object in [
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "theirs" } }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "data": { "a": "b" },
                "metadata": { "name": "notes", "namespace": "theirs" } }),
    ] {
        store.put(object, "test", NOW).unwrap();
    }
    hosts.get_mut(SHARED_HOST).unwrap().kernel.routes.push(Route {
        destination: "203.0.113.0/24".parse().unwrap(),
        via: KernelRoute::Via([10, 60, 0, 200].into()),
        table: MAIN_TABLE,
        protocol: 4,
    });
}

fn foreign(sandbox: &SandboxState) -> BTreeMap<&'static str, Value> {
    let device = sandbox.tailnet.devices().find(|device| device.hostname == "office");
    let store = sandbox.kubernetes.as_ref();
    let notes = store.and_then(|store| store.get("v1", "ConfigMap", Some("theirs"), "notes"));
    let routes = sandbox.hosts.get(SHARED_HOST).map(|host| {
        let theirs = host.kernel.routes.iter().filter(|route| route.protocol == 4);
        json!(theirs.collect::<Vec<_>>())
    });
    BTreeMap::from([
        ("a route table", json!(sandbox.arm.get(&table()))),
        ("a device", json!(device.map(|device| (&device.node_id, &device.enabled_routes)))),
        ("a ConfigMap", json!(notes)),
        ("a route of a host", json!(routes)),
    ])
}
