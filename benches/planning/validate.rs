//! Loading and checking a large topology, in this process and by the command.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use stargate::topology::load::load_text;

use crate::fixture::{Shape, topology_text};
use crate::table::Row;
use crate::{measure, measure_by};

const GOAL: Duration = Duration::from_millis(150);
const SHAPE: Shape = Shape { datacenters: 40, workers: 100, nodes: 5 };

/// The library's part, and `stargate validate` from its start to its end.
pub(crate) fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let text = topology_text(SHAPE);
    let loaded = load_text("forty.toml", &text).map_err(|found| format!("{:?}", found.list))?;
    let size = loaded.topology.datacenters.iter().map(|one| one.workers.len()).sum();
    let library = measure(|| match black_box(load_text("forty.toml", &text)) {
        Ok(_) => Ok(()),
        Err(found) => Err(format!("{:?}", found.list).into()),
    })?;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("forty-datacenters.toml");
    std::fs::write(&file, text)?;
    // The command is another process, whose CPU time is not this one's.
    let begin = Instant::now();
    let command = measure_by(
        || begin.elapsed(),
        || {
            let output = Command::new(env!("CARGO_BIN_EXE_stargate"))
                .arg("validate")
                .arg("-f")
                .arg(&file)
                .output()?;
            match output.status.success() {
                true => Ok(()),
                false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
            }
        },
    )?;
    let row = |case: &str, times| Row { case: case.to_owned(), size, times, goal: Some(GOAL) };
    Ok(vec![row("load_text", library), row("stargate validate", command)])
}
