//! How long the pure half takes: loading and checking a topology, building its
//! resources, and planning against everything that it has, order and reachability
//! included.
//!
//! # The sizes
//!
//! A topology of the sizes `1,000` and `10,000` is one that `stargate validate`
//! accepts; it is written as a file and loaded like any other: twenty
//! datacenters, ten of VMs in Azure and ten of machines that are there already,
//! with 9 and 122 workers each. A worker in Azure is five resources (interface,
//! VM, Server, membership, CiliumNode), another one three.
//!
//! `100,000` resources are 24,940 workers, and one AKS cluster takes 5,000
//! nodes: no file of that size passes the lints. The same file is loaded with
//! a few workers and then widened in memory to 1,247 workers a datacenter, so
//! that the planner is measured at five clusters' worth of workers in one plan.
//! Nothing else differs, and nothing is planned twice to fill the number.
//!
//! Twenty datacenters at each size keep what must grow with their square (each
//! router has a route to each other datacenter) out of the slope; the row
//! `100 datacenters` shows what it costs.
//!
//! # The cases
//!
//! - *no change*: the inventory holds everything as it is desired, the workers'
//!   hosts unobserved as in a plan that is not deep.
//! - *few changes*: the same with a score of things missing, changed or left over.
//! - *all to create*: the cluster's facts are known and nothing else exists.
//! - *all to delete*: nothing is desired and everything is there.
//!
//! A time is that of `plan::plan`, which the commands call too: preflight checks,
//! desired state, changes, order and reachability. It is the median of the CPU time of
//! several runs after one that does not count, so that other work of the machine does
//! not count either; freeing the memory is left out. The last columns are the slope of
//! the time over the size, both as logarithms, and its goal: 1 is linear. The run fails
//! if a goal is missed.
//!
//! Memory that a run frees is kept for the next. Else the allocator returns that of large
//! plans to the system and keeps that of small ones, so that the slope would compare runs
//! that ask the system for memory with runs that do not. The table of first plans has
//! what both pay in a process of their own, as every command does.
//!
//! `cargo bench --bench planning -- create` runs the cases of that name only.

#[path = "planning/first_plan.rs"]
mod first_plan;
#[path = "planning/fixture.rs"]
mod fixture;
#[path = "planning/reachability.rs"]
mod reachability;
#[path = "planning/table.rs"]
mod table;
#[path = "planning/validate.rs"]
mod validate;

use std::error::Error;
use std::hint::black_box;
use std::process::{Command, exit};
use std::time::{Duration, Instant};

use fixture::{Fixture, Shape, planned};
use rustix::time::{ClockId, clock_gettime};
use stargate::inventory::Inventory;
use stargate::plan::Plan;
use table::Row;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The most that the time of a case may grow with the size, as an exponent.
pub(crate) const MAX_GROWTH: f64 = 1.1;

/// Enough to find the median of a short run, and not for ever for a long one.
const TIME_FOR_A_CASE: Duration = Duration::from_secs(3);
const MIN_RUNS: usize = 11;
const MAX_RUNS: usize = 200;

const GOAL_10_000: Duration = Duration::from_millis(300);
const GOAL_100_000: Duration = Duration::from_secs(3);

const SMALL: Shape = Shape { datacenters: 20, workers: 9, nodes: 5 };
const MIDDLE: Shape = Shape { datacenters: 20, workers: 122, nodes: 5 };
const LARGE: Shape = Shape { datacenters: 20, workers: 1_247, nodes: 5 };
const MANY_DATACENTERS: Shape = Shape { datacenters: 100, workers: 22, nodes: 5 };

/// How long mimalloc keeps freed memory, in milliseconds; it is read once, at the start.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

fn main() -> Result<(), Box<dyn Error>> {
    if reachability::run_one_case()? || first_plan::run_one_case()? {
        return Ok(());
    }
    if std::env::var_os(PURGE_DELAY).is_none() {
        let mut kept = Command::new(std::env::current_exe()?);
        let status = kept.args(std::env::args_os().skip(1)).env(PURGE_DELAY, "-1").status()?;
        exit(status.code().unwrap_or(1));
    }
    let mut missed = 0;
    let mut rows = Vec::new();
    for (shape, goal) in [(SMALL, None), (MIDDLE, Some(GOAL_10_000)), (LARGE, Some(GOAL_100_000))] {
        rows.extend(planning(shape, "", goal)?);
    }
    if !rows.is_empty() {
        missed += table::show_growth(&rows);
    }
    if is_chosen("first plan") {
        first_plan::show(&[SMALL, MIDDLE, LARGE])?;
    }
    let wide = planning(MANY_DATACENTERS, " (100 datacenters)", Some(GOAL_10_000))?;
    if !wide.is_empty() {
        missed += table::show("As many resources in many datacenters", &wide);
    }
    if is_chosen("reachability") {
        missed += reachability::run()?;
    }
    if is_chosen("validate") {
        let title = "Loading and checking 4,000 workers in 40 datacenters";
        missed += table::show(title, &validate::rows()?);
    }
    match missed {
        0 => Ok(()),
        missed => Err(format!("{missed} goals are missed").into()),
    }
}

/// All cases of one size.
fn planning(shape: Shape, note: &str, goal: Option<Duration>) -> Result<Vec<Row>, Box<dyn Error>> {
    let names = ["no change", "few changes", "all to create", "all to delete"];
    if !names.into_iter().any(is_chosen) {
        return Ok(Vec::new());
    }
    let fixture = Fixture::new(shape)?;
    let resources = fixture.desired.len();
    let cases: [(&str, &Inventory, bool, std::ops::RangeInclusive<usize>); 4] = [
        ("no change", &fixture.inventory, true, 0..=0),
        ("few changes", &fixture.drifted, true, 20..=30),
        ("all to create", &fixture.empty, true, resources..=resources),
        ("all to delete", &fixture.inventory, false, resources / 2..=resources),
    ];
    let mut rows = Vec::new();
    for (name, inventory, desired, expected) in cases {
        if !is_chosen(name) {
            continue;
        }
        let run = || Ok(planned(&fixture, inventory, !desired));
        let first: Plan = run()?;
        if !expected.contains(&first.changes.len()) || !first.blocked.is_empty() {
            return Err(format!("{name}: {} changes", first.changes.len()).into());
        }
        let times = measure(run)?;
        rows.push(Row { case: format!("{name}{note}"), size: resources, times, goal });
    }
    Ok(rows)
}

/// Whether the command line asks for a case; it asks for all if it names none.
fn is_chosen(case: &str) -> bool {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
    words.peek().is_none() || words.any(|word| case.contains(&word))
}

/// The CPU times of several runs, shortest first; one before them warms up.
fn measure<T>(
    run: impl FnMut() -> Result<T, Box<dyn Error>>,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    measure_by(cpu_time, run)
}

/// The CPU time that this process has used.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The times of several runs by a clock, shortest first; one before them warms up.
fn measure_by<T>(
    clock: impl Fn() -> Duration,
    mut run: impl FnMut() -> Result<T, Box<dyn Error>>,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    run()?;
    let begin = Instant::now();
    let mut times = Vec::new();
    while times.len() < MIN_RUNS || (begin.elapsed() < TIME_FOR_A_CASE && times.len() < MAX_RUNS) {
        let start = clock();
        let result = black_box(run()?);
        times.push(clock().saturating_sub(start));
        drop(result);
    }
    times.sort();
    Ok(times)
}
