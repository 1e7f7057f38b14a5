//! Bearer tokens that are renewed, as a tower layer above the request policy.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header, request};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use tower::{BoxError, Layer, Service, ServiceExt as _};

use super::entra_refusal::{self, EntraCluster};
use super::request_layer::Attempts;
use crate::provider::credentials::TokenSource;
use crate::provider::response_body;
use crate::provider::secret::Secret;

/// The largest refusal that is read for its message.
const MAX_REFUSAL_BYTES: usize = 1 << 20;
/// How long it is waited for each part of a refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(10);

type ResponseBody = UnsyncBoxBody<Bytes, BoxError>;

/// Gives each request a token that is valid. A token that the API server refuses is replaced
/// once.
#[derive(Debug, Clone)]
pub(super) struct TokenLayer {
    pub(super) tokens: Arc<dyn TokenSource>,
    /// The cluster whose refusals are about roles in Azure.
    pub(super) entra: Option<Arc<EntraCluster>>,
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenService { inner, layer: self.clone() }
    }
}

/// A service whose requests have a token.
#[derive(Debug, Clone)]
pub(super) struct TokenService<S> {
    inner: S,
    layer: TokenLayer,
}

impl<S> Service<Request<Body>> for TokenService<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The clone may not be ready.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let mut service = Self { inner, layer: self.layer.clone() };
        Box::pin(async move { service.send(request).await })
    }
}

impl<S> TokenService<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>>,
    S::Error: Into<BoxError>,
{
    async fn send(&mut self, request: Request<Body>) -> Result<Response<ResponseBody>, BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await?;
        let tokens = Arc::clone(&self.layer.tokens);
        let token = tokens.token().await?;
        let mut response = self.attempt(&parts, &body, &token).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            tokens.forget(&token).await;
            let next = tokens.token().await?;
            if next != token {
                // The first request had no effect.
                parts.extensions.get::<Attempts>().into_iter().for_each(Attempts::reset);
                response = self.attempt(&parts, &body, &next).await?;
            }
        }
        match &self.layer.entra {
            Some(cluster) if is_refusal(response.status()) => judge(cluster, response).await,
            _ => Ok(response),
        }
    }

    async fn attempt(
        &mut self,
        parts: &request::Parts,
        body: &Bytes,
        token: &Secret,
    ) -> Result<Response<ResponseBody>, BoxError> {
        let value = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        let mut value = value?;
        value.set_sensitive(true);
        let mut request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        request.headers_mut().insert(header::AUTHORIZATION, value);
        let service = self.inner.ready().await.map_err(Into::into)?;
        service.call(request).await.map_err(Into::into)
    }
}

fn is_refusal(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// The refusal as an error if a role in Azure would prevent it; otherwise as it is.
async fn judge(
    cluster: &EntraCluster,
    response: Response<ResponseBody>,
) -> Result<Response<ResponseBody>, BoxError> {
    let (parts, body) = response.into_parts();
    let body = response_body::read(body, MAX_REFUSAL_BYTES, REFUSAL_TIMEOUT).await?;
    match entra_refusal::refusal(cluster, parts.status, &body) {
        Some(refusal) => Err(refusal.into()),
        None => {
            let body = Full::new(body).map_err(|never| match never {}).boxed_unsync();
            Ok(Response::from_parts(parts, body))
        }
    }
}

#[cfg(test)]
#[path = "token_layer_tests.rs"]
mod tests;
