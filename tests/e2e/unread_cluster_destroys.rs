//! A destroy while the cluster cannot be read, and will not be again.

use stargate::apply::{Applied, ApplyStatus};
use stargate::plan::{Action, Blocked, Deferred, Plan};
use stargate::resource::{Address, Kind};
use stargate::sandbox::SandboxState;

use crate::destroy::{group, ours};
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::refused_calls::{RefusedCalls, is_request};

const NAME: &str = "stargate-aks-e2e-2";

fn permitting() -> RefreshOptions {
    RefreshOptions { allow_unread_cluster: true, ..RefreshOptions::destroying() }
}

/// A destroy without the permission changes nothing, shows what it would delete, and names
/// the permission.
async fn is_withheld(deployment: &Deployment) -> Plan {
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    let names_it = |it: &&Blocked| it.failure.remedy.contains("--allow-unread-cluster");
    assert!(plan.blocked.iter().filter(names_it).count() > 5, "{}", summary(&plan));
    let writes = deployment.writes();
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert!(matches!(applied.status, ApplyStatus::Partial(_)), "{:?}", applied.status);
    assert_eq!(deployment.writes(), writes);
    plan
}

fn is_complete(applied: &Applied) {
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    assert_eq!(applied.status, ApplyStatus::Converged, "{}\n{left}", failures(applied).join("\n"));
}

/// The network of its nodes was deleted, so that nothing of the cluster can be computed. Its own
/// object shows that it is the topology's.
#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_network_is_deleted_with_permission() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.change(|sandbox, _| {
        let networks = sandbox.arm.list("Microsoft.Network/virtualNetworks");
        let network = networks.map(|(id, _)| id.clone()).find(|id| id.name().contains("aks-vnet"));
        sandbox.arm.remove(&network.unwrap(), &mut || "none".to_owned())
    });
    drop(is_withheld(&deployment).await);
    is_complete(&deployment.apply(&permitting()).await);
    assert_eq!(ours(&deployment.copy_of_state(), NAME), Vec::<String>::new());
}

/// Azure refuses to show the cluster: whose it is cannot be proven, so that it and its resource
/// group stay. Everything that carries the topology's tags is deleted.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_azure_does_not_show_stays() {
    let deployment = Deployment::example_applied().await;
    let hides = RefusedCalls::of(403, |call| is_request(call, "managedClusters"));
    deployment.sandbox.set_fault_injector(Some(hides));
    drop(is_withheld(&deployment).await);
    let applied = deployment.apply(&permitting()).await;
    assert_eq!(failures(&applied), Vec::<String>::new());
    assert!(matches!(applied.status, ApplyStatus::Partial(_)), "{:?}", applied.status);
    let cluster = group(NAME).in_group("Microsoft.ContainerService/managedClusters", NAME);
    let left = ours(&deployment.copy_of_state(), NAME);
    assert!(left.contains(&cluster.to_string()) && left.contains(&group(NAME).to_string()));
    let machines = ["virtualMachines", "networkInterfaces", "publicIPAddresses", "routeTables"];
    let is_deletable = |it: &&String| machines.iter().any(|part| it.contains(part));
    assert_eq!(left.iter().find(is_deletable), None, "{left:#?}");
    assert!(deployment.copy_of_state().tailnet.devices().next().is_none());
    deployment.sandbox.set_fault_injector(None);
    is_complete(&deployment.apply(&RefreshOptions::destroying()).await);
    assert_eq!(ours(&deployment.copy_of_state(), NAME), Vec::<String>::new());
}

/// The API server never answers again. Existing machines keep their router until the cluster is
/// deleted; then they are reset, in the same apply.
#[tokio::test(start_paused = true)]
async fn hosts_of_an_unread_cluster_are_reset_after_its_deletion() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(12));
    deployment.iterate().await;
    deployment.inject("source-down".parse().unwrap(), Some("kubernetes"));
    let withheld = is_withheld(&deployment).await;
    let plan = deployment.refresh_and_plan(&permitting()).await.plan;
    let is_of_attic = |it: &Address| it.site.to_string() == "attic";
    assert!(withheld.blocked.iter().any(|it| is_of_attic(&it.address)), "{}", summary(&withheld));
    assert!(!plan.changes.iter().any(|it| is_of_attic(&it.address)), "{}", summary(&plan));
    let deleted = plan.changes.iter().filter(|it| it.action == Action::Delete);
    assert!(deleted.clone().any(|it| it.address.kind == Kind::ManagedCluster));
    for address in ["worker/attic/attic-a", "worker/attic/attic-b"] {
        let is_it = |it: &&Deferred| it.address.to_string() == address;
        assert_eq!(plan.deferred.iter().find(is_it).map(|it| it.action), Some(Action::Delete));
    }
    let deferred: Vec<&Address> = plan.deferred.iter().map(|it| &it.address).collect();
    assert!(deferred.is_sorted_by(|one, other| one < other), "{deferred:#?}");
    is_complete(&deployment.apply(&permitting()).await);
    let state = deployment.copy_of_state();
    assert_eq!(ours(&state, deployment.topology.name.as_str()), Vec::<String>::new());
    for host in state.hosts.values() {
        assert!(host.worker.kubelet.is_none(), "{} is still a worker", host.name);
    }
}

/// The block of a datacenter, or its workers, left the file. Its hosts still run workers that
/// only the unread Nodes record, and its router shows that it exists.
#[tokio::test(start_paused = true)]
async fn hosts_that_left_the_file_are_not_forgotten() {
    let start = TWO_DATACENTERS.find("[datacenters.attic]").unwrap();
    let workers = TWO_DATACENTERS.find("[[datacenters.attic.workers]]").unwrap();
    let protected =
        TWO_DATACENTERS.replace("[datacenters.attic]\n", "[datacenters.attic]\nprotect = true\n");
    for (before, after) in [
        (TWO_DATACENTERS, &TWO_DATACENTERS[..start]),
        (TWO_DATACENTERS, &TWO_DATACENTERS[..workers]),
        (protected.as_str(), &TWO_DATACENTERS[..start]),
    ] {
        let applied = Deployment::of(before, SandboxState::new(12));
        applied.iterate().await;
        let edited = applied.edited(after);
        edited.inject("source-down".parse().unwrap(), Some("kubernetes"));
        drop(is_withheld(&edited).await);
    }
}

/// With the permission, all that is known is deleted, and the end names what may remain. With its
/// blocks in the file again, a destroy resets the hosts.
#[tokio::test(start_paused = true)]
async fn a_destroy_ends_incomplete_where_hosts_that_left_the_file_may_remain() {
    let start = TWO_DATACENTERS.find("[datacenters.attic]").unwrap();
    let applied = Deployment::of(TWO_DATACENTERS, SandboxState::new(12));
    applied.iterate().await;
    let edited = applied.edited(&TWO_DATACENTERS[..start]);
    edited.inject("source-down".parse().unwrap(), Some("kubernetes"));
    let ended = edited.apply(&permitting()).await;
    let ApplyStatus::Partial(failure) = &ended.status else { panic!("{:?}", ended.status) };
    assert!(failure.message.contains("attic-router"), "{}", failure.message);
    assert_eq!(failures(&ended), Vec::<String>::new());
    let is_worker = |host: &str| {
        let state = edited.copy_of_state();
        state.hosts.get(host).is_some_and(|it| it.worker.kubelet.is_some())
    };
    assert!(is_worker("attic-a"));
    let complete = edited.edited(TWO_DATACENTERS);
    is_complete(&complete.apply(&permitting()).await);
    let state = complete.copy_of_state();
    for host in state.hosts.values() {
        assert!(host.worker.kubelet.is_none(), "{} is still a worker", host.name);
    }
}
