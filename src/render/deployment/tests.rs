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

fn file(name: &str) -> (String, String) {
    (name.to_owned(), "[stargate]\nname = \"example\"\n".to_owned())
}

/// The objects of one topology.
fn objects_with(settings: &DeploymentSettings) -> Vec<Value> {
    let files = [file(FILE_NAME)];
    objects(&WatchedTopologies { name: "example", files: &files, is_folder: false }, settings)
}

#[test]
fn the_manifests_of_a_folder_watch_each_file() {
    let files = [file("east.toml"), file("west.toml")];
    let watched = WatchedTopologies { name: "topologies", files: &files, is_folder: true };
    let objects = objects(&watched, &settings());
    let find = |kind: &str| objects.iter().find(|object| object["kind"] == kind).unwrap();
    let names: Vec<&String> = find("ConfigMap")["data"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["east.toml", "west.toml"]);
    let pod = &find("Deployment")["spec"]["template"]["spec"];
    let arguments = &pod["containers"][0]["args"];
    assert_eq!((&arguments[0], &arguments[1]), (&"watch".into(), &"/etc/stargate".into()));
    let rules = &find("PrometheusRule")["spec"]["groups"][0]["rules"];
    for rule in rules.as_array().unwrap().iter().filter(|it| it["alert"] != "StargateWatchDown") {
        let summary = rule["annotations"]["summary"].as_str().unwrap();
        assert!(summary.contains("{{ $labels.topology }}"), "{summary}");
        assert!(rule["expr"].as_str().unwrap().contains(" by (topology) "), "{rule}");
    }
}

#[test]
fn the_manifests_of_a_topology() {
    let text = to_yaml(&objects_with(&settings())).unwrap();
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
    let text = to_yaml(&objects_with(&plain)).unwrap();
    for absent in
        ["tailscale", "azure.workload.identity", "STARGATE_SSH_PROXY", "monitoring.coreos.com"]
    {
        assert!(!text.contains(absent), "{absent}");
    }
}

/// Every object that is referred to is among the objects, or documented as the user's.
#[test]
fn references_of_pods_exist() {
    let objects = objects_with(&settings());
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
