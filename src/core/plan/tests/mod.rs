//! The properties of planning: small hand-written inputs, and random inputs.

mod case;
mod cost;
mod damage;
mod dependencies;
mod diff;
mod ignored_drift;
mod impact;
mod laws;
mod live_state;
mod node_group;
mod orphans;
mod preflight;
mod propagation;
mod protection;
mod restored_routers;
mod rollout;
mod saved_plan;
mod sight;
mod stale_facts;
mod steps;
mod unattended;
mod unread;
mod verdicts;
mod waiting_workers;

use super::Plan;

/// The changes, blocked and deferred resources of a plan, one per line.
fn summary(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for change in &plan.changes {
        let fields: Vec<String> = change.fields().iter().map(|it| it.path.to_string()).collect();
        let glyph = change.action.glyph();
        lines.push(format!("{glyph} {} [{}]", change.address, fields.join(", ")));
    }
    for blocked in &plan.blocked {
        lines.push(format!(
            "! {} {} {}",
            blocked.failure.code, blocked.address, blocked.failure.message
        ));
    }
    for deferred in &plan.deferred {
        lines.push(format!("? {} {:?}", deferred.address, deferred.waits_for));
    }
    lines.join("\n")
}
