//! Faults of the cluster's objects.

use serde_json::{Value, json};

use super::{FaultError, Strike};
use crate::sandbox::controllers::cluster::{
    CILIUM_NODE, Cluster, NETWORK_CONFIG, POOL_LABEL, label, name,
};
use crate::sandbox::controllers::nodes::network_config_range;
use crate::sandbox::world::World;

const SERVER: (&str, &str) = ("stargate.io/v1alpha1", "Server");

type Outcome = Result<String, FaultError>;

fn cluster<'a>(world: &'a mut World, strike: Strike<'_>) -> Result<Cluster<'a>, FaultError> {
    let store = world.kubernetes.as_mut().ok_or_else(|| strike.nothing())?;
    Ok(Cluster::new(store, strike.now))
}

pub(super) fn cilium_node_empty(world: &mut World, strike: Strike<'_>) -> Outcome {
    let mut cluster = cluster(world, strike)?;
    let filled = |node: &Value| {
        let ranges = node.pointer("/spec/ipam/podCIDRs").and_then(Value::as_array);
        ranges.is_some_and(|ranges| !ranges.is_empty())
    };
    let nodes = cluster.all(CILIUM_NODE).into_iter().filter(filled);
    let (node, mut object) =
        strike.choose(nodes.map(|node| (name(&node).to_owned(), node)).collect())?;
    object["spec"]["ipam"]["podCIDRs"] = json!([]);
    cluster.put(object);
    Ok(format!("CiliumNode {node} has no pod CIDRs"))
}

pub(super) fn server_router_hostname(world: &mut World, strike: Strike<'_>) -> Outcome {
    let mut cluster = cluster(world, strike)?;
    let servers = cluster.all(SERVER).into_iter();
    let (server, mut object) =
        strike.choose(servers.map(|server| (name(&server).to_owned(), server)).collect())?;
    let hostname = format!("{server}-router");
    object["spec"]["routerIP"] = json!(hostname);
    cluster.put(object);
    Ok(format!("Server {server} names {hostname} as its router's address"))
}

pub(super) fn pod_cidr_collision(world: &mut World, strike: Strike<'_>) -> Outcome {
    let mut cluster = cluster(world, strike)?;
    let nodes = cluster.nodes();
    let worker = nodes.iter().find_map(|node| {
        let range = node.pointer("/spec/podCIDR").and_then(Value::as_str)?;
        label(node, POOL_LABEL).is_none().then(|| (name(node).to_owned(), range.to_owned()))
    });
    let (worker, range) = worker.ok_or_else(|| strike.nothing())?;
    let configs = cluster.all(NETWORK_CONFIG).into_iter();
    let given = configs.filter(|config| network_config_range(config).is_some());
    let (node, mut object) =
        strike.choose(given.map(|config| (name(&config).to_owned(), config)).collect())?;
    object["status"]["networkContainers"][0]["primaryIP"] = json!(range);
    cluster.put(object);
    Ok(format!("{node} was given {range}, the pod CIDR of {worker}"))
}
