//! The wire without a wire: requests go straight into the world.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;

use super::Answer;
use super::dispatch::json_answer;
use super::fault_injector::{Call, Delivery, Disposition};
use super::shared::SharedWorld;
use super::stream::{WorldBody, respond};
use crate::provider::http::{Api, Transport, TransportError};

/// The transport of clients that talk to a world in the same process.
#[derive(Debug, Clone)]
pub struct InMemory {
    world: SharedWorld,
}

impl InMemory {
    /// A transport into a world.
    pub fn new(world: SharedWorld) -> Self {
        Self { world }
    }
}

#[async_trait]
impl Transport for InMemory {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let Some(api) = api_of(&self.world, &request) else {
            return Err(TransportError::lost(host, "no such host in the sandbox"));
        };
        let answer = answer(&self.world, api, &request)
            .map_err(|reason| TransportError::lost(host, reason))?;
        Ok(match answer {
            Answer::Complete(response) => response,
            // Nobody reads on here: the first lines are the whole answer.
            Answer::Watch(mut watch) => self.world.read(|world| {
                let store = world.kubernetes.as_ref();
                let lines = store.map(|store| store.watch_events(&mut watch));
                Response::new(Bytes::from(lines.unwrap_or_default().concat()))
            }),
        })
    }
}

/// Which face a URL leads to: by the sandbox's own names, or by where it is served.
fn api_of(world: &SharedWorld, request: &Request<Bytes>) -> Option<Api> {
    let uri = request.uri();
    let host = uri.host()?;
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    let endpoints = world.read(|world| world.endpoints.clone());
    Api::ALL.into_iter().find(|api| {
        let served = match api {
            Api::Azure => &endpoints.azure,
            Api::Tailscale => &endpoints.tailscale,
            Api::Kubernetes => &endpoints.kubernetes,
        };
        host.strip_suffix(".sandbox") == Some(api.as_str()) || *served == origin
    })
}

/// Answers a request, with an interceptor's leave.
fn answer(world: &SharedWorld, api: Api, request: &Request<Bytes>) -> Result<Answer, &'static str> {
    let Some(fault_injector) = world.fault_injector() else {
        return Ok(world.handle(api, request));
    };
    let effect = Call::Request {
        api,
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
    };
    match fault_injector.before(&effect) {
        Disposition::Pass => {}
        Disposition::Lose | Disposition::Fail(_) => return Err("connection reset by peer"),
        Disposition::Answer { status, body } => {
            return Ok(Answer::Complete(injected(status, body)));
        }
        Disposition::Refuse { status, retry_after } => {
            return Ok(Answer::Complete(refusal(api, status, retry_after)));
        }
    }
    let answer = world.handle(api, request);
    match fault_injector.after(&effect) {
        Delivery::Deliver => Ok(answer),
        Delivery::Lose => Err("connection closed before the answer arrived"),
    }
}

fn injected(status: u16, body: String) -> Response<Bytes> {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = json_answer(status, &json!(null));
    *response.body_mut() = Bytes::from(body);
    response
}

fn refusal(api: Api, status: u16, retry_after: Option<u64>) -> Response<Bytes> {
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
    let mut response = json_answer(status, &body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The service behind a [`kube::Client`] that talks to a world in the same process.
#[derive(Debug, Clone)]
pub struct KubeService {
    world: SharedWorld,
}

/// A service for [`kube::Client::new`].
///
/// Requests without a credential come as `clusterUser`, the user of the
/// kubeconfig that Azure gives out.
pub fn kube_service(world: SharedWorld) -> KubeService {
    KubeService { world }
}

/// A client of the world's cluster.
pub fn kube_client(world: SharedWorld) -> kube::Client {
    kube::Client::new(kube_service(world), "default")
}

impl tower::Service<Request<kube::client::Body>> for KubeService {
    type Response = Response<WorldBody>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let world = self.world.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let mut request = Request::from_parts(parts, body);
            introduce(&world, &mut request);
            let answer = answer(&world, Api::Kubernetes, &request).map_err(|reason| {
                std::io::Error::new(std::io::ErrorKind::ConnectionReset, reason)
            })?;
            Ok(respond(&world, answer))
        })
    }
}

fn introduce(world: &SharedWorld, request: &mut Request<Bytes>) {
    if request.headers().contains_key(header::AUTHORIZATION) {
        return;
    }
    let token = world.read(|world| Some(world.cluster_access.as_ref()?.token.clone()));
    let value =
        token.and_then(|token| header::HeaderValue::from_str(&format!("Bearer {token}")).ok());
    if let Some(value) = value {
        request.headers_mut().insert(header::AUTHORIZATION, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::test_sandbox::whole;

    #[tokio::test]
    async fn the_host_of_a_url_leads_to_a_face() {
        let world = SharedWorld::new(whole());
        let wire = InMemory::new(world.clone());
        let ask = |url: &str| {
            let request = Request::get(url).header("authorization", "Bearer x");
            wire.send(request.body(Bytes::new()).unwrap())
        };
        let devices = ask("https://tailscale.sandbox/api/v2/tailnet/-/devices").await.unwrap();
        assert_eq!(devices.status(), 200);
        let nodes = ask("https://kubernetes.sandbox/api/v1/nodes").await.unwrap();
        assert_eq!(nodes.status(), 401);
        assert!(ask("https://example.com/").await.is_err());
        world.change(|world, _| world.down.insert(Api::Tailscale));
        let down = ask("https://tailscale.sandbox/api/v2/tailnet/-/devices").await.unwrap();
        assert_eq!(down.status(), 503);
        assert!(world.read(|world| world.log.count(Api::Tailscale)) >= 2);
    }
}
