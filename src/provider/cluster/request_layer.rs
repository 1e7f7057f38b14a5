//! The request policy as a tower layer under [`kube::Client`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use tokio::sync::Mutex;
use tower::{BoxError, Layer, Service, ServiceExt as _};

use crate::provider::http::{TransportError, TransportFault};
use crate::provider::request_policy::{RequestKind, RequestPolicy, RetryClass};
use crate::provider::response_body;

/// A request's extension: its answer is a stream that the caller reads and
/// limits itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streamed;

/// A request's extension: how often it was sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Attempts(Arc<AtomicU32>);

impl Attempts {
    /// Whether it was sent more than once.
    pub(super) fn repeated(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }

    /// Counts from the start again, after an attempt that had no effect.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Puts requests to the API server under a policy: budget, Retry-After,
/// timeouts, retries and the limit on answers.
#[derive(Debug, Clone)]
pub struct RequestLayer(RequestPolicy);

impl RequestLayer {
    /// The layer of a policy.
    pub fn new(policy: RequestPolicy) -> Self {
        Self(policy)
    }
}

impl<S> Layer<S> for RequestLayer {
    type Service = RequestService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestService { inner: Arc::new(Mutex::new(inner)), policy: self.0.clone() }
    }
}

/// A service with a request policy.
#[derive(Debug)]
pub struct RequestService<S> {
    /// Locked only while a request is handed over, never until its answer.
    inner: Arc<Mutex<S>>,
    policy: RequestPolicy,
}

impl<S> Clone for RequestService<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), policy: self.policy.clone() }
    }
}

impl<S, B> Service<Request<Body>> for RequestService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: BodyExt<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if is_streamed(&request) {
                service.policy.acquire(request.method()).await;
                let response = service.begin_stream(request).await?;
                return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
            }
            let response = service.send(request).await?;
            Ok(response.map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync()))
        })
    }
}

impl<S, B> RequestService<S>
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: BodyExt<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    async fn send(&self, request: Request<Body>) -> Result<Response<Bytes>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let attempts = parts.extensions.get::<Attempts>().cloned().unwrap_or_default();
        let host = parts.uri.authority().map_or("the API server", |it| it.as_str()).to_owned();
        let activity = format!("{} {}", parts.method, parts.uri.path());
        let kind = RequestKind {
            method: &parts.method,
            retry: retry_class(&parts),
            host: &host,
            activity: &activity,
        };
        let attempt = || async {
            let request = Request::from_parts(parts.clone(), Body::from(body.clone()));
            self.attempt(request)
                .await
                .map_err(|fault| TransportError { host: host.clone(), fault })
        };
        Ok(self.policy.run(kind, &attempts.0, attempt).await?)
    }

    async fn attempt(&self, request: Request<Body>) -> Result<Response<Bytes>, TransportFault> {
        let settings = self.policy.settings();
        let idle = settings.idle_timeout_of(request.method());
        let response = tokio::time::timeout(idle, self.hand_over(request)).await;
        let response = response.map_err(|_| TransportFault::idle(idle))?;
        let response = response.map_err(|error| TransportFault::lost(&*error))?;
        let (parts, body) = response.into_parts();
        let body = response_body::read(body, settings.max_body_bytes, idle).await?;
        Ok(Response::from_parts(parts, body))
    }

    /// A stream may last until it is closed, and must begin in time.
    async fn begin_stream(&self, request: Request<Body>) -> Result<Response<B>, BoxError> {
        let idle = self.policy.settings().idle_timeout_of(request.method());
        let response = tokio::time::timeout(idle, self.hand_over(request)).await;
        response.map_err(|_| format!("no answer within {} s", idle.as_secs()))?
    }

    async fn hand_over(&self, request: Request<Body>) -> Result<Response<B>, BoxError> {
        let response = {
            let mut inner = self.inner.lock().await;
            let ready = inner.ready().await.map_err(Into::into)?;
            ready.call(request)
        };
        response.await.map_err(Into::into)
    }
}

/// Watches, followed logs and upgraded connections last until they are closed.
fn is_streamed(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    let lasting = query
        .split('&')
        .any(|part| matches!(part, "watch=true" | "watch=1" | "follow=true" | "follow=1"));
    lasting
        || request.extensions().get::<Streamed>().is_some()
        || request.headers().contains_key(header::UPGRADE)
}

/// As the sender said, else by the method; server-side apply sets fields to
/// values and may be repeated.
fn retry_class(parts: &http::request::Parts) -> RetryClass {
    if let Some(class) = parts.extensions.get::<RetryClass>() {
        return *class;
    }
    let content = parts.headers.get(header::CONTENT_TYPE);
    let applies = parts.method == Method::PATCH
        && content.is_some_and(|it| it.as_bytes().starts_with(b"application/apply-patch"));
    if applies { RetryClass::Idempotent } else { RetryClass::of(&parts.method) }
}

#[cfg(test)]
#[path = "request_layer_tests.rs"]
mod tests;
