//! Deployments of earlier versions, whose objects do not name themselves in their tags.

use serde_json::Value;
use stargate::apply::ApplyStatus;
use stargate::plan::{Action, PlanStatus};
use stargate::resource::ArmId;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};

const TAG: &str = "stargate-resource";
const TYPES: [&str; 9] = [
    "Microsoft.Resources/resourceGroups",
    "Microsoft.ContainerService/managedClusters",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/natGateways",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Network/routeTables",
    "Microsoft.Compute/virtualMachines",
];

fn objects(sandbox: &SandboxState) -> Vec<(ArmId, Value)> {
    let of_type = |name| sandbox.arm.list(name).map(|(id, body)| (id.clone(), body.clone()));
    TYPES.into_iter().flat_map(of_type).collect()
}

fn tag<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body["tags"][name].as_str()
}

/// An applied topology whose objects have the tags of an earlier version. The copies that AKS
/// made of the cluster's tags are such too.
async fn of_an_earlier_version(text: &str) -> Deployment {
    let deployment = Deployment::of(text, SandboxState::new(4));
    deployment.iterate().await;
    deployment.sandbox.change(|sandbox, _| {
        for (id, _) in objects(sandbox) {
            let SandboxState { arm, entropy, .. } = sandbox;
            let strip = |body: &mut Value| {
                body["tags"].as_object_mut().into_iter().for_each(|tags| drop(tags.remove(TAG)));
            };
            arm.modify(&id, strip, &mut || entropy.next_guid());
        }
    });
    deployment
}

/// Objects at the addresses of the topology are taken over by one apply, in place.
#[tokio::test(start_paused = true)]
async fn objects_of_an_earlier_version_are_taken_over() {
    for text in [crate::harness::EXAMPLE, TWO_DATACENTERS] {
        let deployment = of_an_earlier_version(text).await;
        let plan = deployment.plan().await;
        let adopted = plan.changes.iter().filter(|it| it.action == Action::Adopt).count();
        assert!(adopted > 10, "{}", summary(&plan));
        assert_eq!(adopted, plan.changes.len(), "{}", summary(&plan));
        assert!(plan.blocked.is_empty() && plan.deferred.is_empty(), "{}", summary(&plan));
        let reasons = plan.changes.iter().map(|change| change.planned_because_of.as_str());
        assert!(reasons.clone().all(|it| it.contains("earlier version")), "{}", summary(&plan));
        deployment.iterate().await;
        let after = deployment.plan().await;
        assert_eq!(after.status(), PlanStatus::Matches, "{}", summary(&after));
        let named = deployment.sandbox.read(|sandbox| {
            let objects = objects(sandbox).into_iter();
            let named = objects
                .filter(|(id, body)| tag(body, TAG).is_some_and(|it| it.ends_with(id.name())));
            named.count()
        });
        assert_eq!(named, adopted);
    }
}

/// Copies of the cluster's tags do not make objects the topology's: AKS deletes its own
/// objects.
#[tokio::test(start_paused = true)]
async fn copies_of_the_cluster_s_tags_are_not_taken_over() {
    let deployment = of_an_earlier_version(crate::harness::EXAMPLE).await;
    let copies: Vec<String> = deployment.sandbox.read(|sandbox| {
        let objects = objects(sandbox).into_iter();
        let copies = objects.filter(|(id, body)| {
            tag(body, "stargate-topology").is_some()
                && (id.name().starts_with("aks-") || id.name().starts_with("MC_"))
        });
        copies.map(|(id, _)| id.name().to_owned()).collect()
    });
    assert!(copies.len() >= 3, "{copies:?}");
    let plan = deployment.plan().await;
    for change in &plan.changes {
        assert!(!copies.contains(&change.key.name().to_owned()), "{}", change.address);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deployment_of_an_earlier_version_is_destroyed() {
    let deployment = of_an_earlier_version(TWO_DATACENTERS).await;
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    let failed = failures(&destroyed).join("\n");
    assert_eq!(destroyed.status, ApplyStatus::Converged, "{failed}");
    let left = deployment.sandbox.read(|sandbox| objects(sandbox).len());
    assert_eq!(left, 0, "{:?}", deployment.sandbox.read(objects));
}
