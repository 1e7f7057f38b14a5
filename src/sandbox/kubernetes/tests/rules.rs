use serde_json::json;

use super::super::{CustomResource, ObjectIdentity};
use super::*;

const JSON: &str = "application/json";

fn causes(status: &Value) -> Vec<&str> {
    let causes = status["details"]["causes"].as_array().map_or(&[][..], Vec::as_slice);
    causes.iter().filter_map(|cause| cause["field"].as_str()).collect()
}

#[test]
fn schemas_are_enforced() {
    let mut store = store();
    let wrong = server("edge", json!({"size": -1}));
    let (code, status) = send(&mut store, "POST", SERVERS, JSON, &wrong);
    assert_eq!((code, causes(&status)), (422, vec!["spec.hostname", "spec.size"]));
    assert_eq!(status["kind"], "Status");
    let extra = server("edge", json!({"hostname": "edge", "extra": 1}));
    let strict = format!("{SERVERS}?fieldValidation=Strict");
    let (code, status) = send(&mut store, "POST", &strict, JSON, &extra);
    assert_eq!(code, 400, "{status}");
    let (code, made) = send(&mut store, "POST", SERVERS, JSON, &extra);
    assert_eq!((code, &made["spec"]), (201, &json!({"hostname": "edge"})));
    let (code, _) =
        send(&mut store, "POST", SERVERS, JSON, &server("A_b", json!({"hostname": "a"})));
    assert_eq!(code, 422);
}

#[test]
fn status_and_spec_have_separate_endpoints() {
    let mut store = store();
    let mut object = server("edge", json!({"hostname": "edge"}));
    object["status"] = json!({"phase": "Up"});
    let (_, made) = send(&mut store, "POST", SERVERS, JSON, &object);
    assert!(made["status"].is_null());
    let merge = "application/merge-patch+json";
    let both = json!({"spec": {"size": 3}, "status": {"phase": "Up"}});
    let uri = format!("{SERVERS}/edge/status");
    let (_, made) = send(&mut store, "PATCH", &uri, merge, &both);
    assert_eq!((&made["status"]["phase"], &made["spec"]["size"]), (&json!("Up"), &Value::Null));
    assert_eq!(made["metadata"]["generation"], 1);
    let (_, made) = send(&mut store, "PATCH", &format!("{SERVERS}/edge"), merge, &both);
    assert_eq!((&made["spec"]["size"], &made["metadata"]["generation"]), (&json!(3), &json!(2)));
}

#[test]
fn access_reviews_use_the_stored_roles() {
    let mut store = store();
    let binding = json!({"metadata": {"name": "bootstrap"},
        "roleRef": {"kind": "ClusterRole", "name": "system:node-bootstrapper"},
        "subjects": [{"kind": "Group", "name": "system:bootstrappers"}]});
    let uri = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(send(&mut store, "POST", uri, JSON, &binding).0, 201);
    let mut requested = |verb: &str, groups: &[&str]| {
        let review = json!({"spec": {"user": "x", "groups": groups, "resourceAttributes": {
            "verb": verb, "group": "certificates.k8s.io",
            "resource": "certificatesigningrequests"}}});
        let uri = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        send(&mut store, "POST", uri, JSON, &review).1["status"]["allowed"] == json!(true)
    };
    assert!(requested("create", &["system:bootstrappers"]));
    assert!(!requested("delete", &["system:bootstrappers"]));
    assert!(!requested("create", &["others"]));
    assert!(requested("delete", &["system:masters"]));
}

#[test]
fn a_certificate_request_records_its_requester_and_is_approved() {
    let mut store = store();
    let uri = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
    let request = json!({"metadata": {"name": "csr-1"}, "spec": {"request": "YQ==",
        "signerName": "kubernetes.io/kube-apiserver-client-kubelet", "username": "forged"}});
    let (code, mut made) = send(&mut store, "POST", uri, JSON, &request);
    assert_eq!((code, &made["spec"]["username"]), (201, &json!("tester")));
    made["status"] = json!({"conditions": [{"type": "Approved", "status": "True"}]});
    let (code, made) = send(&mut store, "PUT", &format!("{uri}/csr-1/approval"), JSON, &made);
    assert_eq!((code, &made["status"]["conditions"][0]["type"]), (200, &json!("Approved")));
}

#[test]
fn discovery_lists_the_served_resources() {
    let mut store = store();
    assert_eq!(get(&mut store, "/version").1["gitVersion"], "v1.33.5");
    let groups = get(&mut store, "/apis").1;
    let names: Vec<_> = groups["groups"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert!(names.contains(&&json!("stargate.io")) && names.contains(&&json!("apps")));
    let resources = get(&mut store, "/apis/stargate.io/v1alpha1").1;
    assert_eq!(resources["resources"][0]["shortNames"], json!(["srv"]));
    assert_eq!(resources["resources"][1]["name"], "servers/status");
    for missing in ["/openapi/v2", "/apis/none.io", "/apis/none.io/v1/things", "/api/v1/things"] {
        assert_eq!(get(&mut store, missing).0, 404, "{missing}");
    }
}

#[test]
fn the_openapi_description_announces_field_validation() {
    let mut store = store();
    let index = get(&mut store, "/openapi/v3").1;
    let url = |store: &mut KubernetesStore, root: &str| {
        let index = get(store, "/openapi/v3").1;
        index["paths"][root]["serverRelativeURL"].as_str().unwrap().to_owned()
    };
    assert_eq!(index["paths"]["apis/apps/v1"].as_object().map(serde_json::Map::len), Some(1));
    let before = url(&mut store, "apis/stargate.io/v1alpha1");
    let described = get(&mut store, &before).1;
    let patch = &described["paths"]["/apis/stargate.io/v1alpha1/namespaces/{namespace}/servers/{name}"]
        ["patch"];
    let kind = json!({"group": "stargate.io", "version": "v1alpha1", "kind": "Server"});
    assert_eq!(patch["x-kubernetes-group-version-kind"], kind);
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|it| it["name"] == "fieldValidation"));
    let schema = &described["components"]["schemas"]["io.stargate.v1alpha1.Server"];
    assert_eq!(schema["properties"]["spec"]["required"], json!(["hostname"]));
    assert_eq!(schema["properties"]["kind"]["type"], "string");
    // Objects do not change the digest; a schema does.
    send(&mut store, "POST", SERVERS, JSON, &server("a", json!({"hostname": "a"})));
    assert_eq!(url(&mut store, "apis/stargate.io/v1alpha1"), before);
    let path = format!("{CRDS}/servers.stargate.io");
    let mut crd = get(&mut store, &path).1;
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = json!("A machine");
    assert_eq!(send(&mut store, "PUT", &path, JSON, &crd).0, 200);
    assert_ne!(url(&mut store, "apis/stargate.io/v1alpha1"), before);
}

#[test]
fn the_server_version_has_a_v_prefix() {
    for version in ["1.33.5", "v1.33.5"] {
        let found = get(&mut KubernetesStore::new(version), "/version").1;
        assert_eq!((&found["major"], &found["gitVersion"]), (&json!("1"), &json!("v1.33.5")));
    }
}

#[test]
fn objects_can_be_written_without_http() {
    let mut store = store();
    let resource = CustomResource {
        group: "cilium.io",
        version: "v2",
        kind: "CiliumNode",
        plural: "ciliumnodes",
        namespaced: false,
        status: false,
    };
    store.register_custom_resource(&resource, NOW).unwrap();
    let node = json!({"apiVersion": "cilium.io/v2", "kind": "CiliumNode",
        "metadata": {"name": "w1"}, "spec": {"any": {"thing": 1}}});
    store.put(node.clone(), "agent", NOW).unwrap();
    let version = store.resource_version();
    store.put(node, "agent", NOW).unwrap();
    assert_eq!(store.resource_version(), version, "an identical write changes nothing");
    let object = ObjectIdentity {
        api_version: "cilium.io/v2",
        kind: "CiliumNode",
        namespace: None,
        name: "w1",
    };
    assert!(store.modify(&object, "agent", NOW, |it| it["spec"]["any"]["thing"] = json!(2)));
    let (code, seen) = get(&mut store, "/apis/cilium.io/v2/ciliumnodes/w1");
    assert_eq!((code, &seen["spec"]["any"]["thing"]), (200, &json!(2)));
    assert_eq!(store.list("cilium.io/v2", "CiliumNode", None).len(), 1);
    assert!(store.delete(&object, NOW));
    let found = store.events_since("cilium.io/v2", "CiliumNode", version).unwrap();
    assert_eq!(found.len(), 2);
}

#[test]
fn tables_have_the_columns_of_the_resource() {
    let mut store = store();
    send(&mut store, "POST", SERVERS, JSON, &server("edge", json!({"hostname": "host-1"})));
    let request = Request::builder()
        .uri(SERVERS)
        .header(header::ACCEPT, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
        .body(Bytes::new())
        .unwrap();
    let KubernetesResponse::Complete(response) = store.handle(&request, &user(), NOW) else {
        panic!("a watch")
    };
    let table: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(table["rows"][0]["cells"], json!(["edge", "host-1"]));
}

#[test]
fn a_large_store_is_serialised_and_listed() {
    let mut store = store();
    for number in 0..1_100 {
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": format!("worker-{number:04}"), "labels": {"role": "worker"}},
            "spec": {"podCIDR": "10.0.0.0/24"}});
        store.put(node, "kubelet", NOW).unwrap();
    }
    let kept = serde_json::to_string(&store).unwrap();
    let mut again: KubernetesStore = serde_json::from_str(&kept).unwrap();
    assert_eq!(again.resource_version(), store.resource_version());
    assert_eq!(serde_json::to_string(&again).unwrap(), kept);
    let mut seen = 0;
    let mut uri = "/api/v1/nodes?limit=500&labelSelector=role%3Dworker".to_owned();
    loop {
        let (code, list) = get(&mut again, &uri);
        assert_eq!((code, &list["kind"]), (200, &json!("NodeList")));
        seen += list["items"].as_array().unwrap().len();
        match list["metadata"]["continue"].as_str() {
            Some(token) => uri = format!("/api/v1/nodes?limit=500&continue={token}"),
            None => break,
        }
    }
    assert_eq!(seen, 1_100);
}

#[test]
fn deletions_check_preconditions_and_collections_are_deleted_together() {
    let mut store = store();
    for name in ["a", "b"] {
        send(&mut store, "POST", SERVERS, JSON, &server(name, json!({"hostname": name})));
    }
    let uri = format!("{SERVERS}/a");
    let stale = json!({"preconditions": {"resourceVersion": "1"}});
    assert_eq!(send(&mut store, "DELETE", &uri, JSON, &stale).0, 409);
    let trial = format!("{uri}?dryRun=All");
    assert_eq!(send(&mut store, "DELETE", &trial, JSON, &Value::Null).0, 200);
    assert_eq!(get(&mut store, &uri).0, 200);
    let held = json!({"metadata": {"finalizers": ["stargate.io/hold"]}});
    send(&mut store, "PATCH", &uri, "application/merge-patch+json", &held);
    let (code, list) = send(&mut store, "DELETE", SERVERS, JSON, &Value::Null);
    assert_eq!((code, list["items"].as_array().unwrap().len()), (200, 2));
    assert_eq!(get(&mut store, SERVERS).1["items"].as_array().unwrap().len(), 1);
    // The definition is deleted together with its last object.
    let crd = format!("{CRDS}/servers.stargate.io");
    send(&mut store, "DELETE", &crd, JSON, &Value::Null);
    assert_eq!(get(&mut store, &crd).0, 200);
    let release = json!({"metadata": {"finalizers": null}});
    send(&mut store, "PATCH", &uri, "application/merge-patch+json", &release);
    assert_eq!(get(&mut store, &crd).0, 404);
    assert_eq!(get(&mut store, SERVERS).0, 404);
}
