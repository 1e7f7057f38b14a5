//! The APIs that stargate talks to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An API that requests go to, for counting and for budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Api {
    /// Azure Resource Manager.
    Azure,
    /// The Tailscale API.
    Tailscale,
    /// The cluster's API server.
    Kubernetes,
}

impl Api {
    /// Every API.
    pub const ALL: [Self; 3] = [Self::Azure, Self::Tailscale, Self::Kubernetes];

    /// Its name in a sentence.
    pub fn title(self) -> &'static str {
        match self {
            Self::Azure => "Azure",
            Self::Tailscale => "Tailscale",
            Self::Kubernetes => "Kubernetes",
        }
    }

    /// Its name as a key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Tailscale => "tailscale",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}
