//! Whether observations prove that a step is complete. Pure.

use std::collections::BTreeMap;

use super::error::{JoinCause, JoinError};
use super::step::JoinStep;
use super::{CNI_CONFIGURATION_NAME, WorkerSettings, kubelet_configuration};
use crate::desired::digest::text_digest;
use crate::provider::cluster::{KERNEL_ROUTES_ANNOTATION, NodeFacts, PROFILE_DIGEST_ANNOTATION};
use crate::provider::host::WorkerProbe;
use crate::resource::host::{JoinedWorker, KernelRoute};
use crate::resource::protection::PROTECT_ANNOTATION;
use crate::topology::model::PackageSource;
use crate::topology::version::KubernetesVersion;

/// Modules that a worker needs.
const MODULES: [&str; 2] = ["br_netfilter", "overlay"];
const ARCHITECTURES: [&str; 2] = ["aarch64", "x86_64"];

/// The observations that prove or disprove a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct StepEvidence<'a> {
    pub(super) desired: &'a JoinedWorker,
    pub(super) settings: &'a WorkerSettings,
    pub(super) probe: &'a WorkerProbe,
    pub(super) node: Option<&'a NodeFacts>,
    /// Whether something was changed since the kubelet was started.
    pub(super) restart: bool,
    /// Whether the kubelet was started in this run: earlier conditions of its Node are then
    /// obsolete.
    pub(super) started: bool,
    /// Whether a token of this run still lives.
    pub(super) token: bool,
}

impl StepEvidence<'_> {
    /// Whether the step needs no doing.
    pub(super) fn proves(&self, step: JoinStep) -> bool {
        let (probe, host, desired) = (self.probe, &self.probe.host, self.desired);
        match step {
            JoinStep::OperatingSystem => {
                probe.hostname == desired.name
                    && ARCHITECTURES.contains(&probe.architecture.as_str())
                    && !self.belongs_to_another_cluster()
            }
            JoinStep::StagePackages => self.has_packages(),
            JoinStep::KernelSettings => {
                host.ip_forwarding
                    && host.wrong_sysctls.is_empty()
                    && host.swap.is_empty()
                    && host.persistent
                    && MODULES.iter().all(|module| probe.modules.contains(*module))
            }
            JoinStep::KernelRoutes => {
                *host.kernel_routes == self.settings.kernel_routes && probe.routes_persistent
            }
            JoinStep::ContainerRuntime => probe.container_runtime_version.is_some(),
            JoinStep::Kubelet => probe.kubelet_version == Some(desired.kubelet_version),
            JoinStep::CniPlugins => probe.cni_plugins,
            JoinStep::ClusterCa => self.has_our_ca(),
            JoinStep::CniConfiguration => host.cni_configuration == Some(desired.pod_cidr),
            JoinStep::KubeletConfiguration => {
                let digest = kubelet_configuration(desired, self.settings).digest;
                probe.kubelet_configuration_digest == Some(digest)
            }
            JoinStep::BootstrapCredentials | JoinStep::ApproveCertificate => {
                probe.client_certificate
            }
            JoinStep::Start => self.runs_as_configured(),
            JoinStep::PodCidr => self.node.is_some_and(|node| {
                node.pod_cidr == Some(desired.pod_cidr)
                    && node.provider_id.as_ref() == Some(&desired.provider_id)
            }),
            JoinStep::NodeLabels => {
                self.node.is_some_and(|node| node.carries(&desired.labels, &desired.taints))
            }
            JoinStep::NodeReady => {
                !self.started && self.node_is_ready() && self.our_configuration_is_chosen()
            }
            JoinStep::RemoveToken => !self.token && !probe.bootstrap_kubeconfig,
            JoinStep::Stamp => self.is_stamped() && self.node_is_stamped(),
        }
    }

    /// Whether nothing is left to be downloaded: the packages are installed, or lie there.
    fn has_packages(&self) -> bool {
        let (probe, version) = (self.probe, Some(self.desired.kubelet_version));
        let is_installed = probe.container_runtime_version.is_some()
            && probe.kubelet_version == version
            && probe.cni_plugins;
        is_installed
            || probe.staged_packages == version
            || self.settings.packages == PackageSource::Preinstalled
    }

    fn has_our_ca(&self) -> bool {
        self.probe.cluster_ca_digest == Some(text_digest(&self.settings.cluster_ca_pem))
    }

    /// A certificate under another CA, of a host that the cluster does not know.
    fn belongs_to_another_cluster(&self) -> bool {
        self.probe.client_certificate
            && self.probe.cluster_ca_digest.is_some()
            && !self.has_our_ca()
            && self.node.is_none()
    }

    /// Only the stamp proves that a worker runs with the files on its disk: an interrupted
    /// join may have written files after the kubelet's last start. A deleted Node comes
    /// back only when the kubelet starts.
    fn runs_as_configured(&self) -> bool {
        let host = &self.probe.host;
        host.container_runtime_active
            && host.kubelet_active
            && self.is_stamped()
            && self.node.is_some()
            && !self.restart
    }

    pub(super) fn node_is_ready(&self) -> bool {
        self.node.is_some_and(|node| {
            let version = node.kubelet_version.parse::<KubernetesVersion>();
            node.ready && version == Ok(self.desired.kubelet_version)
        })
    }

    pub(super) fn our_configuration_is_chosen(&self) -> bool {
        self.probe.host.cni_chosen.as_deref() == Some(CNI_CONFIGURATION_NAME)
    }

    pub(super) fn is_stamped(&self) -> bool {
        self.probe.host.stamp.as_ref() == Some(&self.desired.profile_digest)
    }

    fn node_is_stamped(&self) -> bool {
        let empty = BTreeMap::new();
        let annotations = self.node.map_or(&empty, |node| &node.annotations);
        let routes = annotations.get(KERNEL_ROUTES_ANNOTATION).map_or("", String::as_str);
        annotations.get(PROFILE_DIGEST_ANNOTATION) == Some(&self.desired.profile_digest)
            && routes == self.desired.routes
            && annotations.get(PROTECT_ANNOTATION) == self.desired.protected_by.as_ref()
    }

    /// The error of a worker whose next hop is in none of its subnets: the kernel refuses
    /// such a route.
    pub(super) fn distant_router(&self) -> Option<JoinError> {
        let on_link = &self.probe.on_link;
        let hops = self.settings.kernel_routes.values().filter_map(|route| match route {
            KernelRoute::Via(hop) => Some(*hop),
            KernelRoute::Tunnel | KernelRoute::Unreachable => None,
        });
        let mut distant = hops.filter(|hop| !on_link.iter().any(|prefix| prefix.contains(hop)));
        let hop = distant.next().filter(|_| !on_link.is_empty())?;
        let segments: Vec<String> = on_link.iter().map(ToString::to_string).collect();
        Some(JoinError::new(
            JoinStep::KernelRoutes,
            &self.desired.name,
            JoinCause::NotProven,
            format!("the next hop {hop} is on none of its own segments ({})", segments.join(", ")),
            "set `gateway` of the worker to the gateway on its segment that leads to the router",
        ))
    }

    /// Whether the host is another one than is meant.
    pub(super) fn wrong_host(&self) -> JoinError {
        let (name, probe) = (&self.desired.name, self.probe);
        let step = JoinStep::OperatingSystem;
        let (reason, remedy) = if probe.hostname != *name {
            (format!("the host has the name {}", probe.hostname), step.remedy())
        } else if self.belongs_to_another_cluster() {
            (
                "its kubelet has a certificate of another cluster".to_owned(),
                "remove it from that cluster, or run `stargate repave`, which resets the host first",
            )
        } else {
            (format!("its architecture is {}", probe.architecture), step.remedy())
        };
        JoinError::new(step, name, JoinCause::WrongHost, reason, remedy)
    }
}

/// Refuses a Node with another pod CIDR or provider ID: both can be set once only.
pub(super) fn check_set_once(
    desired: &JoinedWorker,
    node: Option<&NodeFacts>,
) -> Result<(), JoinError> {
    let Some(node) = node else { return Ok(()) };
    let pod_cidr = node.pod_cidr.filter(|pod_cidr| *pod_cidr != desired.pod_cidr);
    let provider_id =
        node.provider_id.as_ref().filter(|id| !id.is_empty() && **id != desired.provider_id);
    let reason = match (pod_cidr, provider_id) {
        (None, None) => return Ok(()),
        (Some(pod_cidr), _) => {
            format!(
                "its Node has the pod CIDR {pod_cidr}, but the topology has {}",
                desired.pod_cidr
            )
        }
        (None, Some(id)) => {
            format!(
                "its Node has the provider ID {id}, but the topology has {}",
                desired.provider_id
            )
        }
    };
    Err(JoinError::new(
        JoinStep::PodCidr,
        &desired.name,
        JoinCause::MustBeReplaced,
        reason,
        "run `stargate repave`: Kubernetes does not change this value, so the Node must be replaced",
    ))
}
