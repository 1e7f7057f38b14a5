//! The host client of the lab: makes each change on the real host over SSH, and the same change on
//! the sandbox's emulated host.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use stargate::diagnostics::Failure;
use stargate::provider::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};
use stargate::sandbox::SharedSandbox;

/// Observes the work on hosts.
pub(crate) trait Watcher: Send + Sync {
    /// Called before anything is sent to a host.
    fn before(&self, _hostname: &str, _doing: &str) {}
    /// A router joined the tailnet with this address.
    fn joined(&self, hostname: &str, address: std::net::Ipv4Addr);
    /// The cluster issued this worker's certificate.
    fn certified(&self, hostname: &str);
}

/// The host client. Hosts outside of the lab exist only in the sandbox.
pub(crate) struct LabHosts {
    pub(crate) ssh: Arc<dyn HostWrite>,
    pub(crate) sandbox: SharedSandbox,
    pub(crate) hostnames: Vec<String>,
    pub(crate) watcher: Arc<dyn Watcher>,
    /// Steps whose result is preinstalled on the workers. Stargate does not run them, so the
    /// test applies them to the sandbox.
    pub(crate) preinstalled: Vec<WorkerStep>,
    /// Every key and token that was sent to a host.
    pub(crate) secrets: Arc<Mutex<BTreeSet<String>>>,
    /// The changes and steps on the lab's hosts, without probes.
    pub(crate) done: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for LabHosts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("LabHosts").finish_non_exhaustive()
    }
}

impl LabHosts {
    fn is_real(&self, target: &HostTarget) -> bool {
        self.hostnames.contains(&target.hostname)
    }

    fn note(&self, target: &HostTarget, activity: &str) {
        self.done.lock().unwrap().push(format!("{} {activity}", target.hostname));
    }
}

/// The name of a change or step, without its fields.
fn name_of(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    text.chars().take_while(|character| character.is_alphanumeric()).collect()
}

#[async_trait]
impl HostRead for LabHosts {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        if !self.is_real(target) {
            return self.sandbox.probe_router(target).await;
        }
        self.watcher.before(&target.hostname, "probe");
        self.ssh.probe_router(target).await
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        if !self.is_real(target) {
            return self.sandbox.probe_worker(target).await;
        }
        if self.sandbox.probe_worker(target).await.is_ok_and(|probe| probe.client_certificate) {
            self.watcher.certified(&target.hostname);
        }
        self.watcher.before(&target.hostname, "probe");
        self.ssh.probe_worker(target).await
    }

    async fn close(&self) {
        self.ssh.close().await;
    }
}

#[async_trait]
impl HostWrite for LabHosts {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        if self.is_real(target) {
            let activity = name_of(change);
            if let RouterChange::JoinTailnet { auth_key } = change {
                self.secrets.lock().unwrap().insert(auth_key.expose().to_owned());
            }
            self.watcher.before(&target.hostname, &activity);
            self.ssh.change_router(target, change).await?;
            self.note(target, &activity);
        }
        self.sandbox.change_router(target, change).await?;
        if self.is_real(target) && matches!(change, RouterChange::JoinTailnet { .. }) {
            let probe = self.sandbox.probe_router(target).await?;
            if let Some(address) = probe.tailscale.and_then(|tailscale| tailscale.address) {
                self.watcher.joined(&target.hostname, address);
            }
        }
        Ok(())
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        if self.is_real(target) {
            let activity = name_of(step);
            if let WorkerStep::BootstrapKubeconfig { token, .. } = step {
                // The part after the dot is the secret.
                let secret = token.expose().rsplit('.').next().unwrap_or_default();
                self.secrets.lock().unwrap().insert(secret.to_owned());
            }
            self.watcher.before(&target.hostname, &activity);
            self.ssh.apply_worker_step(target, step).await?;
            self.note(target, &activity);
        }
        if matches!(step, WorkerStep::Start) {
            for there in &self.preinstalled {
                self.sandbox.apply_worker_step(target, there).await?;
            }
        }
        self.sandbox.apply_worker_step(target, step).await
    }

    async fn host_recreated(&self, hostname: &str) -> Result<(), Failure> {
        self.ssh.host_recreated(hostname).await
    }
}
