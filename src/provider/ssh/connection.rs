//! One connection to one host.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::Msg;
use russh::client::{self, Config, Handle};
use russh::{ChannelStream, Disconnect, Preferred};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::authenticate::Login;
use super::dial::dial;
use super::error::SshError;
use super::handler::{Client, ClientError, Ending, told};
use super::host_keys::Judge;
use super::identity::KeyFile;
use super::settings::SshSettings;
use crate::provider::host::HostTarget;

/// Signs of life that may stay without an answer.
const SILENT_KEEPALIVES: usize = 3;
/// Messages of a channel that may wait to be read. Above it the connection
/// stands still; and since the connection to a worker is a channel of the one to
/// its router, each could then wait for the other for ever.
const WAITING_MESSAGES: usize = 16 * 1024;
/// How long a connection may be silent before it ends by itself. It is for those
/// that hang before the login, when no sign of life is asked for and nobody may
/// be waiting any more; somebody may be typing a passphrase.
const ABANDONED: Duration = Duration::from_secs(150);
/// How long it may take to say goodbye.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);
/// What a host may send before it is told that it was read, in bytes.
const WINDOW: u32 = 1024 * 1024;

/// A connection that is logged in.
pub(super) struct Connection {
    handle: Handle<Client>,
    ending: Ending,
    /// One permit for each command that may run at once.
    sessions: Arc<Semaphore>,
    width: AtomicUsize,
    used: Mutex<Instant>,
    broken: AtomicBool,
    /// What this connection runs through lives as long as it does.
    jump: Option<Arc<Connection>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.is_open();
        formatter.debug_struct("Connection").field("open", &open).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and logs in, through another host where there is one.
    pub(super) async fn open(
        target: &HostTarget,
        settings: &SshSettings,
        key_files: &[KeyFile],
        jump: Option<Arc<Self>>,
    ) -> Result<Self, SshError> {
        let judge = Judge::of(target, &settings.known_hosts).await?;
        let config = Arc::new(config(settings, &judge)?);
        let ending = Ending::default();
        let client = Client { judge, ending: ending.clone() };
        let made = async {
            match &jump {
                None => handshake(target, config, dial(target, settings).await?, client).await,
                Some(jump) => {
                    let stream = jump.forward(target).await?;
                    handshake(target, config, stream, client).await
                }
            }
        };
        let mut handle = match tokio::time::timeout(settings.connect_within, made).await {
            Ok(made) => made?,
            Err(_) => {
                let seconds = settings.connect_within.as_secs_f32();
                let reason = format!("it did not answer within {seconds} s");
                return Err(SshError::unreachable(target, reason));
            }
        };
        let login = Login {
            handle: &mut handle,
            target,
            settings,
            key_files,
            ending: &ending,
            tried: Vec::new(),
            offered: BTreeSet::new(),
        };
        login.log_in().await?;
        Ok(Self {
            handle,
            ending,
            sessions: Arc::new(Semaphore::new(settings.sessions.max(1))),
            width: AtomicUsize::new(settings.sessions.max(1)),
            used: Mutex::new(Instant::now()),
            broken: AtomicBool::new(false),
            jump,
        })
    }

    /// A stream to the next host of the way.
    async fn forward(&self, target: &HostTarget) -> Result<ChannelStream<Msg>, SshError> {
        self.touch();
        let address = target.address.to_string();
        let asked =
            self.handle.channel_open_direct_tcpip(address, target.port.into(), "127.0.0.1", 0);
        match asked.await {
            Ok(channel) => Ok(channel.into_stream()),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                let told = match reason {
                    russh::ChannelOpenFailure::ConnectFailed => "does not reach it".to_owned(),
                    russh::ChannelOpenFailure::AdministrativelyProhibited => {
                        "does not forward to it (AllowTcpForwarding)".to_owned()
                    }
                    other => format!("does not forward to it: {other:?}"),
                };
                Err(SshError::unreachable(target, format!("the host on the way {told}")))
            }
            Err(error) => {
                self.give_up();
                let reason = format!("the connection to the host on the way broke: {error}");
                Err(SshError::unreachable(target, reason))
            }
        }
    }

    /// Whether commands can be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.handle.is_closed() && !self.broken.load(Ordering::Acquire)
    }

    /// Takes the connection for dead, whatever the network says.
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether it runs through the connection to another host.
    pub(super) fn is_behind_another(&self) -> bool {
        self.jump.is_some()
    }

    /// Tells the host that this is the end; one that no longer listens is left.
    pub(super) async fn hang_up(&self) {
        self.give_up();
        let told = self.handle.disconnect(Disconnect::ByApplication, "", "");
        if let Ok(Err(error)) = tokio::time::timeout(HANG_UP_WITHIN, told).await {
            tracing::debug!(%error, "the host had hung up already");
        }
    }

    /// Notes that it is in use.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When it was used last.
    pub(super) fn last_used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it ended.
    pub(super) fn ending(&self) -> String {
        self.ending.reason().unwrap_or_else(|| "it hung up".to_owned())
    }

    /// The protocol's side of it.
    pub(super) fn handle(&self) -> &Handle<Client> {
        &self.handle
    }

    /// Waits until one more command may run.
    pub(super) async fn session(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sessions).acquire_owned().await.ok()
    }

    /// Runs fewer commands at once from now on, since the host took no more.
    /// Gives back the permit if it was the last one.
    pub(super) fn narrow(&self, permit: OwnedSemaphorePermit) -> Option<OwnedSemaphorePermit> {
        let narrowed = self.width.fetch_update(Ordering::AcqRel, Ordering::Acquire, |width| {
            (width > 1).then(|| width - 1)
        });
        match narrowed {
            Ok(_) => {
                permit.forget();
                None
            }
            Err(_) => Some(permit),
        }
    }
}

fn config(settings: &SshSettings, judge: &Judge) -> Result<Config, SshError> {
    Ok(Config {
        preferred: Preferred { key: judge.algorithms()?.into(), ..Preferred::DEFAULT },
        window_size: WINDOW,
        channel_buffer_size: WAITING_MESSAGES,
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: SILENT_KEEPALIVES,
        inactivity_timeout: Some(ABANDONED.max(settings.keepalive.saturating_mul(2))),
        ..Config::default()
    })
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    target: &HostTarget,
    config: Arc<Config>,
    stream: S,
    client: Client,
) -> Result<Handle<Client>, SshError> {
    client::connect_stream(config, stream, client).await.map_err(|error| match error {
        ClientError::HostKey(error) => SshError::HostKey(error),
        error @ ClientError::Protocol(_) => SshError::unreachable(target, told(&error)),
    })
}
