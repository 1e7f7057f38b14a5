//! An in-memory transport: requests are handled by the sandbox without a network.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::fault_injector::{Call, Delivery, Disposition};
use super::response::{ApiResponse, json_response};
use super::shared::SharedSandbox;
use super::stream::{ResponseBody, respond};
use crate::provider::http::{Api, Transport, TransportError};

/// The transport of clients in the same process as the sandbox.
#[derive(Debug, Clone)]
pub struct InMemory {
    sandbox: SharedSandbox,
}

impl InMemory {
    /// Creates a transport to a sandbox.
    pub fn new(sandbox: SharedSandbox) -> Self {
        Self { sandbox }
    }
}

#[async_trait]
impl Transport for InMemory {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let Some(api) = api_of(&self.sandbox, &request) else {
            return Err(TransportError::lost(host, "no such host in the sandbox"));
        };
        let response = handle_with_faults(&self.sandbox, api, &request)
            .map_err(|reason| TransportError::lost(host, reason))?;
        Ok(match response {
            ApiResponse::Complete(response) => response,
            // The caller does not read a stream: the first lines are the whole response.
            ApiResponse::Watch(mut watch) => self.sandbox.read(|sandbox| {
                let store = sandbox.kubernetes.as_ref();
                let lines = store.map(|store| store.watch_events(&mut watch));
                Response::new(Bytes::from(lines.unwrap_or_default().concat()))
            }),
        })
    }
}

/// The API that a URL addresses: by the sandbox's own host names, or by the URL it is served at.
fn api_of(sandbox: &SharedSandbox, request: &Request<Bytes>) -> Option<Api> {
    let uri = request.uri();
    let host = uri.host()?;
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    let endpoints = sandbox.read(|sandbox| sandbox.endpoints.clone());
    Api::ALL.into_iter().find(|api| {
        let served = match api {
            Api::Azure => &endpoints.azure,
            Api::Tailscale => &endpoints.tailscale,
            Api::Kubernetes => &endpoints.kubernetes,
        };
        host.strip_suffix(".sandbox") == Some(api.as_str()) || *served == origin
    })
}

/// Handles a request, unless the fault injector prevents it. The error is why no response arrives.
pub(super) fn handle_with_faults(
    sandbox: &SharedSandbox,
    api: Api,
    request: &Request<Bytes>,
) -> Result<ApiResponse, &'static str> {
    let Some(fault_injector) = sandbox.fault_injector() else {
        return Ok(sandbox.handle(api, request));
    };
    let effect = Call::Request {
        api,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
    };
    match fault_injector.before(&effect) {
        Disposition::Pass => {}
        Disposition::Lose | Disposition::Fail(_) => return Err("connection reset by peer"),
        Disposition::Respond { status, body } => {
            return Ok(ApiResponse::Complete(injected(status, body)));
        }
        Disposition::Refuse { status, retry_after } => {
            return Ok(ApiResponse::Complete(refused_response(api, status, retry_after)));
        }
    }
    let response = sandbox.handle(api, request);
    match fault_injector.after(&effect) {
        Delivery::Deliver => Ok(response),
        Delivery::Lose => Err("connection closed before the response arrived"),
        Delivery::Refuse(status) => Ok(ApiResponse::Complete(refused_response(api, status, None))),
    }
}

fn injected(status: u16, body: String) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = json_response(status, &json!(null));
    *response.body_mut() = Bytes::from(body);
    response
}

fn refused_response(api: Api, status: u16, retry_after: Option<u64>) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let message = status.canonical_reason().unwrap_or("refused");
    let body = match api {
        Api::Azure => json!({ "error": { "code": message.replace(' ', ""), "message": message } }),
        Api::Tailscale => json!({ "message": message }),
        Api::Kubernetes => json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": message.replace(' ', ""), "code": status.as_u16(),
        }),
    };
    let mut response = json_response(status, &body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The service of a [`kube::Client`] in the same process as the sandbox.
#[derive(Debug, Clone)]
pub struct KubeService {
    sandbox: SharedSandbox,
}

/// A service for [`kube::Client::new`].
///
/// Requests without a credential are made by `clusterUser`, the user of the kubeconfig that Azure
/// returns.
pub fn kube_service(sandbox: SharedSandbox) -> KubeService {
    KubeService { sandbox }
}

/// A client of the sandbox's cluster.
pub fn kube_client(sandbox: SharedSandbox) -> kube::Client {
    kube::Client::new(kube_service(sandbox), "default")
}

impl tower::Service<Request<kube::client::Body>> for KubeService {
    type Response = Response<ResponseBody>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let sandbox = self.sandbox.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let mut request = Request::from_parts(parts, body);
            authenticate_default_user(&sandbox, &mut request);
            let response =
                handle_with_faults(&sandbox, Api::Kubernetes, &request).map_err(|reason| {
                    std::io::Error::new(std::io::ErrorKind::ConnectionReset, reason)
                })?;
            Ok(respond(&sandbox, response))
        })
    }
}

fn authenticate_default_user(sandbox: &SharedSandbox, request: &mut Request<Bytes>) {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return;
    }
    let token = sandbox.read(|sandbox| Some(sandbox.cluster_access.as_ref()?.token.clone()));
    let value =
        token.and_then(|token| header::HeaderValue::from_str(&format!("Bearer {token}")).ok());
    if let Some(value) = value {
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::test_sandbox::complete_sandbox;

    #[tokio::test]
    async fn the_host_of_a_url_selects_the_api() {
        let sandbox = SharedSandbox::new(complete_sandbox());
        let wire = InMemory::new(sandbox.clone());
        let request = |url: &str| {
            let request = Request::get(url).header("authorization", "Bearer x");
            wire.send(request.body(Bytes::new()).unwrap())
        };
        let devices = request("https://tailscale.sandbox/api/v2/tailnet/-/devices").await.unwrap();
        assert_eq!(devices.status(), 200);
        let nodes = request("https://kubernetes.sandbox/api/v1/nodes").await.unwrap();
        assert_eq!(nodes.status(), 401);
        assert!(request("https://example.com/").await.is_err());
        sandbox.change(|sandbox, _| sandbox.down.insert(Api::Tailscale));
        let down = request("https://tailscale.sandbox/api/v2/tailnet/-/devices").await.unwrap();
        assert_eq!(down.status(), 503);
        assert!(sandbox.read(|sandbox| sandbox.log.count(Api::Tailscale)) >= 2);
    }
}
