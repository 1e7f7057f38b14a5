//! What goes wrong in real networks, done to the world as an outsider would.

mod azure;
mod cluster;
mod hosts;
mod tailnet;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::controllers;
use super::world::World;
use crate::provider::http::Api;

macro_rules! faults {
    ($($variant:ident = $name:literal, $description:literal;)*) => {
        /// Something that goes wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $description] $variant,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, as users write it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// What it does, in one sentence.
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)*
                }
            }
        }
    };
}

faults! {
    RouteMissing = "route-missing", "A datacenter's route is removed from `stargate-workers-rt`.";
    RouteWrongHop = "route-wrong-hop", "A route of `stargate-workers-rt` points at another next hop.";
    RouteStale = "route-stale", "`stargate-router-rt` keeps a route for an AKS node that is long gone.";
    RouterTableDetached = "router-table-detached", "`stargate-router-rt` is taken off the router subnet.";
    NicForwardingOff = "nic-forwarding-off", "IP forwarding is switched off on a router's interface in Azure.";
    DcRouteMissing = "dc-route-missing", "A worker's pod route is removed from its datacenter's route table.";
    TailnetRouteUnapproved = "tailnet-route-unapproved", "The tailnet no longer accepts a prefix that a router offers.";
    TailnetBroadRoute = "tailnet-broad-route", "The AKS router offers the whole pod CIDR, which captures the workers' own traffic.";
    CiliumNodeEmpty = "cilium-node-empty", "A worker's CiliumNode loses its pod CIDRs.";
    ServerRouterIpHostname = "server-router-ip-hostname", "A Server names its router by host name instead of address.";
    CniConfigMissing = "cni-config-missing", "The CNI configuration of a worker is deleted.";
    KernelRouteMissing = "kernel-route-missing", "A kernel route of a router is deleted.";
    ForwardingOff = "forwarding-off", "A router's kernel no longer forwards.";
    MasqueradeMissing = "masquerade-missing", "A router's masquerade on tailscale0 is gone.";
    AksScaleOut = "aks-scale-out", "A node pool gains a node.";
    AksScaleIn = "aks-scale-in", "A node pool loses its newest node.";
    AksPodCidrCollision = "aks-pod-cidr-collision", "Azure gives an AKS node the pod CIDR of a worker.";
    WorkerNotReady = "worker-not-ready", "The kubelet of a worker stops.";
    WorkerVmDeleted = "worker-vm-deleted", "Somebody deletes a worker's VM.";
    NsgDeny = "nsg-deny", "A rule that drops everything is put before all others of a router's security group.";
    AcceptRoutesOff = "accept-routes-off", "A router no longer takes up others' routes.";
    MssClampMissing = "mss-clamp-missing", "A router's clamp of the segment size is gone.";
    RouterOffline = "router-offline", "A router is powered off.";
    TagRemoved = "tag-removed", "Our tags are stripped from `stargate-workers-rt`.";
    ForeignObject = "foreign-object", "A router subnet's security group is replaced by somebody else's of the same name.";
    WorkerFirewall = "worker-firewall", "A firewall that stargate does not read drops what others ask of a worker's pods.";
    SourceDown = "source-down", "A service answers 503: azure, tailscale (unless said otherwise) or kubernetes; `none` ends it.";
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// There is no fault of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no fault `{0}`")]
pub struct UnknownFault(pub String);

impl FromStr for Fault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|fault| fault.as_str() == text);
        found.copied().ok_or_else(|| UnknownFault(text.to_owned()))
    }
}

/// A fault could not be injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The target is not one that the fault can strike.
    #[error("there is no `{target}` to break; there is {}", candidates.join(", "))]
    UnknownTarget {
        /// What was asked for.
        target: String,
        /// What the fault can strike.
        candidates: Vec<String>,
    },
    /// The world has nothing that the fault can strike.
    #[error("the world has nothing that `{0}` could break yet")]
    NothingThere(&'static str),
}

/// Injects a fault and says what was done. Without a target it strikes the
/// first by name.
pub fn inject(
    world: &mut World,
    fault: Fault,
    target: Option<&str>,
    now: Timestamp,
) -> Result<String, FaultError> {
    let strike = Strike { fault, target, now };
    let done = match fault {
        Fault::RouteMissing => azure::route_missing(world, strike),
        Fault::RouteWrongHop => azure::route_wrong_hop(world, strike),
        Fault::RouteStale => azure::route_stale(world, strike),
        Fault::RouterTableDetached => azure::router_table_detached(world, strike),
        Fault::NicForwardingOff => azure::interface_forwarding_off(world, strike),
        Fault::DcRouteMissing => azure::datacenter_route_missing(world, strike),
        Fault::NsgDeny => azure::deny_all(world, strike),
        Fault::TagRemoved => azure::tags_removed(world, strike),
        Fault::ForeignObject => azure::foreign_object(world, strike),
        Fault::WorkerVmDeleted => azure::worker_vm_deleted(world, strike),
        Fault::AksScaleOut => azure::scale(world, strike, 1),
        Fault::AksScaleIn => azure::scale(world, strike, -1),
        Fault::TailnetRouteUnapproved => tailnet::route_unapproved(world, strike),
        Fault::TailnetBroadRoute => tailnet::broad_route(world, strike),
        Fault::CiliumNodeEmpty => cluster::cilium_node_empty(world, strike),
        Fault::ServerRouterIpHostname => cluster::server_router_hostname(world, strike),
        Fault::AksPodCidrCollision => cluster::pod_cidr_collision(world, strike),
        Fault::SourceDown => source_down(world, strike),
        Fault::CniConfigMissing
        | Fault::KernelRouteMissing
        | Fault::ForwardingOff
        | Fault::MasqueradeMissing
        | Fault::WorkerNotReady
        | Fault::AcceptRoutesOff
        | Fault::MssClampMissing
        | Fault::RouterOffline
        | Fault::WorkerFirewall => hosts::strike(world, strike),
    }?;
    controllers::reconcile(world, now);
    Ok(done)
}

/// What is injected, where and when.
#[derive(Debug, Clone, Copy)]
struct Strike<'a> {
    fault: Fault,
    target: Option<&'a str>,
    now: Timestamp,
}

impl Strike<'_> {
    fn nothing(&self) -> FaultError {
        FaultError::NothingThere(self.fault.as_str())
    }

    /// The candidate that is asked for, else the first by name.
    fn choose<T>(&self, candidates: Vec<(String, T)>) -> Result<(String, T), FaultError> {
        let mut candidates = candidates;
        candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
        let names: Vec<String> = candidates.iter().map(|(name, _)| name.clone()).collect();
        let Some(target) = self.target else {
            return candidates.into_iter().next().ok_or_else(|| self.nothing());
        };
        if names.is_empty() {
            return Err(self.nothing());
        }
        candidates.into_iter().find(|(name, _)| name == target).ok_or_else(|| {
            FaultError::UnknownTarget { target: target.to_owned(), candidates: names }
        })
    }
}

fn source_down(world: &mut World, strike: Strike<'_>) -> Result<String, FaultError> {
    if strike.target == Some("none") {
        world.down.clear();
        return Ok("all services answer again".to_owned());
    }
    let target = Some(strike.target.unwrap_or(Api::Tailscale.as_str()));
    let candidates = Api::ALL.into_iter().map(|api| (api.to_string(), api)).collect();
    let (name, api) = Strike { target, ..strike }.choose(candidates)?;
    world.down.insert(api);
    Ok(format!("{name} answers 503"))
}

#[cfg(test)]
mod tests;
