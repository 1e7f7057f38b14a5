//! The faces of the world on the loopback, for clients of any kind.

mod certificates;
mod clients;
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

use super::shared::SharedWorld;
use super::world::Endpoints;
use crate::provider::http::Api;
use certificates::Authority;

/// How long connections may take to end.
const GRACE: Duration = Duration::from_millis(500);

/// How the faces are served.
#[derive(Debug, Clone, Default)]
pub struct ServeOptions {
    /// Speak TLS, with a certificate of an authority made for this run.
    pub tls: bool,
    /// Where the authority's certificate is written, for clients that read a file.
    pub certificate_path: Option<PathBuf>,
    /// The ports of Azure, Tailscale and Kubernetes; 0 takes a free one.
    pub ports: [u16; 3],
}

/// The faces could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The system refused.
    #[error("the sandbox cannot be served: {0}")]
    Io(#[from] io::Error),
    /// The certificate could not be made.
    #[error("the sandbox's certificate cannot be made: {0}")]
    Certificate(String),
}

/// The running faces.
#[derive(Debug)]
pub struct Server {
    /// Where they are reached.
    pub endpoints: Endpoints,
    /// The file with the authority's certificate, if one was asked for.
    pub certificate_path: Option<PathBuf>,
    world: SharedWorld,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Opens the faces on 127.0.0.1 and tells the world where they are.
    pub async fn start(world: SharedWorld, options: ServeOptions) -> Result<Self, ServeError> {
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
            let face = connection::Face { api, world: world.clone(), acceptor: acceptor.clone() };
            tasks.spawn(connection::listen(listener, face, stopped.clone()));
        }
        let endpoints = endpoints(options.tls, &addresses, certificate.clone());
        world.change(|world, _| world.endpoints = endpoints.clone());
        let certificate_path = options.certificate_path.filter(|_| certificate.is_some());
        Ok(Self { endpoints, certificate_path, world, stop, tasks })
    }

    /// Closes the faces; running requests may end.
    pub async fn stop(mut self) {
        // Fails only if all listeners have ended by themselves.
        let _heard = self.stop.send(true);
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        let _in_time = tokio::time::timeout(GRACE * 2, all_ended).await;
        self.world.change(|world, _| world.endpoints = Endpoints::default());
    }
}

fn endpoints(tls: bool, addresses: &[SocketAddr], certificate: Option<String>) -> Endpoints {
    let scheme = if tls { "https" } else { "http" };
    let mut urls = addresses.iter().map(|address| format!("{scheme}://{address}"));
    let mut next = || urls.next().unwrap_or_default();
    Endpoints { azure: next(), tailscale: next(), kubernetes: next(), certificate }
}

fn certificate_error(error: impl std::fmt::Display) -> ServeError {
    ServeError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests;
