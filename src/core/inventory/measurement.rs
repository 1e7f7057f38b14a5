//! The measurements of Goldpinger between pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use jiff::Timestamp;

/// A pod that pings others, as the cluster's API shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoldpingerPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node that it is on.
    pub node: String,
    /// Its address, once it has one.
    pub address: Option<Ipv4Addr>,
    /// The port that it answers at.
    pub port: u16,
    /// Whether it is ready to answer.
    pub ready: bool,
}

/// The result of a ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PingResult {
    /// It was answered.
    Reached,
    /// It was not answered.
    Failed(PingFailure),
}

/// Why a ping failed, as far as its error says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PingFailure {
    /// No answer came in time.
    TimedOut,
    /// The connection was refused or broken off.
    Refused,
    /// A hop on the path reported that there is no route.
    NoRoute,
    /// Anything else.
    Other,
}

/// The measurements of Goldpinger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measurement {
    /// The queried pod.
    pub requested: String,
    /// The port that was pinged.
    pub port: u16,
    /// The pods of Goldpinger's, by the cluster's API.
    pub pods: Vec<GoldpingerPod>,
    /// Each pair, by the source and the destination address.
    pub pings: BTreeMap<(Ipv4Addr, Ipv4Addr), PingResult>,
    /// Pods that did not respond to the queried one, so that their measurements are
    /// unknown.
    pub silent: BTreeSet<Ipv4Addr>,
    /// When the oldest of the pings was sent.
    pub oldest: Option<Timestamp>,
}
