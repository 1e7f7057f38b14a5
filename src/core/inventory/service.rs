//! A service of the cluster and the endpoints behind it, as the API server shows
//! them.

use std::net::Ipv4Addr;

/// A service and its endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesService {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The requested address.
    pub address: Ipv4Addr,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Whether only endpoints on the asking node serve it
    /// (`internalTrafficPolicy: Local`).
    pub local_only: bool,
    /// The endpoints, ready or not.
    pub endpoints: Vec<Endpoint>,
}

/// The transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransportProtocol {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
    /// Something that no trace sends.
    Other,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name, empty where there is only one.
    pub name: String,
    /// The transport protocol.
    pub transport: TransportProtocol,
    /// Its number.
    pub number: u16,
}

/// A pod or machine behind a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its address.
    pub address: Ipv4Addr,
    /// The number at it of each of the service's ports, by the ports' names.
    pub ports: Vec<(String, u16)>,
    /// Whether it accepts requests.
    pub readiness: Readiness,
    /// The node that it is on.
    pub node: Option<String>,
    /// The pod, where it is one.
    pub pod: Option<String>,
}

/// Whether an endpoint accepts requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// It does.
    Ready,
    /// It terminates, and accepts requests until then; used only if no endpoint is ready.
    Terminating,
    /// It does not.
    NotReady,
}
