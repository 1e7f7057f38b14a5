//! Every fault is reported, mended, and then gone.

use stargate::plan::Plan;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, Look};

fn told(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for change in &plan.changes {
        let fields: Vec<String> = change.fields.iter().map(|it| it.path.to_string()).collect();
        lines.push(format!(
            "{} {} [{}]{}",
            change.action.glyph(),
            change.address,
            fields.join(", "),
            change.follows_from.as_ref().map(|it| format!(" <- {it}")).unwrap_or_default()
        ));
    }
    for blocked in &plan.blocked {
        let fields: Vec<String> = blocked.fields.iter().map(|it| it.path.to_string()).collect();
        lines.push(format!("! {} {} [{}] {}", blocked.code, blocked.address, fields.join(", "), blocked.reason));
    }
    for deferred in &plan.deferred {
        lines.push(format!("? {} {:?}", deferred.address, deferred.waits_for));
    }
    for finding in &plan.findings {
        lines.push(format!("{:?} {} {}", finding.severity, finding.code, finding.message));
    }
    for gap in &plan.gaps {
        lines.push(format!("gap {} {} {}", gap.source, gap.reason, gap.explained));
    }
    lines.join("\n")
}

#[tokio::test(start_paused = true)]
async fn matrix() {
    let healthy = Deployment::example_applied().await.copy_of_world();
    for fault in Fault::ALL {
        let deployment = Deployment::of(crate::harness::EXAMPLE, healthy.clone());
        let done = deployment.strike(*fault, None);
        println!("=== {fault}: {done}");
        let look = if *fault == Fault::CniConfigMissing { Look::deep() } else { Look::default() };
        println!("{}", told(&deployment.look(&look).await.plan));
        let applied = deployment.apply(&look).await;
        println!("--> {:?} in {} rounds", applied.ending, applied.rounds);
        println!("{}", told(&deployment.look(&look).await.plan));
    }
}
