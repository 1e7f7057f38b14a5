//! Services and their endpoints.

use std::net::Ipv4Addr;

use serde_json::Value;

use super::error::ClusterError;
use super::request::apis;
use super::{ClusterClient, text_at};
use crate::inventory::{Endpoint, KubernetesService, Readiness, ServicePort, TransportProtocol};

/// The label of a slice that names its service.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

impl ClusterClient {
    /// The service with an address, and its endpoints; `None` if there is no such service.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, or refused.
    pub async fn service_at(
        &self,
        address: Ipv4Addr,
    ) -> Result<Option<KubernetesService>, ClusterError> {
        let services = self.collection(apis::SERVICE, None).list(None, None).await?;
        let Some(found) = services.iter().find(|service| has(service, address)) else {
            return Ok(None);
        };
        let mut service = service(found, address);
        let selector = format!("{SERVICE_LABEL}={}", service.name);
        let slices = self.collection(apis::ENDPOINT_SLICE, Some(&service.namespace));
        for slice in slices.list(Some(&selector), None).await? {
            service.endpoints.extend(endpoints(&slice));
        }
        // A pod may be in two slices while one takes over from the other.
        service.endpoints.sort_by_key(|endpoint| endpoint.address);
        service.endpoints.dedup_by_key(|endpoint| endpoint.address);
        Ok(Some(service))
    }
}

fn has(service: &Value, address: Ipv4Addr) -> bool {
    let many = service.pointer("/spec/clusterIPs").and_then(Value::as_array);
    let own = many.into_iter().flatten().chain(service.pointer("/spec/clusterIP"));
    own.filter_map(Value::as_str).any(|text| text.parse() == Ok(address))
}

fn service(object: &Value, address: Ipv4Addr) -> KubernetesService {
    let ports = object.pointer("/spec/ports").and_then(Value::as_array);
    let port = |port: &Value| {
        let number = u16::try_from(port["port"].as_u64()?).ok()?;
        Some(ServicePort { name: text_at(port, "name"), transport: protocol(port), number })
    };
    KubernetesService {
        namespace: text_at(&object["metadata"], "namespace"),
        name: text_at(&object["metadata"], "name"),
        address,
        ports: ports.into_iter().flatten().filter_map(port).collect(),
        local_only: object["spec"]["internalTrafficPolicy"] == "Local",
        endpoints: Vec::new(),
    }
}

fn protocol(port: &Value) -> TransportProtocol {
    match port["protocol"].as_str() {
        Some("TCP") | None => TransportProtocol::Tcp,
        Some("UDP") => TransportProtocol::Udp,
        Some(_) => TransportProtocol::Other,
    }
}

fn endpoints(slice: &Value) -> Vec<Endpoint> {
    if slice["addressType"] != "IPv4" {
        return Vec::new();
    }
    let list = |field: &str| slice[field].as_array().into_iter().flatten();
    let port = |port: &Value| {
        let number = u16::try_from(port["port"].as_u64()?).ok()?;
        Some((text_at(port, "name"), number))
    };
    let ports: Vec<(String, u16)> = list("ports").filter_map(port).collect();
    let endpoint = |endpoint: &Value| {
        let text = |field: &Value| field.as_str().map(str::to_owned);
        let target = &endpoint["targetRef"];
        Some(Endpoint {
            // All addresses of an endpoint are equivalent to its clients.
            address: endpoint["addresses"][0].as_str()?.parse().ok()?,
            ports: ports.clone(),
            readiness: readiness(&endpoint["conditions"]),
            node: text(&endpoint["nodeName"]),
            pod: text(&target["name"]).filter(|_| target["kind"] == "Pod"),
        })
    };
    list("endpoints").filter_map(endpoint).collect()
}

/// A missing condition counts as true, except `terminating`.
fn readiness(conditions: &Value) -> Readiness {
    let holds = |field: &str, unstated: bool| conditions[field].as_bool().unwrap_or(unstated);
    if holds("ready", true) {
        Readiness::Ready
    } else if holds("terminating", false) && holds("serving", true) {
        Readiness::Terminating
    } else {
        Readiness::NotReady
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider::cluster::fake::FakeServer;

    fn fake() -> FakeServer {
        let fake = FakeServer::default();
        let service = |namespace: &str, name: &str, spec: Value| {
            let metadata = json!({ "namespace": namespace, "name": name });
            let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
            fake.put(&path, json!({ "metadata": metadata, "spec": spec }));
        };
        service("shop", "headless", json!({ "clusterIP": "None" }));
        let ports = json!([
            { "name": "web", "port": 80, "targetPort": 8_080 },
            { "name": "dns", "port": 53, "protocol": "UDP" },
            { "name": "odd", "port": 7, "protocol": "SCTP" },
        ]);
        let spec =
            json!({ "clusterIP": "10.0.0.7", "ports": ports, "internalTrafficPolicy": "Local" });
        service("shop", "till", spec);
        fake
    }

    fn slice(endpoints: &Value) -> Value {
        json!({
            "metadata": { "name": "till", "namespace": "shop" },
            "addressType": "IPv4",
            "ports": [{ "name": "web", "port": 8_080, "protocol": "TCP" }],
            "endpoints": endpoints,
        })
    }

    #[tokio::test]
    async fn a_service_is_found_by_its_address() {
        let fake = fake();
        let path = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/till-a";
        let endpoint = json!({
            "addresses": ["10.244.0.5"], "nodeName": "one",
            "targetRef": { "kind": "Pod", "name": "till-x" },
        });
        fake.put(path, slice(&json!([endpoint])));
        let twice = path.replace("till-a", "till-b");
        let mut other = slice(&json!([endpoint]));
        other["metadata"]["name"] = json!("till-b");
        fake.put(&twice, other);
        let found = fake.client().service_at("10.0.0.7".parse().unwrap()).await.unwrap().unwrap();
        assert_eq!((found.namespace.as_str(), found.name.as_str()), ("shop", "till"));
        assert!(found.local_only);
        let transport: Vec<TransportProtocol> =
            found.ports.iter().map(|port| port.transport).collect();
        assert_eq!(
            transport,
            [TransportProtocol::Tcp, TransportProtocol::Udp, TransportProtocol::Other]
        );
        let endpoint = Endpoint {
            address: "10.244.0.5".parse().unwrap(),
            ports: vec![("web".to_owned(), 8_080)],
            readiness: Readiness::Ready,
            node: Some("one".to_owned()),
            pod: Some("till-x".to_owned()),
        };
        assert_eq!(found.endpoints, [endpoint]);
        assert_eq!(fake.client().service_at("10.0.0.8".parse().unwrap()).await, Ok(None));
    }

    #[test]
    fn missing_conditions_count_as_true() {
        for (conditions, expected) in [
            (json!({}), Readiness::Ready),
            (json!({ "ready": null }), Readiness::Ready),
            (json!({ "ready": false }), Readiness::NotReady),
            (
                json!({ "ready": false, "serving": true, "terminating": true }),
                Readiness::Terminating,
            ),
            (json!({ "ready": false, "serving": false, "terminating": true }), Readiness::NotReady),
        ] {
            assert_eq!(readiness(&conditions), expected, "{conditions}");
        }
    }

    #[test]
    fn undecodable_services_are_omitted() {
        let mut six = slice(&json!([{ "addresses": ["fd00::1"] }]));
        assert!(endpoints(&six).is_empty());
        six["addressType"] = json!("IPv6");
        six["endpoints"] = json!([{ "addresses": ["10.244.0.5"] }]);
        assert!(endpoints(&six).is_empty());
        assert!(endpoints(&json!({ "addressType": "IPv4", "endpoints": [{}] })).is_empty());
    }
}
