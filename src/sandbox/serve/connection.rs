//! The listener and connections of one API.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::SHUTDOWN_TIMEOUT;
use crate::provider::http::Api;
use crate::sandbox::dispatch::folder_unavailable;
use crate::sandbox::identity::PresentedCertificates;
use crate::sandbox::shared::SharedSandbox;
use crate::sandbox::stream::{ResponseBody, respond};
use crate::sandbox::transport::handle_with_faults;

/// The API that a listener serves.
#[derive(Clone)]
pub(super) struct EndpointService {
    pub(super) api: Api,
    pub(super) sandbox: SharedSandbox,
    pub(super) acceptor: Option<TlsAcceptor>,
}

/// Accepts connections until it is stopped, then lets them end.
pub(super) async fn listen(
    listener: TcpListener,
    service: EndpointService,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(accept(stream, service.clone(), stop.clone()));
                }
                // Accepting fails temporarily, for example if there are no file handles left.
                Err(_) => tokio::time::sleep(SHUTDOWN_TIMEOUT).await,
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _in_time = tokio::time::timeout(SHUTDOWN_TIMEOUT, ended).await;
}

async fn accept(stream: TcpStream, service: EndpointService, stop: watch::Receiver<bool>) {
    // Disables Nagle's algorithm for small responses. A failure only costs latency.
    let _set = stream.set_nodelay(true);
    match &service.acceptor {
        None => serve(stream, service, None, stop).await,
        Some(acceptor) => {
            let acceptor = acceptor.clone();
            if let Ok(stream) = acceptor.accept(stream).await {
                let presented = stream.get_ref().1.peer_certificates();
                let presented =
                    presented.map(|all| all.iter().map(|it| it.clone().into_owned()).collect());
                let presented = presented.map(|all| PresentedCertificates(Arc::new(all)));
                serve(stream, service, presented, stop).await;
            }
        }
    }
}

async fn serve<S>(
    stream: S,
    service: EndpointService,
    presented: Option<PresentedCertificates>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service =
        service_fn(move |request| serve_request(service.clone(), presented.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _in_time = tokio::time::timeout(SHUTDOWN_TIMEOUT, connection).await;
}

async fn serve_request(
    service: EndpointService,
    presented: Option<PresentedCertificates>,
    request: Request<Incoming>,
) -> io::Result<Response<ResponseBody>> {
    let (mut parts, body) = request.into_parts();
    if let Some(presented) = presented {
        parts.extensions.insert(presented);
    }
    let Ok(body) = body.collect().await else {
        let mut broken = Response::new(Full::new(Bytes::new()).boxed_unsync());
        *broken.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(broken);
    };
    let request = Request::from_parts(parts, body.to_bytes());
    // An error ends the connection without a response.
    let response = handle_with_faults(&service.sandbox, service.api, &request)
        .map_err(|reason| io::Error::new(io::ErrorKind::ConnectionReset, reason))?;
    if request.method() == Method::GET {
        return Ok(respond(&service.sandbox, response));
    }
    let response = match service.sandbox.until_saved().await {
        Ok(()) => response,
        Err(reason) => folder_unavailable(service.api, &reason),
    };
    Ok(respond(&service.sandbox, response))
}
