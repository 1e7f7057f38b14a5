//! SSH settings: keys, files, proxy, timeouts.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::host_keys::KnownHostFiles;
use super::socks::{NoProxy, SocksProxy};
use crate::provider::secret::Secret;

/// The environment variable with the only key file to log in with.
pub const KEY_VARIABLE: &str = "STARGATE_SSH_KEY";
/// The environment variable with the passphrase of key files.
pub const PASSPHRASE_VARIABLE: &str = "STARGATE_SSH_KEY_PASSPHRASE";
/// The environment variable with the proxy for SSH, such as `socks5://localhost:1055`, or `none`.
pub const PROXY_VARIABLE: &str = "STARGATE_SSH_PROXY";
/// The environment variables with the proxy of all programs; used if it is a SOCKS5 proxy.
const ALL_PROXY: [&str; 2] = ["ALL_PROXY", "all_proxy"];
/// The key files that OpenSSH tries by default, of the supported kinds.
const DEFAULT_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// Provides the passphrases of key files. It may prompt the user, and is called only after a host
/// has accepted the key.
pub trait PassphraseSource: Send + Sync + fmt::Debug {
    /// The passphrase, if there is one.
    fn passphrase(&self, key_file: &Path) -> Option<Secret>;
}

/// One passphrase for all key files, or none.
#[derive(Debug, Clone, Default)]
pub struct FixedPassphrase(pub Option<Secret>);

impl PassphraseSource for FixedPassphrase {
    fn passphrase(&self, _key_file: &Path) -> Option<Secret> {
        self.0.clone()
    }
}

/// SSH settings.
#[derive(Debug, Clone)]
pub struct SshSettings {
    /// The socket of an agent.
    pub agent: Option<PathBuf>,
    /// Key files, tried in this order after the agent's keys.
    pub key_files: Vec<PathBuf>,
    /// Use the key files only, and of the agent's keys only the same ones.
    pub only_key_files: bool,
    /// The source of passphrases.
    pub passphrases: Arc<dyn PassphraseSource>,
    /// The public key that new hosts get, which is tried first if the agent has it: sshd
    /// disconnects after some unknown keys.
    pub preferred_key: Option<String>,
    /// The known_hosts files.
    pub known_hosts: KnownHostFiles,
    /// The proxy for connections to the first host.
    pub proxy: Option<SocksProxy>,
    /// The timeout for the connection and key exchange, and for opening a channel.
    pub connect_within: Duration,
    /// The timeout for the response to each key.
    pub login_within: Duration,
    /// The idle time after which a keepalive is sent. The third unanswered one ends the connection.
    pub keepalive: Duration,
    /// The number of concurrent commands on a connection; sshd allows 10.
    pub sessions: usize,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

impl SshSettings {
    /// Settings without agent and key files.
    pub fn new(known_hosts: KnownHostFiles) -> Self {
        Self {
            agent: None,
            key_files: Vec::new(),
            only_key_files: false,
            passphrases: Arc::new(FixedPassphrase::default()),
            preferred_key: None,
            known_hosts,
            proxy: None,
            connect_within: Duration::from_secs(15),
            login_within: Duration::from_secs(30),
            keepalive: Duration::from_secs(5),
            sessions: 8,
            idle: Duration::from_secs(120),
        }
    }

    /// The settings of this user and machine: `SSH_AUTH_SOCK`, the default key files and
    /// known_hosts, and the environment variables of this module.
    ///
    /// # Errors
    ///
    /// The proxy for SSH is invalid.
    pub fn from_environment(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, NoProxy> {
        let given = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let home = PathBuf::from(given("HOME").unwrap_or_else(|| "/".to_owned()));
        let folder = home.join(".ssh");
        let machine = vec![PathBuf::from("/etc/ssh/ssh_known_hosts")];
        let mut settings = Self::new(KnownHostFiles::new(folder.join("known_hosts"), machine));
        settings.agent = given("SSH_AUTH_SOCK").map(PathBuf::from);
        settings.passphrases =
            Arc::new(FixedPassphrase(given(PASSPHRASE_VARIABLE).map(Secret::new)));
        settings.proxy = proxy(&given)?;
        match given(KEY_VARIABLE) {
            Some(path) => {
                settings.key_files = vec![expanded(&path, &home)];
                settings.only_key_files = true;
            }
            None => {
                let files = DEFAULT_KEYS.iter().map(|name| folder.join(name));
                settings.key_files = files.filter(|path| path.exists()).collect();
            }
        }
        Ok(settings)
    }
}

/// The proxy for SSH, or else the general one if it is a SOCKS5 proxy.
fn proxy(given: &dyn Fn(&str) -> Option<String>) -> Result<Option<SocksProxy>, NoProxy> {
    match given(PROXY_VARIABLE) {
        Some(none) if none == "none" => return Ok(None),
        Some(text) => {
            let named =
                |NoProxy { reason }| NoProxy { reason: format!("{PROXY_VARIABLE}: {reason}") };
            return SocksProxy::of_text(&text).map(Some).map_err(named);
        }
        None => {}
    }
    let general = ALL_PROXY.into_iter().find_map(given);
    Ok(general.and_then(|text| SocksProxy::of_text(&text).ok()))
}

fn expanded(path: &str, home: &Path) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<SshSettings, NoProxy> {
        SshSettings::from_environment(&|name| {
            let found = pairs.iter().find(|(one, _)| *one == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_named_key_is_the_only_one() {
        let named = settings(&[("HOME", "/home/a"), (KEY_VARIABLE, "~/key")]).unwrap();
        assert_eq!(named.key_files, [PathBuf::from("/home/a/key")]);
        assert!(named.only_key_files);
        assert_eq!(named.known_hosts.user, PathBuf::from("/home/a/.ssh/known_hosts"));
    }

    #[test]
    fn the_usual_key_files_are_found() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".ssh")).unwrap();
        std::fs::write(home.path().join(".ssh/id_ecdsa"), "").unwrap();
        let found = settings(&[("HOME", home.path().to_str().unwrap())]).unwrap();
        assert_eq!(found.key_files, [home.path().join(".ssh/id_ecdsa")]);
        assert!(!found.only_key_files && found.agent.is_none());
    }

    #[test]
    fn the_proxy_for_ssh_comes_first() {
        let port = |pairs: &[(&str, &str)]| settings(pairs).map(|it| it.proxy.map(|it| it.port));
        let all = ("ALL_PROXY", "socks5://a:1");
        assert_eq!(port(&[]), Ok(None));
        assert_eq!(port(&[all]), Ok(Some(1)));
        assert_eq!(port(&[all, (PROXY_VARIABLE, "socks5://b:2")]), Ok(Some(2)));
        assert_eq!(port(&[all, (PROXY_VARIABLE, "none")]), Ok(None));
        assert_eq!(port(&[("all_proxy", "http://a:1")]), Ok(None));
        assert!(port(&[(PROXY_VARIABLE, "http://a:1")]).is_err());
    }
}
