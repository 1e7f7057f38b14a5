//! What a plan costs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::step_graph::StepGraph;
use super::{Action, Change};
use crate::resource::Api;
use crate::resource::{Address, Kind};

/// Requests and time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Requests that reading the world took, by API.
    pub requests: BTreeMap<Api, u64>,
    /// Requests that applying will take at the least, by API.
    pub apply_requests: BTreeMap<Api, u64>,
    /// Writes among them.
    pub apply_writes: BTreeMap<Api, u64>,
    /// The chain of changes that takes longest.
    pub critical_path: Vec<Address>,
    /// How long that chain takes, in seconds, by figures seen on real clouds.
    pub seconds: u64,
}

impl Cost {
    /// Adds up a plan's changes, which come in its order.
    pub(super) fn of(changes: &[Change], graph: &StepGraph, requests: &BTreeMap<Api, u64>) -> Self {
        let mut cost = Self { requests: requests.clone(), ..Self::default() };
        for change in changes {
            let (api, reads, writes) = calls(change);
            *cost.apply_requests.entry(api).or_default() += reads + writes;
            *cost.apply_writes.entry(api).or_default() += writes;
        }
        let all: Vec<usize> = (0..changes.len()).collect();
        let (path, seconds) = graph.critical_path(changes, &all, self::seconds);
        cost.critical_path = path.into_iter().map(|it| changes[it].address.clone()).collect();
        cost.seconds = seconds;
        cost
    }
}

/// The API that a change goes to, and its reads and writes: the guard reads
/// once, a long-running operation is asked once at the least, the result is
/// read back.
fn calls(change: &Change) -> (Api, u64, u64) {
    let halves = if change.action == Action::Replace { 2 } else { 1 };
    match change.address.kind {
        Kind::ResourceGroup => (Api::Azure, 2 * halves, halves),
        Kind::ManagedCluster
        | Kind::VirtualNetwork
        | Kind::Subnet
        | Kind::RouteTableAssociation
        | Kind::NatGateway
        | Kind::NetworkSecurityGroup
        | Kind::PublicIpAddress
        | Kind::NetworkInterface
        | Kind::VirtualMachine
        | Kind::RouteTable => (Api::Azure, 3 * halves, halves),
        Kind::TailnetDevice => (Api::Tailscale, 1, u64::from(change.before.is_some())),
        Kind::AdvertisedRoutes | Kind::RouterHost => (Api::Tailscale, 1, 0),
        Kind::ApprovedRoutes => (Api::Tailscale, 1, 1),
        // Token, approval, pod CIDR, annotation, Operation twice, token gone.
        Kind::Worker => (Api::Kubernetes, 6, 7),
        _ => (Api::Kubernetes, 1, halves),
    }
}

/// Seconds that a change takes on real clouds, as seen in public logs.
pub(super) fn seconds(change: &Change) -> u64 {
    match (change.address.kind, change.action) {
        (Kind::ManagedCluster, Action::Create | Action::Replace) => 300,
        (Kind::ManagedCluster, _) => 240,
        (Kind::VirtualMachine, _) => 60,
        (Kind::TailnetDevice, Action::Create | Action::Replace) => 60,
        (Kind::Worker, Action::Create | Action::Replace) => 90,
        (Kind::Worker, Action::Reboot) => 120,
        (Kind::ResourceGroup, Action::Delete) => 120,
        (Kind::NatGateway, _) => 20,
        (Kind::RouterHost, _) => 15,
        (
            Kind::VirtualNetwork
            | Kind::Subnet
            | Kind::RouteTable
            | Kind::RouteTableAssociation
            | Kind::NetworkSecurityGroup
            | Kind::PublicIpAddress
            | Kind::NetworkInterface,
            _,
        ) => 10,
        _ => 1,
    }
}
