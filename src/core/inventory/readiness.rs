//! Facts that a first apply depends on, as the services report them. Only `stargate doctor`
//! reads them: a plan needs none of them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use jiff::SignedDuration;

use super::subscription::{Answer, SubscriptionFacts};
use crate::resource::Api;

/// The facts beyond those of a plan.
#[derive(Debug, Clone)]
pub struct ReadinessFacts {
    /// The subscription.
    pub subscription: SubscriptionFacts,
    /// The credential's rights in the tailnet.
    pub tailnet: TailnetRights,
    /// Existing machines that have not joined and can be reached, by name.
    pub hosts: BTreeMap<String, Answer<()>>,
    /// The holder of the Lease for writing; `None` without a cluster that can be read.
    pub lease: Option<Answer<Option<LeaseHolder>>>,
    /// How far the clock of each service is ahead of this machine's.
    pub clocks: BTreeMap<Api, SignedDuration>,
    /// Other topologies that own resource groups of the subscription.
    pub other_topologies: Answer<BTreeSet<String>>,
}

/// The rights of a credential in the tailnet.
#[derive(Debug, Clone)]
pub struct TailnetRights {
    /// The scopes of an OAuth client; `None` for an API key, which has the rights of its
    /// owner, and for servers that do not report scopes.
    pub scopes: Answer<Option<BTreeSet<String>>>,
    /// The role of the user whose API key the credential is, such as `admin`; `None` for an
    /// OAuth client, and for servers that do not report it.
    pub role: Answer<Option<String>>,
    /// Whether auth keys can be read.
    pub keys: Answer<()>,
    /// For each prefix, the users, groups and tags whose routes need no approval.
    pub auto_approvers: Answer<BTreeMap<Ipv4Net, BTreeSet<String>>>,
}

/// The process that makes changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseHolder {
    /// The Lease.
    pub lease: String,
    /// The holder.
    pub holder: String,
    /// When it was last renewed, by the holder's clock.
    pub renewed: String,
}
