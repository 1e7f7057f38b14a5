//! Whether a host's key is one to trust.
//!
//! A pin in the topology decides alone. Without one the known_hosts files do.
//! The host is looked up by its hostname, as OpenSSH does with `HostKeyAlias`,
//! and `[hostname]:port` where the port is not 22; what these lines hold
//! decides. A line for the address is taken too, so that whoever has logged in
//! there by hand is not asked again; where the address is reached directly, a
//! line of it with another key refuses. (Behind a router the same private
//! address is another machine in every network, so there it refuses nothing.)
//!
//! A host that is known by a key of one kind and shows one of another kind has
//! changed too: we ask for the known kinds first, so it has lost that key.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use russh::keys::ssh_key::{EcdsaCurve, HashAlg};
use russh::keys::{Algorithm, PublicKey, PublicKeyBase64};
use sha2::{Digest, Sha256};

use super::known_hosts::{KnownKey, keys_for, name_with_port};
use crate::provider::host::HostTarget;
use crate::provider::host_error::changed_key_remedy;
use crate::resource::settings::HostKeyPolicy;

mod remembering;

/// The files that hold host keys.
#[derive(Debug, Clone)]
pub struct KnownHostFiles {
    /// The user's; keys that are accepted are noted here.
    pub user: PathBuf,
    /// The machine's; only read.
    pub machine: Vec<PathBuf>,
    /// One change of the user's file at a time.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl KnownHostFiles {
    /// These files; none of them needs to be there.
    pub fn new(user: PathBuf, machine: Vec<PathBuf>) -> Self {
        Self { user, machine, writing: Arc::default() }
    }
}

/// A host's key is not one to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// It is another one than before.
    #[error(
        "the host key of {hostname} has changed: it shows {presented}, and {place} has {expected}"
    )]
    Changed {
        /// The host.
        hostname: String,
        /// The kind and fingerprint of the key that it shows.
        presented: String,
        /// The kind and fingerprint of the key that is known.
        expected: String,
        /// Where that one is written.
        place: String,
    },
    /// Nobody knows it, and it may not be accepted on first use.
    #[error(
        "the host key of {hostname} is not known: it shows {presented}, and {looked_in} has no key \
         of it"
    )]
    Unknown {
        /// The host.
        hostname: String,
        /// The kind and fingerprint of the key that it shows.
        presented: String,
        /// The files that were read.
        looked_in: String,
    },
    /// It was revoked.
    #[error("the host key of {hostname} is revoked: {place} has {presented}")]
    Revoked {
        /// The host.
        hostname: String,
        /// The kind and fingerprint of the key that it shows.
        presented: String,
        /// Where that is written.
        place: String,
    },
    /// Only a key that this build cannot check is known.
    #[error(
        "the host key of {hostname} cannot be checked: {place} has a key of kind {kind}, which \
         this build cannot verify"
    )]
    Unsupported {
        /// The host.
        hostname: String,
        /// The kind of the known key.
        kind: String,
        /// Where it is written.
        place: String,
    },
    /// The pin in the topology is no key.
    #[error("the pinned host key of {hostname} is no key: `{pin}`")]
    MalformedPin {
        /// The host.
        hostname: String,
        /// What is written.
        pin: String,
    },
    /// A file of keys cannot be read, or the new key cannot be written to it.
    #[error("the host key of {hostname} cannot be {doing} {}: {reason}", path.display())]
    File {
        /// The host.
        hostname: String,
        /// `looked up in` or `noted in`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What happened.
        reason: String,
    },
}

impl HostKeyError {
    /// The host.
    pub fn hostname(&self) -> &str {
        match self {
            Self::Changed { hostname, .. }
            | Self::Unknown { hostname, .. }
            | Self::Revoked { hostname, .. }
            | Self::Unsupported { hostname, .. }
            | Self::MalformedPin { hostname, .. }
            | Self::File { hostname, .. } => hostname,
        }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Changed { hostname, place, .. } => changed_key_remedy(hostname, place),
            Self::Unknown { .. } => "compare it with `ssh-keygen -lf \
                 /etc/ssh/ssh_host_ed25519_key.pub` on the host's console, then pin it as \
                 `host_key` in the topology, or set `host_keys = \"accept-new\"` in [ssh]"
                .to_owned(),
            Self::Revoked { .. } => {
                "give the host a new key (`ssh-keygen -A`), and find out why this one was revoked"
                    .to_owned()
            }
            Self::Unsupported { .. } => {
                "pin the host's ed25519 key as `host_key` in the topology, \
                 or use a build with the feature `ssh-rsa`"
                    .to_owned()
            }
            Self::MalformedPin { .. } => {
                "write \"ssh-ed25519 AAAA…\" as `ssh-keyscan` prints it, or \"SHA256:…\"".to_owned()
            }
            Self::File { path, .. } => {
                format!("make {} a file that you can read and write", path.display())
            }
        }
    }
}

/// A key as people compare it: its kind and SHA256 fingerprint.
pub(super) fn shown(kind: &str, blob: &[u8]) -> String {
    format!("{kind} {}", fingerprint(blob))
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

fn kind_of(key: &PublicKey) -> String {
    key.algorithm().as_str().to_owned()
}

/// What the topology pins.
#[derive(Debug, Clone)]
enum Pin {
    Fingerprint(String),
    Key { kind: String, blob: Vec<u8> },
}

impl Pin {
    fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.starts_with("SHA256:") {
            return Some(Self::Fingerprint(text.trim_end_matches('=').to_owned()));
        }
        let key = PublicKey::from_openssh(text).ok()?;
        Some(Self::Key { kind: kind_of(&key), blob: key.public_key_bytes() })
    }

    fn is(&self, presented: &[u8]) -> bool {
        match self {
            Self::Fingerprint(text) => *text == fingerprint(presented),
            Self::Key { blob, .. } => blob == presented,
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Fingerprint(text) => text.clone(),
            Self::Key { kind, blob } => shown(kind, blob),
        }
    }
}

/// What is known of one host's keys, to judge the one that it shows.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    hostname: String,
    /// The names whose lines decide.
    names: Vec<String>,
    /// A name whose lines only allow.
    also: Option<String>,
    pin: Option<Pin>,
    policy: HostKeyPolicy,
    files: KnownHostFiles,
    keys: Keys,
}

/// The keys that the files hold for a host.
#[derive(Debug, Clone, Default)]
struct Keys {
    deciding: Vec<KnownKey>,
    allowing: Vec<KnownKey>,
}

/// What the files say about a key.
enum Finding {
    Known,
    Unknown,
}

impl Judge {
    /// Reads what is known of a host.
    pub(super) async fn of(
        target: &HostTarget,
        files: &KnownHostFiles,
    ) -> Result<Self, HostKeyError> {
        let hostname = target.hostname.clone();
        let mut names = vec![hostname.clone()];
        if target.port != 22 {
            names.push(name_with_port(&hostname, target.port));
        }
        let address = name_with_port(&target.address.to_string(), target.port);
        let also = target.jump.is_some().then(|| address.clone());
        if also.is_none() {
            names.push(address);
        }
        let pin = match &target.host_key {
            None => None,
            Some(text) => Some(Pin::of_text(text).ok_or_else(|| HostKeyError::MalformedPin {
                hostname: hostname.clone(),
                pin: text.clone(),
            })?),
        };
        let (policy, files) = (target.host_keys, files.clone());
        let mut judge = Self { hostname, names, also, pin, policy, files, keys: Keys::default() };
        judge.keys = judge.read().await?;
        Ok(judge)
    }

    async fn read(&self) -> Result<Keys, HostKeyError> {
        let mut keys = Keys::default();
        for path in std::iter::once(&self.files.user).chain(&self.files.machine) {
            let bytes = match tokio::fs::read(path).await {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(self.file("looked up in", path, error.to_string())),
            };
            let text = String::from_utf8_lossy(&bytes);
            for name in &self.names {
                keys.deciding.extend(keys_for(&text, path, name));
            }
            if let Some(name) = &self.also {
                keys.allowing.extend(keys_for(&text, path, name));
            }
        }
        Ok(keys)
    }

    fn file(&self, doing: &'static str, path: &std::path::Path, reason: String) -> HostKeyError {
        HostKeyError::File { hostname: self.hostname.clone(), doing, path: path.to_owned(), reason }
    }

    /// The kinds of keys to ask the host for, those that are known first.
    pub(super) fn algorithms(&self) -> Result<Vec<Algorithm>, HostKeyError> {
        let known: Vec<(&str, String)> = match &self.pin {
            Some(Pin::Key { kind, .. }) => vec![(kind.as_str(), "the topology".to_owned())],
            Some(Pin::Fingerprint(_)) => Vec::new(),
            None => {
                let keys = self.keys.deciding.iter().filter(|key| !key.revoked);
                keys.map(|key| (key.kind.as_str(), key.place.to_string())).collect()
            }
        };
        let mut supported = supported();
        let is_known = |algorithm: &Algorithm| known.iter().any(|(kind, _)| is_of(algorithm, kind));
        match known.first() {
            Some((kind, place)) if !supported.iter().any(is_known) => {
                Err(HostKeyError::Unsupported {
                    hostname: self.hostname.clone(),
                    kind: (*kind).to_owned(),
                    place: place.clone(),
                })
            }
            _ => {
                supported.sort_by_key(|algorithm| !is_known(algorithm));
                Ok(supported)
            }
        }
    }

    /// Whether the key that the host shows is one to trust; where that is
    /// allowed, a first one is noted and taken.
    pub(super) async fn check(&self, presented: &PublicKey) -> Result<(), HostKeyError> {
        match self.compare(&self.keys, presented)? {
            Finding::Known => Ok(()),
            Finding::Unknown if self.policy == HostKeyPolicy::AcceptNew => {
                self.remember(presented).await
            }
            Finding::Unknown => {
                let files = std::iter::once(&self.files.user).chain(&self.files.machine);
                let files: Vec<_> = files.map(|path| path.display().to_string()).collect();
                Err(HostKeyError::Unknown {
                    hostname: self.hostname.clone(),
                    presented: shown(&kind_of(presented), &presented.public_key_bytes()),
                    looked_in: files.join(" or "),
                })
            }
        }
    }

    fn compare(&self, keys: &Keys, presented: &PublicKey) -> Result<Finding, HostKeyError> {
        let blob = presented.public_key_bytes();
        let hostname = self.hostname.clone();
        let presented = shown(&kind_of(presented), &blob);
        let all = || keys.deciding.iter().chain(&keys.allowing);
        if let Some(key) = all().find(|key| key.revoked && key.blob == blob) {
            return Err(HostKeyError::Revoked {
                hostname,
                presented,
                place: key.place.to_string(),
            });
        }
        let changed =
            |expected, place| Err(HostKeyError::Changed { hostname, presented, expected, place });
        if let Some(pin) = &self.pin {
            return match pin.is(&blob) {
                true => Ok(Finding::Known),
                false => changed(pin.shown(), "the topology".to_owned()),
            };
        }
        if all().any(|key| !key.revoked && key.blob == blob) {
            return Ok(Finding::Known);
        }
        match keys.deciding.iter().find(|key| !key.revoked) {
            Some(key) => changed(shown(&key.kind, &key.blob), key.place.to_string()),
            None => Ok(Finding::Unknown),
        }
    }
}

/// The kinds of host keys that this build can check, most wanted first.
fn supported() -> Vec<Algorithm> {
    let mut algorithms = vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ];
    if cfg!(feature = "ssh-rsa") {
        // Signatures with SHA-1 are not asked for.
        algorithms.push(Algorithm::Rsa { hash: Some(HashAlg::Sha512) });
        algorithms.push(Algorithm::Rsa { hash: Some(HashAlg::Sha256) });
    }
    algorithms
}

/// Whether a key of this kind is used with the algorithm.
fn is_of(algorithm: &Algorithm, kind: &str) -> bool {
    match algorithm {
        Algorithm::Rsa { .. } => kind == "ssh-rsa",
        other => other.as_str() == kind,
    }
}
