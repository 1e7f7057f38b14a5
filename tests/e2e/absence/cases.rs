//! Answers that once led to deletions, replacements or withdrawn routes.

use serde_json::{Value, json};
use stargate::plan::{Action, Plan, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;

use super::mutation::{How, Mutation};
use super::{Api, Applied, violations};
use crate::harness::{Deployment, EXAMPLE, summary};
use crate::upgrades::with_versions;

/// Changes an object of the cluster, as its users and AKS do.
fn change_object(deployment: &Deployment, kind: &str, name: &str, change: impl Fn(&mut Value)) {
    deployment.sandbox.change(|sandbox, _| {
        let store = sandbox.kubernetes.as_mut().unwrap();
        for version in ["v1", "acn.azure.com/v1alpha"] {
            let all: Vec<Value> = store.list(version, kind, None).into_iter().cloned().collect();
            for mut object in all {
                if object["metadata"]["name"].as_str().is_some_and(|it| it.starts_with(name)) {
                    change(&mut object);
                    store.put(object, "test", "2026-01-02T03:04:05Z").unwrap();
                }
            }
        }
    });
}

fn change_cluster(deployment: &Deployment, change: impl FnOnce(&mut Value)) {
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let clusters = "Microsoft.ContainerService/managedClusters";
        let id = arm.list(clusters).next().unwrap().0.clone();
        arm.modify(&id, |body| change(&mut body["properties"]), &mut || entropy.next_guid());
    });
}

/// A role on the VNet was taken away: lists leave it out and reads of it are refused.
#[tokio::test(start_paused = true)]
async fn a_cluster_whose_network_may_not_be_read_is_unknown() {
    let applied = Applied::of(EXAMPLE).await;
    let network = applied.of_azure().find(|id| id.contains("/virtualnetworks/aks-vnet")).unwrap();
    let missing = ["/properties/subnets/0", "/properties/addressSpace/addressPrefixes/0"];
    let missing = missing.map(|pointer| How::HideField(pointer.to_owned()));
    for how in missing.into_iter().chain([How::Refuse]) {
        let mutation = Mutation { api: Api::Azure, identity: network.clone(), how };
        let planned = applied.planned(&mutation, false).await;
        assert_eq!(violations(&mutation, &planned), Vec::<String>::new());
        let plan = planned.plan;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        let gap = plan.gaps.iter().find(|gap| gap.failure.message.contains("VNet")).unwrap();
        assert!(!gap.failure.remedy.is_empty());
    }
}

/// Neither a DaemonSet can get another selector nor a binding another role: something of
/// another type in their place, or an unknown field, is no reason to replace the object.
#[tokio::test(start_paused = true)]
async fn an_object_with_a_strange_field_is_not_replaced() {
    let applied = Applied::of(EXAMPLE).await;
    for (kind, pointer) in [
        ("DaemonSet", "/spec/selector"),
        ("DaemonSet", "/spec/selector/matchLabels"),
        ("ClusterRoleBinding", "/roleRef"),
    ] {
        let mut objects = applied.objects.keys();
        let (api, identity) = objects.find(|(_, id)| id.starts_with(kind)).unwrap().clone();
        for how in [How::Garble(pointer.to_owned()), How::AddField(pointer.to_owned())] {
            let mutation = Mutation { api, identity: identity.clone(), how };
            let planned = applied.planned(&mutation, false).await;
            assert_eq!(violations(&mutation, &planned), Vec::<String>::new(), "{mutation:?}");
        }
    }
}

/// One range of a subnet in the form of a list.
#[tokio::test(start_paused = true)]
async fn a_node_subnet_that_is_written_as_a_list_is_the_same() {
    let applied = Applied::of(EXAMPLE).await;
    let network = applied.of_azure().find(|id| id.contains("/virtualnetworks/aks-vnet")).unwrap();
    for index in 0..2 {
        let pointer = format!("/properties/subnets/{index}/properties/addressPrefix");
        let how = How::Respell(pointer);
        let mutation = Mutation { api: Api::Azure, identity: network.clone(), how };
        let plan = applied.plan(&mutation, false).await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    }
}

/// Azure compares names without regard to case, and so does the plan.
#[tokio::test(start_paused = true)]
async fn a_name_in_another_letter_case_is_no_change() {
    let deployment = Deployment::example_applied().await;
    for field in ["resource_group", "name"] {
        let line = format!("{field} = \"stargate-aks-e2e-2\"\n");
        let (head, cluster) = EXAMPLE.split_once("[cluster] ").unwrap();
        let (before, after) = cluster.split_once(&line).unwrap();
        let text = format!(
            "{head}[cluster] {before}{}{after}",
            line.replace("stargate-aks", "Stargate-AKS")
        );
        assert_ne!(text, EXAMPLE);
        let plan = deployment.edited(&text).plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{field}: {}", summary(&plan));
    }
}

/// A minor version asks for any patch of it.
#[tokio::test(start_paused = true)]
async fn a_minor_version_is_satisfied_by_any_patch() {
    let deployment = Deployment::example_applied().await;
    change_cluster(&deployment, |cluster| cluster["currentKubernetesVersion"] = json!("1.33.9"));
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
}

/// AKS upgraded the cluster by itself, and would refuse to take it back.
#[tokio::test(start_paused = true)]
async fn a_cluster_is_never_planned_back_to_an_older_version() {
    let text = with_versions(EXAMPLE, "1.33.5", "1.33");
    let deployment = Deployment::of(&text, SandboxState::new(1));
    deployment.iterate().await;
    change_cluster(&deployment, |cluster| cluster["currentKubernetesVersion"] = json!("1.33.9"));
    let plan = deployment.plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    let said = plan.findings.iter().any(|finding| finding.failure.message.contains("1.33.9"));
    assert!(said, "{}", summary(&plan));
}

/// Azure's allocator says nothing of a node for a while: its routes stay.
#[tokio::test(start_paused = true)]
async fn a_node_without_a_readable_network_config_keeps_its_routes() {
    for broken in [json!(null), json!([]), json!([{ "type": "overlay", "primaryIP": "soon" }])] {
        let deployment = Deployment::example_applied().await;
        change_object(&deployment, "NodeNetworkConfig", "aks-", |object| {
            object["status"]["networkContainers"] = broken.clone();
        });
        let plan = deployment.plan().await;
        assert!(plan.changes.is_empty(), "{broken}: {}", summary(&plan));
        assert!(plan.deferred.is_empty(), "{broken}: {}", summary(&plan));
        assert!(!plan.findings.is_empty(), "{broken}");
    }
}

/// Without its address a node cannot be found in the live routes: they wait.
#[tokio::test(start_paused = true)]
async fn a_node_without_an_address_withdraws_nothing() {
    let deployment = Deployment::example_applied().await;
    change_object(&deployment, "Node", "aks-", |node| node["status"]["addresses"] = json!([]));
    let plan = deployment.plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    assert!(plan.deferred.iter().any(|it| it.address.kind == Kind::RouterHost));
}

/// The plan with one field of a worker's Node written otherwise.
async fn plan_with_node(pointer: &str, value: Value) -> Plan {
    let applied = Applied::of(EXAMPLE).await;
    let is_node = |object: &Value| {
        object["kind"] == "Node" && object["metadata"]["name"] == "stargate-aks-e2e-2-worker-1"
    };
    let ((api, identity), _) = applied.objects.iter().find(|(_, it)| is_node(it)).unwrap();
    let how = How::Write(pointer.to_owned(), value);
    applied.plan(&Mutation { api: *api, identity: identity.clone(), how }, false).await
}

/// A worker's Node that its kubelet reports in part is there.
#[tokio::test(start_paused = true)]
async fn a_worker_s_node_without_an_address_is_unknown_and_not_absent() {
    for (pointer, value) in
        [("/status/addresses", json!([])), ("/status/nodeInfo/kubeletVersion", json!("latest"))]
    {
        let plan = plan_with_node(pointer, value).await;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
    }
}

/// A version with a suffix is a version.
#[tokio::test(start_paused = true)]
async fn a_kubelet_with_a_suffix_in_its_version_is_read() {
    for version in ["v1.33.5+k3s1", "v1.33.5-rc.1"] {
        let plan = plan_with_node("/status/nodeInfo/kubeletVersion", json!(version)).await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    }
}

/// A missing field of a Node can still be set: the worker is not replaced.
#[tokio::test(start_paused = true)]
async fn a_node_without_a_pod_cidr_or_a_provider_id_is_not_replaced() {
    for pointer in ["/spec/podCIDR", "/spec/providerID"] {
        let plan = plan_with_node(pointer, Value::Null).await;
        let [change] = &plan.changes[..] else { panic!("{}", summary(&plan)) };
        assert_eq!(change.action, Action::Update, "{}", summary(&plan));
        let fields = change.fields();
        assert!(fields.iter().all(|field| !field.forces_replacement), "{fields:?}");
    }
}

/// The tag was taken off a router's device in the admin console: the router is there.
#[tokio::test(start_paused = true)]
async fn a_router_that_lost_its_tag_is_not_replaced() {
    let applied = Applied::of(EXAMPLE).await;
    let of_tailnet = applied.objects.iter().filter(|((api, _), _)| *api == Api::Tailscale);
    let devices = of_tailnet.filter(|(_, object)| object["hostname"].is_string());
    for ((api, identity), _) in devices {
        let how = How::HideField("/tags".to_owned());
        let mutation = Mutation { api: *api, identity: identity.clone(), how };
        let plan = applied.plan(&mutation, false).await;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        let made = plan.changes.iter().filter(|change| change.action != Action::Update);
        assert_eq!(made.count(), 0, "{}", summary(&plan));
    }
}

/// A foreign cluster of another kind stands in the cluster's resource group.
#[tokio::test(start_paused = true)]
async fn a_foreign_object_that_cannot_be_decoded_hides_nothing() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let clusters = "Microsoft.ContainerService/managedClusters";
        let (id, body) =
            arm.list(clusters).next().map(|(id, it)| (id.clone(), it.clone())).unwrap();
        let other = id.parent().unwrap().child("managedClusters", "theirs");
        let mut body = body;
        body["tags"] = json!({});
        body["properties"]["networkProfile"] = json!({ "networkPlugin": "azure" });
        arm.upsert(&other, body, &mut || entropy.next_guid());
    });
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
}
