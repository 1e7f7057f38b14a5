//! The steps of a join, in their order.

use std::fmt;

/// One step of a join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JoinStep {
    /// The host has the expected name and a supported architecture.
    OperatingSystem,
    /// The packages that are missing are on disk, ready to be installed. It disturbs
    /// nothing, so it is also done ahead of a worker's turn.
    StagePackages,
    /// Swap off, modules and sysctls.
    KernelSettings,
    /// Routes through the datacenter's router.
    KernelRoutes,
    /// containerd.
    ContainerRuntime,
    /// The kubelet at exactly its version.
    Kubelet,
    /// The CNI plugins.
    CniPlugins,
    /// The cluster's CA.
    ClusterCa,
    /// Our CNI configuration, there before the kubelet starts.
    CniConfiguration,
    /// The kubelet's configuration and unit.
    KubeletConfiguration,
    /// A bootstrap token, where the kubelet has no certificate yet.
    BootstrapCredentials,
    /// containerd and the kubelet run with all of the above.
    Start,
    /// The kubelet's certificate request is approved.
    ApproveCertificate,
    /// The Node has its pod CIDR and its provider id.
    PodCidr,
    /// The Node has its labels and taints.
    NodeLabels,
    /// The Node is Ready, and the runtime chose our CNI configuration.
    NodeReady,
    /// No token and no bootstrap kubeconfig is left.
    RemoveToken,
    /// Host and Node record the digest of the applied profile.
    Stamp,
}

impl JoinStep {
    /// Every step, in order.
    pub const ALL: [Self; 18] = [
        Self::OperatingSystem,
        Self::StagePackages,
        Self::KernelSettings,
        Self::KernelRoutes,
        Self::ContainerRuntime,
        Self::Kubelet,
        Self::CniPlugins,
        Self::ClusterCa,
        Self::CniConfiguration,
        Self::KubeletConfiguration,
        Self::BootstrapCredentials,
        Self::Start,
        Self::ApproveCertificate,
        Self::PodCidr,
        Self::NodeLabels,
        Self::NodeReady,
        Self::RemoveToken,
        Self::Stamp,
    ];

    /// The steps that come before a drain, and before a worker's turn: they disturb nothing.
    pub(super) const AHEAD: [Self; 2] = [Self::OperatingSystem, Self::StagePackages];

    /// The step as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OperatingSystem => "operating system",
            Self::StagePackages => "package download",
            Self::KernelSettings => "kernel settings",
            Self::KernelRoutes => "kernel routes",
            Self::ContainerRuntime => "container runtime",
            Self::Kubelet => "kubelet",
            Self::CniPlugins => "CNI plugins",
            Self::ClusterCa => "cluster CA",
            Self::CniConfiguration => "CNI configuration",
            Self::KubeletConfiguration => "kubelet configuration",
            Self::BootstrapCredentials => "bootstrap credentials",
            Self::Start => "start",
            Self::ApproveCertificate => "certificate",
            Self::PodCidr => "pod CIDR",
            Self::NodeLabels => "node labels",
            Self::NodeReady => "node ready",
            Self::RemoveToken => "token removal",
            Self::Stamp => "stamp",
        }
    }

    /// The remedy if the step failed.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::OperatingSystem => {
                "correct the worker's address or host name in the topology, and check that it runs \
                 a 64-bit Linux (`uname -m`)"
            }
            Self::KernelSettings => {
                "check that the kernel has the modules overlay and br_netfilter (`modinfo`), and \
                 what enables swap (`swapon --show`, /etc/fstab)"
            }
            Self::KernelRoutes => "check `ip route` on the worker for routes of another program",
            Self::StagePackages | Self::ContainerRuntime | Self::Kubelet | Self::CniPlugins => {
                "check that the worker reaches the package sources (DNS, egress, proxy) and has \
                 free disk space"
            }
            Self::ClusterCa | Self::CniConfiguration | Self::KubeletConfiguration => {
                "check that the login user may use sudo and that the disk is writable"
            }
            Self::BootstrapCredentials => {
                "check `kubectl auth can-i create secrets -n kube-system`"
            }
            Self::Start => "look at `journalctl -u kubelet -u containerd` on the worker",
            Self::ApproveCertificate => {
                "look at `journalctl -u kubelet` on the worker: the worker must reach the API \
                 server, and its clock must be right (`timedatectl`)"
            }
            Self::PodCidr => {
                "look at `journalctl -u kubelet` on the worker: the API server may have refused its \
                 registration"
            }
            Self::NodeLabels => {
                "check that no admission webhook refuses labels of the Node: `kubectl get \
                 validatingwebhookconfigurations`"
            }
            Self::NodeReady => {
                "look at the conditions of the Node with `kubectl describe node`, and at the \
                 worker's Cilium pod"
            }
            Self::RemoveToken => {
                "check `kubectl auth can-i delete secrets -n kube-system`; the token expires within \
                 an hour"
            }
            Self::Stamp => "run `stargate apply` again",
        }
    }

    /// Whether it may take long enough to be written into the worker's record.
    pub(super) fn takes_long(self) -> bool {
        matches!(
            self,
            Self::StagePackages
                | Self::ContainerRuntime
                | Self::Kubelet
                | Self::CniPlugins
                | Self::Start
                | Self::ApproveCertificate
                | Self::NodeReady
        )
    }

    /// Whether containerd and the kubelet must be restarted after this step.
    pub(super) fn needs_restart(self) -> bool {
        matches!(
            self,
            Self::ContainerRuntime
                | Self::Kubelet
                | Self::ClusterCa
                | Self::CniConfiguration
                | Self::KubeletConfiguration
                | Self::BootstrapCredentials
        )
    }
}

impl fmt::Display for JoinStep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A stage of a leave or a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// New pods are not scheduled.
    Cordon,
    /// Its pods are evicted.
    Drain,
    /// Everything that stargate installed on the host is removed.
    Reset,
    /// Its Node is deleted.
    Removal,
    /// The machine restarts.
    Restart,
    /// Its Node is Ready again.
    Ready,
    /// New pods are scheduled again.
    Uncordon,
}

impl Stage {
    /// The stage as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cordon => "cordon",
            Self::Drain => "drain",
            Self::Reset => "reset",
            Self::Removal => "removal of the Node",
            Self::Restart => "restart",
            Self::Ready => "node ready",
            Self::Uncordon => "uncordon",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The progress of work on a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEvent {
    /// The step is in effect already, as its probe verified.
    StepVerified(JoinStep),
    /// The step begins.
    StepStarted(JoinStep),
    /// The step was executed and verified.
    StepCompleted(JoinStep),
    /// A stage other than a join begins.
    StageStarted(Stage),
    /// A stage other than a join was completed.
    StageCompleted(Stage),
    /// Something failed that does not stop the work.
    Warning(String),
}
