//! SSH settings from the topology and the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CliError;
use crate::diagnostics::Code;
use crate::provider::host::HostWrite;
use crate::provider::retry::RetryingHosts;
use crate::provider::ssh::host_keys::KnownHostFiles;
use crate::provider::ssh::settings::KEY_VARIABLE;
use crate::provider::ssh::{SshSettings, SshShell};
use crate::provider::ssh_hosts::SshHosts;
use crate::topology::model::{HostKeyPolicy, PublicKeySource, Topology};

/// A client for the hosts of the topology. Connects on first use.
pub(super) fn hosts(
    topology: &Topology,
    folder: &Path,
    public_key: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<Arc<dyn HostWrite>, CliError> {
    let settings = settings(topology, folder, public_key, lookup)?;
    let record_in = match topology.ssh.host_keys {
        HostKeyPolicy::AcceptNew => Some(settings.known_hosts.clone()),
        HostKeyPolicy::KnownHosts => None,
    };
    let shell = Arc::new(SshShell::new(settings));
    let hosts = SshHosts::new(shell, topology.name.as_str(), record_in);
    Ok(Arc::new(RetryingHosts::new(Arc::new(hosts))))
}

/// Settings from the environment, completed by the topology.
fn settings(
    topology: &Topology,
    folder: &Path,
    public_key: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<SshSettings, CliError> {
    let mut settings = SshSettings::from_environment(lookup).map_err(|error| {
        CliError::coded(Code::InvalidSsh, error.to_string())
            .remedy("set the URL of a SOCKS5 proxy, such as `socks5://localhost:1055`, or `none`")
    })?;
    let home = PathBuf::from(lookup("HOME").unwrap_or_else(|| "/".to_owned()));
    let path = |text: &str| match text.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => folder.join(text),
    };
    settings.preferred_key = Some(public_key.to_owned());
    if lookup(KEY_VARIABLE).is_none() {
        let mut files: Vec<PathBuf> =
            topology.ssh.identity_files.iter().map(|text| path(text)).collect();
        files.extend(private_key_file(&topology.ssh.public_key, &path));
        files.append(&mut settings.key_files);
        files.dedup();
        settings.key_files = files;
    }
    if let Some(own) = &topology.ssh.known_hosts {
        let default = settings.known_hosts;
        let others = std::iter::once(default.user).chain(default.machine).collect();
        settings.known_hosts = KnownHostFiles::new(path(own), others);
    }
    Ok(settings)
}

/// The private key next to the public key file, if it exists.
fn private_key_file(key: &PublicKeySource, path: &dyn Fn(&str) -> PathBuf) -> Option<PathBuf> {
    let PublicKeySource::File(file) = key else { return None };
    let private = path(file.strip_suffix(".pub")?);
    private.exists().then_some(private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::load::load_text;

    fn topology(ssh: &str) -> Topology {
        let text = include_str!("../../stargate.toml.example");
        load_text("stargate.toml", &format!("{text}\n[ssh]\n{ssh}\n")).unwrap().topology
    }

    fn of(topology: &Topology, home: &Path, key: Option<&str>) -> SshSettings {
        let home = home.to_str().unwrap().to_owned();
        let lookup = |name: &str| match name {
            "HOME" => Some(home.clone()),
            KEY_VARIABLE => key.map(str::to_owned),
            _ => None,
        };
        settings(topology, Path::new("/site"), "ssh-ed25519 AAAA", &lookup).unwrap()
    }

    #[test]
    fn files_of_the_topology_come_first() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        for name in ["id_ed25519", "site"] {
            std::fs::write(home.path().join(".ssh").join(name), "").unwrap();
        }
        let topology = topology(
            "identity_files = [\"keys/deploy\"]\npublic_key = \"~/.ssh/site.pub\"\n\
             known_hosts = \"known_hosts\"",
        );
        let settings = of(&topology, home.path(), None);
        let expected = [
            PathBuf::from("/site/keys/deploy"),
            home.path().join(".ssh/site"),
            home.path().join(".ssh/id_ed25519"),
        ];
        assert_eq!(settings.key_files, expected);
        assert!(!settings.only_key_files);
        assert_eq!(settings.known_hosts.user, Path::new("/site/known_hosts"));
        assert_eq!(settings.known_hosts.machine[0], home.path().join(".ssh/known_hosts"));
        assert_eq!(settings.preferred_key.as_deref(), Some("ssh-ed25519 AAAA"));
    }

    #[test]
    fn a_key_from_the_environment_replaces_all_others() {
        let home = tempfile::tempdir().unwrap();
        let topology = topology("identity_files = [\"keys/deploy\"]");
        let settings = of(&topology, home.path(), Some("/run/key"));
        assert_eq!(settings.key_files, [PathBuf::from("/run/key")]);
        assert!(settings.only_key_files);
    }
}
