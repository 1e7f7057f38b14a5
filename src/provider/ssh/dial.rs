//! The first piece of the way: TCP, straight or through a proxy.

use tokio::net::TcpStream;

use super::error::SshError;
use super::handler::of_io;
use super::settings::SshSettings;
use crate::provider::host::{HostAddress, HostTarget};

/// Opens a stream to the port of sshd. The caller limits the time.
pub(super) async fn dial(
    target: &HostTarget,
    settings: &SshSettings,
) -> Result<TcpStream, SshError> {
    let stream = match &settings.proxy {
        None => match &target.address {
            HostAddress::Ip(address) => TcpStream::connect((*address, target.port)).await,
            HostAddress::Name(name) => TcpStream::connect((name.as_str(), target.port)).await,
        }
        .map_err(|error| SshError::unreachable(target, of_io(&error)))?,
        Some(proxy) => {
            let told = |reason: String| {
                SshError::unreachable(target, format!("through the proxy at {proxy}: {reason}"))
            };
            let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port))
                .await
                .map_err(|error| told(of_io(&error)))?;
            let made = proxy.connect(&mut stream, &target.address, target.port).await;
            made.map_err(|error| told(error.to_string()))?;
            stream
        }
    };
    // Commands and answers are small; none should wait to be filled up.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small packets may be held back");
    }
    Ok(stream)
}
