//! A plan and the current reachability as JSON, for `drift`.

use crate::plan::Plan;

use super::Purpose;
use super::connectivity::reachability_report::ReachabilityReportText;
use super::plan_json::{self, PlanJson};

/// A plan and the current reachability as JSON.
pub fn to_json(plan: &Plan, purpose: Purpose, report: ReachabilityReportText<'_>) -> PlanJson {
    let current_reachability = Some(report.to_json());
    PlanJson { current_reachability, ..plan_json::to_json(plan, purpose) }
}

/// A plan and the current reachability as JSON text.
pub fn render(plan: &Plan, purpose: Purpose, report: ReachabilityReportText<'_>) -> String {
    plan_json::to_text(&to_json(plan, purpose, report))
}
