//! Encoded values decode to the same values, and fields of others are kept.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::provider::secret::Secret;
use crate::resource::azure::*;
use crate::resource::names::{TailnetTag, TopologyName};
use crate::resource::settings::NodePoolScale;
use crate::resource::{Address, ArmId, Observable, Owner, Pending, Site};

pub(super) fn owner() -> Owner {
    Owner::new(TopologyName::new("lab"), TailnetTag::new("tag:stargate-lab"))
}

pub(super) fn object() -> ArmId {
    ArmId::resource_group("s", "g").in_group("Microsoft.Network/virtualNetworks", "stargate-vnet")
}

/// Encodes onto an empty body and onto the result: both must decode to the same value.
fn round_trip(resource: Resource, id: Option<&str>, resource_type: &str) {
    let (owner, site) = (owner(), Site::from("dc1"));
    let object = object();
    let marks = Marks { owner: &owner, site: &site, object: &object };
    let creation = MachineCreation::new("host", Secret::new("#cloud-config"));
    let mut base: Option<Value> = None;
    for _ in 0..2 {
        let mut body =
            encode_any(&resource, base.as_ref(), &marks, Some(&creation)).unwrap().unwrap();
        if let Some(id) = id {
            body["id"] = json!(id);
        }
        body["etag"] = json!("W/\"1\"");
        assert_eq!(decode_any(resource_type, &body).unwrap().unwrap(), resource);
        base = Some(body);
    }
}

fn prefix() -> impl Strategy<Value = Ipv4Net> {
    (any::<u32>(), 8_u8..=32)
        .prop_map(|(bits, length)| Ipv4Net::new(bits.into(), length).unwrap().trunc())
}

fn address() -> impl Strategy<Value = Ipv4Addr> {
    any::<u32>().prop_map(Ipv4Addr::from)
}

fn arm_id() -> impl Strategy<Value = ArmId> {
    "[a-z][a-z0-9-]{0,20}".prop_map(|name| ArmId::resource_group("s", "g").in_group("A.B/c", &name))
}

fn location() -> impl Strategy<Value = String> {
    "[a-z]{3,12}"
}

fn hop() -> impl Strategy<Value = NextHop> {
    prop_oneof![
        address().prop_map(NextHop::Appliance),
        Just(NextHop::VirtualNetwork),
        Just(NextHop::Internet),
        Just(NextHop::Gateway),
        Just(NextHop::None),
    ]
}

fn scale() -> impl Strategy<Value = NodePoolScale> {
    prop_oneof![
        (1_u32..50).prop_map(|count| NodePoolScale::Fixed { count }),
        (1_u32..9, 10_u32..99).prop_map(|(min, max)| NodePoolScale::Autoscaled { min, max }),
    ]
}

prop_compose! {
    fn rule()(
        priority in 100_u16..4096,
        inbound: bool,
        allow: bool,
        protocol in prop_oneof![Just("*"), Just("Tcp"), Just("Udp"), Just("Icmp")],
        source_prefixes in vec(prefix().prop_map(|prefix| prefix.to_string()), 1..4),
        destination_ports in vec("[1-9][0-9]{0,3}", 1..4),
    ) -> SecurityRule {
        SecurityRule {
            priority,
            direction: if inbound { RuleDirection::Inbound } else { RuleDirection::Outbound },
            access: if allow { Access::Allow } else { Access::Deny },
            protocol: protocol.to_owned(),
            destination_prefixes: vec!["VirtualNetwork".to_owned()],
            source_prefixes,
            destination_ports,
        }
    }
}

pub(super) fn cluster(pools: BTreeMap<String, NodePool>, location: String) -> ManagedCluster {
    ManagedCluster {
        location,
        kubernetes_version: "1.33.5".parse().unwrap(),
        tier: Observable::unobserved(),
        support_plan: Observable::unobserved(),
        node_resource_group: "MC_g".to_owned(),
        network_plugin: "azure".to_owned(),
        network_plugin_mode: "overlay".to_owned(),
        network_dataplane: "cilium".to_owned(),
        network_policy: "cilium".to_owned(),
        pod_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.2.0.0/16".parse().unwrap(),
        node_pools: pools,
        provisioning: Provisioning::Ready,
        protected_by: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn tables_and_groups_read_back(
        location in location(),
        routes in btree_map(prefix(), hop(), 0..6),
        rules in btree_map("[a-z]{1,8}", rule(), 0..4),
        address_prefixes in vec(prefix(), 1..3),
    ) {
        let table = RouteTable { location: location.clone(), routes: Pending::Known(routes), protected_by: None };
        round_trip(Resource::RouteTable(table.into()), None, "Microsoft.Network/routeTables");
        let group = NetworkSecurityGroup { location: location.clone(), rules, protected_by: None };
        let kind = "Microsoft.Network/networkSecurityGroups";
        round_trip(Resource::NetworkSecurityGroup(group), None, kind);
        let network = VirtualNetwork { location: location.clone(), address_prefixes, protected_by: None };
        round_trip(Resource::VirtualNetwork(network), None, "microsoft.network/virtualnetworks");
        let group = ResourceGroup { location, protected_by: None };
        round_trip(Resource::ResourceGroup(group), None, "Microsoft.Resources/resourceGroups");
    }

    #[test]
    fn subnets_and_addresses_read_back(
        location in location(),
        address_prefix in prefix(),
        route_table in option::of(arm_id()),
        nat_gateway in option::of(arm_id()),
        network_security_group in option::of(arm_id()),
        public_ip in arm_id(),
    ) {
        let network = ArmId::resource_group("s", "g").in_group("N/v", "v");
        let id = network.child("subnets", "n");
        let subnet = Subnet {
            virtual_network: Pending::Known(network),
            address_prefix,
            route_table: route_table.clone(),
            nat_gateway,
            network_security_group,
        };
        let kind = "Microsoft.Network/virtualNetworks/subnets";
        round_trip(Resource::Subnet(subnet), Some(id.as_str()), kind);
        let association = RouteTableAssociation { subnet: Pending::Known(id.clone()), route_table };
        let body = association::encode(&association, Some(&json!({"id": id.as_str()})));
        prop_assert_eq!(association::decode(&body), Ok(association));
        let gateway = NatGateway { location: location.clone(), public_ip, protected_by: None };
        round_trip(Resource::NatGateway(gateway), None, "Microsoft.Network/natGateways");
        let address = PublicIpAddress { location, protected_by: None };
        round_trip(Resource::PublicIpAddress(address), None, "Microsoft.Network/publicIPAddresses");
    }

    #[test]
    fn machines_and_clusters_read_back(
        location in location(),
        subnet in arm_id(),
        private_ip in address(),
        ip_forwarding: bool,
        public_ip in option::of(arm_id()),
        router: bool,
        pools in btree_map("[a-z]{1,8}", scale(), 1..4),
    ) {
        let interface = NetworkInterface {
            location: location.clone(),
            subnet: Pending::Known(subnet.clone()),
            private_ip,
            ip_forwarding,
            public_ip,
            network_security_group: None,
protected_by: None,
        };
        let kind = "Microsoft.Network/networkInterfaces";
        round_trip(Resource::NetworkInterface(interface.into()), None, kind);
        let machine = VirtualMachine {
            location: location.clone(),
            vm_size: "Standard_D2s_v5".to_owned(),
            admin_user: "azureuser".to_owned(),
            ssh_public_key: "ssh-ed25519 AAAA me".to_owned(),
            network_interface: subnet,
            role: if router { MachineRole::Router } else { MachineRole::Worker },
            provisioning: Provisioning::Ready,
            protected_by: None,
        };
        round_trip(Resource::VirtualMachine(machine.into()), None, "Microsoft.Compute/virtualMachines");
        let pools: BTreeMap<String, NodePool> =
            pools.into_iter().map(|(name, scale)| (name, node_pool::tests::pool(scale))).collect();
        for pool in pools.values() {
            let kind = "Microsoft.ContainerService/managedClusters/agentPools";
            round_trip(Resource::NodePool(pool.clone().into()), None, kind);
        }
        let kind = "Microsoft.ContainerService/managedClusters";
        round_trip(Resource::ManagedCluster(cluster(pools, location).into()), None, kind);
    }
}

#[test]
fn a_table_is_emptied_explicitly_and_keeps_names_and_foreign_fields() {
    let (owner, site) = (owner(), Site::Cluster);
    let object = object();
    let marks = Marks { owner: &owner, site: &site, object: &object };
    let base = json!({"properties": {"disableBgpRoutePropagation": true, "routes": [
        {"name": "by-hand", "properties": {"addressPrefix": "10.0.0.0/8", "nextHopType": "None"}}]}});
    let mut table = RouteTable {
        location: "x".into(),
        routes: Pending::Known(BTreeMap::new()),
        protected_by: None,
    };
    let body = route_table::encode(&table, Some(&base), &marks).unwrap();
    assert_eq!(body["properties"], json!({"disableBgpRoutePropagation": true, "routes": []}));
    let routes = [("10.0.0.0/8", NextHop::Internet), ("10.50.0.0/16", NextHop::None)];
    let routes = routes.map(|(prefix, hop)| (prefix.parse().unwrap(), hop));
    table.routes = Pending::Known(BTreeMap::from(routes));
    let body = route_table::encode(&table, Some(&base), &marks).unwrap();
    let names: Vec<_> =
        body["properties"]["routes"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["by-hand", "to-10-50-0-0-16"]);
    let waits_for: Address = "virtual-machine/cluster/r".parse().unwrap();
    table.routes = Pending::after(waits_for.clone());
    let error = route_table::encode(&table, None, &marks).unwrap_err();
    assert_eq!(error.after, waits_for);
}

#[test]
fn a_foreign_subnet_is_written_back_unchanged() {
    let id = "/subscriptions/s/resourceGroups/g/providers/N/v/v/subnets/n";
    let mut subnet = json!({"id": id, "etag": "e", "properties": {"futureProp": [1, {"a": null}],
        "natGateway": {"id": "/x"}, "ipConfigurations": [{"id": "/y"}]}});
    let table = ArmId::new("/t");
    let association = RouteTableAssociation {
        subnet: Pending::Known(ArmId::new(id)),
        route_table: Some(table.clone()),
    };
    let body = association::encode(&association, Some(&subnet));
    subnet["properties"]["routeTable"] = json!({"id": table.as_str()});
    assert_eq!(body, subnet);
}

#[test]
fn a_network_keeps_its_subnets() {
    let (owner, site) = (owner(), Site::Cluster);
    let base = json!({"properties": {"subnets": [{"name": "n"}], "addressSpace": {}}});
    let network =
        VirtualNetwork { location: "x".into(), address_prefixes: vec![], protected_by: None };
    let object = object();
    let marks = Marks { owner: &owner, site: &site, object: &object };
    let body = virtual_network::encode(&network, Some(&base), &marks);
    assert_eq!(body["properties"]["subnets"], json!([{"name": "n"}]));
}

#[test]
fn a_machine_is_created_whole_and_changed_without_its_secrets() {
    let (owner, site) = (owner(), Site::Cluster);
    let object = object();
    let marks = Marks { owner: &owner, site: &site, object: &object };
    let machine = VirtualMachine {
        location: "x".into(),
        vm_size: "Future_Size".into(),
        admin_user: "u".into(),
        ssh_public_key: "k".into(),
        network_interface: ArmId::new("/n"),
        role: MachineRole::Router,
        provisioning: Provisioning::Ready,
        protected_by: None,
    };
    let creation = MachineCreation::new("host", Secret::new("marked"));
    assert!(!format!("{creation:?}").contains("marked"));
    let body = virtual_machine::encode(&machine, None, &marks, Some(&creation));
    let properties = &body["properties"];
    assert_eq!(properties["osProfile"]["customData"], "bWFya2Vk");
    assert_eq!(
        properties["osProfile"]["linuxConfiguration"]["disablePasswordAuthentication"],
        true
    );
    assert_eq!(properties["storageProfile"]["osDisk"]["deleteOption"], "Delete");
    assert_eq!(properties["storageProfile"]["imageReference"]["version"], "latest");
    assert!(properties.get("timeCreated").is_none());
    let there = json!({"resources": [], "properties": {"vmId": "1", "priority": "Regular"}});
    let body = virtual_machine::encode(&machine, Some(&there), &marks, Some(&creation));
    assert!(body.get("resources").is_none() && body["properties"].get("vmId").is_none());
    assert!(body["properties"]["osProfile"].get("customData").is_none());
    assert_eq!(body["properties"]["priority"], "Regular");
}

/// A default in its place would differ from the desired value, and replace the object.
#[test]
fn a_field_that_cannot_be_changed_and_is_missing_is_an_error() {
    let (owner, site) = (owner(), Site::Cluster);
    let object = object();
    let marks = Marks { owner: &owner, site: &site, object: &object };
    let pool = node_pool::tests::pool(NodePoolScale::Fixed { count: 3 });
    let pools = BTreeMap::from([("system".into(), pool)]);
    let whole = managed_cluster::encode(&cluster(pools, "x".into()), None, &marks);
    assert!(managed_cluster::decode(&whole).is_ok());
    for field in [
        "/location",
        "/properties/nodeResourceGroup",
        "/properties/agentPoolProfiles",
        "/properties/networkProfile/networkPlugin",
        "/properties/networkProfile/networkPolicy",
        "/properties/networkProfile/podCidr",
        "/properties/networkProfile/serviceCidr",
    ] {
        let mut body = whole.clone();
        *body.pointer_mut(field).unwrap() = Value::Null;
        assert!(managed_cluster::decode(&body).is_err(), "{field}");
    }
    let machine = VirtualMachine {
        location: "x".into(),
        vm_size: "V".into(),
        admin_user: "u".into(),
        ssh_public_key: "k".into(),
        network_interface: ArmId::new("/n"),
        role: MachineRole::Router,
        provisioning: Provisioning::Ready,
        protected_by: None,
    };
    let creation = MachineCreation::new("host", Secret::new("x"));
    let whole = virtual_machine::encode(&machine, None, &marks, Some(&creation));
    for field in ["adminUsername", "linuxConfiguration"] {
        let mut body = whole.clone();
        body["properties"]["osProfile"][field] = Value::Null;
        assert!(virtual_machine::decode(&body).is_err(), "{field}");
    }
}

#[test]
fn a_subnet_is_read_in_either_form_and_a_broken_reference_is_no_missing_one() {
    let id = "/subscriptions/s/resourceGroups/g/providers/N/v/v/subnets/n";
    let range = |properties: Value| {
        let decoded = subnet::decode(&json!({"id": id, "properties": properties}));
        decoded.map(|subnet| subnet.address_prefix.to_string())
    };
    let expected = Ok("10.224.0.0/16".to_owned());
    assert_eq!(range(json!({"addressPrefix": "10.224.0.0/16"})), expected);
    assert_eq!(range(json!({"addressPrefixes": ["10.224.0.0/16"]})), expected);
    let both = json!({"addressPrefix": null, "addressPrefixes": ["fd00::/64", "10.224.0.0/16"]});
    assert_eq!(range(both), expected);
    for broken in [
        json!({}),
        json!({"addressPrefix": 7}),
        json!({"addressPrefix": "10.224.0.0/16", "routeTable": {}}),
        json!({"addressPrefix": "10.224.0.0/16", "routeTable": "x"}),
    ] {
        assert!(range(broken.clone()).is_err(), "{broken}");
    }
    let body = json!({"id": id, "properties": {"routeTable": {"id": 7}}});
    assert!(association::decode(&body).is_err());
}

#[test]
fn the_running_version_counts_and_a_minor_version_is_kept() {
    let (owner, site) = (owner(), Site::Cluster);
    let object = object();
    let marks = Marks { owner: &owner, site: &site, object: &object };
    let mut body = managed_cluster::encode(&cluster(BTreeMap::new(), "x".into()), None, &marks);
    body["properties"]["kubernetesVersion"] = json!("1.33");
    let version = |body: &Value| managed_cluster::decode(body).unwrap().kubernetes_version;
    assert_eq!(version(&body).to_string(), "1.33");
    body["properties"]["currentKubernetesVersion"] = json!("1.33.7");
    assert_eq!(version(&body).to_string(), "1.33.7");
}
