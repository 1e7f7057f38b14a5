use serde_json::{Value, json};

use super::reconcile;
use crate::provider::http::Api;
use crate::sandbox::test_sandbox::{
    TOKEN, aks, allow_bootstrap, approve_all, ask, auth_key, id, machine, network, now,
    prepare_worker, whole,
};
use crate::sandbox::world::World;

/// Checks that looking at what is new led to where looking at everything leads:
/// a world that was just loaded remembers nothing of the last settling.
fn check_settled(world: &World, step: &str) {
    let stored = serde_json::to_value(world).unwrap();
    let mut loaded: World = serde_json::from_value(stored.clone()).unwrap();
    reconcile(&mut loaded, now());
    assert_eq!(stored, serde_json::to_value(&loaded).unwrap(), "{step}");
}

fn object<'a>(
    world: &'a World,
    kind: (&str, &str),
    namespace: Option<&str>,
    name: &str,
) -> Option<&'a Value> {
    world.kubernetes.as_ref()?.get(kind.0, kind.1, namespace, name)
}

fn node_names(world: &World) -> Vec<String> {
    let nodes = world.kubernetes.as_ref().unwrap().list("v1", "Node", None);
    nodes.into_iter().map(|node| node["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_router_boots_into_the_tailnet_and_leaves_it_offline() {
    let mut world = World::new(1);
    network(&mut world, "dc1", None);
    let key = auth_key(&mut world);
    machine(&mut world, "dc1", "dc1-router", "10.1.1.5", Some(&key));
    let host = &world.hosts["dc1-router"];
    assert!(host.in_tailnet());
    let device = host.tailscale.as_ref().unwrap().device.clone().unwrap();
    assert!(world.tailnet.device(&device).unwrap().online);
    let vm = id("dc1", "Microsoft.Compute/virtualMachines", "dc1-router");
    world.arm.remove(&vm, &mut String::new);
    reconcile(&mut world, now());
    assert!(world.hosts.is_empty());
    assert!(!world.tailnet.device(&device).unwrap().online, "it stays listed");
}

#[test]
fn a_bad_key_leaves_a_host_that_is_logged_out() {
    let mut world = World::new(1);
    network(&mut world, "dc1", None);
    machine(&mut world, "dc1", "dc1-router", "10.1.1.5", Some("tskey-auth-nobody"));
    assert!(!world.hosts["dc1-router"].in_tailnet());
    assert_eq!(world.tailnet.devices().count(), 0);
}

#[test]
fn a_deleted_device_logs_its_host_out() {
    let mut world = whole();
    let device = world.hosts["dc1-router"].tailscale.as_ref().unwrap().device.clone().unwrap();
    let path = format!("/api/v2/device/{device}");
    assert_eq!(ask(&mut world, Api::Tailscale, "DELETE", &path, &Value::Null).0, 200);
    assert!(!world.hosts["dc1-router"].in_tailnet());
}

#[test]
fn aks_brings_nodes_whose_ranges_are_not_in_their_order() {
    let mut world = World::new(1);
    aks(&mut world, 2);
    let names = node_names(&world);
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with("aks-system-") && names[0].ends_with("-vmss000000"));
    let range = |world: &World, name: &str| {
        let kind = ("acn.azure.com/v1alpha", "NodeNetworkConfig");
        let config = object(world, kind, Some("kube-system"), name).unwrap();
        config["status"]["networkContainers"][0]["primaryIP"].as_str().unwrap().to_owned()
    };
    assert_eq!(range(&world, &names[0]), "10.244.1.0/24");
    assert_eq!(range(&world, &names[1]), "10.244.0.0/24");
    let cilium = object(&world, ("cilium.io/v2", "CiliumNode"), None, &names[0]).unwrap();
    assert_eq!(cilium["spec"]["ipam"]["podCIDRs"], json!([]));
    aks(&mut world, 3);
    assert_eq!(range(&world, &node_names(&world)[2]), "10.244.2.0/24");
    aks(&mut world, 1);
    assert_eq!(node_names(&world), names[..1]);
    let credential = "listClusterUserCredential?api-version=2024-09-01";
    let cluster = id("lab", "Microsoft.ContainerService/managedClusters", "aks");
    let path = format!("{}/{credential}", cluster.as_str());
    let (status, answer) = ask(&mut world, Api::Azure, "POST", &path, &Value::Null);
    assert_eq!(status, 200, "{answer}");
    world.arm.remove(&cluster, &mut String::new);
    reconcile(&mut world, now());
    assert!(world.kubernetes.is_none());
}

#[test]
fn a_worker_joins_only_with_a_token_and_an_approval() {
    let mut world = World::new(1);
    aks(&mut world, 1);
    network(&mut world, "dc1", None);
    machine(&mut world, "dc1", "w1", "10.1.2.10", None);
    prepare_worker(&mut world, "w1", "10.1.2.10", "10.244.64.0/24");
    let requests = |world: &World| {
        let kind = ("certificates.k8s.io/v1", "CertificateSigningRequest");
        let store = world.kubernetes.as_ref().unwrap();
        store.list(kind.0, kind.1, None).into_iter().cloned().collect::<Vec<Value>>()
    };
    assert!(requests(&world).is_empty(), "the token is not known yet");
    allow_bootstrap(&mut world);
    reconcile(&mut world, now());
    let request = &requests(&world)[0];
    assert_eq!(request["spec"]["username"], "system:bootstrap:abcdef");
    assert!(object(&world, ("v1", "Node"), None, "w1").is_none(), "not approved yet");
    approve_all(&mut world);
    let node = object(&world, ("v1", "Node"), None, "w1").unwrap();
    assert!(super::cluster::is_ready(node), "{node}");
    assert_eq!(node["spec"]["providerID"], "stargate:///dc1/w1");
    assert_eq!(node["spec"]["taints"][0]["key"], "site");
    assert!(object(&world, ("cilium.io/v2", "CiliumNode"), None, "w1").is_some());
    assert!(world.hosts["w1"].worker.certificate.is_some());
    world.hosts.get_mut("w1").unwrap().worker.cni_files.clear();
    reconcile(&mut world, now());
    assert!(!super::cluster::is_ready(object(&world, ("v1", "Node"), None, "w1").unwrap()));
    assert_eq!(TOKEN.len(), 23);
}

#[test]
fn settling_twice_is_settling_once() {
    let mut world = whole();
    let before = serde_json::to_value(&world).unwrap();
    reconcile(&mut world, now());
    assert_eq!(before, serde_json::to_value(&world).unwrap());
}

#[test]
fn worlds_replay() {
    let (one, other) = (whole(), whole());
    assert_eq!(serde_json::to_value(&one).unwrap(), serde_json::to_value(&other).unwrap());
}

#[test]
fn a_daemon_set_runs_on_every_node_and_goes_with_its_namespace() {
    let mut world = whole();
    daemon_set(&mut world);
    let pods = |world: &World| -> Vec<Value> {
        let store = world.kubernetes.as_ref().unwrap();
        store.list("v1", "Pod", Some("goldpinger")).into_iter().cloned().collect()
    };
    assert_eq!(pods(&world).len(), 3);
    let on_worker =
        pods(&world).into_iter().find(|pod| pod["spec"]["nodeName"] == "dc1-worker-1").unwrap();
    assert!(on_worker["status"]["podIP"].as_str().unwrap().starts_with("10.244.64."));
    let set = object(&world, ("apps/v1", "DaemonSet"), Some("goldpinger"), "goldpinger").unwrap();
    assert_eq!(set["status"]["numberReady"], 3);
    ask(&mut world, Api::Kubernetes, "DELETE", "/api/v1/namespaces/goldpinger", &Value::Null);
    assert!(pods(&world).is_empty());
}

#[test]
fn a_cluster_made_by_requests_comes_up_when_its_operation_ends() {
    let mut world = World::new(3);
    let cluster = id("lab", "Microsoft.ContainerService/managedClusters", "aks");
    let group = json!({ "location": "canadacentral" });
    let path = format!("{}?api-version=2024-03-01", cluster.parent().unwrap().parent().unwrap());
    let group_path = path.replace("/providers", "");
    assert!(ask(&mut world, Api::Azure, "PUT", &group_path, &group).0 < 300, "{group_path}");
    let body = json!({
        "location": "canadacentral",
        "identity": { "type": "SystemAssigned" },
        "properties": {
            "kubernetesVersion": "1.33.5",
            "dnsPrefix": "lab",
            "networkProfile": {
                "networkPlugin": "azure", "networkPluginMode": "overlay",
                "networkDataplane": "cilium", "networkPolicy": "cilium",
                "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16", "dnsServiceIP": "10.0.0.10",
            },
            "agentPoolProfiles": [{
                "name": "system", "count": 2, "vmSize": "Standard_D2s_v5", "mode": "System",
            }],
        },
    });
    let path = format!("{cluster}?api-version=2024-09-01");
    let (status, answer) = ask(&mut world, Api::Azure, "PUT", &path, &body);
    assert!(status < 300, "{answer}");
    assert!(world.kubernetes.is_none(), "not before the operation has ended");
    // Operations go on with each look at them.
    for _ in 0..20 {
        ask(&mut world, Api::Azure, "GET", &path, &Value::Null);
    }
    assert_eq!(node_names(&world).len(), 2);
    let facts = world.arm.get(&cluster).unwrap();
    assert!(facts["properties"]["fqdn"].is_string());
}

fn daemon_set(world: &mut World) {
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "goldpinger" } });
    let set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": { "name": "goldpinger", "namespace": "goldpinger" },
        "spec": {
            "selector": { "matchLabels": { "app": "goldpinger" } },
            "template": {
                "metadata": { "labels": { "app": "goldpinger" } },
                "spec": { "tolerations": [{ "operator": "Exists" }], "containers": [{ "name": "g", "image": "g" }] },
            },
        },
    });
    assert!(ask(world, Api::Kubernetes, "POST", "/api/v1/namespaces", &namespace).0 < 300);
    let path = "/apis/apps/v1/namespaces/goldpinger/daemonsets";
    let (status, answer) = ask(world, Api::Kubernetes, "POST", path, &set);
    assert!(status < 300, "{answer}");
}

#[test]
fn what_is_new_is_all_that_needs_a_look() {
    let kubernetes = |world: &mut World, method: &str, path: &str, body: &Value| {
        let (status, answer) = ask(world, Api::Kubernetes, method, path, body);
        assert!(status < 300, "{method} {path}: {answer}");
    };
    let strike = |world: &mut World, change: &dyn Fn(&mut World)| {
        change(world);
        reconcile(world, now());
    };
    let mut world = whole();
    check_settled(&world, "everything is there");
    daemon_set(&mut world);
    check_settled(&world, "a set came");
    strike(&mut world, &|world| {
        world.hosts.get_mut("dc1-worker-1").unwrap().worker.cni_files.clear();
    });
    check_settled(&world, "a worker is not ready any more");
    let ready = |world: &World| {
        let set = ("apps/v1", "DaemonSet");
        object(world, set, Some("goldpinger"), "goldpinger").unwrap()["status"]["numberReady"]
            .as_i64()
            .unwrap()
    };
    assert_eq!(ready(&world), 2);
    let node = "/api/v1/nodes/dc1-worker-1";
    let taints = json!({ "metadata": { "labels": { "x": "y" } }, "spec": { "taints": null } });
    kubernetes(&mut world, "PATCH", node, &taints);
    check_settled(&world, "a Node changed");
    strike(&mut world, &|world| {
        let host = world.hosts.get_mut("dc1-worker-1").unwrap();
        host.worker
            .cni_files
            .insert("00-stargate.conflist".to_owned(), "10.244.64.0/24".parse().unwrap());
    });
    assert_eq!(ready(&world), 3);
    check_settled(&world, "it is ready again");
    let pods = world.kubernetes.as_ref().unwrap().list("v1", "Pod", Some("goldpinger"));
    let pod = pods[0]["metadata"]["name"].as_str().unwrap().to_owned();
    kubernetes(
        &mut world,
        "DELETE",
        &format!("/api/v1/namespaces/goldpinger/pods/{pod}"),
        &Value::Null,
    );
    assert!(object(&world, ("v1", "Pod"), Some("goldpinger"), &pod).is_some());
    check_settled(&world, "a pod was deleted");
    kubernetes(&mut world, "DELETE", "/apis/cilium.io/v2/ciliumnodes/dc1-worker-1", &Value::Null);
    assert!(object(&world, ("cilium.io/v2", "CiliumNode"), None, "dc1-worker-1").is_some());
    check_settled(&world, "a CiliumNode was deleted");
    let aks = node_names(&world)[0].clone();
    kubernetes(&mut world, "DELETE", &format!("/api/v1/nodes/{aks}"), &Value::Null);
    assert_eq!(node_names(&world).len(), 3, "its pool brings another");
    check_settled(&world, "an AKS node was deleted");
    strike(&mut world, &|world| {
        let vm = id("dc1", "Microsoft.Compute/virtualMachines", "dc1-worker-1");
        world.arm.remove(&vm, &mut String::new);
    });
    let node = object(&world, ("v1", "Node"), None, "dc1-worker-1").unwrap();
    assert!(!super::cluster::is_ready(node), "its host is gone");
    check_settled(&world, "a VM was deleted");
    kubernetes(&mut world, "DELETE", "/api/v1/nodes/dc1-worker-1", &Value::Null);
    check_settled(&world, "its Node was deleted");
    strike(&mut world, &|world| {
        world.hosts.get_mut("dc1-router").unwrap().powered_on = false;
    });
    check_settled(&world, "a router is off");
    super::super::test_sandbox::aks(&mut world, 4);
    check_settled(&world, "the pool grew");
}

#[test]
fn old_certificate_requests_are_forgotten() {
    let kind = ("certificates.k8s.io/v1", "CertificateSigningRequest");
    let names = |world: &World| -> Vec<String> {
        let all = world.kubernetes.as_ref().unwrap().list(kind.0, kind.1, None);
        all.into_iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect()
    };
    let mut world = whole();
    assert_eq!(names(&world).len(), 1, "the worker's");
    let later = now() + jiff::SignedDuration::from_hours(2);
    let request = json!({
        "apiVersion": kind.0, "kind": kind.1, "metadata": { "name": "later" },
        "spec": { "request": "", "signerName": "example.com/other", "usages": ["client auth"] },
    });
    let store = world.kubernetes.as_mut().unwrap();
    store.put(request, "test", &later.to_string()).map(drop).unwrap();
    reconcile(&mut world, later);
    assert_eq!(names(&world), ["later"]);
}
