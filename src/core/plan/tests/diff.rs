//! Field by field.

use serde_json::json;

use super::case::{device, group, interface, machine, manifest, table, table_after};
use crate::plan::diff::{self, FieldChange, FieldPath, ObjectDiff};
use crate::resource::azure::Provisioning;
use crate::resource::host::{JoinedWorker, WorkerHost};
use crate::resource::kubernetes::ManifestKind;
use crate::resource::{Observable, Resource};

fn paths(fields: &[FieldChange]) -> Vec<String> {
    fields.iter().map(|field| field.path.to_string()).collect()
}

fn body(body: serde_json::Value) -> Resource {
    manifest(ManifestKind::DaemonSet, "set", body)
}

fn worker(host: Observable<WorkerHost>) -> Resource {
    Resource::Worker(
        JoinedWorker {
            name: "w".to_owned(),
            ip: [10, 0, 0, 5].into(),
            pod_cidr: "10.244.65.0/24".parse().unwrap(),
            provider_id: "stargate:///dc/w".to_owned(),
            labels: Default::default(),
            taints: Default::default(),
            kubelet_version: "1.33.5".parse().unwrap(),
            profile_digest: "digest".to_owned(),
            routes: String::new(),
            ready: true,
            cordoned_for_work: false,
            host,
            protected_by: None,
        }
        .into(),
    )
}

fn host(persistent: bool) -> Observable<WorkerHost> {
    Observable::Observed(WorkerHost {
        cni_configuration: None,
        cni_chosen: None,
        ip_forwarding: true,
        wrong_sysctls: Default::default(),
        swap: Default::default(),
        persistent,
        container_runtime_active: true,
        kubelet_active: true,
        kernel_routes: Default::default(),
        stamp: None,
    })
}

#[test]
fn equal_values_have_no_difference() {
    for value in [table("10.0.0.0/8"), table_after("managed-cluster/cluster/lab"), device(true)] {
        assert!(diff::between(&value, &value).is_empty());
    }
}

#[test]
fn the_path_leads_to_the_innermost_field() {
    let fields = diff::between(&table("10.0.0.0/8"), &table("10.1.0.0/16"));
    assert_eq!(paths(&fields), ["routes[10.0.0.0/8]", "routes[10.1.0.0/16]"]);
    assert_eq!(fields[0].path, FieldPath(vec!["routes".to_owned(), "10.0.0.0/8".to_owned()]));
    assert_eq!((&fields[0].before, &fields[0].after), (&Some(json!("internet")), &None));
    assert_eq!((&fields[1].before, &fields[1].after), (&None, &Some(json!("internet"))));
}

#[test]
fn keys_with_dots_are_printed_in_brackets() {
    let path = |parts: &[&str]| FieldPath(parts.iter().map(|it| (*it).to_owned()).collect());
    assert_eq!(path(&["a", "b.c", "d"]).to_string(), "a[b.c].d");
    assert_eq!(path(&["stargate.io/a", "b"]).to_string(), "[stargate.io/a].b");
}

#[test]
fn a_list_is_one_field() {
    let fields = diff::between(&body(json!({"a": [1, 2]})), &body(json!({"a": [1, 3]})));
    assert_eq!(paths(&fields), ["a"]);
}

#[test]
fn a_pending_value_names_its_dependency() {
    let desired = table_after("managed-cluster/cluster/lab");
    let fields = diff::between(&table("10.0.0.0/8"), &desired);
    assert_eq!(paths(&fields), ["routes"]);
    assert!(fields[0].pending);
    let waits: Vec<String> = desired.awaits().iter().map(ToString::to_string).collect();
    assert_eq!(waits, ["managed-cluster/cluster/lab"]);
    assert!(table("10.0.0.0/8").awaits().is_empty());
}

#[test]
fn pending_values_are_found_anywhere_in_a_manifest_and_listed_once() {
    let waiting = json!({"$after": "tailnet-device/dc/router"});
    let desired = body(json!({"spec": {"a": waiting, "b": [waiting]}}));
    assert_eq!(desired.awaits().len(), 1);
}

#[test]
fn an_unread_host_does_not_differ() {
    let unseen = worker(Observable::unobserved());
    assert!(diff::between(&unseen, &worker(host(true))).is_empty());
    assert!(diff::between(&worker(host(true)), &unseen).is_empty());
    let fields = diff::between(&worker(host(false)), &worker(host(true)));
    assert_eq!(paths(&fields), ["host.persistent"]);
}

#[test]
fn integers_and_integral_floats_are_equal() {
    let one = body(json!({"a": 1000, "b": {"c": [2.0]}}));
    let other = body(json!({"a": 1000.0, "b": {"c": [2]}}));
    assert!(diff::between(&one, &other).is_empty());
    assert!(diff::between(&other, &one).is_empty());
    assert_eq!(paths(&diff::between(&one, &body(json!({"a": 1000.5, "b": {"c": [2]}})))), ["a"]);
    // A text is no number.
    let text = body(json!({"a": "1000", "b": {"c": [2]}}));
    assert_eq!(paths(&diff::between(&one, &text)), ["a"]);
}

#[test]
fn null_equals_absent() {
    let one = body(json!({"a": null, "b": 1}));
    assert!(diff::between(&one, &body(json!({"b": 1}))).is_empty());
    let fields = diff::between(&body(json!({"a": 1})), &body(json!({"a": null})));
    assert_eq!(fields[0].after, None);
}

#[test]
fn only_immutable_fields_force_a_replacement() {
    let forced = |before: &Resource, after: &Resource| {
        let fields = diff::between(before, after);
        let forced = fields.into_iter().filter(|field| field.forces_replacement);
        forced.map(|field| field.path.to_string()).collect::<Vec<_>>()
    };
    let small = machine("small", "network-interface/dc/nic");
    let large = machine("large", "network-interface/dc/nic");
    assert!(forced(&small, &large).is_empty());
    let elsewhere = machine("small", "network-interface/dc/other");
    assert_eq!(forced(&small, &elsewhere), ["network_interface"]);
    assert_eq!(forced(&group("here"), &group("there")), ["location"]);
    assert_eq!(forced(&interface(5), &interface(6)), ["private_ip"]);
    assert!(forced(&table("10.0.0.0/8"), &table("10.1.0.0/16")).is_empty());
    let selector = |name| body(json!({"spec": {"selector": {"app": name}, "template": name}}));
    assert_eq!(forced(&selector("a"), &selector("b")), ["spec.selector.app"]);
}

#[test]
fn a_failed_creation_is_an_update() {
    let desired = machine("small", "network-interface/dc/nic");
    let mut failed = desired.clone();
    if let Resource::VirtualMachine(machine) = &mut failed {
        machine.provisioning = Provisioning::Failed;
    }
    let fields = diff::between(&failed, &desired);
    assert_eq!(paths(&fields), ["provisioning"]);
    assert!(!fields[0].forces_replacement);
}

#[test]
fn readiness_of_a_new_object_is_not_listed() {
    let machine = machine("small", "network-interface/dc/nic");
    for site in [ObjectDiff::Created, ObjectDiff::Deleted] {
        let displayed = paths(&diff::whole(&machine, site));
        assert!(!displayed.contains(&"provisioning".to_owned()), "{displayed:?}");
        assert!(displayed.contains(&"vm_size".to_owned()), "{displayed:?}");
    }
}

#[test]
fn all_fields_of_a_created_object_omit_empty_ones() {
    let desired = body(json!({"a": 1, "b": [], "c": {}}));
    let made = diff::whole(&desired, ObjectDiff::Created);
    assert_eq!(paths(&made), ["a"]);
    assert_eq!((&made[0].before, &made[0].after), (&None, &Some(json!(1))));
    assert!(!made[0].forces_replacement);
    let removed = diff::whole(&desired, ObjectDiff::Deleted);
    assert_eq!((&removed[0].before, &removed[0].after), (&Some(json!(1)), &None));
}
