//! Problems that only the live state shows are reported by the plan, with a code and a remedy, and
//! nothing is changed.

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::PlanStatus;
use stargate::provider::clients::KubeconfigSource;
use stargate::provider::secret::Secret;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, summary};

/// Changes the AKS cluster as its owner could.
fn change_cluster(deployment: &Deployment, change: impl FnOnce(&mut serde_json::Value)) {
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let clusters = "Microsoft.ContainerService/managedClusters";
        let id = arm.list(clusters).next().unwrap().0.clone();
        arm.modify(&id, |body| change(&mut body["properties"]), &mut || entropy.next_guid());
    });
}

async fn refuses(deployment: &Deployment, code: Code) {
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Wrong, "{}", summary(&plan));
    let found = plan.findings.iter().find(|finding| finding.failure.code == code);
    let found = found.unwrap_or_else(|| panic!("no {code}: {}", summary(&plan)));
    assert!(!found.failure.remedy.is_empty());
    let writes = deployment.writes();
    assert_eq!(deployment.apply(&RefreshOptions::default()).await.status, ApplyStatus::Blocked);
    assert_eq!(deployment.writes(), writes);
}

#[tokio::test(start_paused = true)]
async fn a_locked_node_resource_group() {
    let deployment = Deployment::example_applied().await;
    change_cluster(&deployment, |cluster| {
        cluster["nodeResourceGroupProfile"] = json!({ "restrictionLevel": "ReadOnly" });
    });
    refuses(&deployment, Code::NodeGroupLocked).await;
}

#[tokio::test(start_paused = true)]
async fn a_private_api_server() {
    let deployment = Deployment::example_applied().await;
    change_cluster(&deployment, |cluster| {
        cluster["apiServerAccessProfile"] = json!({ "enablePrivateCluster": true });
    });
    // Its name is in public DNS, and the kubelets of all workers reach it.
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    change_cluster(&deployment, |cluster| {
        cluster["privateFQDN"] = json!("k.privatelink.canadacentral.azmk8s.io");
        cluster.as_object_mut().unwrap().remove("fqdn");
    });
    refuses(&deployment, Code::PrivateApiServer).await;
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_the_overlay() {
    let deployment = Deployment::example_applied().await;
    change_cluster(&deployment, |cluster| {
        cluster["networkProfile"]["networkPluginMode"] = json!(null);
    });
    refuses(&deployment, Code::ClusterUnsupported).await;
}

/// A foreign route table on the nodes' subnet is not replaced.
#[tokio::test(start_paused = true)]
async fn a_foreign_route_table_on_the_node_subnet() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let network = arm
            .list("Microsoft.Network/virtualNetworks")
            .find(|(id, _)| id.name().starts_with("aks-vnet"))
            .map(|(id, _)| id.clone())
            .unwrap();
        let theirs = network.as_str().replace("virtualNetworks", "routeTables");
        arm.modify(
            &network,
            |body| {
                for subnet in body["properties"]["subnets"].as_array_mut().unwrap() {
                    if subnet["name"] == "aks-subnet" {
                        subnet["properties"]["routeTable"] = json!({ "id": theirs });
                    }
                }
            },
            &mut || entropy.next_guid(),
        );
    });
    let plan = deployment.plan().await;
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.failure.code, Code::ForeignRouteTable);
    assert_eq!(blocked.address.to_string(), "route-table-association/cluster/aks-subnet");
    assert_eq!(plan.status(), PlanStatus::Blocked);
}

/// With a kubeconfig of another cluster, stargate would change that one.
#[tokio::test(start_paused = true)]
async fn a_kubeconfig_of_another_cluster() {
    let mut deployment = Deployment::example_applied().await;
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
        contexts: [{ name: c, context: { cluster: k, user: u } }]\n\
        clusters: [{ name: k, cluster: { server: 'https://other.example' } }]\n\
        users: [{ name: u, user: { token: t } }]\n";
    deployment.clients.kubeconfig = KubeconfigSource::Given(Secret::new(kubeconfig));
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
    let gap = plan.unexplained_gaps().next().unwrap();
    assert_eq!(gap.failure.code, Code::KubeconfigServer);
    assert!(gap.failure.message.contains("other.example"), "{}", gap.failure.message);
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
}

/// An object with one of stargate's names that another owner created in the cluster.
#[tokio::test(start_paused = true)]
async fn a_foreign_object_with_a_name_of_stargate() {
    let deployment = Deployment::of(EXAMPLE, SandboxState::new(4));
    deployment.iterate().await;
    deployment.sandbox.change(|sandbox, _| {
        let store = sandbox.kubernetes.as_mut().unwrap();
        let object = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": { "name": "goldpinger" },
            "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["list"] }],
        });
        store.put(object, "kubectl", "2026-01-02T03:04:05Z").unwrap();
    });
    let plan = deployment.plan().await;
    let [blocked] = &plan.blocked[..] else { panic!("{}", summary(&plan)) };
    assert_eq!(blocked.failure.code, Code::NotOwned);
    assert_eq!(blocked.address.to_string(), "cluster-role/cluster/goldpinger");
    let address = blocked.address.to_string();
    assert_eq!(
        deployment.apply(&RefreshOptions::adopting(&address)).await.status,
        ApplyStatus::Converged
    );
    assert!(deployment.plan().await.is_empty());
}

/// A prefix that another device serves, too: the plan names both owners.
#[tokio::test(start_paused = true)]
async fn a_prefix_of_a_router_that_a_foreign_device_serves() {
    let deployment = Deployment::example_applied().await;
    let healthy = deployment.copy_of_state();
    for (router, prefix) in [
        ("stargate-aks-e2e-2-router", "10.224.0.0/16"),
        ("stargate-aks-e2e-2-router", "10.244.0.0/24"),
        ("stargate-aks-e2e-2-dc-router", "10.50.0.0/16"),
    ] {
        let deployment = Deployment::of(EXAMPLE, healthy.clone());
        deployment.sandbox.change(|sandbox, now| {
            let SandboxState { tailnet, entropy, .. } = sandbox;
            tailnet.add_foreign("office-router", &[prefix.parse().unwrap()], now, entropy);
        });
        refuses(&deployment, Code::PrefixConflict).await;
        let message = deployment.plan().await.findings[0].failure.message.clone();
        for named in ["office-router", router, prefix] {
            assert!(message.contains(named), "{message}");
        }
    }
}
