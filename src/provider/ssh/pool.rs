//! One connection per host, shared by all commands.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::{BoxFuture, Shared, join_all};
use tokio::time::Instant;

use super::Shell;
use super::command::{RemoteCommand, RemoteOutput};
use super::connection::Connection;
use super::error::SshError;
use super::execute::{ExecuteError, execute};
use super::identity::KeyFile;
use super::settings::SshSettings;
use crate::provider::host::HostTarget;

/// A connection, or a pending one that all callers wait for.
type Slot = Shared<BoxFuture<'static, Result<Arc<Connection>, SshError>>>;

/// Runs commands on hosts over SSH; see the module's documentation. Clones are cheap and share
/// their connections.
#[derive(Debug, Clone)]
pub struct SshShell {
    pool: Arc<Pool>,
}

#[derive(Debug)]
struct Pool {
    settings: SshSettings,
    key_files: Vec<KeyFile>,
    slots: Mutex<HashMap<HostTarget, Slot>>,
}

/// Why a connection attempt failed.
enum Attempt {
    /// The existing connection to the jump host turned out to be dead.
    StaleJump(SshError),
    /// Another reason.
    Failed(SshError),
}

impl Attempt {
    fn error(self) -> SshError {
        match self {
            Self::StaleJump(error) | Self::Failed(error) => error,
        }
    }
}

impl SshShell {
    /// A shell without connections.
    pub fn new(settings: SshSettings) -> Self {
        let key_files = settings.key_files.iter().cloned().map(KeyFile::new).collect();
        let slots = Mutex::default();
        Self { pool: Arc::new(Pool { settings, key_files, slots }) }
    }

    /// The number of connections.
    pub fn connections(&self) -> usize {
        self.pool.locked().values().filter(|slot| is_open(slot)).count()
    }
}

fn is_open(slot: &Slot) -> bool {
    matches!(slot.peek(), Some(Ok(connection)) if connection.is_open())
}

impl Pool {
    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<HostTarget, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to a host, opened if necessary.
    fn connection(self: &Arc<Self>, target: &HostTarget) -> Slot {
        let idle = self.settings.idle;
        let mut slots = self.locked();
        slots.retain(|_, slot| is_reusable(slot, idle));
        if let Some(slot) = slots.get(target) {
            return slot.clone();
        }
        let (pool, desired) = (Arc::clone(self), target.clone());
        // In a separate task: the first caller may be cancelled while others still wait.
        let made = tokio::spawn(async move { pool.make(&desired).await });
        let hostname = target.hostname.clone();
        let slot: Slot = made
            .map(move |made| {
                made.unwrap_or_else(|error| Err(SshError::lost(&hostname, error.to_string())))
            })
            .boxed()
            .shared();
        slots.insert(target.clone(), slot.clone());
        slot
    }

    async fn make(self: Arc<Self>, target: &HostTarget) -> Result<Arc<Connection>, SshError> {
        let began = Instant::now();
        let mut made = self.attempt(target).await;
        if let Err(Attempt::StaleJump(_)) = made {
            made = self.attempt(target).await;
        }
        let made = made.map_err(Attempt::error);
        tracing::debug!(
            host = %target.hostname,
            address = %target.address,
            milliseconds = milliseconds(began),
            error = made.as_ref().err().map(tracing::field::display),
            "connected"
        );
        made.map(Arc::new)
    }

    /// One connection attempt, through the jump host if there is one.
    async fn attempt(self: &Arc<Self>, target: &HostTarget) -> Result<Connection, Attempt> {
        let Self { settings, key_files, .. } = self.as_ref();
        let Some(jump) = target.jump.as_deref() else {
            let made = Connection::open(target, settings, key_files, None).await;
            return made.map_err(Attempt::Failed);
        };
        let through = self.connection(jump).await.map_err(|source| {
            let hostname = target.hostname.clone();
            Attempt::Failed(SshError::Jump { hostname, source: Box::new(source) })
        })?;
        let made = Connection::open(target, settings, key_files, Some(Arc::clone(&through))).await;
        made.map_err(|error| match through.is_open() {
            true => Attempt::Failed(error),
            false => Attempt::StaleJump(error),
        })
    }

    async fn run(
        self: &Arc<Self>,
        target: &HostTarget,
        command: &RemoteCommand,
    ) -> Result<RemoteOutput, SshError> {
        let prepared = command.prepare(&target.user).map_err(|source| SshError::Malformed {
            hostname: target.hostname.clone(),
            activity: command.label().to_owned(),
            source,
        })?;
        let mut again = true;
        loop {
            let connection = self.connection(target).await?;
            let within = self.settings.connect_within;
            let hostname = target.hostname.as_str();
            match execute(&connection, hostname, command, prepared.clone(), within).await {
                Ok(output) => return Ok(output),
                // A connection that turns out to be dead is opened again once: the host has not
                // received the command yet.
                Err(ExecuteError::NotSent(error)) if again => {
                    tracing::debug!(host = hostname, %error, "connects again");
                    connection.mark_dead();
                    again = false;
                }
                Err(ExecuteError::NotSent(error) | ExecuteError::Other(error)) => {
                    return Err(error);
                }
            }
        }
    }
}

/// Whether a connection is pending, or open and not idle. Failed ones are retried by the next
/// caller.
fn is_reusable(slot: &Slot, idle: Duration) -> bool {
    match slot.peek() {
        None => true,
        Some(Ok(connection)) => {
            // The slot holds one reference; each user holds another.
            let used = Arc::strong_count(connection) > 1 || connection.last_used().elapsed() < idle;
            connection.is_open() && used
        }
        Some(Err(_)) => false,
    }
}

fn milliseconds(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[async_trait]
impl Shell for SshShell {
    async fn run(
        &self,
        target: &HostTarget,
        command: &RemoteCommand,
    ) -> Result<RemoteOutput, SshError> {
        let began = Instant::now();
        let outcome = self.pool.run(target, command).await;
        tracing::debug!(
            host = %target.hostname,
            command = command.label(),
            milliseconds = milliseconds(began),
            exit = outcome.as_ref().ok().map(|output| tracing::field::display(&output.exit)),
            error = outcome.as_ref().err().map(tracing::field::display),
            "ran a command"
        );
        outcome
    }

    fn forget(&self, hostname: &str) {
        self.pool.locked().retain(|target, _| target.hostname != hostname);
    }

    async fn close(&self) {
        let slots: Vec<Slot> = self.pool.locked().drain().map(|(_, slot)| slot).collect();
        let open = slots.iter().filter_map(|slot| slot.peek()?.as_ref().ok().cloned());
        // Tunnelled connections are closed first, while their tunnels are open.
        let (behind, direct): (Vec<_>, Vec<_>) = open.partition(|one| one.is_tunnelled());
        for connections in [behind, direct] {
            join_all(connections.iter().map(|connection| connection.disconnect())).await;
        }
    }
}
