//! The security group on the subnets of AKS's own nodes.

use std::collections::BTreeMap;

use super::live_state::{LiveState, RefreshCase};
use super::sight::{Pair, PairStatus, Sight, gap, pairs, small, status};
use crate::connectivity::addresses;
use crate::inventory::Source;
use crate::resource::azure::{Access, NetworkSecurityGroup, RuleDirection, SecurityRule};
use crate::resource::{ArmId, ObjectKey, Ownership, Resource};

const GROUP: &str = "network-security-group/cluster/aks-agentpool-nsg";

fn group_id() -> ArmId {
    ArmId::resource_group("s", "nodes")
        .in_group("Microsoft.Network/networkSecurityGroups", "aks-agentpool-nsg")
}

fn deny(direction: RuleDirection) -> SecurityRule {
    SecurityRule {
        priority: 200,
        direction,
        access: Access::Deny,
        protocol: "*".to_owned(),
        source_prefixes: vec!["*".to_owned()],
        destination_prefixes: vec!["*".to_owned()],
        destination_ports: vec!["*".to_owned()],
    }
}

/// Pairs with and without the group, whose rules are these or are not read.
fn with_group(rules: Option<BTreeMap<String, SecurityRule>>) -> Vec<(Pair, Option<String>)> {
    let topology = small().topology();
    let live_state = LiveState::of(&topology);
    let refresh = live_state.refresh(&topology, &RefreshCase::default());
    let whole = Sight::whole(&live_state, &topology).model(&topology, &refresh.plan);
    let mut sight = Sight::whole(&live_state, &topology);
    let cluster = sight.facts.cluster.as_mut().unwrap();
    cluster.node_subnets[0].security_group = Some(group_id());
    match rules {
        Some(rules) => {
            let group = NetworkSecurityGroup {
                location: "westeurope".to_owned(),
                rules,
                protected_by: None,
            };
            let resource = Resource::NetworkSecurityGroup(group);
            sight.inventory.note(ObjectKey::Azure(group_id()), resource, Ownership::Foreign);
        }
        None => sight.inventory.note_gap(gap(Source::Azure)),
    }
    let partly = sight.model(&topology, &refresh.plan);
    let named = |pair: &Pair| {
        let (_, verdict) = pair.partly.broken()?;
        Some(addresses(&partly, verdict).first()?.to_string())
    };
    pairs(&whole, &partly)
        .into_iter()
        .map(|pair| {
            let named = named(&pair);
            (pair, named)
        })
        .collect()
}

/// Paths from, to and between nodes of AKS.
fn meets_nodes(pair: &Pair) -> bool {
    pair.label.contains("aks-system")
}

#[test]
fn without_rules_all_traffic_is_allowed() {
    for (pair, _) in with_group(Some(BTreeMap::new())) {
        assert_eq!(status(&pair.partly), status(&pair.whole), "{}", pair.label);
    }
}

#[test]
fn a_rule_that_denies_is_named() {
    for direction in [RuleDirection::Inbound, RuleDirection::Outbound] {
        let rules = BTreeMap::from([("nothing".to_owned(), deny(direction))]);
        let all = with_group(Some(rules));
        let reached = |pair: &Pair| status(&pair.whole) == PairStatus::Reached;
        let denied: Vec<_> = all
            .iter()
            .filter(|(pair, _)| reached(pair) && status(&pair.partly) == PairStatus::Dropped)
            .collect();
        assert!(denied.len() > 20, "{}", denied.len());
        for (pair, named) in denied {
            assert!(
                meets_nodes(pair) && named.as_deref() == Some(GROUP),
                "{} {named:?}",
                pair.label
            );
        }
    }
}

#[test]
fn an_unread_security_group_makes_paths_unknown() {
    let mut unknown = 0;
    for (pair, named) in with_group(None) {
        let (before, after) = (status(&pair.whole), status(&pair.partly));
        if before == after {
            continue;
        }
        assert_eq!(after, PairStatus::Unknown, "{}", pair.label);
        assert!(meets_nodes(&pair) && named.as_deref() == Some(GROUP), "{} {named:?}", pair.label);
        unknown += 1;
    }
    assert!(unknown > 20, "{unknown}");
}
