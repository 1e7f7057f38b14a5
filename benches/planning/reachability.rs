//! How long it takes to tell every pair of pods and of nodes that is reached,
//! and what a plan pays for its line about it.
//!
//! The number of nodes grows once with the number of datacenters fixed, once
//! with their number. Each pair of datacenters has a way of its own, and each
//! router and each worker on a machine of its own a route to every other
//! datacenter: with their number these grow quadratically by nature.
//!
//! Memory is the peak (`VmHWM`) of a process that does nothing but one case; what
//! it had after building the infrastructure is reported separately.

use std::collections::BTreeSet;
use std::error::Error;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use stargate::connectivity::{Matrix, PathModel, Sources};
use stargate::inventory::Inventory;
use stargate::plan::Plan;
use stargate::plan::impact::{IntermediateState, Projection, path_model};

use crate::fixture::{Fixture, Shape, planned};
use crate::measure;
use crate::table::{Row, say, show, show_exponents};

type Goal = Option<Duration>;

/// Tells a process of this bench to do one case, by its datacenters, workers in
/// each and AKS nodes.
const ONE_CASE: &str = "STARGATE_BENCH_CASE";

/// 1,000 workers and 100 AKS nodes; as many nodes as AKS has; four times that.
const TEN_DATACENTERS: [(Shape, Goal); 3] = [
    (Shape { datacenters: 10, workers: 100, nodes: 100 }, Some(Duration::from_secs(1))),
    (Shape { datacenters: 10, workers: 490, nodes: 100 }, Some(Duration::from_secs(10))),
    (Shape { datacenters: 10, workers: 1_990, nodes: 100 }, None),
];
const MORE_DATACENTERS: [(Shape, Goal); 3] = [
    (Shape { datacenters: 10, workers: 100, nodes: 100 }, Some(Duration::from_secs(1))),
    (Shape { datacenters: 50, workers: 98, nodes: 100 }, Some(Duration::from_secs(10))),
    (Shape { datacenters: 100, workers: 100, nodes: 100 }, None),
];

/// Returns how many goals are missed.
pub(crate) fn run() -> Result<usize, Box<dyn Error>> {
    let mut missed = 0;
    let all = "every pair, model and classes included; size in nodes";
    for (shapes, how) in
        [(TEN_DATACENTERS, "ten datacenters"), (MORE_DATACENTERS, "10, 50, 100 datacenters")]
    {
        let rows = shapes.into_iter().map(|(shape, goal)| matrix(shape, goal));
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        missed += show(&format!("Who reaches whom in {how}: {all}"), &rows);
        show_exponents(&rows);
    }
    let rows = orders()?;
    missed += show("A safe order, and what is cut in between; size in changes", &rows);
    show_exponents(&rows);
    Ok(missed)
}

fn matrix(shape: Shape, goal: Goal) -> Result<Row, Box<dyn Error>> {
    let fixture = Fixture::new(shape)?;
    let plan = planned(&fixture, &fixture.inventory, false);
    let sources = sources(&fixture, &fixture.inventory, &plan);
    let nodes = u64::from(shape.datacenters * shape.workers + shape.nodes);
    let run = || {
        let reached = reached_pairs(&path_model(sources, &IntermediateState::Observed));
        // Pods and nodes, each with each other but itself.
        let all = 2 * nodes * (nodes - 1);
        if reached != all {
            return Err(format!("{reached} of {all} pairs are reached").into());
        }
        Ok(reached)
    };
    let case = format!("all pairs, {}", memory(shape)?);
    Ok(Row { case, size: usize::try_from(nodes)?, times: measure(run)?, goal })
}

/// The cost of a safe order and of the disruption report, by the number of changes that may
/// have to wait for others: 1,000 workers and 100 AKS nodes, of which a network that
/// applies SNAT starts to preserve sources.
fn orders() -> Result<Vec<Row>, Box<dyn Error>> {
    let shape = Shape { datacenters: 10, workers: 100, nodes: 100 };
    let goals = [(50, None), (100, None), (200, Some(Duration::from_secs(1)))];
    goals.into_iter().map(|(changes, goal)| order(shape, changes, goal)).collect()
}

fn order(shape: Shape, changes: usize, goal: Goal) -> Result<Row, Box<dyn Error>> {
    let fixture = Fixture::preserving(shape, changes)?;
    let plan = planned(&fixture, &fixture.drifted, false);
    if plan.changes.len() != changes {
        return Err(format!("{} changes, not {changes}", plan.changes.len()).into());
    }
    let found = &plan.reachability;
    if let Some(disruption) = found.disruptions.first() {
        return Err(
            format!("{} pairs are cut for {:?}", disruption.pairs, disruption.during).into()
        );
    }
    if found.lost > 0 || found.kept == 0 || !found.unexamined.is_empty() {
        return Err(format!("{} pairs are kept, {} lost", found.kept, found.lost).into());
    }
    lose_nothing(&fixture, &plan)?;
    let times = measure(|| Ok(planned(&fixture, &fixture.drifted, false).changes.len()))?;
    Ok(Row { case: "routers begin to preserve sources".to_owned(), size: changes, times, goal })
}

/// Makes the changes in the order of the plan, and counts every pair after each
/// one that a packet meets.
fn lose_nothing(fixture: &Fixture, plan: &Plan) -> Result<(), Box<dyn Error>> {
    let sources = sources(fixture, &fixture.drifted, plan);
    let reached = |state: &IntermediateState| reached_pairs(&path_model(sources, state));
    let mut most = reached(&IntermediateState::Observed);
    let mut made = BTreeSet::new();
    for change in &plan.changes {
        made.insert(change.address.clone());
        let now = reached(&IntermediateState::PlannedOnly(made.clone()));
        if now < most {
            return Err(format!("{} of {most} pairs are left after {}", now, change.address).into());
        }
        most = now;
    }
    Ok(())
}

/// How many pairs reach each other, of pods and of nodes.
fn reached_pairs(model: &PathModel) -> u64 {
    let matrix = Matrix::of(model);
    matrix.total().reached + matrix.nodes.reached
}

fn sources<'a>(fixture: &'a Fixture, inventory: &'a Inventory, plan: &'a Plan) -> Projection<'a> {
    let observed = Sources {
        topology: &fixture.topology,
        facts: &fixture.facts,
        desired: &fixture.desired,
        inventory,
    };
    Projection { observed, plan, is_present: false }
}

/// How much memory a process takes that does one case and nothing else.
fn memory(shape: Shape) -> Result<String, Box<dyn Error>> {
    let Shape { datacenters, workers, nodes } = shape;
    let mut child = Command::new(std::env::current_exe()?);
    let output = child.env(ONE_CASE, format!("{datacenters} {workers} {nodes}")).output()?;
    let said = String::from_utf8(output.stdout)?;
    match said.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?.as_slice() {
        [before, peak] => {
            Ok(format!("{} MiB at the peak, {} without it", peak / 1_024, before / 1_024))
        }
        _ => Ok("memory not known".to_owned()),
    }
}

/// Does the one case that this process was started for, if it was.
pub(crate) fn run_one_case() -> Result<bool, Box<dyn Error>> {
    let Ok(case) = std::env::var(ONE_CASE) else { return Ok(false) };
    let numbers = case.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [datacenters, workers, nodes] = numbers[..] else { return Err("not a case".into()) };
    let fixture = Fixture::new(Shape { datacenters, workers, nodes })?;
    let plan = planned(&fixture, &fixture.inventory, false);
    // The peak of building the infrastructure does not count.
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = kibibytes("VmRSS:").ok_or("/proc/self/status has no VmRSS")?;
    let model =
        path_model(sources(&fixture, &fixture.inventory, &plan), &IntermediateState::Observed);
    black_box(Matrix::of(&model).total());
    let peak = kibibytes("VmHWM:").ok_or("/proc/self/status has no VmHWM")?;
    say(&format!("{before} {peak}"));
    Ok(true)
}

fn kibibytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
