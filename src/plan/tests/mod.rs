//! The laws of planning: small inputs made by hand, and inputs made at random.

mod cascade;
mod case;
mod cost;
mod damage;
mod diff;
mod edges;
mod file;
mod foresight;
mod keep;
mod laws;
mod live;
mod removal;
mod rollout;
mod verdicts;
mod world;

use super::Plan;

/// A plan in a few lines.
fn told(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for change in &plan.changes {
        let fields: Vec<String> = change.fields().iter().map(|it| it.path.to_string()).collect();
        let glyph = change.action.glyph();
        lines.push(format!("{glyph} {} [{}]", change.address, fields.join(", ")));
    }
    for blocked in &plan.blocked {
        lines.push(format!("! {} {} {}", blocked.code, blocked.address, blocked.reason));
    }
    for deferred in &plan.deferred {
        lines.push(format!("? {} {:?}", deferred.address, deferred.waits_for));
    }
    lines.join("\n")
}
