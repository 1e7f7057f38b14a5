//! One small input of the planner, put together a line at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde_json::Value;

use crate::desired::{DesiredResource, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Inventory, Source};
use crate::plan::decision::Comparison;
use crate::plan::planner::plan_changes;
use crate::plan::version_remedies::RequestedVersions;
use crate::plan::{ApplySettings, Blocked, Change, Plan, WorkerRequest};
use crate::resource::azure::{
    MachineRole, NetworkInterface, NextHop, Provisioning, ResourceGroup, RouteTable, Subnet,
    VirtualMachine, VirtualNetwork,
};
use crate::resource::kubernetes::{Manifest, ManifestKind, ObjectName};
use crate::resource::ownership::SiteName;
use crate::resource::tailnet::Device;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Ownership, Pending, Resource};
use crate::topology::model::RolloutSettings;

/// The desired state, the live state and the options of a plan.
#[derive(Debug, Clone, Default)]
pub(super) struct Case {
    pub(super) desired: DesiredSet,
    pub(super) inventory: Inventory,
    pub(super) adopt: BTreeSet<Address>,
    /// The replacements that are permitted; all of them, if the set is empty.
    pub(super) replace: Option<BTreeSet<Address>>,
    pub(super) rollout: RolloutSettings,
    pub(super) worker_request: Option<WorkerRequest>,
}

impl Case {
    /// Wants a resource; the last argument adds what is special about it.
    pub(super) fn wants(
        mut self,
        text: &str,
        resource: Resource,
        clauses: impl FnOnce(&mut DesiredResource),
    ) -> Self {
        let mut desired = DesiredResource {
            address: address(text),
            key: Some(key(text)),
            resource,
            depends_on: Vec::new(),
            contained_in: Vec::new(),
            created_by: None,
            protect: false,
            planned_because_of: format!("{text} is desired"),
        };
        clauses(&mut desired);
        self.desired.add(desired);
        self
    }

    /// It exists and is ours.
    pub(super) fn has(self, text: &str, resource: Resource) -> Self {
        let site = SiteName::from(&address(text).site);
        self.has_with(text, resource, Ownership::Ours { site })
    }

    /// It exists.
    pub(super) fn has_with(mut self, text: &str, resource: Resource, whose: Ownership) -> Self {
        self.inventory.note(key(text), resource, whose);
        self
    }

    /// It is desired, and its live value matches.
    pub(super) fn keeps(
        self,
        text: &str,
        resource: Resource,
        clauses: impl FnOnce(&mut DesiredResource),
    ) -> Self {
        self.wants(text, resource.clone(), clauses).has(text, resource)
    }

    /// A source did not answer.
    pub(super) fn without(mut self, source: Source) -> Self {
        self.inventory.note_gap(Gap {
            source,
            failure: Failure::new(Code::SourceGap, "it does not answer", "restore it"),
            explained: false,
            in_part: false,
        });
        self
    }

    pub(super) fn plan(&self) -> Plan {
        self.plan_with(&self.desired)
    }

    /// A plan to take everything away.
    pub(super) fn plan_to_destroy(&self) -> Plan {
        self.plan_with(&DesiredSet::default())
    }

    fn plan_with(&self, desired: &DesiredSet) -> Plan {
        let all = || self.desired.iter().map(|desired| desired.address.clone()).collect();
        let contents = plan_changes(Comparison {
            settings: &ApplySettings::default(),
            desired,
            inventory: &self.inventory,
            findings: &[],
            adopt: &self.adopt,
            replace: &self.replace.clone().unwrap_or_else(all),
            protected: &self.desired.protected(),
            rollout: &self.rollout,
            worker_request: self.worker_request.as_ref(),
            departed: &BTreeMap::new(),
            present_routers: &BTreeMap::new(),
            nodes: &[],
            requested_versions: &versions(),
            control_plane: None,
            refused_upgrade: None,
            misplaced_routers: &BTreeMap::new(),
            requests: &BTreeMap::new(),
        });
        Plan { contents, desired: desired.clone() }
    }
}

/// The versions of a topology without profiles.
pub(super) fn versions() -> RequestedVersions {
    RequestedVersions { cluster: "1.33".parse().unwrap(), profiles: BTreeMap::new() }
}

pub(super) fn nothing_special(_resource: &mut DesiredResource) {}

/// Lives in another resource.
pub(super) fn inside(text: &str) -> impl FnOnce(&mut DesiredResource) {
    let home = address(text);
    move |resource| {
        resource.contained_in.push(home.clone());
        resource.depends_on.push(home);
    }
}

/// Comes after another resource.
pub(super) fn after(text: &str) -> impl FnOnce(&mut DesiredResource) {
    let address = address(text);
    move |resource| resource.depends_on.push(address)
}

/// Comes with another resource.
pub(super) fn created_by(text: &str) -> impl FnOnce(&mut DesiredResource) {
    let creator = address(text);
    move |resource| {
        resource.created_by = Some(creator.clone());
        resource.contained_in.push(creator.clone());
        resource.depends_on.push(creator);
    }
}

pub(super) fn address(text: &str) -> Address {
    text.parse().unwrap()
}

pub(super) fn group_id() -> ArmId {
    ArmId::resource_group("s", "group")
}

/// The ID of an Azure object, as in [`key`].
pub(super) fn id(text: &str) -> ArmId {
    match key(text) {
        ObjectKey::Azure(id) => id,
        other => panic!("{other:?} is not in Azure"),
    }
}

/// The key of the resource with an address in these cases. Subnets are in the network
/// `network`, everything else in one group.
pub(super) fn key(text: &str) -> ObjectKey {
    let Address { kind, name, .. } = address(text);
    let name = name.to_string();
    let network = || group_id().in_group("Microsoft.Network/virtualNetworks", "network");
    match kind {
        Kind::ResourceGroup => ObjectKey::Azure(ArmId::resource_group("s", &name)),
        Kind::Subnet => ObjectKey::Azure(network().child("subnets", &name)),
        Kind::RouteTableAssociation => {
            ObjectKey::AzureAssociation(network().child("subnets", &name))
        }
        Kind::TailnetDevice => ObjectKey::Device(name),
        Kind::AdvertisedRoutes => ObjectKey::DeviceAdvertised(name),
        Kind::ApprovedRoutes => ObjectKey::DeviceApproved(name),
        Kind::RouterHost => ObjectKey::Host(name),
        Kind::VirtualNetwork => {
            ObjectKey::Azure(group_id().in_group("Microsoft.Network/virtualNetworks", &name))
        }
        Kind::Worker | Kind::Server | Kind::DaemonSet | Kind::Namespace | Kind::CiliumNode => {
            let kind = kind.as_str().into();
            ObjectKey::Kubernetes(ObjectName { kind, namespace: None, name })
        }
        _ => ObjectKey::Azure(group_id().in_group(&format!("Microsoft.Test/{kind}"), &name)),
    }
}

pub(super) fn group(location: &str) -> Resource {
    Resource::ResourceGroup(ResourceGroup { location: location.to_owned(), protected_by: None })
}

/// A table with one route to this prefix.
pub(super) fn table(prefix: &str) -> Resource {
    let routes = BTreeMap::from([(prefix.parse().unwrap(), NextHop::Internet)]);
    Resource::RouteTable(
        RouteTable {
            location: "here".to_owned(),
            routes: Pending::Known(routes),
            protected_by: None,
        }
        .into(),
    )
}

/// A table whose routes wait for another resource.
pub(super) fn table_after(text: &str) -> Resource {
    let routes = Pending::after(address(text));
    Resource::RouteTable(
        RouteTable { location: "here".to_owned(), routes, protected_by: None }.into(),
    )
}

pub(super) fn network(prefix: &str) -> Resource {
    let address_prefixes = vec![prefix.parse().unwrap()];
    Resource::VirtualNetwork(VirtualNetwork {
        location: "here".to_owned(),
        address_prefixes,
        protected_by: None,
    })
}

/// A subnet of `network`, and the table on it.
pub(super) fn subnet(prefix: &str, route_table: Option<&str>) -> Resource {
    Resource::Subnet(Subnet {
        virtual_network: Pending::Known(id("virtual-network/dc/network")),
        address_prefix: prefix.parse().unwrap(),
        route_table: route_table.map(id),
        nat_gateway: None,
        network_security_group: None,
    })
}

/// An interface in the subnet `subnet`.
pub(super) fn interface(last: u8) -> Resource {
    Resource::NetworkInterface(
        NetworkInterface {
            location: "here".to_owned(),
            subnet: Pending::Known(id("subnet/dc/subnet")),
            private_ip: Ipv4Addr::new(10, 0, 0, last),
            ip_forwarding: true,
            public_ip: None,
            network_security_group: None,
            protected_by: None,
        }
        .into(),
    )
}

/// A router's machine on an interface.
pub(super) fn machine(size: &str, network_interface: &str) -> Resource {
    Resource::VirtualMachine(
        VirtualMachine {
            location: "here".to_owned(),
            vm_size: size.to_owned(),
            admin_user: "ubuntu".to_owned(),
            ssh_public_key: "ssh-ed25519 AAAA".to_owned(),
            network_interface: id(network_interface),
            role: MachineRole::Router,
            provisioning: Provisioning::Ready,
            protected_by: None,
        }
        .into(),
    )
}

pub(super) fn device(online: bool) -> Resource {
    let hostname = "router".to_owned();
    Resource::TailnetDevice(Device { online, ..Device::in_service(&hostname, "tag:router") })
}

pub(super) fn manifest(kind: ManifestKind, name: &str, body: Value) -> Resource {
    let name = name.to_owned();
    Resource::Manifest(Manifest { kind, namespace: None, name, body: body.into() })
}

/// The changes of a plan, in order, as text.
pub(super) fn done(plan: &Plan) -> Vec<String> {
    let one = |change: &Change| format!("{} {}", change.action.glyph(), change.address);
    plan.changes.iter().map(one).collect()
}

pub(super) fn change<'a>(plan: &'a Plan, text: &str) -> &'a Change {
    let found = plan.changes.iter().find(|change| change.address == address(text));
    found.unwrap_or_else(|| panic!("{text} is not in\n{}", super::summary(plan)))
}

pub(super) fn blocked<'a>(plan: &'a Plan, text: &str) -> &'a Blocked {
    let found = plan.blocked.iter().find(|blocked| blocked.address == address(text));
    found.unwrap_or_else(|| panic!("{text} is not blocked in\n{}", super::summary(plan)))
}
