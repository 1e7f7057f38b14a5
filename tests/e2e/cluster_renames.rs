//! The cluster gets another name together with other edits: one apply carries all of it through.

use stargate::diagnostics::Code;
use stargate::plan::PlanStatus;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, summary};

/// Each edit, and what it names under `--replace` beside the cluster.
fn edits() -> Vec<(&'static str, String, &'static [&'static str])> {
    let renamed = |edits: &[(&str, &str)]| {
        let edits =
            edits.iter().chain(&[("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\"")]);
        edits.fold(TWO_DATACENTERS.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    const SUBNETS: &[&str] =
        &["subnet/cloud/stargate-subnet", "subnet/cloud/stargate-router-subnet"];
    vec![
        ("the name alone", renamed(&[]), &[]),
        ("another network of a datacenter", renamed(&[("10.50.", "10.51.")]), SUBNETS),
        (
            "another router subnet",
            renamed(&[(
                "router_subnet_cidr = \"10.50.0.0/24\"",
                "router_subnet_cidr = \"10.50.7.0/24\"",
            )]),
            &["subnet/cloud/stargate-router-subnet"],
        ),
        (
            "another subnet of workers",
            renamed(&[("\nsubnet_cidr = \"10.50.1.0/24\"", "\nsubnet_cidr = \"10.50.9.0/24\"")]),
            &["subnet/cloud/stargate-subnet"],
        ),
        ("another pod pool", renamed(&[("10.244.64.0/20", "10.244.96.0/20")]), &[]),
        ("another network of machines", renamed(&[("10.60.0.0/16", "10.60.0.0/15")]), &[]),
        (
            "other pods and services",
            renamed(&[("10.244.0.0/16", "10.240.0.0/13"), ("10.0.0.0/16", "10.1.0.0/16")]),
            &[],
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_renamed_cluster_with_other_ranges_takes_one_apply() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    before.iterate().await;
    for (name, text, replaced) in edits() {
        let deployment = Deployment::of(TWO_DATACENTERS, before.copy_of_state()).edited(&text);
        let mut named = vec!["managed-cluster/cluster/lab2"];
        named.extend(replaced);
        let plan = deployment.refresh_and_plan(&RefreshOptions::replacing(&named)).await.plan;
        assert_eq!(plan.blocked.len(), 0, "{name}\n{}", summary(&plan));
        deployment.iterate_replacing(&named).await;
        let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        assert_eq!(plan.status(), PlanStatus::Matches, "{name}\n{}", summary(&plan));
    }
}

/// A new cluster comes with subnets of its own: a router subnet that overlaps one of them is
/// refused before anything is changed, for a first cluster, too.
#[tokio::test(start_paused = true)]
async fn a_router_subnet_in_a_subnet_of_a_new_cluster_is_refused() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    before.iterate().await;
    let router = "subnet_cidr = \"10.237.0.0/24\"";
    assert!(TWO_DATACENTERS.contains(router));
    for range in ["10.238.0.0/24", "10.239.7.0/24"] {
        let text = TWO_DATACENTERS.replacen(router, &format!("subnet_cidr = \"{range}\""), 1);
        let renamed = text.replace("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\"");
        assert_ne!(renamed, text);
        let first = Deployment::of(&text, SandboxState::new(3));
        for deployment in [first, before.edited(&renamed)] {
            let options = RefreshOptions::replacing(&["managed-cluster/cluster/lab2"]);
            let plan = deployment.refresh_and_plan(&options).await.plan;
            assert_eq!(plan.status(), PlanStatus::Wrong, "{range}\n{}", summary(&plan));
            let overlaps =
                plan.findings.iter().any(|it| it.failure.code == Code::LiveSubnetOverlap);
            assert!(overlaps && plan.changes.is_empty(), "{range}\n{}", summary(&plan));
        }
    }
}

/// The cluster that is there keeps its pairs while its other name is refused.
#[tokio::test(start_paused = true)]
async fn a_refused_name_of_the_cluster_keeps_all_pairs() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(3));
    before.iterate().await;
    let all = before.plan().await.reachability.kept;
    let renamed =
        TWO_DATACENTERS.replace("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\"");
    let plan = before.edited(&renamed).plan().await;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    let found = &plan.reachability;
    assert_eq!((found.kept, found.unknown, found.lost), (all, 0, 0), "{found:?}");
    assert!(all > 0);
}
