//! How long it takes to tell every pair of pods that is reached.

use std::error::Error;
use std::time::Duration;

use stargate::plan::paths::{Matrix, Moment, Sources, path_model};

use crate::table::{Row, slope};
use crate::world::{Shape, World};
use crate::{measure, planned};

/// 1,000 workers and 100 AKS nodes; then a cluster as large as AKS has them.
const SHAPES: [(Shape, Duration); 2] = [
    (Shape { datacenters: 10, workers: 100, nodes: 100 }, Duration::from_secs(1)),
    (Shape { datacenters: 40, workers: 122, nodes: 120 }, Duration::from_secs(10)),
];

/// A row for each size, and the exponent of the time's growth with the nodes.
pub(crate) fn rows() -> Result<(Vec<Row>, f64), Box<dyn Error>> {
    let mut rows = Vec::new();
    for (shape, goal) in SHAPES {
        let world = World::new(shape)?;
        let plan = planned(&world, &world.desired, &world.inventory);
        let sources = Sources {
            topology: &world.topology,
            facts: &world.facts,
            desired: &world.desired,
            inventory: &world.inventory,
            plan: &plan,
        };
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
        let (times, size) = (measure(run)?, usize::try_from(nodes)?);
        rows.push(Row { case: "all pairs".to_owned(), size, times, goal: Some(goal) });
    }
    let [small, large] = &rows[..] else { return Err("two sizes".into()) };
    let exponent = slope(small, large);
    Ok((rows, exponent))
}
