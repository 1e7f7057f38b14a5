use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use super::fake_host::FakeHost;
use super::*;
use crate::desired::labels::{MANAGED_LABEL, provider_id};
use crate::provider::cluster::fake::FakeServer;
use crate::provider::cluster::{ClusterClient, PROFILE_DIGEST_ANNOTATION};
use crate::resource::Observable;
use crate::topology::model::{HostKeyPolicy, PackageSource};
use crate::topology::names::{DatacenterName, WorkerName};

const NODE: &str = "/api/v1/nodes/dc1-w1";
const SERVER: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/servers/dc1-w1";

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn target() -> HostTarget {
    HostTarget {
        hostname: "dc1-w1".to_owned(),
        address: Ipv4Addr::new(10, 50, 0, 11).into(),
        port: 22,
        user: "ubuntu".to_owned(),
        jump: None,
        host_key: None,
        host_keys: HostKeyPolicy::AcceptNew,
    }
}

fn desired() -> JoinedWorker {
    JoinedWorker {
        name: "dc1-w1".to_owned(),
        ip: Ipv4Addr::new(10, 50, 0, 11),
        pod_cidr: "10.244.200.0/24".parse().unwrap(),
        provider_id: provider_id(&DatacenterName::new("dc1"), &WorkerName::new("dc1-w1")),
        labels: BTreeMap::from([(MANAGED_LABEL.to_owned(), "false".to_owned())]).into(),
        taints: BTreeSet::from(["site=dc1:NoSchedule".to_owned()]).into(),
        kubelet_version: "1.33.5".parse().unwrap(),
        profile_digest: "digest-1".to_owned(),
        routes: String::new(),
        ready: true,
        cordoned_for_work: false,
        host: Observable::unobserved(),
        protected_by: None,
    }
}

fn context<'a>(host: &'a FakeHost, cluster: &'a ClusterClient) -> JoinContext<'a> {
    JoinContext {
        hosts: host,
        cluster,
        target: target(),
        desired: desired(),
        settings: WorkerSettings {
            cluster_ca_pem: "a CA".to_owned(),
            api_server: "https://cluster.example:443".to_owned(),
            cluster_dns: Ipv4Addr::new(10, 0, 0, 10),
            max_pods: 250,
            packages: PackageSource::Upstream,
            kernel_routes: BTreeMap::new(),
        },
        profile: ProfileName::new("default"),
        operation: OperationKind::Join,
        request: None,
        drain_within: None,
        continues: None,
        now: &now,
    }
}

fn join_setup() -> (FakeServer, FakeHost, ClusterClient) {
    let server = FakeServer::default();
    server.put(SERVER, serde_json::json!({ "metadata": { "name": "dc1-w1" } }));
    let host = FakeHost::new(server.clone());
    let client = server.client();
    (server, host, client)
}

fn tokens(server: &FakeServer) -> usize {
    let objects = server.0.lock().unwrap();
    objects.by_path.keys().filter(|path| path.contains("/bootstrap-token-")).count()
}

fn operation_phase(server: &FakeServer) -> String {
    let path = "/apis/stargate.io/v1alpha1/namespaces/stargate/operations/\
                dc1-w1-join-20260101-000000";
    server.get(path).unwrap()["status"]["phase"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_new_worker_joins_and_joining_again_does_nothing() {
    let (server, host, client) = join_setup();
    let context = context(&host, &client);
    let warnings = Mutex::new(Vec::new());
    let progress = |event| {
        if let StepEvent::Warning(text) = event {
            warnings.lock().unwrap().push(text);
        }
    };
    let report = join(&context, &progress).await.unwrap();
    assert_eq!(*warnings.lock().unwrap(), Vec::<String>::new());
    let done: Vec<_> = JoinStep::ALL
        .into_iter()
        .filter(|step| !matches!(step, JoinStep::OperatingSystem | JoinStep::KernelRoutes))
        .collect();
    assert_eq!(report.applied, done);
    let node = server.get(NODE).unwrap();
    assert_eq!(node["spec"]["podCIDR"], "10.244.200.0/24");
    assert_eq!(node["spec"]["providerID"], "stargate:///dc1/dc1-w1");
    assert_eq!(node["spec"]["taints"][0]["key"], "site");
    assert_eq!(node["metadata"]["annotations"][PROFILE_DIGEST_ANNOTATION], "digest-1");
    assert_eq!(tokens(&server), 0);
    assert_eq!(operation_phase(&server), "Succeeded");
    assert_eq!(server.get(SERVER).unwrap()["status"]["state"], "ready");
    let steps = host.take_steps();
    let place = |name| steps.iter().position(|step| *step == name);
    assert!(place("cni") < place("start"), "the CNI configuration is there before the start");

    server.0.lock().unwrap().requests.clear();
    assert_eq!(join(&context, &progress).await.unwrap().applied, []);
    assert!(host.take_steps().is_empty());
    assert_eq!(server.0.lock().unwrap().requests, [format!("GET {NODE}")]);
}

#[tokio::test(start_paused = true)]
async fn packages_are_downloaded_ahead_of_a_join_once() {
    let (server, host, client) = join_setup();
    let context = context(&host, &client);
    stage_packages(&context, &|_| {}).await.unwrap();
    assert_eq!(host.take_steps(), ["stage"]);
    assert_eq!((server.get(NODE), tokens(&server)), (None, 0));
    stage_packages(&context, &|_| {}).await.unwrap();
    assert!(host.take_steps().is_empty(), "they are there");
    join(&context, &|_| {}).await.unwrap();
    assert!(!host.take_steps().contains(&"stage"));
    stage_packages(&context, &|_| {}).await.unwrap();
    assert!(host.take_steps().is_empty(), "they are installed");
}

#[tokio::test(start_paused = true)]
async fn packages_are_downloaded_before_a_worker_is_drained() {
    let (server, host, client) = join_setup();
    join(&context(&host, &client), &|_| {}).await.unwrap();
    host.take_steps();
    let mut upgrade = context(&host, &client);
    upgrade.desired.kubelet_version = "1.33.8".parse().unwrap();
    upgrade.drain_within = Some(Duration::from_secs(60));
    let cordoned = Mutex::new(Vec::new());
    let progress = |event| {
        if event == StepEvent::StepCompleted(JoinStep::StagePackages) {
            let node = server.get(NODE).unwrap();
            cordoned.lock().unwrap().push(node["spec"]["unschedulable"] == true);
        }
    };
    join(&upgrade, &progress).await.unwrap();
    assert_eq!(*cordoned.lock().unwrap(), [false]);
    assert_eq!(host.take_steps()[..2], ["stage", "kubelet"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_downloaded_to_another_host_or_one_with_preinstalled_packages() {
    let (_, host, client) = join_setup();
    let mut context = context(&host, &client);
    context.settings.packages = PackageSource::Preinstalled;
    stage_packages(&context, &|_| {}).await.unwrap();
    context.settings.packages = PackageSource::Upstream;
    host.state.lock().unwrap().probe.hostname = "another-host".to_owned();
    let error = stage_packages(&context, &|_| {}).await.unwrap_err();
    assert_eq!(error.cause, JoinCause::WrongHost);
    assert!(host.take_steps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_join_continues_where_it_stopped() {
    for (fails, expected) in [
        ("runtime", vec!["runtime", "kubelet"]),
        ("configuration", vec!["configuration", "bootstrap-kubeconfig", "start"]),
        ("start", vec!["bootstrap-kubeconfig", "start"]),
        ("stamp", vec!["start", "stamp"]),
    ] {
        let (server, host, client) = join_setup();
        let context = context(&host, &client);
        host.state.lock().unwrap().fail = Some(fails);
        let error = join(&context, &|_| {}).await.unwrap_err();
        assert!(matches!(error.cause, JoinCause::Host(_)), "{error:?}");
        assert_eq!(tokens(&server), 0, "{fails}: a token is left");
        assert_eq!(operation_phase(&server), "Failed");
        host.state.lock().unwrap().fail = None;
        host.take_steps();
        join(&context, &|_| {}).await.unwrap();
        let steps = host.take_steps();
        assert_eq!(steps[..expected.len()], expected, "{fails}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_for_another_name_is_refused_and_the_token_deleted() {
    let (server, host, client) = join_setup();
    host.state.lock().unwrap().requested_name = "system:node:dc1-w2";
    let error = join(&context(&host, &client), &|_| {}).await.unwrap_err();
    assert!(matches!(error.cause, JoinCause::Refused(_)), "{error:?}");
    assert_eq!(error.step, JoinStep::ApproveCertificate);
    assert_eq!(tokens(&server), 0);
    assert!(!host.state.lock().unwrap().probe.bootstrap_kubeconfig);
    let status = server.get(SERVER).unwrap()["status"].clone();
    assert_eq!(status["state"], "error");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_never_becomes_ready_is_reported_with_its_reason() {
    let (_, host, client) = join_setup();
    host.state.lock().unwrap().ready = false;
    let before = tokio::time::Instant::now();
    let error = join(&context(&host, &client), &|_| {}).await.unwrap_err();
    assert_eq!((error.step, &error.cause), (JoinStep::NodeReady, &JoinCause::TimedOut));
    assert!(error.failure.message.contains("no Cilium"), "{}", error.failure.message);
    assert!(before.elapsed() >= Duration::from_secs(300));
}

#[tokio::test(start_paused = true)]
async fn a_node_with_another_pod_cidr_must_be_replaced() {
    let (server, host, client) = join_setup();
    let node = serde_json::json!({
        "metadata": { "name": "dc1-w1" }, "spec": { "podCIDR": "10.244.7.0/24" },
    });
    server.put(NODE, node);
    let error = join(&context(&host, &client), &|_| {}).await.unwrap_err();
    assert_eq!(error.cause, JoinCause::MustBeReplaced);
    assert!(host.take_steps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_host_is_not_changed() {
    let (_, host, client) = join_setup();
    host.state.lock().unwrap().probe.hostname = "another-host".to_owned();
    let error = join(&context(&host, &client), &|_| {}).await.unwrap_err();
    assert_eq!(error.cause, JoinCause::WrongHost);
    assert!(host.take_steps().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_machine_can_leave() {
    let (server, host, client) = join_setup();
    join(&context(&host, &client), &|_| {}).await.unwrap();
    let leaving = |retention| LeaveContext {
        hosts: &host,
        cluster: &client,
        worker: WorkerName::new("dc1-w1"),
        target: Some(target()),
        retention,
        drain_within: Duration::from_secs(60),
        comes_back: None,
        now: &now,
    };
    host.state.lock().unwrap().unreachable = true;
    let error = leave(&leaving(HostRetention::Retained), &|_| {}).await.unwrap_err();
    assert!(error.failure.remedy.contains("SSH"), "{error:?}");
    assert!(server.get(NODE).is_some(), "a host that still runs would register again");
    let report = leave(&leaving(HostRetention::Deleted), &|_| {}).await.unwrap();
    assert_eq!((report.reset, report.warnings.len()), (false, 1));
    assert!(server.get(NODE).is_none());
    host.state.lock().unwrap().unreachable = false;
    let report = leave(&leaving(HostRetention::Retained), &|_| {}).await.unwrap();
    assert!(report.reset, "leaving twice is leaving once");
}

fn rebooting<'a>(host: &'a FakeHost, client: &'a ClusterClient) -> RebootContext<'a> {
    RebootContext {
        hosts: host,
        cluster: client,
        target: target(),
        worker: WorkerName::new("dc1-w1"),
        profile: ProfileName::new("default"),
        kubelet: desired().kubelet_version,
        request: None,
        drain_within: Duration::from_secs(60),
        now: &now,
    }
}

#[tokio::test(start_paused = true)]
async fn a_reboot_is_over_when_the_new_boot_is_ready() {
    let (server, host, client) = join_setup();
    join(&context(&host, &client), &|_| {}).await.unwrap();
    host.take_steps();
    let stages = Mutex::new(Vec::new());
    let progress = |event| {
        if let StepEvent::StageCompleted(stage) = event {
            stages.lock().unwrap().push(stage);
        }
    };
    reboot(&rebooting(&host, &client), &progress).await.unwrap();
    assert_eq!(host.take_steps(), ["reboot"]);
    let expected = [Stage::Cordon, Stage::Drain, Stage::Restart, Stage::Ready];
    assert_eq!(*stages.lock().unwrap(), expected);
    let node = server.get(NODE).unwrap();
    assert!(node["spec"]["unschedulable"].is_null(), "{node}");
    assert_eq!(server.get(SERVER).unwrap()["status"]["state"], "ready");
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_does_not_restart_is_reported_and_stays_cordoned() {
    let (server, host, client) = join_setup();
    join(&context(&host, &client), &|_| {}).await.unwrap();
    host.state.lock().unwrap().comes_back = false;
    let error = reboot(&rebooting(&host, &client), &|_| {}).await.unwrap_err();
    assert_eq!(error.stage, Stage::Restart);
    assert!(error.failure.message.contains("does not answer after 15 minutes"), "{error}");
    assert_eq!(server.get(NODE).unwrap()["spec"]["unschedulable"], true);
    assert_eq!(server.get(SERVER).unwrap()["status"]["state"], "error");
}
