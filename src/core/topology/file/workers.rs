//! The workers of a datacenter.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::topology::located::{AddressText, CidrText, Located, MacText, NamePattern};

/// A worker: a machine that becomes a node of the cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerSection {
    /// The host name and Node name.
    pub name: Located<String>,
    /// The address (required for kind `existing`). The default is the lowest free
    /// address of the subnet.
    pub ip: Option<Located<AddressText>>,
    /// The pod CIDR. The default is the lowest free prefix of `pod_pool`.
    pub pod_cidr: Option<Located<CidrText>>,
    /// The MAC address (required for kind `existing`).
    pub mac: Option<Located<MacText>>,
    /// The gateway on the worker's segment that leads to the router (kind `existing`
    /// only), for a worker that is not on the router's segment. It must route the
    /// prefixes of the other sites to the router.
    pub gateway: Option<Located<AddressText>>,
    /// The pinned SSH host key, such as `ssh-ed25519 AAAA…` or `SHA256:…`.
    pub host_key: Option<Located<String>>,
    /// The VM size (kind `azure` only). The default is that of the datacenter.
    pub vm_size: Option<Located<String>>,
    /// The profile. The default is that of the datacenter.
    pub profile: Option<Located<String>>,
    /// Prevent the worker from being replaced, deleted or rebooted.
    #[serde(default)]
    pub protect: bool,
}

/// Similar workers, numbered from 1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerRangeSection {
    /// The pattern of the names: `{:03}` is the number with three digits, `{}`
    /// without padding.
    pub name: Located<NamePattern>,
    /// The number of workers.
    #[schemars(range(min = 1, max = 5000))]
    #[schemars(extend("x-unit" = "workers"))]
    pub count: Located<u32>,
    /// The address of the first worker; the others follow (required for kind
    /// `existing`).
    pub first_ip: Option<Located<AddressText>>,
    /// The pod CIDR of the first worker; the others follow. By default they come from
    /// `pod_pool`.
    pub first_pod_cidr: Option<Located<CidrText>>,
    /// The gateway on the workers' segment that leads to the router (kind `existing`
    /// only), for workers that are not on the router's segment.
    pub gateway: Option<Located<AddressText>>,
    /// The VM size (kind `azure` only). The default is that of the datacenter.
    pub vm_size: Option<Located<String>>,
    /// The profile. The default is that of the datacenter.
    pub profile: Option<Located<String>>,
    /// Prevent the workers from being replaced, deleted or rebooted.
    #[serde(default)]
    pub protect: bool,
}
