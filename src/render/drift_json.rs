//! A plan and the current reachability as JSON, for `drift`.

use crate::plan::Plan;

use super::Purpose;
use super::connectivity::reachability_report::ReachabilityReportText;
use super::plan_json::{PlanJson, to_json};

/// A plan and the current reachability as JSON text.
pub fn render(plan: &Plan, purpose: Purpose, report: ReachabilityReportText<'_>) -> String {
    let current_reachability = Some(report.to_json());
    let json = PlanJson { current_reachability, ..to_json(plan, purpose) };
    // The struct is made of texts, numbers and JSON values, so it serialises.
    format!("{:#}\n", serde_json::to_value(json).unwrap_or_default())
}
