//! The host client of a lab whose cluster is emulated: routers are real, and each step of a worker
//! is made on the real host over SSH and on the sandbox's emulated one, whose kubelet joins.

use std::sync::Arc;

use async_trait::async_trait;
use stargate::diagnostics::Failure;
use stargate::provider::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};
use stargate::sandbox::SharedSandbox;
use stargate::topology::model::PackageSource;

use super::cloud::Cloud;
use super::host::KUBELET;

/// Emulates how the kubelet stores an issued certificate.
const STORE_CERTIFICATE: &str = "[ ! -f /var/lib/kubelet/kubeconfig ] || exit 0
    mkdir -p /var/lib/kubelet/pki; cd /var/lib/kubelet/pki
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
        -subj /O=system:nodes/CN=system:node -keyout key -out cert 2>/dev/null
    cat cert key >kubelet-client-current.pem
    echo kubeconfig >/var/lib/kubelet/kubeconfig";

/// The client.
pub(crate) struct Hosts {
    pub(crate) ssh: Arc<dyn HostWrite>,
    pub(crate) sandbox: SharedSandbox,
    pub(crate) cloud: Arc<Cloud>,
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Hosts").finish_non_exhaustive()
    }
}

impl Hosts {
    fn emulate(&self, target: &HostTarget, step: &WorkerStep) {
        self.sandbox.change(|sandbox, _| {
            let host = sandbox.hosts.get_mut(&target.hostname).unwrap();
            host.apply_worker_step(step).unwrap();
        });
    }
}

#[async_trait]
impl HostRead for Hosts {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        self.ssh.probe_router(target).await
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        let name = &target.hostname;
        let is_certified = self.sandbox.read(|sandbox| {
            sandbox.hosts.get(name).is_some_and(|host| host.probe_worker().client_certificate)
        });
        let machine = self.cloud.running().machine(name);
        if let Some(machine) = machine.filter(|_| is_certified) {
            machine.sh(STORE_CERTIFICATE);
        }
        self.ssh.probe_worker(target).await
    }

    async fn close(&self) {
        self.ssh.close().await;
    }
}

#[async_trait]
impl HostWrite for Hosts {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        self.ssh.change_router(target, change).await
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        self.ssh.apply_worker_step(target, step).await?;
        if matches!(step, WorkerStep::Start) {
            // What is preinstalled is no step of stargate.
            let source = PackageSource::Preinstalled;
            self.emulate(target, &WorkerStep::Kernel);
            self.emulate(target, &WorkerStep::ContainerRuntime(source));
            self.emulate(target, &WorkerStep::Kubelet(KUBELET.parse().unwrap(), source));
        }
        self.emulate(target, step);
        Ok(())
    }

    async fn host_recreated(&self, hostname: &str) -> Result<(), Failure> {
        self.ssh.host_recreated(hostname).await
    }
}
