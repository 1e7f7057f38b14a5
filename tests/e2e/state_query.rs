//! Queries of the sandbox's own state, independent of the clients and the planner.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value;
use stargate::resource::host::KernelRoute;
use stargate::sandbox::SandboxState;
use stargate::sandbox::hosts::EmulatedHost;
use stargate::topology::model::Datacenter;

use crate::harness::Deployment;

/// Queries of the sandbox's state.
pub(crate) struct StateQuery<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) sandbox: SandboxState,
}

/// A worker or an AKS node, as the cluster reports it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NodeFacts {
    pub(crate) ip: Ipv4Addr,
    pub(crate) pod_cidr: Ipv4Net,
}

impl<'a> StateQuery<'a> {
    pub(crate) fn of(deployment: &'a Deployment) -> Self {
        Self { deployment, sandbox: deployment.copy_of_state() }
    }

    pub(crate) fn azure(&self, resource_type: &str, name: &str) -> Option<&Value> {
        self.sandbox.arm.list(resource_type).find(|(id, _)| id.name() == name).map(|(_, body)| body)
    }

    /// The next hops of a table.
    pub(crate) fn routes(&self, table: &str) -> BTreeMap<Ipv4Net, Ipv4Addr> {
        let table = self.azure("Microsoft.Network/routeTables", table).unwrap();
        let routes = table["properties"]["routes"].as_array().unwrap();
        let found: BTreeMap<Ipv4Net, Ipv4Addr> = routes
            .iter()
            .map(|route| {
                let properties = &route["properties"];
                assert_eq!(properties["nextHopType"], "VirtualAppliance");
                (parse(&properties["addressPrefix"]), parse(&properties["nextHopIpAddress"]))
            })
            .collect();
        assert_eq!(found.len(), routes.len(), "two routes to one prefix");
        found
    }

    /// The route tables of subnets, by subnet name.
    pub(crate) fn tables_on_subnets(&self) -> BTreeMap<String, Option<String>> {
        let networks = self.sandbox.arm.list("Microsoft.Network/virtualNetworks");
        networks
            .flat_map(|(_, network)| network["properties"]["subnets"].as_array().unwrap())
            .map(|subnet| {
                let table = subnet["properties"]["routeTable"]["id"].as_str();
                let table = table.and_then(|id| id.rsplit('/').next()).map(str::to_owned);
                (subnet["name"].as_str().unwrap().to_owned(), table)
            })
            .collect()
    }

    pub(crate) fn aks_network(&self) -> &Value {
        let mut networks = self.sandbox.arm.list("Microsoft.Network/virtualNetworks");
        networks.find(|(id, _)| id.name().starts_with("aks-vnet")).unwrap().1
    }

    pub(crate) fn objects(&self, api_version: &str, kind: &str) -> BTreeMap<String, &Value> {
        let store = self.sandbox.kubernetes.as_ref().unwrap();
        let named = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
        store.list(api_version, kind, None).into_iter().map(|it| (named(it), it)).collect()
    }

    pub(crate) fn node_ip(&self, name: &str) -> Ipv4Addr {
        let nodes = self.objects("v1", "Node");
        let addresses = nodes[name]["status"]["addresses"].as_array().unwrap();
        parse(&addresses.iter().find(|it| it["type"] == "InternalIP").unwrap()["address"])
    }

    /// AKS's own nodes, with the pod CIDRs that Azure assigned.
    pub(crate) fn aks_nodes(&self) -> BTreeMap<String, NodeFacts> {
        self.objects("acn.azure.com/v1alpha", "NodeNetworkConfig")
            .into_iter()
            .map(|(name, config)| {
                let pod_cidr = parse(&config["status"]["networkContainers"][0]["primaryIP"]);
                (name.clone(), NodeFacts { ip: self.node_ip(&name), pod_cidr })
            })
            .collect()
    }

    pub(crate) fn workers(&self, datacenter: &Datacenter) -> BTreeMap<String, NodeFacts> {
        let nodes = self.objects("v1", "Node");
        datacenter
            .workers
            .iter()
            .map(|worker| {
                let name = worker.name.to_string();
                let pod_cidr = parse(&nodes[&name]["spec"]["podCIDR"]);
                let ip = self.node_ip(&name);
                (name, NodeFacts { ip, pod_cidr })
            })
            .collect()
    }

    pub(crate) fn all_workers(&self) -> BTreeMap<String, NodeFacts> {
        self.datacenters().iter().flat_map(|it| self.workers(it)).collect()
    }

    pub(crate) fn datacenters(&self) -> &'a [Datacenter] {
        &self.deployment.topology.datacenters
    }

    /// A datacenter's pool, and the ranges of workers outside of it.
    pub(crate) fn pod_ranges(&self, datacenter: &Datacenter) -> BTreeSet<Ipv4Net> {
        let pool = datacenter.pod_pool;
        let outside = self
            .workers(datacenter)
            .into_values()
            .map(|worker| worker.pod_cidr)
            .filter(|range| pool.is_none_or(|pool| !pool.contains(range)));
        pool.into_iter().chain(outside).collect()
    }

    /// All prefixes behind a datacenter's router.
    pub(crate) fn behind(&self, datacenter: &Datacenter) -> BTreeSet<Ipv4Net> {
        let mut all = self.pod_ranges(datacenter);
        all.insert(datacenter.network());
        all
    }

    pub(crate) fn behind_others(&self, datacenter: &Datacenter) -> BTreeSet<Ipv4Net> {
        let others = self.datacenters().iter().filter(|other| other.name != datacenter.name);
        others.flat_map(|other| self.behind(other)).collect()
    }

    pub(crate) fn device(&self, router: &str) -> (Ipv4Addr, BTreeSet<IpNet>, BTreeSet<IpNet>) {
        let mut devices = self.sandbox.tailnet.devices().filter(|it| it.hostname == router);
        let device = devices.next().unwrap();
        assert!(devices.next().is_none(), "{router} has two devices");
        assert!(device.online && device.authorized && device.key_expiry_disabled);
        (device.address, device.advertised_routes.clone(), device.enabled_routes.clone())
    }

    pub(crate) fn host(&self, name: &str) -> &EmulatedHost {
        &self.sandbox.hosts[name]
    }

    pub(crate) fn kernel_routes(&self, host: &str) -> BTreeMap<Ipv4Net, KernelRoute> {
        let routes = &self.host(host).kernel.routes;
        assert!(routes.iter().all(|route| route.protocol == 117 && route.table == 254));
        routes.iter().map(|route| (route.destination, route.via)).collect()
    }

    pub(crate) fn aks_node_subnet(&self) -> Ipv4Net {
        let subnets = self.aks_network()["properties"]["subnets"].as_array().unwrap();
        let subnet = subnets.iter().find(|subnet| subnet["name"] == "aks-subnet").unwrap();
        parse(&subnet["properties"]["addressPrefix"])
    }

    pub(crate) fn aks_space(&self) -> Ipv4Net {
        parse(&self.aks_network()["properties"]["addressSpace"]["addressPrefixes"][0])
    }
}

pub(crate) fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(value: &Value) -> T {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).parse().unwrap()
}
