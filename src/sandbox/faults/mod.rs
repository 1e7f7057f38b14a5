//! Faults that occur in real networks, injected into the sandbox from outside of stargate.

mod account;
mod azure;
mod cluster;
mod devices;
mod hosts;
mod tailnet;

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::controllers;
use super::state::SandboxState;
use crate::provider::http::Api;

macro_rules! faults {
    ($($variant:ident = $name:literal, $description:literal;)*) => {
        /// A fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $(#[doc = $description] $variant,)*
        }

        impl Fault {
            /// Every fault.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The id, as users write it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The effect of the fault, in one sentence.
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => $description,)*
                }
            }
        }
    };
}

faults! {
    RouteMissing = "route-missing", "A datacenter's route is missing from `stargate-workers-rt`.";
    RouteWrongHop = "route-wrong-hop", "A route of `stargate-workers-rt` has the wrong next hop.";
    RouteStale = "route-stale", "`stargate-router-rt` has a route for an AKS node that no longer exists.";
    RouterTableDetached = "router-table-detached", "`stargate-router-rt` is detached from the router subnet.";
    NicForwardingOff = "nic-forwarding-off", "IP forwarding is disabled on a router's network interface in Azure.";
    DcRouteMissing = "dc-route-missing", "A worker's pod route is missing from its datacenter's route table.";
    TailnetRouteUnapproved = "tailnet-route-unapproved", "A prefix that a router advertises is not approved in the tailnet.";
    TailnetBroadRoute = "tailnet-broad-route", "The AKS router advertises the whole pod CIDR, which captures the workers' own traffic.";
    DeviceRenamed = "device-renamed", "The device of a router has another host name in the tailnet.";
    DeviceDeleted = "device-deleted", "The device of a router is deleted in the tailnet's console.";
    DeviceUnauthorized = "device-unauthorized", "The device of a router is no longer authorized in the tailnet.";
    DeviceKeyExpiring = "device-key-expiring", "The node key of a router expires in two days.";
    DeviceKeyExpired = "device-key-expired", "The node key of a router has expired.";
    PrefixServedTwice = "prefix-served-twice", "A device that stargate does not own serves a prefix of a router.";
    RouterLockedOut = "router-locked-out", "Tailnet lock keeps other devices from accepting the key of a router.";
    RouterShieldsUp = "router-shields-up", "A router refuses connections from the tailnet.";
    RouterExitNode = "router-exit-node", "A router sends its traffic to an exit node.";
    WorkerTailscale = "worker-tailscale", "A worker runs tailscaled, which accepts routes to its network and to pods.";
    WorkerSysctl = "worker-sysctl", "Another program changed a sysctl of a worker.";
    WorkerSwap = "worker-swap", "A generator turned on swap on a worker.";
    ForeignNode = "foreign-node", "Another program adds a Node with the pod CIDR of a worker.";
    AksProvisionedNode = "aks-provisioned-node", "Node auto-provisioning adds an AKS node that is in no pool.";
    CiliumNodeEmpty = "cilium-node-empty", "A worker's CiliumNode has no pod CIDRs.";
    ServerRouterIpHostname = "server-router-ip-hostname", "A Server names its router by host name instead of by address.";
    CniConfigMissing = "cni-config-missing", "A worker's CNI configuration is missing.";
    KernelRouteMissing = "kernel-route-missing", "A kernel route of a router is missing.";
    ForwardingOff = "forwarding-off", "IP forwarding is disabled in a router's kernel.";
    MasqueradeMissing = "masquerade-missing", "A router's masquerade rule on tailscale0 is missing.";
    AksScaleOut = "aks-scale-out", "A node pool is scaled out by one node.";
    AksScaleIn = "aks-scale-in", "A node pool is scaled in by its newest node.";
    AksPodCidrCollision = "aks-pod-cidr-collision", "Azure assigns the pod CIDR of a worker to an AKS node.";
    WorkerNotReady = "worker-not-ready", "A worker's kubelet is stopped.";
    WorkerVmDeleted = "worker-vm-deleted", "A worker's VM is deleted.";
    NsgDeny = "nsg-deny", "A router's security group has a rule of the highest priority that denies all inbound traffic.";
    AcceptRoutesOff = "accept-routes-off", "A router does not accept the routes of other routers.";
    MssClampMissing = "mss-clamp-missing", "A router's MSS clamping rule is missing.";
    RouterOffline = "router-offline", "A router is powered off.";
    TagRemoved = "tag-removed", "stargate's ownership tags are missing from `stargate-workers-rt`.";
    ForeignObject = "foreign-object", "A router subnet's security group is replaced with one of the same name that stargate does not own.";
    WorkerFirewall = "worker-firewall", "A firewall that stargate cannot read drops connections to a worker's pods.";
    AzureActionMissing = "azure-action-missing", "The role of the credential lacks an action in Azure.";
    ProviderUnregistered = "provider-unregistered", "A resource provider is not registered in the subscription.";
    QuotaExhausted = "quota-exhausted", "A quota of the subscription is 0 in every region.";
    SizeRestricted = "size-restricted", "The subscription may not use a VM size.";
    VersionEnded = "version-ended", "AKS no longer offers a minor version of Kubernetes.";
    VersionLongTermOnly = "version-long-term-only", "AKS offers a minor version of Kubernetes with long-term support only.";
    PolicyDenies = "policy-denies", "A policy assignment denies resources that stargate creates.";
    ManagementLock = "management-lock", "A management lock makes the subscription or a resource group read-only.";
    TagUnowned = "tag-unowned", "The tailnet's policy has no owner for the tag of the topology.";
    TailnetScopeMissing = "tailnet-scope-missing", "The credential of the tailnet lacks a scope.";
    LoginRefused = "login-refused", "A host does not accept the login.";
    SudoPassword = "sudo-password", "The login user of a host needs a password for sudo.";
    ClockSkew = "clock-skew", "The clocks of the services are ten minutes ahead of this machine's.";
    SourceDown = "source-down", "A service answers 503: azure, tailscale (the default) or kubernetes; `none` restores all services.";
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// No fault has this id.
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

/// Why a fault could not be injected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The fault cannot be injected into this target.
    #[error("`{target}` is not a target of this fault; the targets are {}", candidates.join(", "))]
    UnknownTarget {
        /// The requested target.
        target: String,
        /// The possible targets.
        candidates: Vec<String>,
    },
    /// The sandbox contains no target for the fault.
    #[error("the sandbox has no target for `{0}` yet")]
    NoTarget(&'static str),
}

/// Injects a fault and returns a description of its effect. Without a target, the first
/// candidate by name is used.
pub fn inject(
    sandbox: &mut SandboxState,
    fault: Fault,
    target: Option<&str>,
    now: Timestamp,
) -> Result<String, FaultError> {
    let injection = Injection { fault, target, now };
    let done = match fault {
        Fault::RouteMissing => azure::route_missing(sandbox, injection),
        Fault::RouteWrongHop => azure::route_wrong_hop(sandbox, injection),
        Fault::RouteStale => azure::route_stale(sandbox, injection),
        Fault::RouterTableDetached => azure::router_table_detached(sandbox, injection),
        Fault::NicForwardingOff => azure::interface_forwarding_off(sandbox, injection),
        Fault::DcRouteMissing => azure::datacenter_route_missing(sandbox, injection),
        Fault::NsgDeny => azure::security_group_deny(sandbox, injection),
        Fault::TagRemoved => azure::tags_removed(sandbox, injection),
        Fault::ForeignObject => azure::foreign_object(sandbox, injection),
        Fault::WorkerVmDeleted => azure::worker_vm_deleted(sandbox, injection),
        Fault::AksScaleOut => azure::scale(sandbox, injection, 1),
        Fault::AksScaleIn => azure::scale(sandbox, injection, -1),
        Fault::TailnetRouteUnapproved => tailnet::route_unapproved(sandbox, injection),
        Fault::TailnetBroadRoute => tailnet::broad_route(sandbox, injection),
        Fault::DeviceRenamed
        | Fault::DeviceDeleted
        | Fault::DeviceUnauthorized
        | Fault::DeviceKeyExpiring
        | Fault::RouterLockedOut
        | Fault::DeviceKeyExpired => devices::inject(sandbox, injection),
        Fault::PrefixServedTwice => devices::prefix_served_twice(sandbox, injection),
        Fault::ForeignNode => cluster::foreign_node(sandbox, injection),
        Fault::AksProvisionedNode => cluster::provisioned_node(sandbox, injection),
        Fault::CiliumNodeEmpty => cluster::cilium_node_empty(sandbox, injection),
        Fault::ServerRouterIpHostname => cluster::server_router_hostname(sandbox, injection),
        Fault::AksPodCidrCollision => cluster::pod_cidr_collision(sandbox, injection),
        Fault::AzureActionMissing
        | Fault::ProviderUnregistered
        | Fault::QuotaExhausted
        | Fault::SizeRestricted
        | Fault::VersionEnded
        | Fault::VersionLongTermOnly
        | Fault::PolicyDenies
        | Fault::ManagementLock
        | Fault::TagUnowned
        | Fault::TailnetScopeMissing => account::inject(sandbox, injection),
        Fault::ClockSkew => {
            sandbox.clock_ahead_seconds = CLOCK_SKEW_SECONDS;
            Ok("the clocks of the services are ten minutes ahead".to_owned())
        }
        Fault::SourceDown => source_down(sandbox, injection),
        Fault::CniConfigMissing
        | Fault::RouterShieldsUp
        | Fault::RouterExitNode
        | Fault::WorkerTailscale
        | Fault::WorkerSysctl
        | Fault::WorkerSwap
        | Fault::KernelRouteMissing
        | Fault::ForwardingOff
        | Fault::MasqueradeMissing
        | Fault::WorkerNotReady
        | Fault::AcceptRoutesOff
        | Fault::MssClampMissing
        | Fault::RouterOffline
        | Fault::LoginRefused
        | Fault::SudoPassword
        | Fault::WorkerFirewall => hosts::inject(sandbox, injection),
    }?;
    controllers::reconcile(sandbox, now);
    Ok(done)
}

/// How far the fault `clock-skew` sets the clocks of the services ahead.
const CLOCK_SKEW_SECONDS: i64 = 600;

/// The fault, its target and the time.
#[derive(Debug, Clone, Copy)]
struct Injection<'a> {
    fault: Fault,
    target: Option<&'a str>,
    now: Timestamp,
}

impl Injection<'_> {
    fn no_target(&self) -> FaultError {
        FaultError::NoTarget(self.fault.as_str())
    }

    /// The requested candidate, or else the first by name.
    fn choose<T>(&self, candidates: Vec<(String, T)>) -> Result<(String, T), FaultError> {
        let mut candidates = candidates;
        candidates.sort_by(|(one, _), (other, _)| one.cmp(other));
        let names: Vec<String> = candidates.iter().map(|(name, _)| name.clone()).collect();
        let Some(target) = self.target else {
            return candidates.into_iter().next().ok_or_else(|| self.no_target());
        };
        if names.is_empty() {
            return Err(self.no_target());
        }
        candidates.into_iter().find(|(name, _)| name == target).ok_or_else(|| {
            FaultError::UnknownTarget { target: target.to_owned(), candidates: names }
        })
    }
}

fn source_down(sandbox: &mut SandboxState, injection: Injection<'_>) -> Result<String, FaultError> {
    if injection.target == Some("none") {
        sandbox.down.clear();
        return Ok("all services answer again".to_owned());
    }
    let target = Some(injection.target.unwrap_or(Api::Tailscale.as_str()));
    let candidates = Api::ALL.into_iter().map(|api| (api.to_string(), api)).collect();
    let (name, api) = Injection { target, ..injection }.choose(candidates)?;
    sandbox.down.insert(api);
    Ok(format!("{name} answers 503"))
}

#[cfg(test)]
mod tests;
