//! Objects and memory that must not grow, however long the watch runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::{LongRun, RunSettings};
use crate::harness::Deployment;
use crate::watch::footprint::kib;
use crate::watch::operations::{objects, operations};

/// How many finished Operations of one worker are kept, and those of the last hour.
const MAX_OPERATIONS: usize = 5;
/// In how many seconds after a disturbance each watch goes on.
const MAX_WATCH_DELAY: u64 = 120;
/// How many more sockets than at the start there may be: connections are kept for a while.
const MORE_SOCKETS: usize = 64;
/// How much more memory than at the start there may be, in KiB.
const MORE_MEMORY: u64 = 128 << 10;

/// The objects at a moment at which the watch is idle.
#[derive(Debug)]
pub(super) struct Census {
    /// Bootstrap tokens: each is deleted after its join.
    tokens: usize,
    /// Auth keys that can still be used.
    keys: usize,
    /// Devices of the tailnet.
    devices: usize,
    leases: Vec<String>,
    tasks: usize,
    sockets: usize,
    /// The memory of this process with the services, in KiB.
    memory: u64,
    /// All Operations.
    all_operations: usize,
    settings: RunSettings,
    /// Finished Operations of each server that are older than an hour.
    operations: BTreeMap<String, usize>,
}

impl Census {
    pub(super) fn of(run: &LongRun<'_>) -> Self {
        let deployment = run.deployment;
        let secrets = objects(deployment, "v1", "Secret");
        let is_token = |it: &&Value| it["type"] == "bootstrap.kubernetes.io/token";
        let (keys, devices) = deployment.sandbox.read(|sandbox| {
            let tailnet = serde_json::to_value(&sandbox.tailnet).unwrap();
            let keys = tailnet["keys"].as_object().unwrap().values();
            let now = deployment.sandbox.now();
            let is_usable = |key: &&Value| {
                let expires: jiff::Timestamp = key["expires"].as_str().unwrap().parse().unwrap();
                key["used"] == false && key["revoked"].is_null() && expires > now
            };
            (keys.filter(is_usable).count(), sandbox.tailnet.devices().count())
        });
        Self {
            tokens: secrets.iter().filter(is_token).count(),
            keys,
            devices,
            leases: leases(deployment),
            tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            sockets: sockets(),
            memory: kib("VmRSS:"),
            all_operations: operations(deployment).len(),
            settings: run.settings,
            operations: old_operations(deployment),
        }
    }

    pub(super) fn compare(&self, baseline: &Self, what: &str) {
        assert_eq!(self.tokens, 0, "{what}: bootstrap tokens");
        assert_eq!(self.keys, 0, "{what}: auth keys");
        assert_eq!(self.devices, baseline.devices, "{what}: devices");
        assert_eq!(self.leases, baseline.leases, "{what}: leases");
        let limit = baseline.tasks + self.settings.more_tasks;
        assert!(self.tasks <= limit, "{what}: {} tasks, {limit} at most", self.tasks);
        for (server, count) in &self.operations {
            assert!(*count <= MAX_OPERATIONS, "{what}: {count} Operations of {server}");
        }
        if !self.settings.is_alone {
            return;
        }
        let limit = baseline.sockets + MORE_SOCKETS;
        assert!(self.sockets <= limit, "{what}: {} sockets, {limit} at most", self.sockets);
        let limit = baseline.memory + MORE_MEMORY;
        assert!(self.memory <= limit, "{what}: {} KiB, {limit} at most", self.memory);
    }
}

impl std::fmt::Display for Census {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { tasks, sockets, memory, all_operations, tokens, keys, .. } = self;
        write!(
            formatter,
            "left: {all_operations} Operations, {tokens} tokens, {keys} keys, {tasks} tasks, \
             {sockets} sockets, {} MiB with the services",
            memory >> 10
        )
    }
}

/// The open sockets of this process.
fn sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let targets = files.filter_map(|it| std::fs::read_link(it.ok()?.path()).ok());
    targets.filter(|it| it.to_string_lossy().starts_with("socket:")).count()
}

/// Waits until the watches remember what there is and nothing else: after an outage each one
/// is repeated with increasing delays.
pub(super) async fn watches_are_complete(run: &LongRun<'_>, what: &str) {
    for _ in 0..MAX_WATCH_DELAY {
        if run.watchers.remembered() == watched(run.deployment) {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
    let (remembered, watched) = (run.watchers.remembered(), watched(run.deployment));
    panic!("{what}: the watches remember {remembered} of {watched} objects");
}

/// The names of stargate's Leases.
pub(super) fn leases(deployment: &Deployment) -> Vec<String> {
    let leases = objects(deployment, "coordination.k8s.io/v1", "Lease").into_iter();
    let names = leases.filter_map(|it| it["metadata"]["name"].as_str().map(str::to_owned));
    names.filter(|name| name.starts_with("stargate-")).collect()
}

/// How many objects the watches are about. Records of the command line are not remembered.
fn watched(deployment: &Deployment) -> usize {
    let count = |api_version, kind| objects(deployment, api_version, kind).len();
    let records = operations(deployment);
    let requests =
        records.iter().filter(|it| it["metadata"]["labels"]["stargate.io/origin"] != "record");
    count("v1", "Node")
        + count("acn.azure.com/v1alpha", "NodeNetworkConfig")
        + count("cilium.io/v2", "CiliumNode")
        + count("stargate.io/v1alpha1", "Server")
        + count("stargate.io/v1alpha1", "ProvisioningProfile")
        + count("stargate.io/v1alpha1", "Topology")
        + requests.count()
}

fn old_operations(deployment: &Deployment) -> BTreeMap<String, usize> {
    let now = deployment.sandbox.now();
    let mut counts = BTreeMap::new();
    for operation in operations(deployment) {
        let completed = operation["status"]["completionTime"].as_str().unwrap_or_default();
        let Ok(completed) = completed.parse::<jiff::Timestamp>() else { continue };
        // Those that are due are deleted by the next reconcile.
        let kept = jiff::SignedDuration::from_mins(60) + 3 * jiff::SignedDuration::from_mins(5);
        if now.duration_since(completed) > kept {
            let server = operation["spec"]["serverRef"]["name"].as_str().unwrap().to_owned();
            *counts.entry(server).or_default() += 1;
        }
    }
    counts
}
