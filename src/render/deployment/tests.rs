use serde_json::Value;

use super::*;

fn settings() -> DeploymentSettings {
    DeploymentSettings {
        namespace: "stargate-system".to_owned(),
        image: "registry.example/stargate:1".to_owned(),
        replicas: 2,
        client_id: Some("00000000-0000-0000-0000-000000000001".to_owned()),
        tailscale_sidecar: true,
        prometheus_operator: Some(Duration::from_secs(300)),
    }
}

const TOPOLOGY: WatchedTopology<'_> =
    WatchedTopology { name: "example", text: "[stargate]\nname = \"example\"\n" };

#[test]
fn the_manifests_of_a_topology() {
    let text = to_yaml(&objects(&TOPOLOGY, &settings())).unwrap();
    insta::assert_snapshot!("manifests", text);
}

#[test]
fn the_sidecar_and_workload_identity_are_optional() {
    let plain = DeploymentSettings {
        client_id: None,
        tailscale_sidecar: false,
        prometheus_operator: None,
        ..settings()
    };
    let text = to_yaml(&objects(&TOPOLOGY, &plain)).unwrap();
    for absent in
        ["tailscale", "azure.workload.identity", "STARGATE_SSH_PROXY", "monitoring.coreos.com"]
    {
        assert!(!text.contains(absent), "{absent}");
    }
}

/// Every object that is referred to is among the objects, or documented as the user's.
#[test]
fn references_of_pods_exist() {
    let objects = objects(&TOPOLOGY, &settings());
    let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let pod = &find("Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], find("ServiceAccount")["metadata"]["name"]);
    let volumes: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().collect();
    for container in pod["containers"].as_array().unwrap() {
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        for mount in container["volumeMounts"].as_array().unwrap() {
            assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
        }
    }
    let map = &find("ConfigMap")["metadata"]["name"];
    assert!(volumes.iter().any(|volume| &volume["configMap"]["name"] == map));
}
