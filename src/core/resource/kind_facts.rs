//! The columns of the table of kinds, and values that rows share.

use super::arm_type::ArmType;
use super::kubernetes_api::KubernetesApi;
use super::restarts::Restart;
use super::{Api, Kind};

/// The properties of all objects of a kind.
#[derive(Debug)]
pub struct KindFacts {
    /// The word in addresses, plans and JSON.
    pub name: &'static str,
    /// The service that keeps the objects.
    pub service: Service,
    /// Whether an object can carry a mark of its owner. One that cannot belongs to the
    /// owner of its container or of the object that it refers to.
    pub marked: bool,
    /// Kinds of its containers. It is deleted with them.
    pub containers: &'static [Kind],
    /// Whether an object needs no deletion of its own: deleting its container
    /// deletes it.
    pub deleted_with_container: bool,
    /// Kinds whose objects it needs until it is deleted.
    pub relies_on: &'static [Kind],
    /// Whether a write locks the container too: Azure answers a second write
    /// below the same one with a conflict.
    pub locks_container: bool,
    /// Whether an object can exist, unconfigured, before anything created it: a Node
    /// registers by itself, a device joins when its machine boots.
    pub appears_by_itself: bool,
    /// The specification, of the API version in use, that documents `If-None-Match` for a
    /// creation: with `*` the service refuses to create an object that exists. Where no
    /// such header is documented, the service ignores it, and a read guards the creation.
    pub conditional_creation: Option<&'static str>,
    /// Fields that cannot be changed on a live object.
    pub fixed: FixedFields,
    /// Fields that only the creation of an object uses. On a live object they are not
    /// compared: another value is for the next machine.
    pub creation_only: &'static [&'static str],
    /// Fields whose update in place causes a restart, and the restarted part; sources in
    /// [`Self::restart_on`]. Fields that force a replacement are not listed, because the
    /// replacement implies it.
    pub restarts: &'static [(&'static str, Restart)],
    /// The role in the data plane.
    pub role: DataPlaneRole,
    /// How long changes take.
    pub seconds: UsualSeconds,
    /// The requests of a change.
    pub requests: Requests,
}

impl KindFacts {
    /// The restart by which a service applies an update of a field, if it needs one.
    ///
    /// Sources, kind by kind:
    /// - Virtual machine: "If the virtual machine is currently running, changing its
    ///   size will cause it to restart" (Azure, *Change the size of a virtual machine*).
    /// - AKS: the control plane is upgraded before its node pools, and an upgrade of a
    ///   pool cordons, drains and reimages its nodes one after another (Azure, *Upgrade
    ///   an Azure Kubernetes Service cluster*). Scaling a pool and changing its labels,
    ///   taints or mode restarts no node.
    /// - Network interface: IP forwarding and the public address change on a running
    ///   machine. Subnets, route tables, security groups and NAT gateways do, too.
    /// - Tailscale: `tailscale set` changes the preferences of a running tailscaled;
    ///   sysctls, rules, routes and nftables of a router change in its kernel. The
    ///   units that keep them are written, and started, without a restart of tailscaled.
    /// - Worker: a new profile is applied by the steps of a join, of which some restart
    ///   containerd and the kubelet. Containers outlive both: containerd's shims keep
    ///   them (containerd, *runtime/v2*), and a kubelet takes up what runs. A kubelet of
    ///   another version does not: "Before performing a minor version kubelet upgrade,
    ///   drain pods from that node. In-place minor version kubelet upgrades are not
    ///   supported" (Kubernetes, *Version skew policy*), and a patch may restart
    ///   containers as well.
    /// - Other Kubernetes objects hold nothing that restarts on the network's path. A
    ///   DaemonSet replaces its own pods.
    pub fn restart_on(&self, field: &str) -> Option<Restart> {
        let mut restarts = self.restarts.iter().copied();
        restarts.find_map(|(restarting, restart)| (restarting == field).then_some(restart))
    }
}

/// The service that keeps the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Azure Resource Manager.
    Azure(ArmType),
    /// A property of an object of Azure Resource Manager that is not ours.
    AzureProperty(ArmType),
    /// The tailnet.
    Tailnet,
    /// The cluster's API server.
    Kubernetes(KubernetesApi),
    /// A host, over SSH.
    Host,
}

/// Fields that no service changes on a live object: another value needs a
/// replacement. A field is named by its path, as in `spec.selector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedFields {
    /// These.
    Only(&'static [&'static str]),
    /// All but these.
    AllBut(&'static [&'static str]),
}

impl FixedFields {
    /// Every field can be changed.
    pub const NONE: Self = Self::Only(&[]);

    /// Whether a field is fixed, or is part of one that is.
    pub fn contains(self, path: &[String]) -> bool {
        let is_at = |field: &&str| {
            let parts = field.split('.');
            parts.clone().count() <= path.len() && parts.zip(path).all(|(one, other)| one == other)
        };
        match self {
            Self::Only(fields) => fields.iter().any(is_at),
            Self::AllBut(fields) => !path.is_empty() && !fields.iter().any(is_at),
        }
    }
}

/// The role of a kind's objects in the data plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataPlaneRole {
    /// Packets do not depend on them.
    None,
    /// Packets pass through objects of this kind, or through objects that they configure.
    Path,
    /// They hold routes.
    Routes,
}

/// Seconds that a change takes on real clouds, as seen in public logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsualSeconds {
    /// A creation, and a replacement with its deletion.
    pub create: u64,
    /// An update, and an adoption.
    pub update: u64,
    /// A deletion.
    pub delete: u64,
    /// A reboot.
    pub reboot: u64,
}

impl UsualSeconds {
    /// The same for every change.
    pub const fn all(seconds: u64) -> Self {
        Self { create: seconds, update: seconds, delete: seconds, reboot: seconds }
    }
}

/// The requests of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// Where they go.
    pub api: Api,
    /// Reads: the guard, the questions whether it is done, and the result.
    pub reads: Calls,
    /// Writes.
    pub writes: Calls,
}

impl Requests {
    /// An Azure object: the guard reads once, unless the service guards the creation
    /// ([`KindFacts::conditional_creation`]), a long-running operation is polled at least
    /// once, and the result is read back.
    pub const AZURE: Self = Self { api: Api::Azure, reads: Calls::each(3), writes: Calls::each(1) };
    /// A device or its routes.
    pub const TAILNET: Self =
        Self { api: Api::Tailscale, reads: Calls::once(1), writes: Calls::once(1) };
    /// An object of the cluster.
    pub const MANIFEST: Self =
        Self { api: Api::Kubernetes, reads: Calls::once(1), writes: Calls::each(1) };
}

/// How many calls a change takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Calls {
    count: u64,
    each_phase: bool,
}

impl Calls {
    /// So many for any change.
    pub const fn once(count: u64) -> Self {
        Self { count, each_phase: false }
    }

    /// So many in each phase: a replacement, which destroys and creates, takes
    /// twice as many.
    pub const fn each(count: u64) -> Self {
        Self { count, each_phase: true }
    }

    /// The calls of a change of so many phases.
    pub const fn of(self, phases: u64) -> u64 {
        if self.each_phase { self.count * phases } else { self.count }
    }
}

/// The values that every row starts from.
const fn base(name: &'static str, service: Service, requests: Requests) -> KindFacts {
    KindFacts {
        name,
        service,
        marked: true,
        containers: &[],
        deleted_with_container: false,
        relies_on: &[],
        locks_container: false,
        appears_by_itself: false,
        conditional_creation: None,
        fixed: FixedFields::NONE,
        creation_only: &[],
        restarts: &[],
        role: DataPlaneRole::None,
        seconds: UsualSeconds::all(1),
        requests,
    }
}

/// The row of an object in Azure with tags and a region.
pub(super) const fn in_azure(name: &'static str, arm: ArmType) -> KindFacts {
    KindFacts {
        containers: &[Kind::ResourceGroup, Kind::ManagedCluster],
        fixed: FixedFields::Only(&["location"]),
        seconds: UsualSeconds::all(10),
        ..base(name, Service::Azure(arm), Requests::AZURE)
    }
}

/// The row of an object of the cluster.
pub(super) const fn in_cluster(name: &'static str, api: KubernetesApi) -> KindFacts {
    KindFacts {
        containers: &[Kind::ManagedCluster],
        ..base(name, Service::Kubernetes(api), Requests::MANIFEST)
    }
}

/// The row of an object of the cluster that is applied whole.
pub(super) const fn manifest(name: &'static str, api: KubernetesApi) -> KindFacts {
    let containers: &[Kind] = if api.namespaced {
        &[Kind::ManagedCluster, Kind::Namespace]
    } else {
        &[Kind::ManagedCluster]
    };
    KindFacts { containers, ..in_cluster(name, api) }
}

/// The row of a device in the tailnet, or of its routes.
pub(super) const fn device(name: &'static str) -> KindFacts {
    KindFacts {
        containers: &[Kind::TailnetDevice],
        appears_by_itself: true,
        role: DataPlaneRole::Routes,
        ..base(name, Service::Tailnet, Requests::TAILNET)
    }
}

/// The row of a host's configuration. The host is found in the tailnet.
pub(super) const fn host(name: &'static str) -> KindFacts {
    KindFacts {
        containers: &[Kind::TailnetDevice],
        appears_by_itself: true,
        ..base(name, Service::Host, Requests::TAILNET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<String> {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_field_is_fixed_with_all_that_is_in_it() {
        let fixed = FixedFields::Only(&["location", "spec.selector"]);
        for text in ["location", "spec.selector", "spec.selector.matchLabels.app"] {
            assert!(fixed.contains(&path(text)), "{text}");
        }
        for text in ["spec", "spec.template", "locations", "x.location"] {
            assert!(!fixed.contains(&path(text)), "{text}");
        }
        let fixed = FixedFields::AllBut(&["node_pools"]);
        assert!(fixed.contains(&path("location")));
        assert!(!fixed.contains(&path("node_pools.system.vm_size")));
        assert!(!fixed.contains(&[]) && !FixedFields::NONE.contains(&path("location")));
    }
}
