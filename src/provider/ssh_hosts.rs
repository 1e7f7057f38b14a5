//! Hosts over SSH: each probe, change and step is a script that the host's shell runs and
//! whose output is parsed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::host::{
    HostError, HostRead, HostTarget, HostWrite, RouterChange, RouterProbe, WorkerProbe, WorkerStep,
};
use super::remote::{self, HostScript, MAX_OUTPUT, ProbeError};
use super::ssh::host_keys::KnownHostFiles;
use super::ssh::{RemoteCommand, RemoteOutput, Shell};
use crate::diagnostics::{Code, Failure};

/// How long a machine that was just made may take to boot and to accept SSH logins.
const BOOT_TIMEOUT: Duration = Duration::from_secs(300);
/// The pause before a machine that may be booting is tried again.
const BOOT_POLL: Duration = Duration::from_secs(3);
/// The maximum output of a script that reports nothing.
const SMALL_OUTPUT: usize = 256 * 1024;

/// The SSH client of real hosts.
#[derive(Debug)]
pub struct SshHosts {
    shell: Arc<dyn Shell>,
    topology: String,
    /// Where a first key was noted, if first keys are taken at all.
    recorded_keys: Option<KnownHostFiles>,
    /// Until when a machine that was made in this run may be booting.
    booting: Mutex<HashMap<String, Instant>>,
}

impl SshHosts {
    /// Work on the hosts of a topology by this shell.
    ///
    /// `recorded_keys` is the file where the shell records the first key of a host. stargate
    /// removes the record of a machine when it reprovisions it. `None` if keys must
    /// be known beforehand; no record is removed then.
    pub fn new(
        shell: Arc<dyn Shell>,
        topology: impl Into<String>,
        recorded_keys: Option<KnownHostFiles>,
    ) -> Self {
        Self { shell, topology: topology.into(), recorded_keys, booting: Mutex::default() }
    }

    fn booting(&self) -> std::sync::MutexGuard<'_, HashMap<String, Instant>> {
        self.booting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the host, or one on the way, was made a moment ago.
    fn may_be_booting(&self, target: &HostTarget) -> bool {
        let mut way = std::iter::successors(Some(target), |host| host.jump.as_deref());
        let booting = self.booting();
        let now = Instant::now();
        way.any(|host| booting.get(&host.hostname).is_some_and(|until| now < *until))
    }

    /// Runs a script that must succeed; waits for a machine that is booting.
    async fn run(
        &self,
        target: &HostTarget,
        script: HostScript,
        limit: usize,
    ) -> Result<RemoteOutput, HostError> {
        let command = command(script, limit);
        loop {
            let ran = self.shell.run(target, &command).await;
            let error = match ran {
                Ok(output) => {
                    self.booting().remove(&target.hostname);
                    return output.checked(target, &command).map_err(HostError::from);
                }
                Err(error) => HostError::from(error),
            };
            if !(is_boot_error(&error) && self.may_be_booting(target)) {
                return Err(error);
            }
            tracing::debug!(host = %target.hostname, %error, "it may still be booting");
            tokio::time::sleep(BOOT_POLL).await;
        }
    }

    async fn probe_host<T>(
        &self,
        target: &HostTarget,
        script: HostScript,
        parse: impl Fn(&str, &str) -> Result<T, ProbeError>,
    ) -> Result<T, HostError> {
        let activity = script.label;
        let output = self.run(target, script, MAX_OUTPUT).await?;
        parse(&target.hostname, &output.text()).map_err(|error| unusable(target, activity, error))
    }

    /// A script that changes a host, and only the one that is meant.
    async fn change(&self, target: &HostTarget, script: HostScript) -> Result<(), HostError> {
        let script = script.only_on(&target.hostname);
        self.run(target, script, SMALL_OUTPUT).await.map(drop)
    }
}

fn command(script: HostScript, limit: usize) -> RemoteCommand {
    let HostScript { label, script, stdin, timeout } = script;
    let command =
        RemoteCommand::script(label, script).as_root().within(timeout).output_limit(limit);
    match &stdin {
        Some(secret) => command.stdin_secret(secret),
        None => command,
    }
}

/// Whether an error is usual while a machine boots: its users come after its
/// network.
fn is_boot_error(error: &HostError) -> bool {
    matches!(
        error,
        HostError::Unreachable { .. } | HostError::Lost { .. } | HostError::LoginRefused { .. }
    )
}

fn unusable(target: &HostTarget, activity: &str, error: ProbeError) -> HostError {
    let hostname = target.hostname.clone();
    match error {
        ProbeError::OtherHost { found, .. } => {
            HostError::WrongHost { hostname, address: target.address.clone(), found }
        }
        other => HostError::failed(&hostname, activity, other.to_string()),
    }
}

#[async_trait]
impl HostRead for SshHosts {
    async fn probe_router(&self, target: &HostTarget) -> Result<RouterProbe, HostError> {
        self.probe_host(target, remote::router_probe(), remote::parse_router_probe).await
    }

    async fn probe_worker(&self, target: &HostTarget) -> Result<WorkerProbe, HostError> {
        self.probe_host(target, remote::worker_probe(), remote::parse_worker_probe).await
    }

    async fn close(&self) {
        self.shell.close().await;
    }
}

#[async_trait]
impl HostWrite for SshHosts {
    async fn change_router(
        &self,
        target: &HostTarget,
        change: &RouterChange,
    ) -> Result<(), HostError> {
        self.change(target, remote::router_change(&self.topology, change)).await
    }

    async fn apply_worker_step(
        &self,
        target: &HostTarget,
        step: &WorkerStep,
    ) -> Result<(), HostError> {
        self.change(target, remote::worker_step(&self.topology, step)).await
    }

    async fn host_recreated(&self, hostname: &str) -> Result<(), Failure> {
        self.booting().insert(hostname.to_owned(), Instant::now() + BOOT_TIMEOUT);
        self.shell.forget(hostname);
        let Some(recorded_keys) = &self.recorded_keys else { return Ok(()) };
        recorded_keys.forget(hostname).await.map_err(|error| {
            let file = recorded_keys.user.display();
            let message =
                format!("the SSH key of the former machine {hostname} stays in {file}: {error}");
            let remedy =
                format!("remove the line of {hostname} from {file} before the machine is joined");
            Failure::new(Code::HostKeyChanged, message, remedy)
        })
    }
}

#[cfg(test)]
mod tests;
