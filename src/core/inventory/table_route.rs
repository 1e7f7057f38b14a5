//! Routes in route tables of other owners.

use std::fmt;

use ipnet::Ipv4Net;

/// A route in a route table of another owner, as Azure answers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRoute {
    /// Its name, which is unique in the table.
    pub name: String,
    /// The destination: a prefix or a service tag.
    pub destination: String,
    /// The address of the next hop, or its type.
    pub next_hop: String,
}

impl TableRoute {
    /// The destination, if it is an IPv4 prefix.
    pub fn prefix(&self) -> Option<Ipv4Net> {
        self.destination.parse().ok()
    }
}

impl fmt::Display for TableRoute {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} → {}", self.destination, self.next_hop)
    }
}
