//! `examples/aks-e2e` applied in the lab: Azure and the cluster are the sandbox's, the tailnet and
//! all hosts are real.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stargate::connectivity::MeasurementComparison;
use stargate::inventory::{GoldpingerPod, Measurement, PingFailure, PingResult};
use stargate::pipeline::Planned;
use stargate::plan::impact::{IntermediateState, path_model};
use stargate::provider::retry::RetryingHosts;
use stargate::sandbox::SandboxState;

use super::cloud::{Cloud, add_pod};
use super::control_server::{ADDRESS, ControlServer};
use super::harness::{Deployment, EXAMPLE, RefreshOptions, failures, summary};
use super::host::Image;
use super::hosts::Hosts;
use super::isolation::say;
use super::machine::{ip, run};
use super::namespaces::run_isolated;
use super::operator::Operator;
use super::packets::{End, Passed};
use super::programs::Programs;
use super::remote;
use super::trust::Authority;

/// The lab of a deployment.
struct Lab {
    folder: PathBuf,
    deployment: Deployment,
    cloud: Arc<Cloud>,
    control: ControlServer,
    _operator: Operator,
}

impl Lab {
    fn new(folder: &Path, programs: &Programs) -> Self {
        let authority = Authority::new(folder);
        // Public addresses of Azure are on the link to the internet.
        ip(&format!(
            "link set lo up
             link add internet type bridge
             link set internet up
             address add {ADDRESS}/24 dev internet
             route add 20.0.0.0/8 dev internet"
        ));
        let text = EXAMPLE.replace(
            "container_runtime = \"containerd\"",
            "container_runtime = \"containerd\"\npackages = \"preinstalled\"",
        );
        let mut deployment = Deployment::of(&text, SandboxState::new(1));
        let tag = deployment.topology.tailnet.tag.as_str().to_owned();
        let control = ControlServer::start(folder, programs, &authority, &tag);
        let operator = Operator::join(folder, programs, &authority);
        let key = folder.join("key");
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        let public = key.with_extension("pub");
        deployment.public_key = std::fs::read_to_string(&public).unwrap().trim().to_owned();
        let image = Image {
            folder: folder.join("hosts"),
            tools: programs.stand_ins(folder),
            key: public,
            authority: authority.certificate,
        };
        let sandbox = deployment.sandbox.clone();
        let cloud = Arc::new(Cloud::follow(sandbox.clone(), image));
        let ssh = remote::client(folder, &key, deployment.topology.name.as_str());
        let hosts = Hosts { ssh, sandbox, cloud: Arc::clone(&cloud) };
        deployment.clients.hosts = Arc::new(RetryingHosts::new(Arc::new(hosts)));
        deployment.clients.tailnet = Arc::new(control.client());
        let folder = folder.to_owned();
        Self { folder, deployment, cloud, control, _operator: operator }
    }

    /// The ends that stand for pods, one on each node. Workers get theirs as soon as they are
    /// joined, as from the container runtime.
    fn pods(&self) -> Vec<End> {
        let mut running = self.cloud.running();
        for worker in &self.deployment.topology.datacenters[0].workers {
            let name = worker.name.as_str();
            let pods = running.pods.entry(name.to_owned());
            pods.or_insert_with(|| add_pod(name, worker.pod_cidr.unwrap()));
        }
        running.pods.values().cloned().collect()
    }

    /// Sends packets between all ordered pairs of pods, and prints what passes.
    fn measure(&self, expected: Passed) -> Vec<(End, End, Passed)> {
        let pods = self.pods();
        let _listeners: Vec<_> = pods.iter().map(|pod| pod.listen(&self.folder)).collect();
        let mut measured = Vec::new();
        for from in &pods {
            for to in pods.iter().filter(|to| *to != from) {
                let (passed, after) = from.send_until(to, expected);
                let seconds = after.as_secs_f64();
                say(&format!("  {} → {}: {passed} ({seconds:.1} s)", from.name, to.name));
                measured.push((from.clone(), to.clone(), passed));
            }
        }
        measured
    }

    /// Compares measurements with the model of what stargate reads.
    fn compare(&self, planned: &Planned, measured: &[(End, End, Passed)]) -> MeasurementComparison {
        let paths = planned.paths(&self.deployment.topology);
        let model = path_model(paths, &IntermediateState::Observed);
        let result = |passed: &Passed| match passed.echo && passed.stream {
            true => PingResult::Reached,
            false => PingResult::Failed(PingFailure::TimedOut),
        };
        let pings = measured.iter().map(|(from, to, passed)| {
            ((from.address.parse().unwrap(), to.address.parse().unwrap()), result(passed))
        });
        let measurement = Measurement {
            requested: "lab".to_owned(),
            port: 8080,
            pods: self.pods().iter().map(pod_of).collect(),
            pings: pings.collect::<BTreeMap<_, _>>(),
            silent: BTreeSet::new(),
            oldest: None,
        };
        measurement.compare(&model)
    }
}

#[test]
#[ignore = "needs root: tests/lab/run"]
fn the_example_is_applied() {
    run_isolated(async |folder, programs| {
        let begun = Instant::now();
        let lab = Lab::new(folder, programs);
        say(&format!("the tailnet is ready after {:.1} s", begun.elapsed().as_secs_f64()));
        converges(&lab).await;
        say(&format!("applied after {:.1} s", begun.elapsed().as_secs_f64()));
        everything_passes(&lab).await;
        say(&format!("measured after {:.1} s", begun.elapsed().as_secs_f64()));
        nothing_is_left_to_do(&lab).await;
        destroyed(&lab).await;
        say(&format!("destroyed after {:.1} s", begun.elapsed().as_secs_f64()));
    });
}

async fn converges(lab: &Lab) {
    let applied = lab.deployment.apply(&RefreshOptions::default()).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    let failed = failures(&applied).join("\n");
    assert!(failed.is_empty() && left.is_empty(), "{failed}\n{left}");
}

/// Every pod reaches every other, as the model says.
async fn everything_passes(lab: &Lab) {
    let measured = lab.measure(Passed::ALL);
    let pairs = measured.len();
    let planned = lab.deployment.refresh_and_plan(&RefreshOptions::deep()).await;
    let found = lab.compare(&planned, &measured);
    say(&format!("{pairs} pairs, {} of them reached by packets and by the model", found.reached));
    assert_eq!((pairs, found.reached), (12, 12), "{:?}", found.differences);
    assert!(!found.is_broken(), "{found:?}");
}

/// A second apply changes nothing.
async fn nothing_is_left_to_do(lab: &Lab) {
    let plan = lab.deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", summary(&plan));
    let writes = lab.deployment.writes();
    converges(lab).await;
    assert_eq!(lab.deployment.writes(), writes);
}

/// A destroy leaves no host, network or device.
async fn destroyed(lab: &Lab) {
    let applied = lab.deployment.apply(&RefreshOptions::destroying()).await;
    assert!(failures(&applied).is_empty(), "{}", failures(&applied).join("\n"));
    let is_removed = || lab.cloud.running().counts() == (0, 0, 0);
    for _ in 0..100 {
        if is_removed() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(is_removed(), "{:?}", lab.cloud.running().counts());
    let devices = lab.control.client().devices().await.unwrap();
    let names: Vec<&str> = devices.iter().map(|device| device.hostname.as_str()).collect();
    assert_eq!(names, ["operator"]);
    assert_eq!(run(&["ip", "netns", "list"]), "");
}

fn pod_of(end: &End) -> GoldpingerPod {
    GoldpingerPod {
        namespace: "lab".to_owned(),
        name: end.name.clone(),
        node: end.name.trim_end_matches("-pod").to_owned(),
        address: end.address.parse().ok(),
        port: 8080,
        ready: true,
    }
}
