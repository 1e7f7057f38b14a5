//! The drift as JSON: a plan and the current reachability.

use crate::plan::Plan;

use super::Purpose;
use super::connectivity::reachability_report::ReachabilityReportText;
use super::plan_json::{PlanJson, to_json};

/// The drift as JSON text.
pub fn render(plan: &Plan, report: ReachabilityReportText<'_>) -> String {
    let current_reachability = Some(report.to_json());
    let json = PlanJson { current_reachability, ..to_json(plan, Purpose::Drift) };
    // The struct is made of texts, numbers and JSON values, so it serialises.
    format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
}
