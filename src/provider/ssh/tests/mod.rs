//! The real client against servers of its own protocol on loopback.

mod commands;
mod connections;
mod host_keys;
mod login;
mod real_sshd;
mod relay;
mod server;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, key::safe_rng};

use super::host_keys::KnownHostFiles;
use super::{RemoteCommand, SshSettings};
use crate::provider::host::{HostAddress, HostTarget};
use crate::resource::settings::HostKeyPolicy;

/// A folder with a user's key and known_hosts.
struct Home {
    folder: tempfile::TempDir,
    key: PrivateKey,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = new_key();
        write_key(&folder.path().join("id"), &key);
        Self { folder, key }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn known_hosts(&self) -> PathBuf {
        self.path(".ssh/known_hosts")
    }

    fn write_known_hosts(&self, text: &str) {
        std::fs::create_dir_all(self.path(".ssh")).unwrap();
        std::fs::write(self.known_hosts(), text).unwrap();
    }

    /// Settings that do not wait long, with the one key.
    fn settings(&self) -> SshSettings {
        let files = KnownHostFiles::new(self.known_hosts(), vec![self.path("machine")]);
        let mut settings = SshSettings::new(files);
        settings.key_files = vec![self.path("id")];
        settings.connect_within = Duration::from_secs(20);
        settings
    }
}

fn new_key() -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap()
}

fn write_key(path: &Path, key: &PrivateKey) {
    key.write_openssh_file(path, LineEnding::LF).unwrap();
}

/// A host on loopback that may be trusted at first sight.
fn target(hostname: &str, port: u16) -> HostTarget {
    HostTarget {
        hostname: hostname.to_owned(),
        address: HostAddress::Ip(Ipv4Addr::LOCALHOST),
        port,
        user: "root".to_owned(),
        jump: None,
        host_key: None,
        host_keys: HostKeyPolicy::AcceptNew,
    }
}

fn behind(jump: &HostTarget, target: HostTarget) -> HostTarget {
    HostTarget { jump: Some(Box::new(jump.clone())), ..target }
}

/// A command that the test's server has its own idea about.
fn odd(what: &str) -> RemoteCommand {
    RemoteCommand::program(format!("odd {what}"), [format!("odd-{what}")])
}

fn hello() -> RemoteCommand {
    RemoteCommand::program("hello", ["echo", "hello"])
}

/// Waits for something that comes about by itself.
async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not come about");
}
