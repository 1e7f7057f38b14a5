//! Services: the endpoints behind an address that is in no table.
//!
//! Cilium replaces a service's address with an endpoint's on the node that sends the
//! packet, before any table lookup, and reverses that for the reply.

use std::net::Ipv4Addr;

use super::{PathModel, Sources};
use crate::dataplane::{End, Protocol};
use crate::inventory::{Endpoint, KubernetesService, Readiness, ServicePort, TransportProtocol};
use crate::topology::names::WorkerName;

/// The destination of a packet to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// The endpoint.
    pub endpoint: &'a Endpoint,
    /// The protocol of the port.
    pub protocol: Protocol,
}

/// A query that a service cannot answer, regardless of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// A service is no host: it answers no echo.
    #[error("does not answer ICMP")]
    Echo,
    /// It has no such port.
    #[error("has no such port")]
    Unknown,
    /// It has several, and none was named.
    #[error("has several ports")]
    Several,
}

impl KubernetesService {
    /// The port that is meant; where none is named, the only one.
    pub fn port(
        &self,
        transport: TransportProtocol,
        number: Option<u16>,
    ) -> Result<&ServicePort, NoPort> {
        let mut fitting = self.ports.iter().filter(|port| {
            port.transport == transport && number.is_none_or(|number| port.number == number)
        });
        match (fitting.next(), fitting.next()) {
            (Some(port), None) => Ok(port),
            (Some(_), Some(_)) => Err(NoPort::Several),
            (None, _) => Err(NoPort::Unknown),
        }
    }

    /// The endpoints from which a node selects the backend of the service: the
    /// ready ones, or without any the terminating ones.
    pub fn targets(&self, port: &ServicePort, node: &str) -> Vec<Target<'_>> {
        let here = self.endpoints.iter().filter(|endpoint| {
            !self.local_only || endpoint.node.as_deref().is_some_and(|name| name == node)
        });
        let target = |endpoint| target(endpoint, port);
        let of = |desired: Readiness| -> Vec<Target<'_>> {
            let fitting = here.clone().filter(|endpoint| endpoint.readiness == desired);
            fitting.filter_map(target).collect()
        };
        let ready = of(Readiness::Ready);
        if ready.is_empty() { of(Readiness::Terminating) } else { ready }
    }
}

fn target<'a>(endpoint: &'a Endpoint, port: &ServicePort) -> Option<Target<'a>> {
    let number = endpoint.ports.iter().find(|(name, _)| *name == port.name)?.1;
    let protocol = match port.transport {
        TransportProtocol::Tcp => Protocol::Tcp(number),
        TransportProtocol::Udp => Protocol::Udp(number),
        TransportProtocol::Other => return None,
    };
    Some(Target { endpoint, protocol })
}

/// Whether an address is one of the cluster's services.
pub fn is_service(sources: Sources<'_>, address: Ipv4Addr) -> bool {
    let observed = sources.facts.cluster.as_ref().map(|cluster| cluster.service_cidr);
    observed.unwrap_or(sources.topology.cluster.service_cidr).contains(&address)
}

/// Whether an address is a pod's, by the range of all pods.
pub fn is_pod(sources: Sources<'_>, address: Ipv4Addr) -> bool {
    let observed = sources.facts.cluster.as_ref().map(|cluster| cluster.pod_cidr);
    observed.unwrap_or(sources.topology.cluster.pod_cidr).contains(&address)
}

/// Whether the host that an end is on puts endpoints in place of services: it
/// is a node, and the cluster's Cilium runs on it.
pub fn translates(sources: Sources<'_>, model: &PathModel, from: End) -> bool {
    let name = model.network.name(from.host);
    let is_aks = model.sites.first().is_some_and(|site| site.nodes.contains(&from.host));
    let datacenters = &sources.topology.datacenters;
    let mut workers = datacenters.iter().flat_map(|datacenter| &datacenter.workers);
    let worker = workers.find(|worker| WorkerName::as_str(&worker.name) == name);
    let profile = worker.and_then(|worker| sources.topology.profiles.get(&worker.profile));
    is_aks || profile.is_some_and(|profile| profile.managed_cilium)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(address: &str, readiness: Readiness, node: &str) -> Endpoint {
        Endpoint {
            address: address.parse().unwrap(),
            ports: vec![("dns".to_owned(), 5_353), ("metrics".to_owned(), 9_153)],
            readiness,
            node: Some(node.to_owned()),
            pod: None,
        }
    }

    fn port(name: &str, transport: TransportProtocol, number: u16) -> ServicePort {
        ServicePort { name: name.to_owned(), transport, number }
    }

    fn service() -> KubernetesService {
        KubernetesService {
            namespace: "kube-system".to_owned(),
            name: "kube-dns".to_owned(),
            address: "10.0.0.10".parse().unwrap(),
            ports: vec![
                port("dns", TransportProtocol::Udp, 53),
                port("dns-tcp", TransportProtocol::Tcp, 53),
                port("metrics", TransportProtocol::Tcp, 9_153),
            ],
            local_only: false,
            endpoints: vec![
                endpoint("10.244.0.5", Readiness::Ready, "one"),
                endpoint("10.244.1.5", Readiness::NotReady, "two"),
                endpoint("10.244.2.5", Readiness::Terminating, "three"),
                endpoint("10.244.3.5", Readiness::Ready, "four"),
            ],
        }
    }

    fn addresses(targets: &[Target<'_>]) -> Vec<String> {
        targets.iter().map(|it| it.endpoint.address.to_string()).collect()
    }

    #[test]
    fn a_port_is_the_one_that_is_named_or_the_only_one() {
        let service = service();
        assert_eq!(service.port(TransportProtocol::Udp, None).unwrap().name, "dns");
        assert_eq!(service.port(TransportProtocol::Tcp, Some(53)).unwrap().name, "dns-tcp");
        assert_eq!(service.port(TransportProtocol::Tcp, None), Err(NoPort::Several));
        assert_eq!(service.port(TransportProtocol::Tcp, Some(8_080)), Err(NoPort::Unknown));
        assert_eq!(service.port(TransportProtocol::Udp, Some(9_153)), Err(NoPort::Unknown));
    }

    #[test]
    fn ready_endpoints_have_their_own_target_ports() {
        let mut service = service();
        let dns = port("dns", TransportProtocol::Udp, 53);
        let targets = service.targets(&dns, "one");
        assert_eq!(addresses(&targets), ["10.244.0.5", "10.244.3.5"]);
        assert!(targets.iter().all(|it| it.protocol == Protocol::Udp(5_353)));
        // An endpoint without the port does not serve it.
        assert!(service.targets(&port("dns-tcp", TransportProtocol::Tcp, 53), "one").is_empty());
        service.local_only = true;
        assert_eq!(addresses(&service.targets(&dns, "four")), ["10.244.3.5"]);
        assert!(service.targets(&dns, "two").is_empty(), "what is there is not ready");
        assert_eq!(addresses(&service.targets(&dns, "three")), ["10.244.2.5"]);
        service.local_only = false;
        service.endpoints.retain(|it| it.readiness != Readiness::Ready);
        assert_eq!(addresses(&service.targets(&dns, "one")), ["10.244.2.5"]);
    }
}
