//! Routing rules on hosts that another program set.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// A rule that another program set, with the routes of the table that it selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignRule {
    /// Lower priorities are evaluated first.
    pub priority: u32,
    /// Sources that match; `0.0.0.0/0` is any.
    pub from: Ipv4Net,
    /// Destinations that match; `0.0.0.0/0` is any.
    pub to: Ipv4Net,
    /// The number of the table, or its name in `/etc/iproute2/rt_tables`.
    pub table: String,
    /// The routes of the table.
    pub routes: BTreeMap<Ipv4Net, ForeignHop>,
}

/// Where a route that another program set sends packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForeignHop {
    /// To a neighbour.
    Via(Ipv4Addr),
    /// To a device.
    Device(String),
    /// Dropped: unreachable, prohibit or blackhole.
    Unreachable,
}
