//! Serves the emulated APIs on loopback, for any client.

mod certificates;
mod client_certificates;
mod connection;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::shared::SharedSandbox;
use super::state::SandboxEndpoints;
use crate::provider::http::Api;
use certificates::Authority;

/// How long open connections may take to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// The options of the server.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Whether to use TLS, with a certificate authority created for this run.
    pub tls: bool,
    /// The path to write the authority's certificate to, for clients that read it from a file.
    pub certificate_path: Option<PathBuf>,
    /// The ports of Azure, Tailscale and Kubernetes. 0 selects a free port.
    pub ports: [u16; 3],
}

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system returned an error.
    #[error("cannot serve the sandbox: {0}")]
    Io(#[from] io::Error),
    /// The certificate could not be created.
    #[error("cannot create the sandbox's certificate: {0}")]
    Certificate(String),
}

/// The running server.
#[derive(Debug)]
pub struct Server {
    /// The URLs of the APIs.
    pub endpoints: SandboxEndpoints,
    /// The path of the authority's certificate, if it was written.
    pub certificate_path: Option<PathBuf>,
    sandbox: SharedSandbox,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Listens on 127.0.0.1 and records the URLs in the sandbox's state.
    pub async fn start(sandbox: SharedSandbox, options: ServeOptions) -> Result<Self, ServeError> {
        let authority = match options.tls {
            true => Some(Arc::new(Authority::new().map_err(certificate_error)?)),
            false => None,
        };
        let certificate = authority.as_ref().map(|authority| authority.certificate().to_owned());
        if let (Some(path), Some(pem)) = (&options.certificate_path, &certificate) {
            tokio::fs::write(path, pem).await?;
        }
        let acceptor = match &authority {
            Some(authority) => {
                let config = Authority::server(authority).map_err(certificate_error)?;
                Some(TlsAcceptor::from(Arc::new(config)))
            }
            None => None,
        };
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut addresses = Vec::new();
        for (api, port) in Api::ALL.into_iter().zip(options.ports) {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            addresses.push(listener.local_addr()?);
            let service = connection::EndpointService {
                api,
                sandbox: sandbox.clone(),
                acceptor: acceptor.clone(),
            };
            tasks.spawn(connection::listen(listener, service, stopped.clone()));
        }
        let endpoints = endpoints(options.tls, &addresses, certificate.clone());
        sandbox.change(|sandbox, _| sandbox.endpoints = endpoints.clone());
        let certificate_path = options.certificate_path.filter(|_| certificate.is_some());
        Ok(Self { endpoints, certificate_path, sandbox, stop, tasks })
    }

    /// Stops the server. Running requests may complete.
    pub async fn stop(mut self) {
        // Fails only if all listeners have already ended.
        let _sent = self.stop.send(true);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let _in_time = tokio::time::timeout(SHUTDOWN_TIMEOUT * 2, all_ended).await;
        self.sandbox.change(|sandbox, _| sandbox.endpoints = SandboxEndpoints::default());
    }
}

fn endpoints(tls: bool, addresses: &[SocketAddr], certificate: Option<String>) -> SandboxEndpoints {
    let scheme = if tls { "https" } else { "http" };
    let mut urls = addresses.iter().map(|address| format!("{scheme}://{address}"));
    let mut next = || urls.next().unwrap_or_default();
    SandboxEndpoints { azure: next(), tailscale: next(), kubernetes: next(), certificate }
}

fn certificate_error(error: impl std::fmt::Display) -> ServeError {
    ServeError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests;
