//! What it takes to keep a large plan: the size of the file, and the memory.
//!
//! The memory is that of a whole process at its highest, so each case runs in a
//! process of its own: the test starts itself again.

#[path = "../../benches/planning/world.rs"]
#[expect(dead_code, reason = "the benchmark that it is shared with uses more of it")]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::Command;

use stargate::inventory::Inventory;
use stargate::plan::preflight::TailnetFacts;
use stargate::plan::saved_plan::{Expected, FORMAT_VERSION, SavedPlan};
use stargate::plan::{Plan, PlanOptions, PlanningInput, plan};
use stargate::resource::Resource;
use world::{Shape, World};

const MAX_FILE_BYTES: u64 = 10_000_000;
const MAX_MEMORY_KIB: u64 = 300 * 1024;

/// 4,000 workers in 40 datacenters.
const LARGE: Shape = Shape { datacenters: 40, workers: 100, nodes: 5 };

/// The most memory that the process has had, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The plan that the commands make, by the same function.
fn planned(world: &World, inventory: &Inventory, destroy: bool) -> Plan {
    plan(PlanningInput {
        topology: &world.topology,
        options: &PlanOptions { destroy, ..PlanOptions::default() },
        facts: &world.facts,
        inventory,
        tailnet: &TailnetFacts::default(),
        findings: &[],
        requests: &BTreeMap::new(),
    })
}

/// Everything as it is wanted, but for the version of each worker's kubelet.
fn older_workers(world: &World) -> Inventory {
    let mut inventory = world.inventory.clone();
    for (key, observed) in world.inventory.iter() {
        if let Resource::Worker(worker) = &observed.resource {
            let mut older = worker.clone();
            older.kubelet_version = "1.32.0".parse().unwrap();
            older.profile_digest = "older".to_owned();
            inventory.note(key.clone(), Resource::Worker(older), observed.ownership.clone());
        }
    }
    inventory
}

/// Writes a plan, tells how large it is and how much memory it took, and reads
/// it back.
fn keep(case: &str, plan: Plan, min_changes: usize) {
    assert!(plan.changes.len() >= min_changes, "{case}: {} changes", plan.changes.len());
    let before = peak_memory();
    let saved = SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: "1.2.3".to_owned(),
        topology_digest: "digest".to_owned(),
        adopt: BTreeSet::new(),
        destroy: false,
        plan: &plan,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    saved.write(&mut file).unwrap();
    file.flush().unwrap();
    let (bytes, memory) = (path.metadata().unwrap().len(), peak_memory());
    println!(
        "{case}: {} changes, {bytes} bytes; {memory} KiB at the peak, {before} KiB before",
        plan.changes.len()
    );
    assert!(bytes <= MAX_FILE_BYTES, "{case}: the file has {bytes} bytes");
    assert!(memory <= MAX_MEMORY_KIB, "{case}: the process had {memory} KiB");
    let text = std::fs::read_to_string(&path).unwrap();
    let topology = plan.topology.clone();
    let expected =
        Expected { stargate_version: "1.2.3", topology: &topology, topology_digest: "digest" };
    let read = SavedPlan::from_text(&text, expected).unwrap();
    assert!(read.plan == plan, "{case}: the plan that was read is another one");
}

/// Names the case that a process is to run.
const CASE: &str = "STARGATE_SAVED_PLAN_CASE";

const CASES: [&str; 3] = ["all to create", "all workers to update", "all to delete"];

fn run(case: &str) {
    let world = World::new(LARGE).unwrap();
    match case {
        "all to create" => keep(case, planned(&world, &world.empty, false), 15_000),
        "all to delete" => {
            keep(case, planned(&world, &world.inventory, true), 8_000);
        }
        _ => keep(case, planned(&world, &older_workers(&world), false), 4_000),
    }
}

#[test]
fn a_plan_of_4_000_workers_is_small_and_takes_little_memory_to_keep() {
    if let Ok(case) = std::env::var(CASE) {
        return run(&case);
    }
    for case in CASES {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let status = again.arg("--nocapture").env(CASE, case).status().unwrap();
        assert!(status.success(), "{case}");
    }
}
