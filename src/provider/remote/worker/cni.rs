//! CNI: the plugins that stargate installs, and their configuration.

use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::super::script::{HostScript, Script};
use super::script_base::{begin, packages};
use crate::resource::settings::PackageSource;

/// The name of stargate's CNI configuration: it sorts before the `05-cilium.conflist` that
/// azure-cns may write, and containerd uses the first.
pub const CNI_FILE: &str = "00-stargate.conflist";
/// Recorded in place of an archive's digest if the plugins were preinstalled.
pub(super) const PREINSTALLED: &str = "preinstalled";

/// A release of the CNI plugins, with the digests of its archives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniRelease {
    /// The version, without its `v`.
    pub version: String,
    /// The base URL of releases, without the version.
    pub source: String,
    /// SHA-256 of the archive for x86_64, in hexadecimal.
    pub digest_amd64: String,
    /// SHA-256 of the archive for aarch64, in hexadecimal.
    pub digest_arm64: String,
}

impl CniRelease {
    /// The release that workers get: the one that AKS's own nodes install from a tarball. The
    /// digests are those of the release page.
    pub fn pinned() -> Self {
        let digest_amd64 = "b8e811578fb66023f90d2e238d80cec3bdfca4b44049af74c374d4fae0f9c090";
        let digest_arm64 = "01e0e22acc7f7004e4588c1fe1871cc86d7ab562cd858e1761c4641d89ebfaa4";
        Self {
            version: "1.6.2".to_owned(),
            source: "https://github.com/containernetworking/plugins/releases/download".to_owned(),
            digest_amd64: digest_amd64.to_owned(),
            digest_arm64: digest_arm64.to_owned(),
        }
    }

    /// The script that installs it, or checks that preinstalled plugins are not older.
    pub fn install(&self, topology: &str, source: PackageSource) -> HostScript {
        let script = packages(begin("install the CNI plugins", topology), source)
            .value("noted_as_there", PREINSTALLED);
        self.values(script).build(include_str!("../sh/worker_cni_plugins.sh"))
    }

    /// Sets the variables that name the release.
    pub(super) fn values(&self, script: Script) -> Script {
        script
            .with(include_str!("../sh/cni.sh"))
            .value("version", &self.version)
            .value("source", &self.source)
            .value("digest_amd64", &self.digest_amd64)
            .value("digest_arm64", &self.digest_arm64)
    }

    /// The digest for an architecture as `uname -m` names it.
    pub(super) fn digest(&self, architecture: &str) -> &str {
        if architecture == "aarch64" { &self.digest_arm64 } else { &self.digest_amd64 }
    }
}

/// Stargate's configuration: Cilium's plugin with addresses from the worker's own range. Azure's
/// IPAM agent has no addresses for machines outside of Azure.
pub(super) fn conflist(subnet: Ipv4Net) -> String {
    format!("{:#}\n", configuration(subnet))
}

fn configuration(subnet: Ipv4Net) -> Value {
    json!({
        "cniVersion": "0.3.1",
        "name": "cilium",
        "plugins": [{
            "type": "cilium-cni",
            "log-file": "/var/run/cilium/cilium-cni.log",
            "ipam": { "type": "host-local", "ranges": [[{ "subnet": subnet.to_string() }]] },
        }],
    })
}

/// The subnet, if the configuration is exactly stargate's.
pub(super) fn subnet_of(text: &str) -> Option<Ipv4Net> {
    let found: Value = serde_json::from_str(text).ok()?;
    let subnet = found["plugins"][0]["ipam"]["ranges"][0][0]["subnet"].as_str()?;
    let subnet = subnet.parse().ok()?;
    (found == configuration(subnet)).then_some(subnet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_read_back_and_an_edited_file_has_none() {
        let subnet: Ipv4Net = "10.244.200.0/24".parse().unwrap();
        let text = conflist(subnet);
        assert_eq!(subnet_of(&text), Some(subnet));
        assert_eq!(subnet_of(&text.replace("host-local", "azure-ipam")), None);
        assert_eq!(subnet_of(&text.replace("10.244.200.0/24", "elsewhere")), None);
        assert_eq!(subnet_of("{"), None);
    }
}
