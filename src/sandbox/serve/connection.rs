//! Listeners and connections of one face.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
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

use super::GRACE;
use crate::provider::http::Api;
use crate::sandbox::identity::ShownCertificates;
use crate::sandbox::shared::SharedWorld;
use crate::sandbox::stream::{WorldBody, respond};

/// What a listener serves.
#[derive(Clone)]
pub(super) struct Face {
    pub(super) api: Api,
    pub(super) world: SharedWorld,
    pub(super) acceptor: Option<TlsAcceptor>,
}

/// Accepts connections until it is told to stop, then lets them end.
pub(super) async fn listen(listener: TcpListener, face: Face, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(accept(stream, face.clone(), stop.clone()));
                }
                // Out of file handles, say: it passes.
                Err(_) => tokio::time::sleep(GRACE).await,
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _in_time = tokio::time::timeout(GRACE, ended).await;
}

async fn accept(stream: TcpStream, face: Face, stop: watch::Receiver<bool>) {
    // Small answers go out at once; a failure only costs time.
    let _set = stream.set_nodelay(true);
    match &face.acceptor {
        None => serve(stream, face, None, stop).await,
        Some(acceptor) => {
            let acceptor = acceptor.clone();
            if let Ok(stream) = acceptor.accept(stream).await {
                let shown = stream.get_ref().1.peer_certificates();
                let shown = shown.map(|all| all.iter().map(|it| it.clone().into_owned()).collect());
                let shown = shown.map(|all| ShownCertificates(Arc::new(all)));
                serve(stream, face, shown, stop).await;
            }
        }
    }
}

async fn serve<S>(
    stream: S,
    face: Face,
    shown: Option<ShownCertificates>,
    mut stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| answer(face.clone(), shown.clone(), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ended = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _in_time = tokio::time::timeout(GRACE, connection).await;
}

async fn answer(
    face: Face,
    shown: Option<ShownCertificates>,
    request: Request<Incoming>,
) -> Result<Response<WorldBody>, Infallible> {
    let (mut parts, body) = request.into_parts();
    if let Some(shown) = shown {
        parts.extensions.insert(shown);
    }
    let Ok(body) = body.collect().await else {
        let mut broken = Response::new(Full::new(Bytes::new()).boxed_unsync());
        *broken.status_mut() = StatusCode::BAD_REQUEST;
        return Ok(broken);
    };
    let request = Request::from_parts(parts, body.to_bytes());
    let answer = face.world.handle(face.api, &request);
    Ok(respond(&face.world, answer))
}
