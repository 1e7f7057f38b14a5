//! The scripts for workers.

mod cni;
mod containerd;
mod kubelet;
pub(super) mod probe;
mod script_base;

use std::time::Duration;

use script_base::{FOLDER, begin, packages};

use super::files;
use super::script::{HostScript, Script};
use crate::provider::host::WorkerStep;
use crate::resource::settings::PackageSource;
use crate::resource::version::KubernetesVersion;

pub use cni::{CNI_FILE, CniRelease};

const UNIT: &str = "stargate-worker.service";
const SYSCTL_FILE: &str = "/etc/sysctl.d/zz-stargate-worker.conf";
const MODULES_FILE: &str = "/etc/modules-load.d/stargate.conf";

/// The fingerprint of the key that signs the packages of pkgs.k8s.io, the same for
/// every minor version.
const KUBERNETES_KEY: &str = "DE15B14486CD377B9E876E1A234654DA9A296436";

/// The modules that a worker needs, for `modules-load.d`.
const MODULES: &str = "overlay\nbr_netfilter\n";

/// The worker's sysctls: forwarding between pods, the values that the kubelet's
/// `protectKernelDefaults` requires, and limits for the watches of many pods. The path filter is
/// off because Cilium sets it per interface, and `all` would take precedence.
const SYSCTLS: &str = "net.ipv4.ip_forward = 1\n\
    net.ipv4.conf.all.rp_filter = 0\n\
    net.bridge.bridge-nf-call-iptables = 1\n\
    vm.overcommit_memory = 1\n\
    vm.panic_on_oom = 0\n\
    kernel.panic = 10\n\
    kernel.panic_on_oops = 1\n\
    kernel.keys.root_maxkeys = 1000000\n\
    kernel.keys.root_maxbytes = 25000000\n\
    fs.inotify.max_user_watches = 1048576\n\
    fs.inotify.max_user_instances = 1024\n";

/// The unit that restores sysctls and routes after a boot, and turns swap off.
fn unit() -> String {
    files::unit(FOLDER, "multi-user.target")
}

/// The script for a bootstrap step.
pub(super) fn step(topology: &str, step: &WorkerStep) -> HostScript {
    match step {
        WorkerStep::Kernel => kernel_files(begin("set up the kernel", topology))
            .with_unit((UNIT, &unit()))
            .value("modules", MODULES)
            .value("sysctls", SYSCTLS)
            .build(include_str!("../sh/worker_kernel.sh")),
        WorkerStep::KernelRoutes(routes) => {
            Script::change("set the worker's kernel routes", topology)
                .with_apply(FOLDER, (UNIT, &unit()), "routes")
                .value("file", &format!("{FOLDER}/routes"))
                .value("content", &files::routes(routes))
                .build(include_str!("../sh/settings.sh"))
        }
        WorkerStep::StagePackages(version, source) => stage_packages(topology, *version, *source),
        WorkerStep::ContainerRuntime(source) => {
            packages(begin("install containerd", topology), *source)
                .value("config_1", containerd::VERSION_1)
                .value("config_2", containerd::VERSION_2)
                .build(include_str!("../sh/worker_containerd.sh"))
        }
        WorkerStep::Kubelet(version, source) => install_kubelet(topology, *version, *source),
        WorkerStep::CniPlugins(source) => CniRelease::pinned().install(topology, *source),
        WorkerStep::ClusterCa { pem } => {
            write_file(topology, "write the cluster's CA", &format!("{FOLDER}/ca.crt"), pem)
        }
        WorkerStep::BootstrapKubeconfig { server, token } => {
            begin("write the bootstrap kubeconfig", topology)
                .with_stdin(kubelet::bootstrap_kubeconfig(server, token))
                .build(include_str!("../sh/worker_bootstrap.sh"))
        }
        WorkerStep::KubeletConfiguration(desired) => kubelet::configure(topology, desired),
        WorkerStep::CniConfiguration { subnet } => {
            let file = format!("/etc/cni/net.d/{CNI_FILE}");
            write_file(topology, "write the CNI configuration", &file, &cni::conflist(*subnet))
        }
        WorkerStep::Start => begin("start containerd and the kubelet", topology)
            .with_timeout(Duration::from_secs(180))
            .build(include_str!("../sh/worker_start.sh")),
        WorkerStep::RemoveBootstrapKubeconfig => begin("remove the bootstrap kubeconfig", topology)
            .build(include_str!("../sh/worker_forget.sh")),
        WorkerStep::Stamp { digest } => {
            let content = format!("{}\n{digest}\n", files::header(topology));
            write_file(topology, "write the stamp", &format!("{FOLDER}/stamp"), &content)
        }
        WorkerStep::Reboot { from_boot } => begin("reboot the worker", topology)
            .value("from_boot", from_boot)
            .build(include_str!("../sh/worker_reboot.sh")),
        WorkerStep::Reset => kernel_files(begin("reset the worker", topology))
            .with_packages()
            .value("cni_file", CNI_FILE)
            .build(include_str!("../sh/worker_reset.sh")),
    }
}

fn kernel_files(script: Script) -> Script {
    script.value("modules_file", MODULES_FILE).value("sysctl_file", SYSCTL_FILE)
}

fn write_file(topology: &str, label: &'static str, file: &str, content: &str) -> HostScript {
    begin(label, topology)
        .value("mode", "0644")
        .value("file", file)
        .value("content", content)
        .build(include_str!("../sh/worker_file.sh"))
}

/// Installs exactly this version. A preinstalled one is accepted as it is.
fn install_kubelet(
    topology: &str,
    version: KubernetesVersion,
    source: PackageSource,
) -> HostScript {
    packages(begin("install the kubelet", topology), source)
        .value("version", &version.to_string())
        .value("source", &kubelet_source(version))
        .value("key_fingerprint", KUBERNETES_KEY)
        .build(include_str!("../sh/worker_kubelet.sh"))
}

/// Downloads the packages that a worker lacks, and installs nothing: nothing restarts.
fn stage_packages(topology: &str, version: KubernetesVersion, source: PackageSource) -> HostScript {
    let script = packages(begin("download the worker's packages", topology), source)
        .value("kubelet", &version.to_string())
        .value("kubelet_source", &kubelet_source(version))
        .value("key_fingerprint", KUBERNETES_KEY);
    CniRelease::pinned().values(script).build(include_str!("../sh/worker_stage.sh"))
}

fn kubelet_source(KubernetesVersion { major, minor, .. }: KubernetesVersion) -> String {
    format!("https://pkgs.k8s.io/core:/stable:/v{major}.{minor}/deb")
}

#[cfg(test)]
mod tests;
