//! Hand-written plans for the snapshots of the renderers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Source};
use crate::plan::cost::Cost;
use crate::plan::diff::{FieldChange, FieldPath};
use crate::plan::impact::{Loss, Reachability};
use crate::plan::{
    Action, ApplySettings, Blocked, Change, Deferred, Finding, FindingSeverity, ManagedNodeFields,
    Plan, PlanContents, StepGraph,
};
use crate::resource::{Address, Api, ObjectKey, Owner};
use crate::topology::names::{TailnetTag, TopologyName};

pub(super) fn address(text: &str) -> Address {
    text.parse().expect("an address")
}

pub(super) fn field(path: &[&str], before: Value, after: Value) -> FieldChange {
    let some = |value: Value| Some(value).filter(|value| !value.is_null());
    FieldChange {
        path: FieldPath(path.iter().map(|part| (*part).to_owned()).collect()),
        pending: after.get("$after").is_some(),
        before: some(before),
        after: some(after),
        forces_replacement: false,
    }
}

pub(super) fn change(text: &str, action: Action, fields: Vec<FieldChange>) -> Change {
    let mut change = Change::new(address(text), ObjectKey::Host(text.to_owned()), action, "");
    change.differences = fields;
    change
}

pub(super) fn plan(changes: Vec<Change>) -> Plan {
    with_contents(contents(changes))
}

/// Only planning makes plans, but a saved one is read.
pub(super) fn with_contents(contents: PlanContents) -> Plan {
    let saved = serde_json::to_value(contents).expect("contents are written");
    serde_json::from_value(saved).expect("contents are read")
}

fn settings() -> ApplySettings {
    let owner = Owner::new(TopologyName::new("lab"), TailnetTag::new("tag:stargate"));
    ApplySettings { owner, managed: ManagedNodeFields::default(), upgrade_patches: false }
}

pub(super) fn contents(changes: Vec<Change>) -> PlanContents {
    PlanContents {
        topology: "lab".to_owned(),
        steps: StepGraph::of(&changes),
        settings: settings(),
        changes,
        deferred: Vec::new(),
        blocked: Vec::new(),
        awaiting_approval: Vec::new(),
        approval_losses: Vec::new(),
        ignored: Vec::new(),
        findings: Vec::new(),
        gaps: Vec::new(),
        unchanged: 12,
        rollout: None,
        reachability: Default::default(),
        cost: Cost {
            requests: BTreeMap::from([(Api::Azure, 12), (Api::Tailscale, 3)]),
            ..Cost::default()
        },
    }
}

pub(super) fn nothing() -> Plan {
    plan(Vec::new())
}

pub(super) fn machine(name: &str, octet: usize) -> Change {
    let mut change = change(
        &format!("virtual-machine/dc1/{name}"),
        Action::Create,
        vec![
            field(&["admin_user"], Value::Null, json!("ubuntu")),
            field(&["image", "offer"], Value::Null, json!("ubuntu-24_04-lts")),
            field(&["image", "publisher"], Value::Null, json!("Canonical")),
            field(&["location"], Value::Null, json!("canadacentral")),
            field(
                &["network_interface"],
                Value::Null,
                json!({"$after": "network-interface/dc1/x"}),
            ),
            field(&["private_ip"], Value::Null, json!(format!("10.50.1.{octet}"))),
            field(&["size"], Value::Null, json!("Standard_D2s_v5")),
            field(
                &["ssh_public_key"],
                Value::Null,
                json!(format!("ssh-ed25519 {}", "A".repeat(90))),
            ),
            field(&["tags"], Value::Null, json!({"role": "worker"})),
        ],
    );
    change.planned_because_of = "[[datacenters.dc1.workers]] lists worker-1".to_owned();
    change
}

fn table() -> Change {
    let mut change = change(
        "route-table/cluster/lab-workers-rt",
        Action::Update,
        vec![
            field(&["disable_bgp"], json!(false), json!(true)),
            field(&["routes", "10.50.0.0/16"], Value::Null, json!("10.237.0.4")),
            field(&["routes", "10.60.0.0/16"], json!("10.237.0.4"), Value::Null),
            field(
                &["prefixes"],
                json!(["10.244.65.0/24", "10.244.66.0/24", "10.244.67.0/24", "10.244.68.0/24"]),
                json!(["10.244.66.0/24", "10.244.67.0/24", "10.244.68.0/24", "10.244.69.0/24"]),
            ),
            field(
                &["script"],
                json!("#!/bin/sh\nset -eu\nip route add 10.0.0.0/8 dev eth0\nexit 0\n"),
                json!("#!/bin/sh\nset -eu\nip route replace 10.0.0.0/8 dev eth0\nexit 0\n"),
            ),
        ],
    );
    change.planned_because_of = "AKS nodes route each datacenter to the AKS router".to_owned();
    change.caused_by = Some(address("virtual-machine/dc1/worker-1"));
    change
}

fn node() -> Change {
    let mut pod_cidr = field(&["pod_cidr"], json!("10.244.65.0/24"), json!("10.244.70.0/24"));
    pod_cidr.forces_replacement = true;
    let label = field(&["labels", "stargate.io/datacenter"], Value::Null, json!("dc1"));
    let mut change = change("worker/dc1/worker-1", Action::Replace, vec![label, pod_cidr]);
    change.interrupts = Some("every pod on worker-1, until they run on another node".to_owned());
    change
}

fn blocked() -> Vec<Blocked> {
    let block = |text: &str, caused_by: Option<&str>| Blocked {
        address: address(text),
        action: Action::Delete,
        fields: Vec::new(),
        failure: Failure::new(
            Code::Protected,
            "the datacenter has `protect = true`",
            "set `protect = false` in [datacenters.dc2] and plan again",
        ),
        caused_by: caused_by.map(address),
        planned_because_of: "[datacenters.dc2] is no longer in the topology".into(),
    };
    vec![
        block("virtual-machine/dc2/worker-9", None),
        block("network-interface/dc2/worker-9-nic", Some("virtual-machine/dc2/worker-9")),
    ]
}

/// A plan with every kind of content.
pub(super) fn everything() -> Plan {
    let deferred = |text: &str| Deferred {
        address: address(text),
        action: Action::Create,
        waits_for: vec![address("managed-cluster/cluster/lab")],
        fields: Vec::new(),
        planned_because_of: "AKS creates the VNet".into(),
        interrupts: None,
        is_conditional: false,
    };
    let mut adopted = change(
        "resource-group/dc1/lab-dc1",
        Action::Adopt,
        vec![field(&["location"], json!("eastus"), json!("canadacentral"))],
    );
    adopted.planned_because_of = "--adopt resource-group/dc1/lab-dc1".into();
    let removed = vec![field(&["location"], json!("eastus"), Value::Null)];
    let deleted = change("public-ip-address/dc1/lab-old-ip", Action::Delete, removed);
    with_contents(PlanContents {
        deferred: vec![
            deferred("subnet/cluster/lab-router"),
            deferred("route-table-association/cluster/aks"),
        ],
        blocked: blocked(),
        findings: vec![Finding {
            severity: FindingSeverity::Warning,
            address: Some(address("tailnet-device/dc1/lab-router")),
            failure: Failure::new(
                Code::RouterOffline,
                "the router has been offline for 12 minutes",
                "check that the machine is running",
            ),
        }],
        gaps: vec![Gap {
            source: Source::Azure,
            failure: Failure::new(
                Code::AzureRefused,
                "403 for the resource group `lab-dc1`: the principal may not read it.",
                "give the principal the role Reader",
            )
            .caused_by("AuthorizationFailed: the client does not have authorization"),
            explained: false,
            in_part: false,
        }],
        cost: Cost {
            requests: BTreeMap::from([(Api::Azure, 12), (Api::Tailscale, 3), (Api::Kubernetes, 9)]),
            apply_requests: BTreeMap::from([(Api::Azure, 15), (Api::Kubernetes, 13)]),
            apply_writes: BTreeMap::from([(Api::Azure, 5), (Api::Kubernetes, 7)]),
            critical_path: [
                "resource-group/dc1/lab-dc1",
                "virtual-machine/dc1/worker-1",
                "worker/dc1/worker-1",
            ]
            .map(address)
            .to_vec(),
            seconds: 210,
            deferred_join_seconds: 0,
        },
        reachability: Reachability {
            kept: 230,
            gained: 6,
            lost: 4,
            losses: vec![Loss {
                pairs: 4,
                example: ("worker-1".to_owned(), "aks-node-1".to_owned()),
                resource: Some(address("route-table/cluster/stargate-router-rt")),
            }],
            ..Reachability::default()
        },
        ..contents(vec![adopted, machine("worker-1", 5), table(), node(), deleted])
    })
}

/// A plan that creates similar workers.
pub(super) fn many_workers(count: usize) -> Plan {
    plan((1..=count).map(|number| machine(&format!("worker-{number}"), number)).collect())
}

/// A plan in which no two changes are similar.
pub(super) fn many_kinds(count: usize) -> Plan {
    let one = |number: usize| {
        let key = format!("route-{number}");
        let fields = vec![field(&["routes", &key], json!("10.0.0.4"), json!("10.0.0.5"))];
        change(&format!("route-table/dc{}/table-{number}", number % 7), Action::Update, fields)
    };
    plan((0..count).map(one).collect())
}
