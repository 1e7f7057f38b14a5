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
use super::handler::{Client, ClientError, ConnectionEnd, protocol_message};
use super::host_keys::HostKeyVerifier;
use super::identity::KeyFile;
use super::settings::SshSettings;
use crate::provider::host::HostTarget;

/// The number of keepalives that may stay unanswered.
const MAX_UNANSWERED_KEEPALIVES: usize = 3;
/// The number of unread messages in a channel. Above it the connection blocks. Because the
/// connection to a worker is a channel of its router's connection, a lower limit could cause a
/// deadlock of the two.
const CHANNEL_BUFFER_MESSAGES: usize = 16 * 1024;
/// How long a connection may be silent before it is closed. This covers hosts that hang before the
/// login, when there are no keepalives. It allows time for typing a passphrase.
const INACTIVITY_TIMEOUT: Duration = Duration::from_secs(150);
/// The timeout of a disconnect.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The window size in bytes: how much a host may send before it waits for an acknowledgement.
const WINDOW_BYTES: u32 = 1024 * 1024;

/// An authenticated connection.
pub(super) struct Connection {
    handle: Handle<Client>,
    ending: ConnectionEnd,
    /// One permit for each command that may run concurrently.
    sessions: Arc<Semaphore>,
    width: AtomicUsize,
    used: Mutex<Instant>,
    broken: AtomicBool,
    /// The connection that this one is tunnelled through. It must live as long.
    jump: Option<Arc<Connection>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let open = self.is_open();
        formatter.debug_struct("Connection").field("open", &open).finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects and logs in, through a jump host if there is one.
    pub(super) async fn open(
        target: &HostTarget,
        settings: &SshSettings,
        key_files: &[KeyFile],
        jump: Option<Arc<Self>>,
    ) -> Result<Self, SshError> {
        let verifier = HostKeyVerifier::of(target, &settings.known_hosts).await?;
        let config = Arc::new(config(settings, &verifier)?);
        let ending = ConnectionEnd::default();
        let client = Client { verifier, ending: ending.clone() };
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

    /// Opens a stream to the next host.
    async fn forward(&self, target: &HostTarget) -> Result<ChannelStream<Msg>, SshError> {
        self.touch();
        let address = target.address.to_string();
        let requested =
            self.handle.channel_open_direct_tcpip(address, target.port.into(), "127.0.0.1", 0);
        match requested.await {
            Ok(channel) => Ok(channel.into_stream()),
            Err(russh::Error::ChannelOpenFailure(reason)) => {
                let protocol_message = match reason {
                    russh::ChannelOpenFailure::ConnectFailed => "does not reach it".to_owned(),
                    russh::ChannelOpenFailure::AdministrativelyProhibited => {
                        "does not forward to it (AllowTcpForwarding)".to_owned()
                    }
                    other => format!("does not forward to it: {other:?}"),
                };
                Err(SshError::unreachable(target, format!("the jump host {protocol_message}")))
            }
            Err(error) => {
                self.mark_dead();
                let reason = format!("the connection to the jump host broke: {error}");
                Err(SshError::unreachable(target, reason))
            }
        }
    }

    /// Whether commands can be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.handle.is_closed() && !self.broken.load(Ordering::Acquire)
    }

    /// Marks the connection as dead.
    pub(super) fn mark_dead(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether it is tunnelled through another connection.
    pub(super) fn is_tunnelled(&self) -> bool {
        self.jump.is_some()
    }

    /// Disconnects. An unresponsive host is abandoned after a timeout.
    pub(super) async fn disconnect(&self) {
        self.mark_dead();
        let protocol_message = self.handle.disconnect(Disconnect::ByApplication, "", "");
        if let Ok(Err(error)) = tokio::time::timeout(DISCONNECT_TIMEOUT, protocol_message).await {
            tracing::debug!(%error, "the host had already closed the connection");
        }
    }

    /// Records that it is in use.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The time of its last use.
    pub(super) fn last_used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it ended.
    pub(super) fn ending(&self) -> String {
        self.ending.reason().unwrap_or_else(|| "it closed the connection".to_owned())
    }

    /// The protocol handle.
    pub(super) fn handle(&self) -> &Handle<Client> {
        &self.handle
    }

    /// Waits for a permit to run one more command.
    pub(super) async fn session(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sessions).acquire_owned().await.ok()
    }

    /// Lowers the number of concurrent commands, because the host refused one. Returns the permit
    /// if it was the last one.
    pub(super) fn lower_session_limit(
        &self,
        permit: OwnedSemaphorePermit,
    ) -> Option<OwnedSemaphorePermit> {
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

fn config(settings: &SshSettings, verifier: &HostKeyVerifier) -> Result<Config, SshError> {
    Ok(Config {
        preferred: Preferred { key: verifier.algorithms()?.into(), ..Preferred::DEFAULT },
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_BUFFER_MESSAGES,
        keepalive_interval: Some(settings.keepalive),
        keepalive_max: MAX_UNANSWERED_KEEPALIVES,
        inactivity_timeout: Some(INACTIVITY_TIMEOUT.max(settings.keepalive.saturating_mul(2))),
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
        error @ ClientError::Protocol(_) => SshError::unreachable(target, protocol_message(&error)),
    })
}
