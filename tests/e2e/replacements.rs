//! A field that cannot be changed in place is refused, unless `--replace` names the
//! resource; then one apply completes the replacement.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;

use crate::canonical_state::{canonical_state, differences};
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};

const CLUSTER: &str = "managed-cluster/cluster/stargate-aks-e2e-2";
const CLUSTER_GROUP: &str = "resource-group/cluster/stargate-aks-e2e-2";
const DATACENTER_GROUP: &str = "resource-group/dc1/stargate-aks-e2e-2-dc";

/// An edit of the example.
struct Edit {
    from: &'static str,
    to: &'static str,
    /// The names that `--replace` must have.
    replace: &'static [&'static str],
    /// Texts in the refusal about the field.
    says: [&'static str; 3],
}

impl Edit {
    fn text(&self) -> String {
        let text = EXAMPLE.replace(self.from, self.to);
        assert_ne!(text, EXAMPLE, "{}", self.from);
        text
    }
}

const EDITS: &[Edit] = &[
    Edit {
        from: "service_cidr = \"10.0.0.0/16\"",
        to: "service_cidr = \"10.1.0.0/16\"",
        replace: &[CLUSTER],
        says: ["`service_cidr`", "10.0.0.0/16", "10.1.0.0/16"],
    },
    Edit {
        from: "10.244.",
        to: "10.246.",
        replace: &[CLUSTER],
        says: ["`pod_cidr`", "10.244.0.0/16", "10.246.0.0/16"],
    },
    Edit {
        from: "canadacentral",
        to: "westeurope",
        replace: &[CLUSTER_GROUP, DATACENTER_GROUP],
        says: ["`location`", "canadacentral", "westeurope"],
    },
    Edit {
        from: "[cluster]                                # existing = true: never modify the cluster\nname = \"stargate-aks-e2e-2\"",
        to: "[cluster]\nname = \"renamed\"",
        replace: &[CLUSTER],
        says: ["`name`", "stargate-aks-e2e-2", "renamed"],
    },
    Edit {
        from: "resource_group = \"stargate-aks-e2e-2-dc\"",
        to: "resource_group = \"moved-dc\"",
        replace: &[DATACENTER_GROUP],
        says: ["`name`", "stargate-aks-e2e-2-dc", "moved-dc"],
    },
    Edit {
        from: "subnet_cidr = \"10.237.0.0/24\"",
        to: "subnet_cidr = \"10.236.0.0/24\"",
        replace: &["subnet/cluster/stargate-aks-router-subnet"],
        says: ["`address_prefix`", "10.237.0.0/24", "10.236.0.0/24"],
    },
    Edit {
        from: "router_subnet_cidr = \"10.50.0.0/24\"",
        to: "router_subnet_cidr = \"10.50.2.0/24\"",
        replace: &["subnet/dc1/stargate-router-subnet"],
        says: ["`address_prefix`", "10.50.0.0/24", "10.50.2.0/24"],
    },
];

async fn assert_same_as_new_sandbox(deployment: &Deployment, text: &str) {
    let fresh = Deployment::of(text, SandboxState::new(31));
    fresh.iterate().await;
    let expected = canonical_state(&fresh.copy_of_state());
    let differing = differences(&expected, &canonical_state(&deployment.copy_of_state()));
    assert_eq!(differing, Vec::<String>::new());
}

async fn replacing(deployment: &Deployment, addresses: &[&str], text: &str) {
    let applied = deployment.apply(&RefreshOptions::replacing(addresses)).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let failed = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Converged, "{addresses:?} {failed}\n{left}");
    assert_same_as_new_sandbox(deployment, text).await;
}

fn is_destroyed(plan: &Plan, kind: Kind) -> bool {
    let changes = plan.changes.iter().map(|it| (it.address.kind, it.action));
    let mut all = changes.chain(plan.deferred.iter().map(|it| (it.address.kind, it.action)));
    all.any(|it| it == (kind, Action::Replace))
}

#[tokio::test(start_paused = true)]
async fn an_edit_of_a_fixed_field_is_refused_and_changes_nothing() {
    let before = Deployment::example_applied().await;
    for edit in EDITS {
        let deployment = before.edited(&edit.text());
        let plan = deployment.plan().await;
        let own = plan.blocked.iter().filter(|blocked| {
            blocked.caused_by.is_none() && blocked.failure.code == Code::ReplacementNotRequested
        });
        let own: Vec<_> = own.collect();
        assert_eq!(own.len(), edit.replace.len(), "{}\n{}", edit.to, summary(&plan));
        for (refused, named) in own.iter().zip(edit.replace) {
            let message = &refused.failure.message;
            assert!(edit.says.iter().all(|it| message.contains(it)), "{message}");
            let remedy = &refused.failure.remedy;
            assert!(remedy.contains(&format!("--replace {named}")), "{remedy}");
        }
        let destructive = |change: &&stargate::plan::Change| {
            matches!(change.action, Action::Create | Action::Replace | Action::Delete)
        };
        assert_eq!(plan.changes.iter().find(destructive), None, "{}", summary(&plan));
        let writes = deployment.writes();
        let applied = deployment.apply(&RefreshOptions::default()).await;
        assert_eq!(applied.status, ApplyStatus::Blocked, "{}", edit.to);
        if plan.changes.is_empty() {
            assert_eq!(deployment.writes(), writes, "{}", edit.to);
        }
    }
    // Nothing was harmed: the topology as it was has nothing to do.
    assert!(before.edited(EXAMPLE).plan().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_apply_carries_a_named_replacement_through() {
    for edit in EDITS {
        let deployment = Deployment::example_applied().await.edited(&edit.text());
        replacing(&deployment, edit.replace, &edit.text()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn changing_the_region_of_two_datacenters_replaces_everything_that_is_named() {
    let before = Deployment::of(TWO_DATACENTERS, SandboxState::new(8));
    before.iterate().await;
    let text = TWO_DATACENTERS.replace("westeurope", "canadacentral");
    let deployment = before.edited(&text);
    let named = ["resource-group/cluster/lab", "resource-group/cloud/lab-cloud"];
    replacing(&deployment, &named, &text).await;
}

#[tokio::test(start_paused = true)]
async fn a_named_replacement_counts_everything_and_needs_permission_to_lose_pairs() {
    let edit = &EDITS[0];
    let deployment = Deployment::example_applied().await.edited(&edit.text());
    let options = RefreshOptions { allow_loss: false, ..RefreshOptions::replacing(edit.replace) };
    let plan = deployment.refresh_and_plan(&options).await.plan;
    for kind in [Kind::ManagedCluster, Kind::VirtualMachine, Kind::Worker, Kind::RouteTable] {
        assert!(is_destroyed(&plan, kind), "{kind}\n{}", summary(&plan));
    }
    assert!(plan.count(Action::Replace) > 20, "{}", plan.count(Action::Replace));
    let reachability = &plan.reachability;
    assert!(reachability.lost > 0 && reachability.is_refused(), "{reachability:?}");
    assert!(reachability.loss_summaries()[0].contains(CLUSTER), "{reachability:?}");
    let writes = deployment.writes();
    let applied = deployment.apply(&options).await;
    let ApplyStatus::Partial(failure) = applied.status else { panic!("{:?}", applied.status) };
    assert_eq!((failure.code, applied.iterations), (Code::ReachabilityLost, 0));
    assert_eq!(deployment.writes(), writes);
}
