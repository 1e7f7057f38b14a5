//! Bootstrap steps of a worker.

use sha2::{Digest, Sha256};

use super::{BootstrapFile, CNI_FILE, EmulatedHost, KubeletFile, WORKER_MODULES, WorkerState};
use crate::provider::host::{KubeletConfiguration, WorkerStep};

/// The version of containerd in the sandbox's package archive.
const CONTAINERD: &str = "1.7.34";

impl EmulatedHost {
    /// Applies a step. The error says why the step failed.
    pub fn apply_worker_step(&mut self, step: &WorkerStep) -> Result<(), String> {
        self.work_milliseconds += self.step_milliseconds(step);
        let worker = &mut self.worker;
        match step {
            WorkerStep::Kernel => {
                self.kernel.swap_off = true;
                self.kernel.wrong_sysctls.clear();
                self.kernel.persistent = true;
                self.kernel.ip_forwarding = true;
                self.kernel.modules.extend(WORKER_MODULES.map(str::to_owned));
            }
            WorkerStep::KernelRoutes(routes) => match self.refuses(routes) {
                Some(reason) => return Err(reason),
                None => self.set_our_routes(routes),
            },
            WorkerStep::StagePackages(version, _) => worker.staged_packages = Some(*version),
            WorkerStep::ContainerRuntime(_) => {
                worker.container_runtime = Some(CONTAINERD.to_owned());
            }
            WorkerStep::Kubelet(version, _) => {
                worker.kubelet = Some(*version);
                if worker.cni_plugins {
                    worker.staged_packages = None;
                }
            }
            WorkerStep::CniPlugins(_) => {
                worker.cni_plugins = true;
                worker.staged_packages = None;
            }
            WorkerStep::ClusterCa { pem } => worker.cluster_ca_digest = Some(digest(pem)),
            WorkerStep::BootstrapKubeconfig { server, token } => {
                let (server, token) = (server.clone(), token.expose().to_owned());
                worker.bootstrap = Some(BootstrapFile { server, token });
            }
            WorkerStep::KubeletConfiguration(expected) => {
                worker.configuration = Some(KubeletFile::from(expected));
            }
            WorkerStep::CniConfiguration { subnet } => {
                worker.cni_files.insert(CNI_FILE.to_owned(), *subnet);
            }
            WorkerStep::Start => self.start()?,
            WorkerStep::RemoveBootstrapKubeconfig => worker.bootstrap = None,
            WorkerStep::Stamp { digest } => worker.stamp = Some(digest.clone()),
            WorkerStep::Reboot { from_boot } => {
                if *from_boot == self.boot_id() {
                    self.reboot();
                }
            }
            WorkerStep::Reset => {
                *worker = WorkerState::default();
                self.set_our_routes(&std::collections::BTreeMap::new());
                self.kernel.persistent = false;
            }
        }
        Ok(())
    }

    /// How long a step takes, in milliseconds: as on real hosts, with packages from a
    /// nearby mirror, which take most of it.
    pub fn step_milliseconds(&self, step: &WorkerStep) -> u64 {
        let is_staged = self.worker.staged_packages.is_some();
        match step {
            WorkerStep::StagePackages(..) => 57_000,
            WorkerStep::ContainerRuntime(_) if is_staged => 6_000,
            WorkerStep::Kubelet(..) if is_staged => 4_000,
            WorkerStep::CniPlugins(_) if is_staged => 1_000,
            WorkerStep::ContainerRuntime(_) => 40_000,
            WorkerStep::Kubelet(..) => 20_000,
            WorkerStep::CniPlugins(_) => 8_000,
            WorkerStep::Start => 5_000,
            WorkerStep::Reset => 10_000,
            WorkerStep::Reboot { .. } => 60_000,
            _ => 500,
        }
    }

    fn start(&mut self) -> Result<(), String> {
        let worker = &mut self.worker;
        if worker.container_runtime.is_none() {
            return Err("Failed to start containerd.service: Unit not found".to_owned());
        }
        worker.container_runtime_active = true;
        if worker.kubelet.is_none() || worker.configuration.is_none() {
            return Err("Failed to start kubelet.service: Unit not found".to_owned());
        }
        if !self.kernel.swap_off {
            return Err("kubelet: running with swap on is not supported".to_owned());
        }
        worker.kubelet_active = true;
        // A start makes a new request, in case the last one was denied or lost.
        worker.request = None;
        worker.registered = false;
        Ok(())
    }
}

impl From<&KubeletConfiguration> for KubeletFile {
    fn from(expected: &KubeletConfiguration) -> Self {
        Self {
            node_name: expected.node_name.clone(),
            node_ip: expected.node_ip,
            cluster_dns: expected.cluster_dns,
            labels: expected.labels.clone(),
            taints: expected.taints.clone(),
            provider_id: expected.provider_id.clone(),
            max_pods: expected.max_pods,
            digest: expected.digest.clone(),
        }
    }
}

/// The SHA-256 digest of a text, in hexadecimal.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The name of a step, for logs and fault injection.
pub fn step_name(step: &WorkerStep) -> &'static str {
    match step {
        WorkerStep::Kernel => "kernel",
        WorkerStep::KernelRoutes(_) => "kernel-routes",
        WorkerStep::StagePackages(..) => "stage-packages",
        WorkerStep::ContainerRuntime(_) => "container-runtime",
        WorkerStep::Kubelet(..) => "kubelet",
        WorkerStep::CniPlugins(_) => "cni-plugins",
        WorkerStep::ClusterCa { .. } => "cluster-ca",
        WorkerStep::BootstrapKubeconfig { .. } => "bootstrap-kubeconfig",
        WorkerStep::KubeletConfiguration(_) => "kubelet-configuration",
        WorkerStep::CniConfiguration { .. } => "cni-configuration",
        WorkerStep::Start => "start",
        WorkerStep::RemoveBootstrapKubeconfig => "remove-bootstrap-kubeconfig",
        WorkerStep::Stamp { .. } => "stamp",
        WorkerStep::Reset => "reset",
        WorkerStep::Reboot { .. } => "reboot",
    }
}
