//! Clients that receive rewritten responses of the sandbox.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::Value;
use stargate::provider::clients::ClusterConnector;
use stargate::provider::cluster::{ClusterClient, ClusterError};
use stargate::provider::http::{Api, RequestCount, Transport, TransportError};
use stargate::provider::read_write::ClusterWrite;
use stargate::resource::Owner;
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::transport::{InMemory, kube_service};
use tower::ServiceExt as _;

use super::mutation::{Mutation, list_identity};
use crate::harness::{Deployment, clients_on, request_layer};

/// The mutation at hand, and every object that was answered without one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    mutation: Option<Mutation>,
    seen: Vec<(Api, Value)>,
    lists: BTreeSet<(Api, String)>,
}

impl Answers {
    /// Rewrites answers so from now on.
    pub(crate) fn set(&self, mutation: Option<Mutation>) {
        self.0.lock().unwrap().mutation = mutation;
    }

    /// The objects that were answered so far.
    pub(crate) fn take_seen(&self) -> Vec<(Api, Value)> {
        std::mem::take(&mut self.0.lock().unwrap().seen)
    }

    /// The lists that were answered so far.
    pub(crate) fn lists(&self) -> BTreeSet<(Api, String)> {
        self.0.lock().unwrap().lists.clone()
    }

    fn rewrite(&self, api: Api, path: &str, response: Response<Bytes>) -> Response<Bytes> {
        let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) else {
            return response;
        };
        let mut state = self.0.lock().unwrap();
        let Some(mutation) = &state.mutation else {
            let list = list_identity(api, path, &body);
            state.lists.extend(list.map(|(identity, _)| (api, identity)));
            state.seen.extend(objects(&body).into_iter().map(|object| (api, object)));
            return response;
        };
        match mutation.rewrite(api, path, &mut body) {
            Ok(()) => response.map(|_| Bytes::from(body.to_string())),
            Err(instead) => {
                let mut response = response.map(|_| Bytes::from(instead.body));
                *response.status_mut() = instead.status;
                response
            }
        }
    }
}

/// The objects of a list, or the one object of an answer.
fn objects(body: &Value) -> Vec<Value> {
    let list = ["value", "items", "devices"].into_iter().find_map(|name| body[name].as_array());
    match list {
        Some(list) => list.clone(),
        None => vec![body.clone()],
    }
}

/// The transport of Azure and Tailscale.
#[derive(Debug)]
struct RewritingTransport {
    sandbox: SharedSandbox,
    responses: Answers,
}

#[async_trait]
impl Transport for RewritingTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let host = request.uri().host().unwrap_or_default();
        let api = if host.starts_with("azure") { Api::Azure } else { Api::Tailscale };
        let path = request.uri().path().to_owned();
        let response = InMemory::new(self.sandbox.clone()).send(request).await?;
        Ok(self.responses.rewrite(api, &path, response))
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, std::io::Error>> + Send>>;

/// The service below a client of the cluster.
fn cluster_service(
    sandbox: SharedSandbox,
    responses: Answers,
) -> impl tower::Service<
    Request<Body>,
    Response = Response<Full<Bytes>>,
    Error = std::io::Error,
    Future = Answer,
> + Clone
+ Send
+ 'static {
    tower::service_fn(move |request: Request<Body>| {
        let (sandbox, responses) = (sandbox.clone(), responses.clone());
        let response: Answer = Box::pin(async move {
            let path = request.uri().path().to_owned();
            let response = kube_service(sandbox).oneshot(request).await?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
            let response = Response::from_parts(parts, body);
            Ok(responses.rewrite(Api::Kubernetes, &path, response).map(Full::new))
        });
        response
    })
}

/// Connects to the cluster, and has its answers rewritten.
#[derive(Debug)]
struct RewritingConnector {
    sandbox: SharedSandbox,
    requests: RequestCount,
    responses: Answers,
}

#[async_trait]
impl ClusterConnector for RewritingConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let service = cluster_service(self.sandbox.clone(), self.responses.clone());
        let builder = kube::client::ClientBuilder::new(service, "default");
        let client = builder.with_layer(&request_layer(&self.requests)).build();
        Ok(Arc::new(ClusterClient::new(client, owner, self.requests.clone())))
    }
}

impl Deployment {
    /// The same deployment with rewritten responses.
    pub(crate) fn with_answers(self, responses: &Answers) -> Self {
        let requests = RequestCount::default();
        let sandbox = self.sandbox.clone();
        let wire = Arc::new(RewritingTransport { sandbox, responses: responses.clone() });
        let connector = Arc::new(RewritingConnector {
            sandbox: self.sandbox.clone(),
            requests: requests.clone(),
            responses: responses.clone(),
        });
        let clients = clients_on(&self.sandbox, &self.topology, (wire, connector), requests);
        Self { clients, ..self }
    }
}
