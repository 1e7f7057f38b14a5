//! Services at a distance: each request takes a while, in virtual time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stargate::provider::clients::{Clients, ClusterConnector};
use stargate::provider::cluster::{ClusterClient, ClusterError};
use stargate::provider::http::{RequestCount, Transport, TransportError};
use stargate::provider::read_write::ClusterWrite;
use stargate::resource::Owner;
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::transport::{InMemory, kube_service};
use tokio::time::sleep;
use tower::ServiceBuilder;

use crate::harness::{Deployment, clients_on, request_layer};

/// How long each request takes.
pub(crate) const DELAY: Duration = Duration::from_millis(200);

/// Sends each request with the delay.
#[derive(Debug)]
struct DelayedTransport(InMemory);

#[async_trait]
impl Transport for DelayedTransport {
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError> {
        sleep(DELAY).await;
        self.0.send(request).await
    }
}

/// Makes clients of clusters whose requests take the delay.
#[derive(Debug)]
struct DelayedConnector {
    sandbox: SharedSandbox,
    requests: RequestCount,
}

#[async_trait]
impl ClusterConnector for DelayedConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let late = |answer| async {
            sleep(DELAY).await;
            answer.await
        };
        let service = ServiceBuilder::new().map_future(late);
        let service = service.service(kube_service(self.sandbox.clone()));
        let builder = kube::client::ClientBuilder::new(service, "default");
        let client = builder.with_layer(&request_layer(&self.requests)).build();
        Ok(Arc::new(ClusterClient::new(client, owner, self.requests.clone())))
    }
}

/// Clients of a deployment whose requests take the delay, other than those of hosts.
pub(crate) fn clients(deployment: &Deployment) -> Clients {
    let (sandbox, requests) = (deployment.sandbox.clone(), RequestCount::default());
    let connector = DelayedConnector { sandbox: sandbox.clone(), requests: requests.clone() };
    let wire = Arc::new(DelayedTransport(InMemory::new(sandbox.clone())));
    clients_on(&sandbox, &deployment.topology, (wire, Arc::new(connector)), requests)
}
