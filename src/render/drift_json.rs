//! How the world differs, for machines: a plan, and who reaches whom now.

use crate::plan::Plan;

use super::Purpose;
use super::connectivity::reachability_report::ReachabilityReportText;
use super::plan_json::{PlanJson, to_json};

/// The drift as JSON text.
pub fn render(plan: &Plan, ways: ReachabilityReportText<'_>) -> String {
    let reached_now = Some(ways.to_json());
    let json = PlanJson { reached_now, ..to_json(plan, Purpose::Drift) };
    // The struct is made of texts, numbers and JSON values, so it serialises.
    format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
}
