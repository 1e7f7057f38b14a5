//! How long the first plan of a process takes, which also pays for memory that the
//! process does not have yet.

use std::error::Error;
use std::hint::black_box;
use std::process::Command;
use std::time::Duration;

use crate::fixture::{Fixture, Shape, planned};
use crate::table::{self, Row};
use crate::{PURGE_DELAY, cpu_time};

/// Tells a process of this bench to make one plan, by its datacenters, workers in each
/// and AKS nodes.
const ONE_CASE: &str = "STARGATE_BENCH_FIRST_PLAN";
/// How many processes make the same plan.
const RUNS: usize = 3;

/// Prints the time of plans that create everything, with the growth from size to size.
pub(crate) fn show(shapes: &[Shape]) -> Result<(), Box<dyn Error>> {
    let rows = shapes.iter().map(|shape| row(*shape)).collect::<Result<Vec<Row>, _>>()?;
    table::show("The first plan of a process", &rows);
    table::show_exponents(&rows);
    Ok(())
}

fn row(shape: Shape) -> Result<Row, Box<dyn Error>> {
    let Shape { datacenters, workers, nodes } = shape;
    let mut times = Vec::new();
    let mut size = 0;
    for _ in 0..RUNS {
        let mut child = Command::new(std::env::current_exe()?);
        child.env(ONE_CASE, format!("{datacenters} {workers} {nodes}")).env_remove(PURGE_DELAY);
        let output = String::from_utf8(child.output()?.stdout)?;
        let numbers = output.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
        let [resources, microseconds] = numbers[..] else { return Err("no plan was made".into()) };
        size = usize::try_from(resources)?;
        times.push(Duration::from_micros(microseconds));
    }
    times.sort();
    Ok(Row { case: "all to create, first plan".to_owned(), size, times, goal: None })
}

/// Makes the one plan that this process was started for, if it was.
pub(crate) fn run_one_case() -> Result<bool, Box<dyn Error>> {
    let Ok(case) = std::env::var(ONE_CASE) else { return Ok(false) };
    let numbers = case.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [datacenters, workers, nodes] = numbers[..] else { return Err("not a case".into()) };
    let fixture = Fixture::new(Shape { datacenters, workers, nodes })?;
    let start = cpu_time();
    let plan = black_box(planned(&fixture, &fixture.empty, false));
    let took = cpu_time().saturating_sub(start);
    table::say(&format!("{} {}", plan.changes.len(), took.as_micros()));
    Ok(true)
}
