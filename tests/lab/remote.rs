//! Stargate's own SSH client, for the hosts of the lab.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use stargate::provider::host::{HostTarget, HostWrite};
use stargate::provider::retry::RetryingHosts;
use stargate::provider::ssh::host_keys::KnownHostFiles;
use stargate::provider::ssh::{SshSettings, SshShell};
use stargate::provider::ssh_hosts::SshHosts;
use stargate::topology::model::HostKeyPolicy;

use super::host::USER;

/// A client that logs in with this private key.
pub(crate) fn client(folder: &Path, key: &Path, topology: &str) -> Arc<dyn HostWrite> {
    let files = KnownHostFiles::new(folder.join("known_hosts"), Vec::new());
    let settings =
        SshSettings { key_files: vec![key.to_owned()], ..SshSettings::new(files.clone()) };
    let ssh = SshHosts::new(Arc::new(SshShell::new(settings)), topology, Some(files));
    Arc::new(RetryingHosts::new(Arc::new(ssh)))
}

/// A host that is reached by its address.
pub(crate) fn target(hostname: &str, address: Ipv4Addr) -> HostTarget {
    HostTarget {
        hostname: hostname.to_owned(),
        address: address.into(),
        port: 22,
        user: USER.to_owned(),
        jump: None,
        host_key: None,
        host_keys: HostKeyPolicy::AcceptNew,
    }
}
