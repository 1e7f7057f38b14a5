//! Splits a class of ends by elements that differ.

use std::net::Ipv4Addr;

use foldhash::{HashMap, HashSet};

use super::endpoints::Endpoints;
use super::fingerprint::fingerprint;
use super::partition::holders;
use super::queries::Queries;
use crate::dataplane::difference::NetworkDifference;
use crate::dataplane::host::HostId;
use crate::dataplane::network::{End, Network};

/// The addresses of a network that classes were made for. It stays valid while
/// only elements differ, and no host gets an address of another one.
#[derive(Debug)]
pub(crate) struct Refiner {
    endpoints: Endpoints,
    holders: HashMap<Ipv4Addr, Vec<HostId>>,
}

/// The answers of differing tables for endpoints that were alike.
#[derive(Debug)]
pub(crate) struct Refinement<'r> {
    endpoints: &'r Endpoints,
    /// By the position of an address; nothing where all are still alike.
    fingerprint: Option<Vec<u32>>,
    /// Hosts that these tables name by themselves.
    pub(crate) singled_out: HashSet<HostId>,
}

impl Refiner {
    pub(crate) fn new(network: &Network, ends: &[End]) -> Self {
        Self { endpoints: Endpoints::new(network, ends), holders: holders(network) }
    }

    /// Asks the elements that differ, as this network has them.
    pub(crate) fn refine(
        &self,
        network: &Network,
        difference: &NetworkDifference,
    ) -> Refinement<'_> {
        let destination =
            Queries::of_difference(network, &self.endpoints, &self.holders, difference);
        let distinguishes =
            destination.steps.iter().any(super::fingerprint::AnswerSteps::distinguishes);
        let fingerprint =
            distinguishes.then(|| fingerprint(self.endpoints.len(), &destination.steps));
        Refinement { endpoints: &self.endpoints, fingerprint, singled_out: destination.singled_out }
    }
}

impl Refinement<'_> {
    /// Whether ends that were alike may be so no more.
    pub(crate) fn distinguishes(&self) -> bool {
        self.fingerprint.is_some()
    }

    /// The results of all queries about the end's own address and those of its host.
    pub(crate) fn aspect(&self, network: &Network, end: End) -> Vec<Option<u32>> {
        let Some(fingerprint) = &self.fingerprint else { return Vec::new() };
        let of = |address| {
            let position = self.endpoints.position(&End { host: end.host, address })?;
            fingerprint.get(position).copied()
        };
        let ports = network.host(end.host).into_iter().flat_map(|host| &host.ports);
        std::iter::once(end.address).chain(ports.map(|port| port.address)).map(of).collect()
    }
}
