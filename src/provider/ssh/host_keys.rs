//! Decides whether a host's key is trusted.
//!
//! A pin in the topology decides alone. Without one the known_hosts files do. The host is looked up
//! by its host name, as OpenSSH does with `HostKeyAlias`, and as `[hostname]:port` if the port is
//! not 22; these lines decide. A line for the address is accepted too, so that users who have
//! logged in there manually are not asked again. If the address is reached directly, a line for it
//! with another key refuses the host. (Behind a router the same private address belongs to another
//! machine in every network, so there it refuses nothing.)
//!
//! A host that is known by a key of one kind and presents one of another kind has changed too: the
//! client requests the known kinds first, so the host has lost that key.

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

mod recording;

/// The files that contain host keys.
#[derive(Debug, Clone)]
pub struct KnownHostFiles {
    /// The user's file, to which accepted keys are added.
    pub user: PathBuf,
    /// The system's files, which are only read.
    pub machine: Vec<PathBuf>,
    /// Serialises changes of the user's file.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl KnownHostFiles {
    /// Creates the set of files. None of them needs to exist.
    pub fn new(user: PathBuf, machine: Vec<PathBuf>) -> Self {
        Self { user, machine, writing: Arc::default() }
    }
}

/// Why a host's key is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyError {
    /// The key differs from the known one.
    #[error(
        "the host key of {hostname} has changed: the host presents {presented}, and {place} has \
         {expected}"
    )]
    Changed {
        /// The host name.
        hostname: String,
        /// The kind and fingerprint of the presented key.
        presented: String,
        /// The kind and fingerprint of the known key.
        expected: String,
        /// The file and line of the known key.
        place: String,
    },
    /// The key is unknown and may not be accepted on first use.
    #[error(
        "the host key of {hostname} is unknown: the host presents {presented}, and {looked_in} \
         has no key for it"
    )]
    Unknown {
        /// The host name.
        hostname: String,
        /// The kind and fingerprint of the presented key.
        presented: String,
        /// The files that were read.
        looked_in: String,
    },
    /// The key is revoked.
    #[error("the host key of {hostname} is revoked: {place} has {presented}")]
    Revoked {
        /// The host name.
        hostname: String,
        /// The kind and fingerprint of the presented key.
        presented: String,
        /// The file and line of the revocation.
        place: String,
    },
    /// The only known key is of a kind that this build does not support.
    #[error(
        "the host key of {hostname} cannot be checked: {place} has a key of kind {kind}, which \
         this build cannot verify"
    )]
    Unsupported {
        /// The host name.
        hostname: String,
        /// The kind of the known key.
        kind: String,
        /// The file and line of the known key.
        place: String,
    },
    /// The pin in the topology is not a valid key.
    #[error("the pinned host key of {hostname} is not a key: `{pin}`")]
    MalformedPin {
        /// The host name.
        hostname: String,
        /// The pin.
        pin: String,
    },
    /// A key file cannot be read or written.
    #[error("the host key of {hostname} cannot be {activity} {}: {reason}", path.display())]
    File {
        /// The host name.
        hostname: String,
        /// `looked up in` or `noted in`.
        activity: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

impl HostKeyError {
    /// The host name.
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

    /// The suggested remedy.
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

/// A key's kind and SHA256 fingerprint.
pub(super) fn rendered(kind: &str, blob: &[u8]) -> String {
    format!("{kind} {}", fingerprint(blob))
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub(super) fn fingerprint(blob: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

fn kind_of(key: &PublicKey) -> String {
    key.algorithm().as_str().to_owned()
}

/// The key that the topology pins.
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

    fn rendered(&self) -> String {
        match self {
            Self::Fingerprint(text) => text.clone(),
            Self::Key { kind, blob } => rendered(kind, blob),
        }
    }
}

/// The known keys of one host, to verify the presented one.
#[derive(Debug, Clone)]
pub(super) struct HostKeyVerifier {
    hostname: String,
    /// The names whose lines accept or refuse a key.
    names: Vec<String>,
    /// A name whose lines only accept and never refuse.
    also: Option<String>,
    pin: Option<Pin>,
    policy: HostKeyPolicy,
    files: KnownHostFiles,
    keys: Keys,
}

/// The keys of a host in the files.
#[derive(Debug, Clone, Default)]
struct Keys {
    deciding: Vec<KnownKey>,
    allowing: Vec<KnownKey>,
}

/// The status of a key in the files.
enum KeyStatus {
    Known,
    Unknown,
}

impl HostKeyVerifier {
    /// Reads the known keys of a host.
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
        let mut verifier =
            Self { hostname, names, also, pin, policy, files, keys: Keys::default() };
        verifier.keys = verifier.read().await?;
        Ok(verifier)
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

    fn file(&self, activity: &'static str, path: &std::path::Path, reason: String) -> HostKeyError {
        HostKeyError::File {
            hostname: self.hostname.clone(),
            activity,
            path: path.to_owned(),
            reason,
        }
    }

    /// The kinds of keys to request from the host, known ones first.
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

    /// Whether the presented key is trusted. If the policy allows it, a first key is accepted and
    /// added to the user's file.
    pub(super) async fn check(&self, presented: &PublicKey) -> Result<(), HostKeyError> {
        match self.compare(&self.keys, presented)? {
            KeyStatus::Known => Ok(()),
            KeyStatus::Unknown if self.policy == HostKeyPolicy::AcceptNew => {
                self.record(presented).await
            }
            KeyStatus::Unknown => {
                let files = std::iter::once(&self.files.user).chain(&self.files.machine);
                let files: Vec<_> = files.map(|path| path.display().to_string()).collect();
                Err(HostKeyError::Unknown {
                    hostname: self.hostname.clone(),
                    presented: rendered(&kind_of(presented), &presented.public_key_bytes()),
                    looked_in: files.join(" or "),
                })
            }
        }
    }

    fn compare(&self, keys: &Keys, presented: &PublicKey) -> Result<KeyStatus, HostKeyError> {
        let blob = presented.public_key_bytes();
        let hostname = self.hostname.clone();
        let presented = rendered(&kind_of(presented), &blob);
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
                true => Ok(KeyStatus::Known),
                false => changed(pin.rendered(), "the topology".to_owned()),
            };
        }
        if all().any(|key| !key.revoked && key.blob == blob) {
            return Ok(KeyStatus::Known);
        }
        match keys.deciding.iter().find(|key| !key.revoked) {
            Some(key) => changed(rendered(&key.kind, &key.blob), key.place.to_string()),
            None => Ok(KeyStatus::Unknown),
        }
    }
}

/// The kinds of host keys that this build supports, in order of preference.
fn supported() -> Vec<Algorithm> {
    let mut algorithms = vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    ];
    if cfg!(feature = "ssh-rsa") {
        // Signatures with SHA-1 are not offered.
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
