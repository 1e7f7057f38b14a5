//! One state has one exit code and one closing line in `plan`, `drift` and `apply`, and
//! dropped packets are never reported as a match.

use serde_json::{Value, json};

use super::location::TestFolder;

const STATE: &str = ".stargate/sandbox/state.json";

/// Edits the state of the sandbox.
fn edit(location: &TestFolder, edit: impl FnOnce(&mut Value)) {
    let mut state: Value = serde_json::from_str(&location.read(STATE)).expect("JSON");
    edit(&mut state["sandbox"]);
    location.write(STATE, state.to_string());
}

/// The bodies of Azure's objects whose id contains the text.
fn azure<'a>(sandbox: &'a mut Value, text: &str) -> Vec<&'a mut Value> {
    let objects = sandbox["arm"]["objects"].as_object_mut().expect("objects");
    let found = objects.iter_mut().filter(|(id, _)| id.contains(text));
    found.map(|(_, object)| &mut object["body"]).collect()
}

/// Denies all inbound traffic in the security group that AKS made.
fn deny_in_group_of_aks(location: &TestFolder) {
    let rule = json!({"name": "deny-all", "properties": {
        "priority": 100, "direction": "Inbound", "access": "Deny", "protocol": "*",
        "sourceAddressPrefix": "*", "destinationAddressPrefix": "*",
        "sourcePortRange": "*", "destinationPortRange": "*",
    }});
    edit(location, |sandbox| {
        for group in azure(sandbox, "networksecuritygroups/aks-agentpool-") {
            let rules = &mut group["properties"]["securityRules"];
            rules.as_array_mut().expect("a list").push(rule.clone());
        }
    });
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

/// The exit code of a state by `plan`, `drift` and `check`.
#[track_caller]
fn codes(location: &TestFolder) -> [i32; 3] {
    let lines = ["plan --sandbox --detailed-exitcode", "drift --sandbox", "check --sandbox"];
    lines.map(|line| location.run(line).code)
}

#[test]
fn plan_drift_and_check_agree() {
    // What an apply corrects is 2, what it cannot is 5, and what is not known is 1. Not
    // every difference drops packets.
    for (fault, both, check) in [
        ("route-missing", 2, 2),
        ("route-stale", 2, 2),
        ("nsg-deny", 2, 2),
        ("worker-vm-deleted", 2, 2),
        ("router-offline", 5, 5),
        ("foreign-object", 5, 5),
        ("aks-pod-cidr-collision", 5, 5),
        ("source-down", 1, 1),
    ] {
        let location = TestFolder::applied();
        location.run(&format!("sandbox break {fault}")).exits(0);
        assert_eq!(codes(&location), [both, both, check], "{fault}");
        let applied = location.run("apply --sandbox --yes").code;
        assert_eq!(applied, if both == 2 { 0 } else { both }, "{fault}");
    }
}

#[test]
fn dropped_packets_are_never_no_drift() {
    let location = TestFolder::applied();
    deny_in_group_of_aks(&location);
    let closing = "The infrastructure matches the topology, but 10 of 12 pairs are dropped.";
    let all = ["plan --sandbox", "drift --sandbox", "apply --sandbox --yes"];
    for line in all {
        let ran = location.run(line).exits(5);
        assert_eq!(last_line(&ran.out), closing, "{line}");
        let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "by security rule deny-all",
            "the topology does not own network-security-group/cluster/aks-agentpool-",
            "ask the administrator of the cluster to change it",
        ] {
            assert!(text.contains(part), "{line}: no `{part}` in\n{}", ran.out);
        }
        assert!(!text.contains("[datacenters"), "{line}: {}", ran.out);
    }
    location.run("check --sandbox").exits(5);
    let json: Value =
        serde_json::from_str(&location.run("plan --sandbox --format json").out).expect("JSON");
    assert_eq!(json["current_reachability"]["dropped"], 10);
    assert_eq!(json["reachability"]["unreachable"], 10);
    let comment = location.run("plan --sandbox --format markdown").out;
    assert!(comment.contains(closing) && comment.contains("deny-all"), "{comment}");
}

/// An apply that makes all changes does not hide that packets are still dropped.
#[test]
fn an_apply_says_that_packets_remain_dropped() {
    let location = TestFolder::applied();
    deny_in_group_of_aks(&location);
    location.run("sandbox break cilium-node-empty").exits(0);
    let ran = location.run("apply --sandbox --yes").exits(5);
    assert!(ran.err.contains("Apply incomplete: 1 change made."), "{}", ran.err);
    assert!(ran.err.contains("10 of 12 pairs are dropped"), "{}", ran.err);
    assert!(!ran.err.contains("matches the topology."), "{}", ran.err);
}

/// Azure no longer reports the pods of its nodes: all commands say the same of it.
#[test]
fn missing_network_configs_have_one_meaning() {
    let location = TestFolder::applied();
    edit(&location, |sandbox| {
        let objects = sandbox["kubernetes"].as_object_mut().expect("an API server");
        remove_network_configs(objects);
    });
    for line in ["plan --sandbox --detailed-exitcode", "drift --sandbox", "apply --sandbox --yes"] {
        let ran = location.run(line).exits(0);
        assert!(ran.out.contains("SG0409"), "{line}: {}", ran.out);
        assert!(
            last_line(&ran.out).ends_with("The infrastructure matches the topology."),
            "{line}"
        );
    }
    location.run("check --sandbox").exits(0);
}

/// Removes NodeNetworkConfigs wherever the state keeps them.
fn remove_network_configs(value: &mut serde_json::Map<String, Value>) {
    value.retain(|name, _| !name.to_ascii_lowercase().contains("nodenetworkconfig"));
    for value in value.values_mut() {
        match value {
            Value::Object(map) => remove_network_configs(map),
            Value::Array(list) => {
                list.retain(|it| it["kind"] != "NodeNetworkConfig");
                list.iter_mut().filter_map(Value::as_object_mut).for_each(remove_network_configs);
            }
            _ => {}
        }
    }
}

#[test]
fn errors_of_the_plan_are_reported_by_every_command() {
    let location = TestFolder::applied();
    location.run("sandbox break aks-pod-cidr-collision").exits(0);
    for line in ["status", "routes", "graph"] {
        let ran = location.run(&format!("{line} --sandbox")).exits(5);
        assert!(ran.err.contains("error[SG0402]"), "{line}: {}", ran.err);
    }
}

#[test]
fn an_unused_service_address_is_a_dropped_packet() {
    let location = TestFolder::applied();
    let ran = location.run("trace stargate-aks-e2e-2-worker-1 10.0.77.77 --sandbox").exits(2);
    assert!(ran.err.contains("no service has it"), "{}", ran.err);
    let unknown = location.run("trace unknown-host 10.224.0.4 --sandbox").exits(1);
    assert!(unknown.err.contains("no host of the topology"), "{}", unknown.err);
}

#[test]
fn diffs_show_what_differs() {
    let location = TestFolder::applied();
    edit(&location, |sandbox| {
        for network in azure(sandbox, "virtualnetworks/aks-vnet") {
            let subnets = network["properties"]["subnets"].as_array_mut().expect("a list");
            for subnet in subnets.iter_mut().filter(|it| it["name"] == "stargate-aks-router-subnet")
            {
                let id = subnet["properties"]["routeTable"]["id"].as_str().expect("an id");
                let other = id.replace("stargate-router-rt", "stargate-workers-rt");
                subnet["properties"]["routeTable"]["id"] = json!(other);
            }
        }
    });
    let drift = location.run("drift --sandbox");
    assert!(drift.out.contains("- \"…/stargate-workers-rt\""), "{}", drift.out);
    assert!(drift.out.contains("+ \"…/stargate-router-rt\""), "{}", drift.out);
    let full = location.run("drift --sandbox --full");
    assert!(full.out.contains("/routeTables/stargate-workers-rt\" -> "), "{}", full.out);
    assert!(!full.out.contains('…'), "{}", full.out);
}
