//! The plan that the program prints is the one that the planner makes.

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;
use stargate::plan::plan;
use stargate::render::plan_json::{self, PlanJson};
use stargate::render::{PlanTarget, PlanTargetCloud, Purpose};
use stargate::sandbox::arm::{SUBSCRIPTION, TENANT};
use stargate::sandbox::folder::Folder;

use crate::harness::{Deployment, EXAMPLE, KEY, RefreshOptions};

/// Runs the program and returns its output.
fn run(folder: &Path, line: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stargate"));
    command.args(line.split_whitespace()).current_dir(folder).env_clear();
    let output = command.output().unwrap();
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {messages}");
    String::from_utf8(output.stdout).unwrap()
}

/// Once live state is read, planning needs neither a runtime nor a client: on
/// the state that the program saved, it makes the same plan byte for byte.
#[test]
fn the_planner_makes_the_printed_plan_without_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    // The sandbox's own subscription and a key that needs no file.
    let lines = EXAMPLE.lines().filter(|line| !line.starts_with("subscription"));
    let text = lines.collect::<Vec<_>>().join("\n").replace("~/.ssh/id_ed25519.pub", KEY);
    assert!(text.contains(KEY));
    fs::write(folder.path().join("stargate.toml"), &text).unwrap();
    run(folder.path(), "apply --sandbox --yes");
    for fault in ["route-missing", "nic-forwarding-off", "aks-scale-out"] {
        run(folder.path(), &format!("sandbox break {fault}"));
        let printed = run(folder.path(), "plan --sandbox --format json");
        let state = Folder::open(folder.path().join(".stargate/sandbox")).unwrap();
        let deployment = Deployment::at(&text, state.load().unwrap(), Timestamp::now());
        let scope = deployment.scope(&RefreshOptions::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let reading = runtime.block_on(deployment.read(&scope));
        drop(runtime);
        drop(state);
        assert!(tokio::runtime::Handle::try_current().is_err());
        let made = plan(reading.input(&scope));
        assert!(!made.changes.is_empty(), "{fault}: nothing is planned");
        let cluster = deployment.topology.cluster.name.to_string();
        let target = Some(PlanTarget { cloud: PlanTargetCloud::Sandbox, cluster });
        let json = PlanJson { target, ..plan_json::to_json(&made, Purpose::Plan) };
        assert_eq!(plan_json::to_text(&json), printed, "{fault}");
    }
}

/// The head of a plan names the subscription as this list does.
#[tokio::test(start_paused = true)]
async fn the_subscriptions_are_listed_with_names_and_tenants() {
    let deployment = Deployment::example();
    let listed = deployment.clients.azure.list("/subscriptions", "2022-12-01").await.unwrap();
    let ours = listed.iter().find(|one| one["subscriptionId"] == SUBSCRIPTION).unwrap();
    assert_eq!(ours["displayName"], "Sandbox");
    assert_eq!(ours["tenantId"], TENANT);
}
