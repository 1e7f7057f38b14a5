//! Figures as a table, each with its goal beside it.
#![expect(clippy::print_stdout, reason = "a benchmark is run for what it prints")]

use std::time::Duration;

/// Prints a line.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// One case at one size.
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) size: usize,
    /// Shortest first.
    pub(crate) times: Vec<Duration>,
    pub(crate) goal: Option<Duration>,
}

impl Row {
    fn median(&self) -> Duration {
        self.times.get(self.times.len() / 2).copied().unwrap_or_default()
    }

    fn least(&self) -> Duration {
        self.times.first().copied().unwrap_or_default()
    }
}

/// Prints rows under a title.
pub(crate) fn show(title: &str, rows: &[Row]) {
    println!("\n{title}\n");
    println!(
        "{:<34} {:>9} {:>11} {:>11} {:>5}   {:<12}",
        "case", "size", "median", "least", "runs", "goal"
    );
    for row in rows {
        println!(
            "{:<34} {:>9} {:>11} {:>11} {:>5}   {}",
            row.case,
            row.size,
            milliseconds(row.median()),
            milliseconds(row.least()),
            row.times.len(),
            verdict(row),
        );
    }
}

/// Prints rows case by case, and how each case grows.
pub(crate) fn show_growth(rows: &[Row]) {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.case.as_str()) {
            names.push(&row.case);
        }
    }
    let sorted: Vec<&Row> =
        names.iter().flat_map(|name| rows.iter().filter(move |row| row.case == *name)).collect();
    println!("\nPure planning: desired::build, plan::plan and plan::impact::assess together\n");
    println!(
        "{:<16} {:>9} {:>11} {:>11} {:>5}   {:<18} growth exponent",
        "case", "resources", "median", "least", "runs", "goal"
    );
    let mut last: Option<&Row> = None;
    for row in sorted {
        let before = last.filter(|last| last.case == row.case);
        let growth = before.map_or_else(String::new, |before| format!("{:.2}", slope(before, row)));
        println!(
            "{:<16} {:>9} {:>11} {:>11} {:>5}   {:<18} {growth}",
            row.case,
            row.size,
            milliseconds(row.median()),
            milliseconds(row.least()),
            row.times.len(),
            verdict(row),
        );
        last = Some(row);
    }
}

/// The slope between two points, both axes as logarithms.
fn slope(small: &Row, large: &Row) -> f64 {
    let count = |size: usize| f64::from(u32::try_from(size).unwrap_or(u32::MAX)).ln();
    let time = |row: &Row| row.median().as_secs_f64().ln();
    (time(large) - time(small)) / (count(large.size) - count(small.size))
}

fn verdict(row: &Row) -> String {
    row.goal.map_or_else(String::new, |goal| {
        let word = if row.median() <= goal { "met" } else { "MISSED" };
        format!("{} ms: {word}", goal.as_millis())
    })
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1_000.0)
}

/// Prints how the time grows from each size to the next: 1 is linear.
pub(crate) fn show_exponents(rows: &[Row]) {
    let slopes: Vec<String> = rows
        .iter()
        .zip(rows.iter().skip(1))
        .map(|(small, large)| format!("{:.2}", slope(small, large)))
        .collect();
    println!("growth exponents: {}", slopes.join(", "));
}
