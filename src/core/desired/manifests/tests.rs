use super::*;
use crate::resource::{Address, Kind, Site};
use crate::topology::model::{DatacenterRouter, ExistingDatacenter};
use crate::topology::names::{DatacenterName, RouterName};

fn datacenter() -> Datacenter {
    Datacenter {
        name: DatacenterName::new("dc1"),
        kind: DatacenterKind::Existing(ExistingDatacenter {
            network_cidr: "10.50.0.0/24".parse().unwrap(),
        }),
        pod_pool: None,
        pod_prefix_length: 24,
        profile: ProfileName::new("default"),
        router: DatacenterRouter {
            gateway: None,
            name: RouterName::new("dc1-router"),
            ip: Ipv4Addr::new(10, 50, 0, 4),
            ssh_address: None,
            host_key: None,
            vm_size: None,
            protect: false,
        },
        workers: Vec::new(),
        protect: false,
    }
}

fn server_with(router_ip: &Pending<Ipv4Addr>) -> Manifest {
    let facts = ServerFacts {
        name: &WorkerName::new("dc1-w1"),
        ip: Ipv4Addr::new(10, 50, 0, 11),
        pod_cidr: "10.244.200.0/24".parse().unwrap(),
        mac: None,
        profile: &ProfileName::new("default"),
        router_ip,
    };
    server(&datacenter(), &facts)
}

#[test]
fn a_server_waits_for_its_routers_address() {
    let router = Address::new(Kind::TailnetDevice, Site::from("dc1"), "dc1-router");
    let manifest = server_with(&Pending::after(router));
    assert_eq!(
        manifest.body["spec"]["routerIP"],
        json!({ "$after": "tailnet-device/dc1/dc1-router" })
    );
    let manifest = server_with(&Pending::Known(Ipv4Addr::new(100, 64, 0, 7)));
    assert_eq!(manifest.body["spec"]["routerIP"], "100.64.0.7");
    assert!(manifest.body["spec"].get("macAddress").is_none());
}

#[test]
fn a_server_has_every_field_that_its_schema_requires_and_no_other() {
    let schema = custom_resources::server();
    let spec = &schema["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let manifest = server_with(&Pending::Known(Ipv4Addr::new(100, 64, 0, 7)));
    let fields = manifest.body["spec"].as_object().unwrap();
    for name in spec["required"].as_array().unwrap() {
        assert!(fields.contains_key(name.as_str().unwrap()), "{name}");
    }
    for name in fields.keys() {
        assert!(spec["properties"].get(name).is_some(), "{name}");
    }
}

#[test]
fn bootstrap_tokens_may_request_and_nothing_approves_automatically() {
    let manifests = bootstrap_rbac();
    assert_eq!(manifests.len(), 1);
    assert_eq!(manifests[0].body["roleRef"]["name"], "system:node-bootstrapper");
    assert_eq!(manifests[0].body["subjects"][0]["name"], BOOTSTRAP_GROUP);
}

#[test]
fn no_body_holds_the_fields_that_the_client_adds() {
    let mut all = custom_resource_definitions();
    all.extend(namespaces());
    all.extend(bootstrap_rbac());
    all.extend(goldpinger());
    all.extend(route_manager(&[("10.50.0.0/16".parse().unwrap(), Ipv4Addr::new(10, 224, 1, 4))]));
    for manifest in all {
        assert_eq!(manifest.kind.api().namespaced, manifest.namespace.is_some());
        for field in ["apiVersion", "kind", "metadata"] {
            assert!(manifest.body.get(field).is_none(), "{} {field}", manifest.name);
        }
    }
}

#[test]
fn the_route_manager_keeps_exactly_its_routes_on_aks_nodes_only() {
    let routes = [
        ("10.60.0.0/16".parse().unwrap(), Ipv4Addr::new(10, 224, 1, 4)),
        ("10.50.0.0/16".parse().unwrap(), Ipv4Addr::new(10, 224, 1, 4)),
    ];
    let one = route_manager(&routes);
    let turned = route_manager(&[routes[1], routes[0]]);
    assert_eq!(one, turned, "the order of routes is no difference");
    let pod = &one[0].body["spec"]["template"]["spec"];
    let script = pod["containers"][0]["command"][2].as_str().unwrap();
    assert!(script.contains("ip route replace 10.50.0.0/16 via 10.224.1.4"), "{script}");
    assert!(script.contains("desired=\" 10.50.0.0/16 10.60.0.0/16 \""), "{script}");
    let affinity = pod["affinity"].to_string();
    assert!(affinity.contains("kubernetes.azure.com/agentpool"), "{affinity}");
}
