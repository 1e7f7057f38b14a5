//! Opens TCP connections, directly or through a proxy.

use tokio::net::TcpStream;

use super::error::SshError;
use super::handler::io_message;
use super::settings::SshSettings;
use crate::provider::host::{HostAddress, HostTarget};

/// Opens a stream to the port of sshd. The caller sets a timeout.
pub(super) async fn dial(
    target: &HostTarget,
    settings: &SshSettings,
) -> Result<TcpStream, SshError> {
    let stream = match &settings.proxy {
        None => match &target.address {
            HostAddress::Ip(address) => TcpStream::connect((*address, target.port)).await,
            HostAddress::Name(name) => TcpStream::connect((name.as_str(), target.port)).await,
        }
        .map_err(|error| SshError::unreachable(target, io_message(&error)))?,
        Some(proxy) => {
            let protocol_message = |reason: String| {
                SshError::unreachable(target, format!("through the proxy at {proxy}: {reason}"))
            };
            let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port))
                .await
                .map_err(|error| protocol_message(io_message(&error)))?;
            let made = proxy.connect(&mut stream, &target.address, target.port).await;
            made.map_err(|error| protocol_message(error.to_string()))?;
            stream
        }
    };
    // Commands and responses are small; Nagle's algorithm would delay them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small packets may be held back");
    }
    Ok(stream)
}
