//! How long it takes to tell every pair of pods and of nodes that is reached,
//! and what a plan pays for its line about it.
//!
//! The number of nodes grows once with the number of datacenters fixed, once
//! with their number. Each pair of datacenters has a way of its own, and each
//! router and each worker on a machine of its own a route to every other
//! datacenter: with their number these grow quadratically by nature.
//!
//! Memory is the peak of the process while a case runs (`VmHWM`, which Linux
//! lets one reset) less what the world took before.

use std::error::Error;
use std::time::Duration;

use stargate::plan::Plan;
use stargate::plan::paths::{Matrix, Moment, Sources, path_model, reachability};

use crate::table::{Row, show, show_exponents};
use crate::world::{Shape, World};
use crate::{MIDDLE, measure, planned};

type Goal = Option<Duration>;

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

pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let all = "every pair, model and classes included; size in nodes";
    for (shapes, how) in
        [(TEN_DATACENTERS, "ten datacenters"), (MORE_DATACENTERS, "10, 50, 100 datacenters")]
    {
        let rows = shapes.into_iter().map(|(shape, goal)| matrix(shape, goal));
        let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
        show(&format!("Who reaches whom in {how}: {all}"), &rows);
        show_exponents(&rows);
    }
    show("A plan's line about reachability: before and after; size in resources", &[line()?]);
    Ok(())
}

fn matrix(shape: Shape, goal: Goal) -> Result<Row, Box<dyn Error>> {
    let world = World::new(shape)?;
    let plan = planned(&world, &world.desired, &world.inventory);
    let sources = sources(&world, &plan);
    let nodes = u64::from(shape.datacenters * shape.workers + shape.nodes);
    let run = || {
        let total = Matrix::of(&path_model(sources, &Moment::Observed)).total();
        // Pods and nodes, each with each other but itself.
        let all = 2 * nodes * (nodes - 1);
        if total.reached != all {
            return Err(format!("{} of {all} pairs are reached", total.reached).into());
        }
        Ok(total.reached)
    };
    let case = format!("all pairs, {}", with_memory(|| run().map(drop))?);
    Ok(Row { case, size: usize::try_from(nodes)?, times: measure(run)?, goal })
}

/// What a plan of 10,000 resources pays besides planning.
fn line() -> Result<Row, Box<dyn Error>> {
    let world = World::new(MIDDLE)?;
    let plan = planned(&world, &world.desired, &world.drifted);
    let sources = Sources { inventory: &world.drifted, ..sources(&world, &plan) };
    let run = || Ok(reachability(sources).pairs());
    let case = format!("few changes, {}", with_memory(|| run().map(drop))?);
    Ok(Row { case, size: world.desired.len(), times: measure(run)?, goal: None })
}

fn sources<'a>(world: &'a World, plan: &'a Plan) -> Sources<'a> {
    Sources {
        topology: &world.topology,
        facts: &world.facts,
        desired: &world.desired,
        inventory: &world.inventory,
        plan,
    }
}

/// Runs it once and says how much memory it took at its peak.
fn with_memory(run: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<String, Box<dyn Error>> {
    // What runs before this have left, and the peak that they reached.
    let is_reset = std::fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = kibibytes("VmRSS:");
    run()?;
    let peak = kibibytes("VmHWM:").filter(|_| is_reset);
    Ok(match (before, peak) {
        (Some(before), Some(peak)) => format!("{} MiB", peak.saturating_sub(before) / 1_024),
        _ => "memory not known".to_owned(),
    })
}

fn kibibytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
