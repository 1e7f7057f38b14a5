//! What a host may ask of us: nothing but to look at its key.

use std::sync::{Arc, Mutex, PoisonError};

use russh::client::{DisconnectReason, Handler};
use russh::keys::PublicKeyOrCertificate;

use super::host_keys::{HostKeyError, Judge};
use crate::provider::printable;

/// Why a connection ended, for those who were still using it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending(Arc<Mutex<Option<String>>>);

impl Ending {
    fn note(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    /// The reason, as far as there is one.
    pub(super) fn reason(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Our side of a connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) judge: Judge,
    pub(super) ending: Ending,
}

/// A connection did not come about.
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
        // Certificates are not asked for, so a host that sends one is refused.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else { return Ok(false) };
        self.judge.check(key).await?;
        Ok(true)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<ClientError>,
    ) -> Result<(), ClientError> {
        self.ending.note(match reason {
            DisconnectReason::ReceivedDisconnect(told) => {
                format!("the host says: {}", printable::line(&told.message))
            }
            DisconnectReason::Error(error) => told(&error),
        });
        Ok(())
    }
}

/// An error of the protocol in words that fit a sentence.
pub(super) fn told(error: &ClientError) -> String {
    match error {
        ClientError::Protocol(russh::Error::KeepaliveTimeout) => "it no longer answers".to_owned(),
        ClientError::Protocol(russh::Error::HUP | russh::Error::Disconnect) => {
            "it hung up".to_owned()
        }
        ClientError::Protocol(russh::Error::IO(error)) => of_io(error),
        other => other.to_string(),
    }
}

/// An error of the network in words that fit a sentence.
pub(super) fn of_io(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => "it hung up".to_owned(),
        ErrorKind::HostUnreachable => "no route to the host".to_owned(),
        ErrorKind::NetworkUnreachable => "no route to its network".to_owned(),
        ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}
