//! One state has one exit code and one closing line in `plan`, `drift` and `apply`, and
//! dropped packets are never reported as a match.

use serde_json::{Value, json};
use stargate::sandbox::faults::Fault;

use super::location::{Ran, TestFolder};

const STATE: &str = ".stargate/sandbox/state.json";

/// Edits the state of the sandbox.
pub(crate) fn edit(location: &TestFolder, edit: impl FnOnce(&mut Value)) {
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

/// A row of the README's table of states.
#[derive(Debug)]
struct State {
    faults: Vec<String>,
    plan: i32,
    check: i32,
    apply: i32,
    status: i32,
}

/// The README's table of states, by the faults of the sandbox.
fn states() -> Vec<State> {
    let readme = include_str!("../../README.md");
    let rows = readme.lines().skip_while(|line| !line.starts_with("| state | faults |"));
    rows.skip(2).take_while(|line| line.starts_with('|')).map(State::read).collect()
}

impl State {
    fn read(row: &str) -> Self {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 6, "{row}");
        let code = |cell: usize| cells[cell].parse().expect("an exit code");
        let faults = cells[1].split('`').map(str::trim).filter(|name| !name.is_empty());
        Self {
            faults: faults.map(str::to_owned).collect(),
            plan: code(2),
            check: code(3),
            apply: code(4),
            status: code(5),
        }
    }

    /// Checks every command after one fault.
    fn check(&self, fault: &str) {
        let location = TestFolder::applied();
        location.run(&format!("sandbox break {fault}")).exits(0);
        let run = |line: &str| location.run(&format!("{line} --sandbox"));
        // Beside each other, since each waits long for a service that does not answer.
        let lines = ["plan --detailed-exitcode", "drift", "check", "status", "routes", "graph"];
        let state = location.read(STATE);
        let [plan, drift, check, others @ ..] = std::thread::scope(|scope| {
            let state = &state;
            let runs = lines.map(|line| scope.spawn(move || run_on_copy(state, line)));
            runs.map(|run| run.join().expect("a result"))
        });
        let codes = (plan.code, drift.code, check.code);
        assert_eq!(codes, (self.plan, self.plan, self.check), "{fault}: plan, drift, check");
        for (ran, command) in others.iter().zip(&lines[3..]) {
            assert_eq!(ran.code, self.status, "{fault}: {command}\n{}", ran.err);
            assert_eq!(ran.err.contains("error["), self.status != 0, "{fault}: {}", ran.err);
        }
        let closing = last_line(&plan.out).to_owned();
        let as_plan = last_line(&drift.out).replace("Drift:", "Plan:");
        assert_eq!(as_plan.replace("No drift.", "No changes."), closing, "{fault}");
        let is_matching = closing == "No changes. The infrastructure matches the topology.";
        assert_eq!(is_matching, self.plan == 0, "{fault}: {closing}");
        let apply = run("apply --yes");
        assert_eq!(apply.code, self.apply, "{fault}: apply\n{}\n{}", apply.out, apply.err);
        assert_eq!(last_line(&apply.out), closing, "{fault}: apply");
        if self.plan != 2 {
            assert!(!apply.err.contains("Apply"), "{fault}: {}", apply.err);
        }
    }
}

/// Runs a command on a sandbox of its own in this state.
fn run_on_copy(state: &str, line: &str) -> Ran {
    let location = TestFolder::applied();
    location.write(STATE, state);
    location.run(&format!("{line} --sandbox"))
}

/// Each fault on its own, in every command, against the README's table.
#[test]
fn every_state_has_one_exit_code_and_one_closing_line() {
    let states = states();
    let cases: Vec<(&State, &String)> =
        states.iter().flat_map(|state| state.faults.iter().map(move |it| (state, it))).collect();
    let mut listed: Vec<&str> = cases.iter().map(|(_, fault)| fault.as_str()).collect();
    let mut all: Vec<&str> = Fault::ALL.iter().map(|fault| fault.as_str()).collect();
    listed.sort_unstable();
    all.sort_unstable();
    assert_eq!(listed, all, "each fault is in one row of the README's table");
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(|| part.iter().for_each(|(state, fault)| state.check(fault)));
        }
    });
}

/// Work on a worker's host passes through its router: while that is offline, no apply
/// helps, and none asks to be repeated.
#[test]
fn a_worker_behind_an_offline_router_is_blocked() {
    let location = TestFolder::applied();
    location.run("sandbox break router-offline stargate-aks-e2e-2-dc-router").exits(0);
    location.run("sandbox break worker-not-ready").exits(0);
    for line in ["plan --sandbox", "apply --sandbox --yes", "apply --sandbox --yes"] {
        let ran = location.run(line).exits(5);
        assert!(ran.out.contains("SG0503") && ran.out.contains("help: start"), "{}", ran.out);
        assert!(!ran.err.contains("run the same command again"), "{}", ran.err);
        assert!(last_line(&ran.out).contains("0 to change"), "{}", ran.out);
        assert!(last_line(&ran.out).contains("blocked."), "{}", ran.out);
    }
}

/// A pool of a fixed size that was autoscaled: the routes of its nodes follow in the same
/// apply.
#[test]
fn a_pool_that_is_no_longer_autoscaled_needs_one_approval() {
    for (count, fault) in [(2, Some("aks-scale-out")), (4, None)] {
        let location = TestFolder::applied();
        if let Some(fault) = fault {
            location.run(&format!("sandbox break {fault}")).exits(0);
            location.run("apply --sandbox --yes").exits(0);
        }
        let topology = location.read("stargate.toml");
        let lines = topology.lines().filter(|line| !line.starts_with("max = 5"));
        let fixed: Vec<String> = lines
            .map(|line| match line.starts_with("min = 2") {
                true => format!("count = {count}"),
                false => line.to_owned(),
            })
            .collect();
        location.write("stargate.toml", fixed.join("\n"));
        let ran = location.run("apply --sandbox --yes").exits(0);
        assert!(ran.err.contains("Iteration 2"), "{}", ran.err);
        location.run("plan --sandbox --detailed-exitcode").exits(0);
    }
}

/// A rule that `[[ignore]]` leaves violated is not corrected by any apply.
#[test]
fn an_ignored_violation_is_not_for_the_next_apply() {
    let location = TestFolder::applied();
    let rule = |address: &str, field: &str| {
        format!("\n[[ignore]]\naddress = \"{address}\"\nfield = \"{field}\"\nreason = \"a test\"\n")
    };
    let topology = location.read("stargate.toml") + &rule("cilium-node/dc1/*", "pod_cidrs");
    location.write("stargate.toml", &topology);
    location.run("sandbox break cilium-node-empty").exits(0);
    location.run("drift --sandbox").exits(0);
    location.run("check --sandbox").exits(5);
    // Broken pairs are reported all the same, and the remedy is the rule.
    location.write("stargate.toml", topology + &rule("route-table/cluster/*", "routes"));
    location.run("sandbox break route-missing").exits(0);
    let drift = location.run("drift --sandbox").exits(5);
    let text = drift.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("an `[[ignore]]` rule of the topology leaves route-table/"), "{text}");
    assert!(text.contains("remove the rule, and run `stargate apply`"), "{text}");
}

#[test]
fn dropped_packets_are_never_no_drift() {
    let location = TestFolder::applied();
    deny_in_group_of_aks(&location);
    let closing = "The infrastructure matches the topology, but 6 of 12 pairs are dropped.";
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
    assert_eq!(json["current_reachability"]["dropped"], 6);
    assert_eq!(json["reachability"]["unreachable"], 6);
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
    assert!(ran.err.contains("6 of 12 pairs are dropped"), "{}", ran.err);
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

/// Azure's own word for the state of an object is shown, whatever its fields are.
#[test]
fn objects_that_azure_works_on_are_reported() {
    // An object that is being deleted counts as absent: an apply creates it again.
    for (state, exit, words) in [
        ("Deleting", 2, "Azure is deleting stargate-workers-rt"),
        ("Updating", 0, "Azure is still working on stargate-workers-rt: its state is Updating"),
        ("Failed", 0, "the last operation of Azure on stargate-workers-rt did not succeed"),
    ] {
        let location = TestFolder::applied();
        edit(&location, |sandbox| {
            for table in azure(sandbox, "routetables/stargate-workers-rt") {
                table["properties"]["provisioningState"] = json!(state);
            }
        });
        let drift = location.run("drift --sandbox").exits(exit);
        let text = drift.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("warning[SG0436]") && text.contains(words), "{state}: {text}");
    }
}

#[test]
fn an_unused_service_address_is_a_dropped_packet() {
    let location = TestFolder::applied();
    let ran = location.run("trace stargate-aks-e2e-2-worker-1 10.0.77.77 --sandbox").exits(2);
    assert!(ran.err.contains("no service has it"), "{}", ran.err);
    let unknown = location.run("trace unknown-host 10.224.0.4 --sandbox").exits(64);
    assert!(unknown.err.contains("no host of the topology"), "{}", unknown.err);
    let help = location.run("trace --help").exits(0).out;
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("2 if one is dropped, 64 if a host does not exist"), "{help}");
}

#[test]
fn diffs_show_the_differing_part() {
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
