//! Figures as a table, each with its goal beside it.
#![expect(clippy::print_stdout, reason = "a benchmark is run for what it prints")]

use std::time::Duration;

use crate::MAX_GROWTH;

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

    fn misses_goal(&self) -> bool {
        self.goal.is_some_and(|goal| self.median() > goal)
    }

    fn least(&self) -> Duration {
        self.times.first().copied().unwrap_or_default()
    }
}

/// Prints rows under a title, and returns how many goals are missed.
pub(crate) fn show(title: &str, rows: &[Row]) -> usize {
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
    rows.iter().filter(|row| row.misses_goal()).count()
}

/// Prints rows case by case, and how each case grows. Returns how many goals are missed.
pub(crate) fn show_growth(rows: &[Row]) -> usize {
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.case.as_str()) {
            names.push(&row.case);
        }
    }
    let sorted: Vec<&Row> =
        names.iter().flat_map(|name| rows.iter().filter(move |row| row.case == *name)).collect();
    println!("\nPure planning: order and reachability included, CPU time\n");
    println!(
        "{:<16} {:>9} {:>11} {:>11} {:>5}   {:<18} {:>6}   goal",
        "case", "resources", "median", "least", "runs", "goal", "growth"
    );
    let mut last: Option<&Row> = None;
    let mut missed = rows.iter().filter(|row| row.misses_goal()).count();
    for row in sorted {
        // The small size is only shown: constant costs dominate its time.
        let before = last.filter(|last| last.case == row.case && last.goal.is_some());
        let growth = before.map(|before| slope(before, row));
        missed += usize::from(growth.is_some_and(misses_growth));
        println!(
            "{:<16} {:>9} {:>11} {:>11} {:>5}   {:<18} {}",
            row.case,
            row.size,
            milliseconds(row.median()),
            milliseconds(row.least()),
            row.times.len(),
            verdict(row),
            growth.map_or_else(String::new, growth_verdict),
        );
        last = Some(row);
    }
    missed
}

/// Whether an exponent is above its goal, as it is printed.
fn misses_growth(exponent: f64) -> bool {
    (exponent * 100.0).round() > (MAX_GROWTH * 100.0).round()
}

fn growth_verdict(exponent: f64) -> String {
    let word = if misses_growth(exponent) { "MISSED" } else { "met" };
    format!("{exponent:>6.2}   {MAX_GROWTH}: {word}")
}

/// The slope between two points, both axes as logarithms.
fn slope(small: &Row, large: &Row) -> f64 {
    let count = |size: usize| f64::from(u32::try_from(size).unwrap_or(u32::MAX)).ln();
    let time = |row: &Row| row.median().as_secs_f64().ln();
    (time(large) - time(small)) / (count(large.size) - count(small.size))
}

fn verdict(row: &Row) -> String {
    row.goal.map_or_else(String::new, |goal| {
        let word = if row.misses_goal() { "MISSED" } else { "met" };
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
