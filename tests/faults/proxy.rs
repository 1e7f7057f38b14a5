//! The proxy: a transport and a service of kube's in front of the emulated ones.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use stargate::provider::http::{Api, Transport, TransportError};
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::transport::{InMemory, kube_service};
use tower::ServiceExt as _;

use crate::fault::Fault;
use crate::responses::{ask_for_first_page, distort};

type Rewrite = dyn Fn(Api, Response<Bytes>) -> Response<Bytes> + Send + Sync;

/// Passes requests on to the emulated services, and breaks the answers of one.
#[derive(Clone)]
pub(crate) struct Proxy(Arc<Inside>);

struct Inside {
    sandbox: SharedSandbox,
    armed: Mutex<Option<(Api, Fault)>>,
    rewrite: Mutex<Option<Arc<Rewrite>>>,
    requests: AtomicU64,
    struck: AtomicU64,
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Proxy")
    }
}

impl Proxy {
    /// A proxy that breaks nothing yet.
    pub(crate) fn new(sandbox: SharedSandbox) -> Self {
        Self(Arc::new(Inside {
            sandbox,
            armed: Mutex::default(),
            rewrite: Mutex::default(),
            requests: AtomicU64::new(0),
            struck: AtomicU64::new(0),
        }))
    }

    /// Breaks every answer of a service from now on.
    pub(crate) fn arm(&self, api: Api, fault: Fault) {
        *self.0.armed.lock().unwrap() = Some((api, fault));
    }

    /// Breaks nothing any more.
    pub(crate) fn disarm(&self) {
        *self.0.armed.lock().unwrap() = None;
    }

    /// Rewrites every answer.
    pub(crate) fn rewrite(
        &self,
        rewrite: impl Fn(Api, Response<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) {
        *self.0.rewrite.lock().unwrap() = Some(Arc::new(rewrite));
    }

    /// How many answers were broken.
    pub(crate) fn struck(&self) -> u64 {
        self.0.struck.load(Ordering::SeqCst)
    }

    /// The fault of a service, if it has one, which now strikes.
    pub(crate) fn strike(&self, api: Api) -> Option<Fault> {
        let armed = *self.0.armed.lock().unwrap();
        let fault = armed.filter(|(broken, _)| *broken == api).map(|(_, fault)| fault)?;
        self.0.struck.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }

    /// The answer, as the fault leaves it; none where the connection breaks.
    async fn forward(
        &self,
        api: Api,
        mut request: Request<Bytes>,
        sent: impl AsyncFnOnce(Request<Bytes>) -> Option<Response<Bytes>>,
    ) -> Option<Response<Bytes>> {
        let number = self.0.requests.fetch_add(1, Ordering::SeqCst);
        let fault = self.strike(api);
        match fault {
            Some(Fault::Refused) => return None,
            Some(Fault::NoAnswer) => std::future::pending::<()>().await,
            _ => {}
        }
        let requested = request.clone();
        if let Some(fault) = fault {
            ask_for_first_page(fault, &mut request);
        }
        let response = sent(request).await?;
        let rewrite = self.0.rewrite.lock().unwrap().clone();
        let response = match rewrite {
            Some(rewrite) => rewrite(api, response),
            None => response,
        };
        match fault {
            None => Some(response),
            Some(Fault::AnswerLost) => None,
            Some(fault) => Some(distort(fault, api, &requested, response, number)),
        }
    }

    /// The service below a client of the cluster.
    #[expect(clippy::type_complexity, reason = "the type that kube's client takes")]
    pub(crate) fn kubernetes(
        &self,
    ) -> impl tower::Service<
        Request<Body>,
        Response = Response<Full<Bytes>>,
        Error = std::io::Error,
        Future = Pin<
            Box<dyn Future<Output = Result<Response<Full<Bytes>>, std::io::Error>> + Send>,
        >,
    > + Clone
    + Send
    + 'static {
        let proxy = self.clone();
        tower::service_fn(move |request: Request<Body>| {
            let proxy = proxy.clone();
            let response: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                let (parts, body) = request.into_parts();
                let body = body.collect_bytes().await.map_err(std::io::Error::other)?;
                let sandbox = proxy.0.sandbox.clone();
                let response = proxy.forward(
                    Api::Kubernetes,
                    Request::from_parts(parts, body),
                    async |request| {
                        let response =
                            kube_service(sandbox).oneshot(request.map(Body::from)).await.ok()?;
                        let (parts, body) = response.into_parts();
                        let body = body.collect().await.ok()?.to_bytes();
                        Some(Response::from_parts(parts, body))
                    },
                );
                let response = response.await;
                let lost = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                response.map(|response| response.map(Full::new)).ok_or_else(lost)
            });
            response
        })
    }
}

#[async_trait]
impl Transport for Proxy {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let host = request.uri().host().unwrap_or_default().to_owned();
        let api = if host.starts_with("azure") { Api::Azure } else { Api::Tailscale };
        let sandbox = self.0.sandbox.clone();
        let response = self
            .forward(api, request, async |request| InMemory::new(sandbox).send(request).await.ok());
        response.await.ok_or_else(|| TransportError::lost(host, "connection reset by peer"))
    }
}
