//! The size of a large saved plan, and the memory to write it.
//!
//! The memory is the peak of a whole process, so the test starts itself again: one process
//! makes a plan and saves it, another one reads the file and saves it again, and holds
//! nothing but the plan.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

use stargate::inventory::Inventory;
use stargate::plan::Plan;
use stargate::plan::saved_plan::{Expected, FORMAT_VERSION, Permissions, SavedPlan};
use stargate::resource::Resource;

use crate::fixture::{Fixture, Shape, planned};

const MAX_FILE_BYTES: u64 = 10_000_000;
/// A process that reads a plan and writes it.
const MAX_MEMORY_KIB: u64 = 300 * 1024;
/// The maximum growth of the process by writing.
const MAX_GROWTH_KIB: u64 = 100 * 1024;

/// 4,000 workers in 40 datacenters.
const LARGE: Shape = Shape { datacenters: 40, workers: 100, nodes: 5 };

/// The most memory that the process had so far, in KiB.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Everything as it is desired, but for the version of each worker's kubelet.
fn older_workers(fixture: &Fixture) -> Inventory {
    let mut inventory = fixture.inventory.clone();
    for (key, observed) in fixture.inventory.iter() {
        if let Resource::Worker(worker) = &observed.resource {
            let mut older = worker.clone();
            older.kubelet_version = "1.32.0".parse().unwrap();
            older.profile_digest = "older".to_owned();
            inventory.note(key.clone(), Resource::Worker(older), observed.ownership.clone());
        }
    }
    inventory
}

const EXPECTED: Expected<'_> =
    Expected { stargate_version: "1.2.3", topology: "large", topology_digest: "digest", key: None };

fn write(plan: &Plan, path: &Path) {
    let saved = SavedPlan {
        format_version: FORMAT_VERSION,
        stargate_version: "1.2.3".to_owned(),
        topology_digest: "digest".to_owned(),
        permissions: Permissions::default(),
        plan,
    };
    let mut file = BufWriter::new(File::create(path).unwrap());
    saved.write(&mut file, None).unwrap();
    file.flush().unwrap();
}

fn read(path: &Path) -> Plan {
    let text = std::fs::read_to_string(path).unwrap();
    SavedPlan::from_text(&text, EXPECTED).unwrap().plan
}

/// Makes a plan, writes it, and reads it back.
fn make(case: &str, path: &Path) {
    let fixture = Fixture::new(LARGE).unwrap();
    let (plan, min_changes) = match case {
        "all to create" => (planned(&fixture, &fixture.empty, false), 15_000),
        "all to delete" => (planned(&fixture, &fixture.inventory, true), 8_000),
        _ => (planned(&fixture, &older_workers(&fixture), false), 4_000),
    };
    assert!(plan.changes.len() >= min_changes, "{case}: {} changes", plan.changes.len());
    // The peak of planning does not count.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = peak_memory();
    write(&plan, path);
    // The kernel counts pages per thread and adds them up later: the second figure
    // can be a few pages lower.
    let growth = peak_memory().saturating_sub(before);
    let bytes = path.metadata().unwrap().len();
    println!("{case}: {} changes, {bytes} bytes, {growth} KiB to write", plan.changes.len());
    assert!(bytes <= MAX_FILE_BYTES, "{case}: the file has {bytes} bytes");
    assert!(growth <= MAX_GROWTH_KIB, "{case}: writing took {growth} KiB");
    assert!(read(path) == plan, "{case}: the plan that was read is another one");
}

/// Reads a plan and writes it again.
fn copy(case: &str, path: &Path) {
    let plan = read(path);
    let again = path.with_extension("again");
    write(&plan, &again);
    let memory = peak_memory();
    println!("{case}: {memory} KiB at the peak to read and write");
    assert!(memory <= MAX_MEMORY_KIB, "{case}: the process had {memory} KiB");
    let same = std::fs::read(path).unwrap() == std::fs::read(&again).unwrap();
    assert!(same, "{case}: what was read is written in another way");
}

/// Selects the case that a process runs, its action, and its file.
const CASE: &str = "STARGATE_SAVED_PLAN_CASE";
const STEP: &str = "STARGATE_SAVED_PLAN_STEP";
const FILE: &str = "STARGATE_SAVED_PLAN_FILE";

/// The name by which a process runs this test and no other one.
const THIS_TEST: &str = "saved_plan::a_saved_plan_of_4_000_workers_is_small";

const CASES: [&str; 3] = ["all to create", "all workers to update", "all to delete"];

#[test]
fn a_saved_plan_of_4_000_workers_is_small() {
    if let (Ok(case), Ok(step), Ok(file)) =
        (std::env::var(CASE), std::env::var(STEP), std::env::var(FILE))
    {
        match step.as_str() {
            "make" => make(&case, file.as_ref()),
            _ => copy(&case, file.as_ref()),
        }
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan.json");
    for case in CASES {
        for step in ["make", "copy"] {
            let mut again = Command::new(std::env::current_exe().unwrap());
            again
                .args([THIS_TEST, "--exact", "--nocapture"])
                .env(CASE, case)
                .env(STEP, step)
                .env(FILE, &path);
            assert!(again.status().unwrap().success(), "{case}: {step}");
        }
    }
}
