//! A cluster with long-term support keeps that plan while the topology names none: a tier that AKS
//! does not permit with it is refused by the plan and not by the apply.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::Plan;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};

fn cluster(settings: &str) -> String {
    EXAMPLE.replace("[cluster] ", &format!("[cluster]\n{settings}# "))
}

async fn with_long_term_support() -> Deployment {
    let text = cluster("tier = \"premium\"\nsupport_plan = \"AKSLongTermSupport\"\n");
    let deployment = Deployment::of(&text, SandboxState::new(32));
    deployment.iterate().await;
    deployment
}

fn codes(plan: &Plan) -> Vec<(Kind, Code)> {
    plan.blocked.iter().map(|it| (it.address.kind, it.failure.code)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lower_tier_needs_another_support_plan() {
    let deployment = with_long_term_support().await;
    let lowered = deployment.edited(&cluster("tier = \"standard\"\n"));
    let plan = lowered.plan().await;
    assert_eq!(codes(&plan), [(Kind::ManagedCluster, Code::SupportPlanTier)], "{}", summary(&plan));
    let text = &plan.blocked[0].failure.message;
    assert!(text.contains("keeps the support plan AKSLongTermSupport"), "{text}");
    let writes = lowered.writes();
    let applied = lowered.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked, "{}", failures(&applied).join("\n"));
    assert_eq!(lowered.writes(), writes);
    let official = "tier = \"standard\"\nsupport_plan = \"KubernetesOfficial\"\n";
    deployment.edited(&cluster(official)).iterate().await;
}

/// An `[[ignore]]` keeps the live plan as well, and pools do not precede a blocked control plane.
#[tokio::test(start_paused = true)]
async fn a_refused_tier_holds_back_the_upgrade_with_it() {
    let deployment = with_long_term_support().await;
    let official = "tier = \"standard\"\nsupport_plan = \"KubernetesOfficial\"\n";
    let kept = cluster(official)
        + "\n[[ignore]]\naddress = \"managed-cluster/*/*\"\nfield = \"support_plan\"\n\
           reason = \"the plan is chosen elsewhere\"\n";
    let plan = deployment.edited(&kept).plan().await;
    assert_eq!(codes(&plan), [(Kind::ManagedCluster, Code::SupportPlanTier)], "{}", summary(&plan));
    let upgraded = cluster("tier = \"standard\"\n").replace("\"1.33\"", "\"1.34\"");
    let edited = deployment.edited(&upgraded);
    let plan = edited.plan().await;
    assert!(plan.changes.iter().all(|it| it.address.kind != Kind::NodePool), "{}", summary(&plan));
    let applied = edited.apply(&RefreshOptions::default()).await;
    assert_eq!(applied.status, ApplyStatus::Blocked, "{}", failures(&applied).join("\n"));
}
