//! The names of routes in route tables of other owners: a route carries no tags, so that its
//! name alone tells which topology wrote it.

use ipnet::Ipv4Net;

use super::digest::text_digest;
use super::ownership::SiteName;
use super::{ArmId, Kind, Owner, Ownership, Site};
use crate::resource::names::TopologyName;

/// The first part of such names.
const PREFIX: &str = "stargate-";
/// The length of the longest name of a topology in a route's name. Azure permits 80
/// characters; the destination takes up to 19 of them.
const MAX_TOPOLOGY: usize = 52;
/// The length of the digest in the place of the end of a longer name.
const DIGEST: usize = 8;

/// The name of a topology's route, as in `stargate-lab-10.50.0.0-16`.
pub fn route_name(topology: &TopologyName, prefix: &Ipv4Net) -> String {
    format!("{}-{}", mark(topology.as_str()), destination(prefix))
}

/// The end of a route's name, as in `10.50.0.0-16`.
pub fn destination(prefix: &Ipv4Net) -> String {
    format!("{}-{}", prefix.addr(), prefix.prefix_len())
}

/// The name of a route in addresses, as in `hub-routes/10.50.0.0-16`.
pub fn address_name(route: &ArmId) -> String {
    let table = route.parent();
    let name = route.name();
    let destination = split(name).map_or(name, |(_, destination)| destination);
    format!("{}/{destination}", table.as_ref().map_or("", ArmId::name))
}

/// The route table of a single route, by the ID of the route.
pub fn table_of_route(id: &ArmId) -> Option<ArmId> {
    let kind = id.resource_type().and_then(|name| Kind::of_arm_type(&name));
    id.parent().filter(|_| kind == Some(Kind::Route))
}

/// The owner of a route in a route table of another owner, by its name.
pub fn route_ownership(owner: &Owner, name: &str) -> Ownership {
    // Azure compares names without regard to case.
    let name = name.to_ascii_lowercase();
    let Some((found, _)) = split(&name) else { return Ownership::Foreign };
    let topology = owner.names().find(|topology| mark(topology.as_str()) == found);
    let topology = topology.map(TopologyName::as_str).or_else(|| {
        let other = found.strip_prefix(PREFIX)?;
        TopologyName::is_legal(other).then_some(other)
    });
    owner.ownership(topology, SiteName::from(&Site::Cluster))
}

/// The beginning of the names of a topology's routes. The names of topologies have no full
/// stop, so that a digest is not taken for one.
fn mark(topology: &str) -> String {
    match topology.get(..MAX_TOPOLOGY - DIGEST - 1) {
        Some(start) if topology.len() > MAX_TOPOLOGY => {
            let digest = text_digest(topology);
            format!("{PREFIX}{start}.{}", digest.get(..DIGEST).unwrap_or_default())
        }
        _ => format!("{PREFIX}{topology}"),
    }
}

/// The mark and the destination in a name.
fn split(name: &str) -> Option<(&str, &str)> {
    let (front, length) = name.rsplit_once('-')?;
    let (mark, address) = front.rsplit_once('-')?;
    format!("{address}/{length}").parse::<Ipv4Net>().ok()?;
    Some((mark, &name[mark.len() + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::names::TailnetTag;

    fn owner(topology: &str) -> Owner {
        Owner::new(TopologyName::new(topology), TailnetTag::new("tag:x"))
    }

    fn prefix() -> Ipv4Net {
        "255.255.255.255/32".parse().unwrap()
    }

    #[test]
    fn a_name_is_that_of_one_topology_only() {
        let long = "a".repeat(63);
        let longer_end = format!("{}b", "a".repeat(62));
        let names = ["lab", "lab-1", "1", "a", &long, &longer_end];
        for topology in names {
            let name = route_name(&TopologyName::new(topology), &prefix());
            assert!(name.len() <= 80, "{name}");
            let table =
                ArmId::resource_group("s", "g").in_group("Microsoft.Network/routeTables", "t");
            assert_eq!(address_name(&table.child("routes", &name)), "t/255.255.255.255-32");
            for other in names {
                let ownership = route_ownership(&owner(other), &name.to_ascii_uppercase());
                assert_eq!(ownership.is_ours(), topology == other, "{name} {other}");
            }
        }
    }

    #[test]
    fn names_of_others_prove_nothing() {
        let owner = owner("lab");
        for name in [
            "default",
            "stargate-lab",
            "to-10-50-0-0-16",
            "lab-10.50.0.0-16",
            "stargate-lab-10.50.0.0-33",
            "stargate-lab-10.50.0.0-16-2",
            "",
        ] {
            assert_eq!(route_ownership(&owner, name), Ownership::Foreign, "{name}");
        }
        let other = route_ownership(&owner, "stargate-prod-10.50.0.0-16");
        assert_eq!(other, Ownership::OtherTopology { topology: "prod".to_owned() });
    }

    #[test]
    fn a_renamed_topology_knows_its_former_routes() {
        let owner = Owner { former: Some(TopologyName::new("old")), ..owner("lab") };
        let former = route_ownership(&owner, "stargate-old-10.50.0.0-16");
        assert!(matches!(former, Ownership::Former { .. }), "{former:?}");
    }
}
