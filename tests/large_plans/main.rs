//! Plans of thousands of workers: the order of their changes, and the files that keep them.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are the result")]

#[path = "../../benches/planning/fixture.rs"]
#[expect(dead_code, reason = "the benchmark that it is shared with uses more of it")]
mod fixture;
mod safe_order;
mod saved_plan;

use std::collections::BTreeMap;

use fixture::Fixture;
use stargate::inventory::Inventory;
use stargate::plan::preflight::TailnetFacts;
use stargate::plan::{Plan, PlanOptions, PlanningInput, plan};

/// The plan that the commands make, by the same function.
fn planned(fixture: &Fixture, inventory: &Inventory, destroy: bool) -> Plan {
    plan(PlanningInput {
        topology: &fixture.topology,
        options: &PlanOptions { destroy, ..PlanOptions::default() },
        facts: &fixture.facts,
        inventory,
        tailnet: &TailnetFacts::default(),
        findings: &[],
        requests: &BTreeMap::new(),
        today: jiff::civil::date(2026, 1, 2),
    })
}
