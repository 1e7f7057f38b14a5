//! Kubernetes versions and the version skew policy.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Kubernetes version such as `1.33.5`. A cluster version may omit the patch, which
/// AKS then selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KubernetesVersion {
    /// The major version.
    pub major: u16,
    /// The minor version.
    pub minor: u16,
    /// The patch version, if set.
    pub patch: Option<u16>,
}

/// The text is not a Kubernetes version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a Kubernetes version such as `1.33.5`")]
pub struct InvalidVersion(pub String);

impl KubernetesVersion {
    /// Whether a kubelet of this version can join a control plane of version `server`:
    /// not newer, and at most three minor versions older (Kubernetes version skew
    /// policy).
    pub fn may_join(self, server: Self) -> bool {
        self.major == server.major && self.minor <= server.minor && server.minor - self.minor <= 3
    }

    /// Whether both are patches of one minor version.
    pub fn is_same_minor(self, other: Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }

    /// Whether an upgrade from this version to another would leave out a minor version,
    /// which no control plane supports.
    pub fn skips_minor(self, target: Self) -> bool {
        self.major != target.major || target.minor > self.minor.saturating_add(1)
    }

    /// Whether this version is newer than the requested one. A request without a patch
    /// permits any patch.
    pub fn is_newer_than(self, requested: Self) -> bool {
        let minor = |version: Self| (version.major, version.minor);
        match (self.patch, requested.patch) {
            (Some(patch), Some(other)) if minor(self) == minor(requested) => patch > other,
            _ => minor(self) > minor(requested),
        }
    }

    /// Whether this version satisfies the requested one: the same version, or any patch of
    /// a minor version.
    pub fn satisfies(self, requested: Self) -> bool {
        let minor = |version: Self| (version.major, version.minor);
        self == requested || (requested.patch.is_none() && minor(self) == minor(requested))
    }
}

impl FromStr for KubernetesVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidVersion(text.to_owned());
        let bare = text.strip_prefix('v').unwrap_or(text);
        let numbers: Vec<u16> = bare
            .split('.')
            .map(|part| part.parse().map_err(|_| invalid()))
            .collect::<Result<_, _>>()?;
        match numbers[..] {
            [major, minor] => Ok(Self { major, minor, patch: None }),
            [major, minor, patch] => Ok(Self { major, minor, patch: Some(patch) }),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        match self.patch {
            Some(patch) => write!(formatter, ".{patch}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for KubernetesVersion {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KubernetesVersion> for String {
    fn from(version: KubernetesVersion) -> Self {
        version.to_string()
    }
}
