//! Handles requests of a host. Only its key is examined, everything else is refused.

use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{DisconnectReason, Handler};
use russh::keys::PublicKeyOrCertificate;

use super::host_keys::{HostKeyError, HostKeyVerifier};
use crate::provider::printable;

/// Why a connection ended, for its remaining users.
#[derive(Debug, Clone, Default)]
pub(super) struct ConnectionEnd(Arc<Mutex<Option<String>>>);

impl ConnectionEnd {
    fn note(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// The reason, if it is known.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The client side of a connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) verifier: HostKeyVerifier,
    pub(super) ending: ConnectionEnd,
}

/// Why a connection failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    #[error(transparent)]
    Protocol(#[from] russh::Error),
}

impl Handler for Client {
    type Error = ClientError;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, ClientError> {
        // The client does not offer host certificates, so a host that sends one is refused.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        self.verifier.check(key).await?;
        Ok(true)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<ClientError>,
    ) -> Result<(), ClientError> {
        self.ending.note(match reason {
            DisconnectReason::ReceivedDisconnect(received) => {
                format!("the host says: {}", printable::line(&received.message))
            }
            DisconnectReason::Error(error) => protocol_message(&error),
        });
        Ok(())
    }
}

/// The message of a protocol error, as a clause.
pub(super) fn protocol_message(error: &ClientError) -> String {
    match error {
        ClientError::Protocol(russh::Error::KeepaliveTimeout) => "it no longer answers".to_owned(),
        ClientError::Protocol(russh::Error::HUP | russh::Error::Disconnect) => {
            "it closed the connection".to_owned()
        }
        ClientError::Protocol(russh::Error::IO(error)) => io_message(error),
        other => other.to_string(),
    }
}

/// The message of a network error, as a clause.
pub(super) fn io_message(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => "it closed the connection".to_owned(),
        ErrorKind::HostUnreachable => "no route to the host".to_owned(),
        ErrorKind::NetworkUnreachable => "no route to its network".to_owned(),
        ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}
