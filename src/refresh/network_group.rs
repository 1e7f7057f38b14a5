//! The objects beside a cluster's VNet that is in another subscription than the cluster: the
//! lists of the cluster's subscription lack them.

use futures::future::join_all;
use serde_json::Value;

use super::Scope;
use super::azure::listed;
use super::cluster_facts::ClusterResponse;
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::Kind;

/// The kinds of the topology in the group of the VNet. Others may need other roles, and a list
/// that is refused would hide their objects everywhere.
const BESIDE_NETWORK: [Kind; 6] = [
    Kind::VirtualNetwork,
    Kind::NetworkSecurityGroup,
    Kind::PublicIpAddress,
    Kind::NetworkInterface,
    Kind::RouteTable,
    Kind::VirtualMachine,
];

/// Lists the resource group of such a VNet, kind by kind: the identity may have a role on the
/// group, and none on the rest of its subscription.
pub(super) async fn lists(
    clients: &ReadClients,
    scope: &Scope<'_>,
    cluster: &ClusterResponse,
) -> Vec<(Kind, Result<Vec<Value>, RequestError>)> {
    let ClusterResponse::Facts(facts) = cluster else { return Vec::new() };
    let group = facts.network_group();
    let is_listed = group
        .subscription()
        .is_none_or(|other| other.eq_ignore_ascii_case(scope.subscription.as_str()));
    if is_listed {
        return Vec::new();
    }
    let lists = listed().filter(|(kind, _)| BESIDE_NETWORK.contains(kind)).map(|(kind, arm)| {
        let path = format!("{group}/providers/{}", arm.name);
        async move { (kind, clients.azure.list(&path, arm.api_version).await) }
    });
    join_all(lists).await
}

/// Adds objects to a list that may contain them already.
pub(super) fn add(list: &mut Vec<Value>, more: Vec<Value>) {
    for value in more {
        let id = codec::id(&value);
        if list.iter().all(|known| codec::id(known) != id) {
            list.push(value);
        }
    }
}
