//! Where facts come from: the resource that holds them, and who told of it.

use std::collections::BTreeMap;

use crate::plan::Source;
use crate::reach::Origin;
use crate::resource::{Address, Kind};

/// The resource that holds a fact, and who told of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The resource.
    pub address: Address,
    /// The source.
    pub source: Source,
}

/// All origins of one network.
#[derive(Debug, Clone, Default)]
pub struct Origins {
    all: Vec<Told>,
    known: BTreeMap<Told, Origin>,
}

impl Origins {
    /// The origin of what a resource holds.
    pub(super) fn of(&mut self, address: &Address) -> Origin {
        self.told(Told { address: address.clone(), source: source_of(address) })
    }

    /// The origin of what another source than the usual one tells of a resource.
    pub(super) fn told(&mut self, told: Told) -> Origin {
        let next = Origin(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        let origin = *self.known.entry(told.clone()).or_insert(next);
        if origin == next {
            self.all.push(told);
        }
        origin
    }

    /// What an origin stands for.
    pub fn get(&self, origin: Origin) -> Option<&Told> {
        self.all.get(origin.0 as usize)
    }
}

fn source_of(address: &Address) -> Source {
    match address.kind {
        Kind::TailnetDevice | Kind::AdvertisedRoutes | Kind::ApprovedRoutes => Source::Tailscale,
        Kind::RouterHost => Source::Host(address.name.clone()),
        Kind::CustomResourceDefinition
        | Kind::Namespace
        | Kind::ServiceAccount
        | Kind::ClusterRole
        | Kind::ClusterRoleBinding
        | Kind::DaemonSet
        | Kind::Service
        | Kind::Server
        | Kind::ProvisioningProfile
        | Kind::CiliumNode
        | Kind::Worker => Source::Kubernetes,
        Kind::ResourceGroup
        | Kind::ManagedCluster
        | Kind::VirtualNetwork
        | Kind::Subnet
        | Kind::RouteTableAssociation
        | Kind::NatGateway
        | Kind::NetworkSecurityGroup
        | Kind::PublicIpAddress
        | Kind::NetworkInterface
        | Kind::VirtualMachine
        | Kind::RouteTable => Source::Azure,
    }
}
