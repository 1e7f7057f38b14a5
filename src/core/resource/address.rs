//! The address of a resource: the name that users read, type and search for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::resource::names::{DatacenterName, ResourceName};

/// Names one resource within a topology, as in `route-table/cluster/stargate-workers-rt`.
///
/// It does not depend on Azure's names: a subnet has the same address before its VNet
/// exists.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The kind.
    pub kind: Kind,
    /// The site that it belongs to.
    pub site: Site,
    /// Its name within the site.
    pub name: ResourceName,
}

impl Address {
    /// Puts an address together.
    pub fn new(kind: Kind, site: Site, name: impl Into<ResourceName>) -> Self {
        Self { kind, site, name: name.into() }
    }
}

/// The site of the network that a resource belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum Site {
    /// The AKS cluster's.
    Cluster,
    /// A datacenter's.
    Datacenter(DatacenterName),
}

impl fmt::Display for Site {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => formatter.write_str("cluster"),
            Self::Datacenter(name) => name.fmt(formatter),
        }
    }
}

impl From<Site> for String {
    fn from(site: Site) -> Self {
        site.to_string()
    }
}

impl From<String> for Site {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for Site {
    fn from(text: &str) -> Self {
        match text {
            "cluster" => Self::Cluster,
            name => Self::Datacenter(DatacenterName::new(name)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.kind, self.site, self.name)
    }
}

/// The text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address such as `route-table/cluster/stargate-workers-rt`")]
pub struct InvalidAddress(pub String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidAddress(text.to_owned());
        let mut parts = text.splitn(3, '/');
        let (Some(kind), Some(site), Some(name)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(invalid());
        };
        let kind = Kind::named(kind).ok_or_else(invalid)?;
        if site.is_empty() || name.is_empty() {
            return Err(invalid());
        }
        Ok(Self::new(kind, Site::from(site), name))
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_round_trips() {
        for kind in Kind::ALL {
            let address = Address::new(*kind, Site::from("dc1"), "a/b");
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }

    #[test]
    fn invalid_addresses_are_refused() {
        for text in ["", "subnet", "subnet/cluster", "subnet/cluster/", "no-kind/cluster/x"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
    }
}
