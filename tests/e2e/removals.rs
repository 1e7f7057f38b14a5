//! Order on removal: workers drain and leave before their machine, their router, its device or
//! its routes go, and nothing of stargate stays on machines that outlive it.

use stargate::apply::{Applied, ApplyStatus};
use stargate::diagnostics::Code;
use stargate::plan::Action;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::sandbox::hosts::HostKind;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::observer::Observer;

const ATTIC: &str = "[datacenters.attic]\n";
const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";

fn without(text: &str, part: &str) -> String {
    let edited = text.replace(part, "");
    assert_ne!(edited, text, "{part}");
    edited
}

/// The topology without its datacenter of existing machines.
fn without_attic() -> String {
    TWO_DATACENTERS[..TWO_DATACENTERS.find(ATTIC).unwrap()].to_owned()
}

/// The topology without its datacenter of VMs.
fn without_cloud() -> String {
    let (begin, end) = (TWO_DATACENTERS.find("[datacenters.cloud]\n"), TWO_DATACENTERS.find(ATTIC));
    format!("{}{}", &TWO_DATACENTERS[..begin.unwrap()], &TWO_DATACENTERS[end.unwrap()..])
}

async fn applied(seed: u64) -> Deployment {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(seed));
    deployment.iterate().await;
    deployment
}

async fn apply_allowing_loss(deployment: &Deployment) -> Applied {
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let applied = deployment.apply(&options).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let failed = failures(&applied).join("\n");
    assert_eq!(applied.status, ApplyStatus::Converged, "{failed}\n{left}");
    applied
}

/// Asserts the order of calls; each of them was made.
fn assert_order(observer: &Observer, calls: &[&[&str]]) {
    let positions: Vec<usize> = calls
        .iter()
        .map(|texts| {
            observer.place(texts).unwrap_or_else(|| panic!("{texts:?}: {:#?}", observer.calls()))
        })
        .collect();
    assert!(positions.is_sorted(), "{calls:?} {positions:?}: {:#?}", observer.calls());
}

fn is_configured(deployment: &Deployment, host: &str) -> bool {
    deployment.sandbox.read(|sandbox| {
        let host = sandbox.hosts.get(host).unwrap();
        host.worker.configuration.is_some()
            || host.worker.stamp.is_some()
            || !host.our_routes().is_empty()
            || !host.local_prefixes().is_empty()
            || host.tailscale.as_ref().is_some_and(|it| !it.advertised_routes.is_empty())
    })
}

#[tokio::test(start_paused = true)]
async fn a_datacenter_of_existing_machines_leaves_nothing_behind() {
    let deployment = applied(51).await;
    let edited = deployment.edited(&without_attic());
    let plan = edited.plan().await;
    let deleted = |kind| {
        let changes = plan.changes.iter();
        changes.filter(|it| it.address.kind == kind && it.action == Action::Delete).count()
    };
    assert_eq!((deleted(Kind::Worker), deleted(Kind::RouterHost)), (2, 1), "{}", summary(&plan));
    let sites = plan.changes.iter().filter(|it| it.address.name == "attic-router");
    assert!(
        sites.into_iter().all(|it| it.address.site.to_string() == "attic"),
        "{}",
        summary(&plan)
    );
    let observer = Observer::of(&edited);
    apply_allowing_loss(&edited).await;
    for worker in ["attic-a", "attic-b"] {
        assert_order(
            &observer,
            &[
                &["PATCH", "/nodes/", worker],
                &["reset on", worker],
                &["DELETE", "/nodes/", worker],
                &["remove on attic-router"],
                &["DELETE", "/device/"],
            ],
        );
        assert_order(&observer, &[&["reset on", worker], &["PUT", "stargate-workers-rt"]]);
        assert_order(
            &observer,
            &[&["DELETE", "/nodes/", worker], &["PUT", "networkSecurityGroups"]],
        );
    }
    for host in ["attic-a", "attic-b", "attic-router"] {
        assert!(!is_configured(&edited, host), "{host}");
    }
    assert!(edited.plan().await.is_empty());
}

/// Without the records in the cluster the workers behind a removed router are unknown.
#[tokio::test(start_paused = true)]
async fn a_router_stays_while_its_workers_cannot_be_read() {
    let deployment = applied(62).await;
    deployment.inject("source-down".parse().unwrap(), Some("kubernetes"));
    let edited = deployment.edited(&without_attic());
    let plan = edited.plan().await;
    let deleted: Vec<String> = plan
        .changes
        .iter()
        .filter(|it| it.action == Action::Delete)
        .map(|it| it.address.to_string())
        .collect();
    assert_eq!(deleted, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_datacenter_of_vms_drains_its_workers_first() {
    let deployment = applied(52).await;
    let edited = deployment.edited(&without_cloud());
    let observer = Observer::of(&edited);
    apply_allowing_loss(&edited).await;
    for worker in ["cloud-a", "cloud-b"] {
        assert_order(
            &observer,
            &[
                &["PATCH", "/nodes/", worker],
                &["DELETE", "/nodes/", worker],
                &["DELETE", "/device/"],
                &["DELETE", "virtualMachines/cloud-router"],
            ],
        );
        assert_order(
            &observer,
            &[&["DELETE", "/nodes/", worker], &["DELETE", "virtualMachines/", worker]],
        );
    }
    assert!(edited.plan().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_moves_to_another_datacenter_leaves_first() {
    // From a VM to a VM of another datacenter is the same as from a VM to a machine that existed.
    let moved = without(TWO_DATACENTERS, CLOUD_B)
        + "\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\nip = \"10.60.1.9\"\n\
           mac = \"52:54:00:00:00:09\"\n";
    let deployment = applied(53).await;
    let edited = deployment.edited(&moved);
    let plan = edited.plan().await;
    let worker = plan.changes.iter().find(|it| it.address.to_string() == "worker/attic/cloud-b");
    assert_eq!(worker.map(|it| it.action), Some(Action::Replace), "{}", summary(&plan));
    let observer = Observer::of(&edited);
    apply_allowing_loss(&edited).await;
    assert_order(
        &observer,
        &[
            &["PATCH", "/nodes/cloud-b"],
            &["reset on cloud-b"],
            &["DELETE", "/nodes/cloud-b"],
            &["start on cloud-b"],
            &["DELETE", "virtualMachines/cloud-b"],
        ],
    );
}

/// From a machine that existed to a VM: the machine is reset through its own router.
#[tokio::test(start_paused = true)]
async fn a_worker_that_moves_from_an_existing_machine_leaves_it_clean() {
    let moved = without(TWO_DATACENTERS, ATTIC_A).replace(
        CLOUD_B,
        &format!("{CLOUD_B}\n[[datacenters.cloud.workers]]\nname = \"attic-a\"\n"),
    );
    let deployment = applied(54).await;
    let edited = deployment.edited(&moved);
    let observer = Observer::of(&edited);
    apply_allowing_loss(&edited).await;
    assert_order(
        &observer,
        &[
            &["PATCH", "/nodes/attic-a"],
            &["reset on attic-a"],
            &["DELETE", "/nodes/attic-a"],
            &["kernel-routes on attic-router"],
        ],
    );
    let is_clean = edited.sandbox.read(|sandbox| {
        let mut hosts = sandbox.hosts.named("attic-a").map(|(_, host)| host);
        let old = hosts.find(|host| matches!(host.kind, HostKind::Existing { .. })).unwrap();
        old.worker.configuration.is_none() && old.our_routes().is_empty()
    });
    assert!(is_clean);
}

#[tokio::test(start_paused = true)]
async fn one_worker_leaves_before_its_routes_and_its_machine() {
    for (seed, part, worker) in [(55, CLOUD_B, "cloud-b"), (56, ATTIC_A, "attic-a")] {
        let deployment = applied(seed).await;
        let edited = deployment.edited(&without(TWO_DATACENTERS, part));
        let observer = Observer::of(&edited);
        apply_allowing_loss(&edited).await;
        assert_order(
            &observer,
            &[
                &["PATCH", "/nodes/", worker],
                &["reset on", worker],
                &["DELETE", "/nodes/", worker],
                &["kernel-routes on"],
            ],
        );
        if worker == "cloud-b" {
            assert_order(
                &observer,
                &[&["DELETE", "/nodes/", worker], &["DELETE", "virtualMachines/", worker]],
            );
        } else {
            assert!(!is_configured(&edited, worker));
        }
        assert!(edited.plan().await.is_empty());
    }
}

/// A datacenter under another name keeps its router, and its workers leave and join again.
#[tokio::test(start_paused = true)]
async fn a_renamed_datacenter_keeps_its_router() {
    let deployment = applied(61).await;
    let renamed = TWO_DATACENTERS.replace("datacenters.attic", "datacenters.loft");
    let edited = deployment.edited(&renamed);
    let observer = Observer::of(&edited);
    apply_allowing_loss(&edited).await;
    for worker in ["attic-a", "attic-b"] {
        assert_order(
            &observer,
            &[&["PATCH", "/nodes/", worker], &["reset on", worker], &["DELETE", "/nodes/", worker]],
        );
    }
    assert_eq!(observer.place(&["remove on attic-router"]), None);
    assert_eq!(observer.place(&["DELETE", "/device/"]), None);
    assert!(edited.refresh_and_plan(&RefreshOptions::deep()).await.plan.is_empty());
}

#[tokio::test(start_paused = true)]
async fn destroy_resets_every_host_before_its_router() {
    let deployment = applied(57).await;
    let observer = Observer::of(&deployment);
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Converged);
    for worker in ["attic-a", "attic-b"] {
        assert_order(
            &observer,
            &[
                &["PATCH", "/nodes/", worker],
                &["reset on", worker],
                &["remove on attic-router"],
                &["DELETE", "managedClusters/lab"],
            ],
        );
    }
    for host in ["attic-a", "attic-b", "attic-router"] {
        assert!(!is_configured(&deployment, host), "{host}");
    }
}

/// The API server does not answer: the Nodes and the state of the hosts are unknown.
#[tokio::test(start_paused = true)]
async fn destroy_without_the_api_server_deletes_nothing() {
    let deployment = applied(58).await;
    deployment.inject("source-down".parse().unwrap(), Some("kubernetes"));
    let writes = deployment.writes();
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(deployment.writes(), writes, "{:?}", applied.status);
    let ApplyStatus::Partial(_) = applied.status else { panic!("{:?}", applied.status) };
    let plan = applied.remaining.unwrap();
    let blocked = &plan.blocked[0].failure;
    assert_eq!(blocked.code, Code::SourceGap);
    assert!(blocked.message.contains("[datacenters.attic]"), "{}", blocked.message);
    deployment.inject("source-down".parse().unwrap(), Some("none"));
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", failures(&applied));
    assert!(!is_configured(&deployment, "attic-a"));
}

/// The cluster is gone, with every Node: the hosts are reset all the same.
#[tokio::test(start_paused = true)]
async fn destroy_resets_the_hosts_of_a_cluster_that_is_gone() {
    let deployment = applied(59).await;
    let cluster = deployment.plan().await.desired().iter().find_map(|it| {
        let key = it.key.clone().filter(|_| it.address.kind == Kind::ManagedCluster)?;
        match key {
            stargate::resource::ObjectKey::Azure(id) => Some(id),
            _ => None,
        }
    });
    let cluster = cluster.unwrap();
    let precondition = stargate::provider::azure::client::Precondition::None;
    deployment.clients.azure.delete(&cluster, precondition).await.unwrap();
    assert!(is_configured(&deployment, "attic-a"));
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    let workers = plan.changes.iter().filter(|it| it.address.kind == Kind::Worker).count();
    assert_eq!(workers, 2, "{}", summary(&plan));
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?} {left}", failures(&applied));
    for host in ["attic-a", "attic-b", "attic-router"] {
        assert!(!is_configured(&deployment, host), "{host}");
    }
}

/// A router that cannot be reached keeps its device: without it the hosts behind it could not be
/// reset any more.
#[tokio::test(start_paused = true)]
async fn destroy_does_not_claim_to_have_cleaned_unreachable_hosts() {
    let deployment = applied(60).await;
    deployment.inject("router-offline".parse().unwrap(), Some("attic-router"));
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_ne!(applied.status, ApplyStatus::Converged);
    assert!(is_configured(&deployment, "attic-a") && is_configured(&deployment, "attic-router"));
    let has_device = deployment
        .sandbox
        .read(|sandbox| sandbox.tailnet.devices().any(|device| device.hostname == "attic-router"));
    assert!(has_device);
    deployment.sandbox.change(|sandbox, _| {
        sandbox.hosts.get_mut("attic-router").unwrap().powered_on = true;
    });
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", failures(&applied));
    for host in ["attic-a", "attic-b", "attic-router"] {
        assert!(!is_configured(&deployment, host), "{host}");
    }
}

/// A worker whose move is blocked keeps its machine, its routes and its Node.
async fn assert_stays(edited: &Deployment, worker: &str) {
    let before = edited.sandbox.read(|sandbox| {
        let host = sandbox.hosts.get(worker).cloned();
        serde_json::to_value(host).unwrap()
    });
    let observer = Observer::of(edited);
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let plan = edited.refresh_and_plan(&options).await.plan;
    assert!(plan.blocked.iter().any(|it| it.address.kind == Kind::Worker), "{}", summary(&plan));
    edited.apply(&options).await;
    let deletes: Vec<String> = observer
        .calls()
        .into_iter()
        .filter(|it| it.contains("DELETE") && !it.contains("leases"))
        .collect();
    assert_eq!(deletes, Vec::<String>::new(), "{}", summary(&plan));
    let after = edited
        .sandbox
        .read(|sandbox| serde_json::to_value(sandbox.hosts.get(worker).cloned()).unwrap());
    assert_eq!(before["worker"], after["worker"], "{worker}");
    assert_eq!(edited.plan().await.reachability.lost, 0);
}

const MOVED_CLOUD_B: &str = "\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\n\
                             ip = \"10.60.1.9\"\nmac = \"52:54:00:00:00:09\"\n";

#[tokio::test(start_paused = true)]
async fn a_worker_that_may_not_arrive_does_not_leave() {
    let deployment = applied(71).await;
    let moved = without(TWO_DATACENTERS, CLOUD_B) + MOVED_CLOUD_B + "protect = true\n";
    assert_stays(&deployment.edited(&moved), "cloud-b").await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_a_protected_datacenter_does_not_move() {
    let deployment = applied(72).await;
    let protected = TWO_DATACENTERS.replace(ATTIC, &format!("{ATTIC}protect = true\n"));
    let arrives = "\n[[datacenters.cloud.workers]]\nname = \"attic-a\"\n";
    let text = without(&protected, ATTIC_A).replacen(ATTIC, &format!("{arrives}\n{ATTIC}"), 1);
    assert_stays(&deployment.edited(&text), "attic-a").await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_of_a_protected_datacenter_of_vms_does_not_move() {
    let deployment = applied(73).await;
    let cloud = "[datacenters.cloud]\n";
    let protected = TWO_DATACENTERS.replace(cloud, &format!("{cloud}protect = true\n"));
    let text = without(&protected, CLOUD_B) + MOVED_CLOUD_B;
    assert_stays(&deployment.edited(&text), "cloud-b").await;
}
