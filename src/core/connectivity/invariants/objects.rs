//! Rules about objects of the cluster, and about orphans.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::{Checker, Invariant, ProjectedFact, Sources};
use crate::desired::manifests::ROUTE_MANAGER;
use crate::net::prefix;
use crate::resource::host::JoinedWorker;
use crate::resource::kubernetes::{CiliumNode, Manifest, ManifestKind};
use crate::resource::{Address, Kind, Resource, Site};
use crate::topology::model::Datacenter;

/// How many of a Node's labels that are not as they should be are named.
const MAX_LABELS: usize = 2;

impl Checker<'_> {
    pub(super) fn objects(&mut self, sources: Sources<'_>) {
        let looked_at = [Kind::CiliumNode, Kind::Server, Kind::Worker];
        for desired in sources.desired.iter() {
            let address = &desired.address;
            if !looked_at.contains(&address.kind) {
                continue;
            }
            match (self.state.resource(address), &desired.resource) {
                (ProjectedFact::There(Resource::CiliumNode(node)), _) => {
                    self.cilium_node(address, node);
                }
                (ProjectedFact::There(Resource::Manifest(server)), _) => {
                    self.server(sources, address, server);
                }
                (ProjectedFact::There(Resource::Worker(worker)), Resource::Worker(desired)) => {
                    self.worker(sources, address, worker, desired);
                }
                _ => {}
            }
        }
        self.manifests(sources);
    }

    fn cilium_node(&mut self, address: &Address, node: &CiliumNode) {
        let Some(range) = self.worker_range(address) else { return };
        if node.pod_cidrs != [range] {
            let found = match &node.pod_cidrs[..] {
                [] => format!("it has no pod CIDR; expected {range}"),
                [first, ..] => format!("it has pod CIDR {first}; expected {range}"),
            };
            self.add(Invariant::CiliumNodePodCidrSet, address.clone(), found);
        }
    }

    fn worker_range(&self, address: &Address) -> Option<Ipv4Net> {
        let worker = Address::new(Kind::Worker, address.site.clone(), address.name.as_str());
        match self.state.resource(&worker) {
            ProjectedFact::There(Resource::Worker(worker)) => {
                Some(worker.pod_cidr).filter(|range| prefix::size(range) > 1)
            }
            _ => None,
        }
    }

    fn server(&mut self, sources: Sources<'_>, address: &Address, server: &Manifest) {
        // Without an answer from the tailnet its addresses are unknown.
        if self.state.is_unread(Kind::TailnetDevice, None) {
            return;
        }
        let named = server.body.pointer("/spec/routerIP").and_then(Value::as_str);
        let named = named.unwrap_or_default();
        let own = router_of(sources, &address.site);
        let known = |name: &str| sources.facts.router_address(name);
        let own = own.and_then(|it| Some((it, known(it.router.name.as_str())?)));
        let found = match (own, named.parse::<Ipv4Addr>()) {
            (Some((_, own)), Ok(named)) if named == own => return,
            (Some((datacenter, own)), _) => {
                format!("`{named}` is not {own}, the address of {}", datacenter.router.name)
            }
            (None, _) => format!("`{named}` is not the tailnet address of a router"),
        };
        self.add(Invariant::ServerRouterAddressCurrent, address.clone(), found);
    }

    fn worker(
        &mut self,
        sources: Sources<'_>,
        address: &Address,
        observed: &JoinedWorker,
        desired: &JoinedWorker,
    ) {
        if !observed.ready {
            let found = "its Node is not Ready: pods are evicted from it".to_owned();
            self.add(Invariant::WorkersReady, address.clone(), found);
        }
        if let Some(host) = observed.host.observed() {
            let found = match (host.cni_configuration, &host.cni_chosen) {
                (None, _) => Some("the CNI configuration of stargate is missing".to_owned()),
                (Some(named), _) if named != observed.pod_cidr => Some(format!(
                    "its CNI configuration has pod CIDR {named}; expected {}",
                    observed.pod_cidr
                )),
                (Some(_), None) => Some(
                    "the container runtime does not use the CNI configuration \
                                         of stargate"
                        .to_owned(),
                ),
                (Some(_), Some(_)) => None,
            };
            if let Some(found) = found {
                self.add(Invariant::CniConfigActive, address.clone(), found);
            }
        }
        for found in wrong_of_node(sources, observed, desired) {
            self.add(Invariant::NodesMatchSpec, address.clone(), found);
        }
    }

    /// Objects that are applied as a whole, whether desired or not.
    fn manifests(&mut self, sources: Sources<'_>) {
        for (_, observed) in sources.inventory.iter() {
            let Resource::Manifest(manifest) = &observed.resource else { continue };
            let site = sources.desired.iter().find_map(|desired| match &desired.resource {
                Resource::Manifest(it) if it.object_name() == manifest.object_name() => {
                    Some(desired.address.site.clone())
                }
                _ => None,
            });
            let (kind, name) = (manifest.kind.into(), manifest.name.as_str());
            let address = Address::new(kind, site.unwrap_or(Site::Cluster), name);
            if let Some(path) = secret_in(&manifest.body, String::new()) {
                let found = format!("{path} seems to contain a key or a token");
                self.add(Invariant::NoSecretsInCluster, address.clone(), found);
            }
            let is_manager = manifest.kind == ManifestKind::DaemonSet && name == ROUTE_MANAGER;
            if is_manager && !sources.topology.network.route_manager {
                let found = "it writes routes on AKS nodes, but `[network] route_manager` is not \
                             set";
                self.add(Invariant::NoRouteManagerUnlessEnabled, address, found.to_owned());
            }
        }
    }

    pub(super) fn orphans<'o>(&mut self, orphans: impl IntoIterator<Item = &'o Address>) {
        for address in orphans {
            let found = "it is owned by the topology, which does not list it";
            self.add(Invariant::NoOrphans, address.clone(), found.to_owned());
        }
    }
}

fn router_of<'a>(sources: Sources<'a>, site: &Site) -> Option<&'a Datacenter> {
    let Site::Datacenter(name) = site else { return None };
    sources.topology.datacenters.iter().find(|it| it.name == *name)
}

/// The fields of a Node that differ from the topology.
fn wrong_of_node(
    sources: Sources<'_>,
    observed: &JoinedWorker,
    desired: &JoinedWorker,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if observed.ip != desired.ip {
        wrong.push(format!("its address is {}, not {}", observed.ip, desired.ip));
    }
    if observed.provider_id != desired.provider_id {
        wrong.push(format!("its provider id is `{}`", observed.provider_id));
    }
    let lacking =
        desired.labels.iter().filter(|(name, value)| observed.labels.get(*name) != Some(value));
    let lacking: Vec<&str> = lacking.map(|(name, _)| name.as_str()).collect();
    if !lacking.is_empty() {
        let displayed = lacking[..lacking.len().min(MAX_LABELS)].join(", ");
        wrong.push(format!("{} of its labels differ, such as {displayed}", lacking.len()));
    }
    let plane = sources.facts.cluster.as_ref().map(|cluster| cluster.version);
    if let Some(plane) = plane.filter(|plane| !observed.kubelet_version.may_join(*plane)) {
        let kubelet = observed.kubelet_version;
        wrong.push(format!(
            "its kubelet version is {kubelet}, which the control plane {plane} \
                            does not support"
        ));
    }
    wrong
}

/// The path of a text that looks like a credential.
fn secret_in(value: &Value, path: String) -> Option<String> {
    match value {
        Value::String(text) => is_secret(text).then_some(path),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(number, item)| secret_in(item, format!("{path}[{number}]")))
        }
        Value::Object(fields) => {
            fields.iter().find_map(|(name, field)| secret_in(field, format!("{path}.{name}")))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// A key of Tailscale's, a private key, or a bootstrap token.
fn is_secret(text: &str) -> bool {
    let is_plain =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_token = |word: &str| {
        let parts = word.split_once('.');
        parts.is_some_and(|(id, secret)| {
            id.len() == 6 && secret.len() == 16 && is_plain(id) && is_plain(secret)
        })
    };
    text.contains("tskey-")
        || text.contains("PRIVATE KEY-----")
        || text.split_whitespace().any(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinguishes_credentials_from_names_and_versions() {
        for secret in [
            "tskey-auth-k1-abc",
            "token abcdef.0123456789abcdef",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(is_secret(secret), "{secret}");
        }
        for plain in
            ["10.244.64.0/20", "stargate.io/v1alpha1", "docker.io/bloomberg/goldpinger:3.10.2"]
        {
            assert!(!is_secret(plain), "{plain}");
        }
        let body = serde_json::json!({"spec": {"list": ["fine", "tskey-api-x"]}});
        assert_eq!(secret_in(&body, String::new()).as_deref(), Some(".spec.list[1]"));
    }
}
