//! A saved plan is no authority: whatever is edited in it, with its digest computed
//! again, nothing is done that a plan made now does not contain.

use serde_json::{Value, json};
use stargate::plan::Plan;
use stargate::plan::saved_plan::{Expected, Permissions, SavedPlan};

use super::location::{Ran, TestFolder};

/// The key of a resource group of others.
const FOREIGN_GROUP: &str =
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/theirs";

/// A deployment with drift, and a saved plan to correct it.
fn planned() -> TestFolder {
    let location = TestFolder::applied();
    location.run("sandbox break route-missing").exits(0);
    location.run("plan --sandbox --out plan.json").exits(0);
    location
}

/// The saved plan as a whole.
fn read(location: &TestFolder) -> SavedPlan {
    let text = location.read("plan.json");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let digest = file["saved_plan"]["topology_digest"].as_str().expect("a digest");
    let expected = Expected {
        stargate_version: env!("CARGO_PKG_VERSION"),
        topology: "stargate-aks-e2e-2",
        topology_digest: digest,
        key: None,
    };
    SavedPlan::from_text(&text, expected).expect("a saved plan")
}

/// Edits the saved plan and computes its digest again.
fn edit(location: &TestFolder, edit: impl FnOnce(&mut Value)) {
    let saved = read(location);
    let mut plan = serde_json::to_value(&saved.plan).expect("JSON");
    edit(&mut plan);
    let plan: Plan = serde_json::from_value(plan).expect("a plan");
    location.write("plan.json", SavedPlan { plan, ..saved }.to_text(None).expect("a text"));
}

/// The infrastructure of the sandbox, without its log.
fn infrastructure(location: &TestFolder) -> Vec<Value> {
    let file: Value =
        serde_json::from_str(&location.read(".stargate/sandbox/state.json")).expect("JSON");
    let parts = ["arm", "tailnet", "kubernetes", "hosts"].map(|part| file["sandbox"][part].clone());
    assert!(parts.iter().all(Value::is_object), "no infrastructure");
    parts.into()
}

/// Applies the edited plan, which must be refused without a change.
#[track_caller]
fn refused(location: &TestFolder, exit: i32, code: &str, words: &str) -> Ran {
    let before = infrastructure(location);
    let ran = location.run("apply --sandbox plan.json").fails(exit, code, words);
    assert!(ran.err.contains("Apply stopped: 0 changes made."), "{}", ran.err);
    assert_eq!(infrastructure(location), before);
    ran
}

/// A change that deletes an object.
fn deletion(address: &str, key: Value, before: Value) -> Value {
    json!({
        "address": address, "key": key, "action": "delete", "differences": [],
        "before": before, "after": null, "ownership": {"ours": {"site": "cluster"}},
        "depends_on": [], "destroy_after": [], "planned_because_of": "", "caused_by": null,
        "interrupts": null, "execution": "api",
    })
}

fn add(plan: &mut Value, change: Value) {
    plan["changes"].as_array_mut().expect("a list").push(change);
}

/// The first resource of the applied example of a kind, as `(key, value)`.
fn expected(kind: &str) -> (Value, Value) {
    let location = TestFolder::new();
    location.run("plan --sandbox --out plan.json").exits(0);
    let plan = serde_json::to_value(&read(&location).plan).expect("JSON");
    let changes = plan["changes"].as_array().expect("a list").clone();
    let is_kind = |change: &&Value| {
        change["address"].as_str().is_some_and(|address| address.starts_with(kind))
    };
    let change = changes.iter().find(is_kind).expect("a change of the kind");
    (change["key"].clone(), change["after"].clone())
}

#[test]
fn foreign_objects_are_out_of_scope() {
    let location = planned();
    let plan = location.read("plan.json");
    let (key, group) = expected("resource-group/");
    let subscription = key["azure"].as_str().expect("an id").split('/').nth(2).expect("a GUID");
    let in_ours = format!("/subscriptions/{subscription}/resourceGroups/theirs");
    for id in [FOREIGN_GROUP, &in_ours] {
        location.write("plan.json", &plan);
        let change = deletion("resource-group/cluster/theirs", json!({"azure": id}), group.clone());
        edit(&location, |plan| add(plan, change));
        refused(&location, 1, "SG0531", "resource-group/cluster/theirs");
    }
}

#[test]
fn objects_of_the_topology_are_not_deleted_by_an_edited_plan() {
    let location = planned();
    let plan = location.read("plan.json");
    for kind in ["managed-cluster/", "resource-group/", "virtual-machine/"] {
        location.write("plan.json", &plan);
        let (key, value) = expected(kind);
        let name = key["azure"].as_str().and_then(|id| id.rsplit('/').next()).expect("a name");
        let address = format!("{kind}cluster/{name}");
        edit(&location, |plan| add(plan, deletion(&address, key.clone(), value)));
        refused(&location, 4, "SG0504", "it would be deleted, which a new plan does not");
    }
}

#[test]
fn a_workload_is_not_created_by_an_edited_plan() {
    let location = planned();
    let name = json!({"kind": "DaemonSet", "namespace": "kube-system", "name": "miner"});
    let privileged = json!({"containers": [{"securityContext": {"privileged": true}}]});
    let manifest = json!({
        "kind": "DaemonSet", "name": "miner", "namespace": "kube-system",
        "body": {"spec": {"template": {"spec": privileged}}},
    });
    let mut change = deletion("daemon-set/cluster/miner", json!({"kubernetes": name}), Value::Null);
    change["action"] = json!("create");
    change["after"] = json!({"kind": "manifest", "value": manifest});
    change["ownership"] = Value::Null;
    edit(&location, |plan| add(plan, change));
    refused(&location, 1, "SG0531", "the topology neither describes nor owns miner");
}

#[test]
fn another_value_or_action_than_that_of_a_new_plan_is_stale() {
    let location = planned();
    let plan = location.read("plan.json");
    edit(&location, |plan| {
        plan["changes"][0]["after"]["value"]["routes"]["0.0.0.0/0"] =
            json!({"virtual_appliance": "10.237.0.66"});
    });
    refused(&location, 4, "SG0504", "differs from that in a new plan: routes[0.0.0.0/0]");
    location.write("plan.json", &plan);
    edit(&location, |plan| plan["changes"][0]["action"] = json!("replace"));
    refused(&location, 4, "SG0504", "in the saved plan it is replaced, and in a new plan");
    location.write("plan.json", &plan);
    edit(&location, |plan| {
        let key = plan["changes"][0]["key"]["azure"].as_str().expect("an id").to_owned();
        plan["changes"][0]["key"]["azure"] =
            json!(key.replace("stargate-workers-rt", "stargate-router-rt"));
    });
    refused(&location, 4, "SG0504", "in the saved plan it is the object /subscriptions/");
    location.write("plan.json", plan);
    location.run("apply --sandbox plan.json").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

/// The order and the way to hosts come from the plan made now.
#[test]
fn dropped_dependencies_and_other_hosts_have_no_effect() {
    let location = TestFolder::new();
    location.run("plan --sandbox --out plan.json").exits(0);
    edit(&location, |plan| {
        for change in plan["changes"].as_array_mut().expect("a list") {
            for list in ["depends_on", "destroy_after"] {
                change[list] = json!([]);
            }
            change["execution"] = json!("api");
        }
    });
    location.run("apply --sandbox plan.json").exits(0);
    location.run("plan --sandbox --detailed-exitcode").exits(0);
}

#[test]
fn a_change_is_not_made_without_one_that_it_depends_on() {
    let location = TestFolder::new();
    location.run("plan --sandbox --out plan.json").exits(0);
    edit(&location, |plan| {
        let changes = plan["changes"].as_array_mut().expect("a list");
        changes.retain(|change| {
            !change["address"].as_str().expect("an address").starts_with("resource-group/dc1/")
        });
    });
    let ran = location.run("apply --sandbox plan.json");
    ran.fails(4, "SG0504", "it now depends on a change of resource-group/dc1/");
}

/// Neither the file nor its digest permits a replacement or a loss.
#[test]
fn permissions_of_an_unsigned_plan_do_not_count() {
    let location = planned();
    let saved = read(&location);
    let cluster = "managed-cluster/cluster/stargate-aks-e2e-2";
    let replace = [cluster.parse().expect("an address")].into();
    let permissions = Permissions { replace, ..Permissions::default() };
    let text = SavedPlan { permissions, ..saved }.to_text(None).expect("a text");
    location.write("plan.json", text);
    let ran = location.run("apply --sandbox plan.json").fails(5, "SG0532", "--replace");
    assert!(ran.err.contains(cluster), "{}", ran.err);
}

#[test]
fn a_confirmed_plan_is_shown_and_nothing_else_is_applied() {
    let location = planned();
    location.run("sandbox break cilium-node-empty").exits(0);
    let ran = location.run("apply --sandbox plan.json").exits(0);
    assert!(ran.out.contains("~ route-table/cluster/stargate-workers-rt"), "{}", ran.out);
    assert!(!ran.out.contains("cilium-node"), "{}", ran.out);
    assert!(ran.err.contains("Apply complete: 1 change made."), "{}", ran.err);
    let left = location.run("plan --sandbox --detailed-exitcode").exits(2);
    assert!(left.out.contains("cilium-node"), "{}", left.out);
    let again = location.run("apply --sandbox plan.json").exits(0);
    assert!(again.err.contains("were made before"), "{}", again.err);
}

/// With a key in the environment.
fn with_key(location: &TestFolder, line: &str, key: &str) -> Ran {
    Ran::of(location.command(line).env("STARGATE_PLAN_KEY", key))
}

#[test]
fn with_a_key_only_plans_signed_with_it_are_applied() {
    let location = planned();
    let (key, other) = ("k".repeat(32), "o".repeat(32));
    let apply = "apply --sandbox plan.json";
    with_key(&location, apply, &key).fails(1, "SG0530", "the plan is not signed");
    with_key(&location, "plan --sandbox --out plan.json", &other).exits(0);
    with_key(&location, apply, &key).fails(1, "SG0530", "another key made it");
    for short in ["", "short"] {
        with_key(&location, apply, short).fails(1, "SG0530", "at least 32 are required");
        with_key(&location, "plan --sandbox", short).fails(1, "SG0530", "STARGATE_PLAN_KEY");
    }
    with_key(&location, "plan --sandbox --out plan.json", &key).exits(0);
    assert!(!location.read("plan.json").contains(&key));
    let signed = location.read("plan.json");
    edit(&location, |plan| plan["changes"][0]["planned_because_of"] = json!("another reason"));
    let edited: Value = serde_json::from_str(&location.read("plan.json")).expect("JSON");
    let mut forged: Value = serde_json::from_str(&signed).expect("JSON");
    for part in ["saved_plan", "sha256"] {
        forged[part] = edited[part].clone();
    }
    location.write("plan.json", forged.to_string());
    with_key(&location, apply, &key).fails(1, "SG0530", "does not verify");
    location.write("plan.json", signed);
    with_key(&location, apply, &key).exits(0);
}

#[test]
fn a_plan_overwrites_nothing_but_a_saved_plan() {
    let location = planned();
    let refused = |file: &str, words: &str| {
        let before = location.contents();
        let line = format!("plan --sandbox --out {file}");
        location.run(&line).fails(1, "SG0130", words);
        assert_eq!(location.contents(), before, "{file}");
    };
    refused("stargate.toml", "it is the topology");
    refused("./.stargate/../stargate.toml", "it is the topology");
    std::fs::hard_link(location.path("stargate.toml"), location.path("linked")).expect("a link");
    refused("linked", "it is the topology");
    std::os::unix::fs::symlink("stargate.toml", location.path("symlink")).expect("a link");
    refused("symlink", "it is the topology");
    location.write("notes.txt", "keep this");
    refused("notes.txt", "it is not a saved plan");
    location.write("other.json", "{\"plan\": 1}");
    refused("other.json", "it is not a saved plan");
    refused(".stargate", "it is not a regular file");
    location.write("empty", "");
    location.run("plan --sandbox --out empty").exits(0);
    location.run("plan --sandbox --out plan.json").exits(0);
    let left: Vec<_> = location.contents().into_keys().collect();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains(".plan.json.")), "{left:?}");
}
