//! What can go wrong with a host, and what mends it.

use super::host::HostAddress;
use crate::diagnostics::Code;

/// A host could not be worked on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// No way to it, or it does not answer.
    #[error("{hostname} cannot be reached at {address}: {reason}")]
    Unreachable {
        /// The host.
        hostname: String,
        /// Where it was tried.
        address: HostAddress,
        /// What happened.
        reason: String,
    },
    /// It shows another key than the one that is known: somebody set it up anew,
    /// or somebody stands between.
    #[error(
        "the host key of {hostname} has changed: it shows {presented}, and {place} has {expected}"
    )]
    HostKeyChanged {
        /// The host.
        hostname: String,
        /// The kind and fingerprint of the key that it shows.
        presented: String,
        /// The kind and fingerprint of the key that is known.
        expected: String,
        /// Where that one is written: a file and line, or the topology.
        place: String,
    },
    /// Its key cannot be trusted for another reason.
    #[error("{reason}")]
    HostKeyUntrusted {
        /// The host.
        hostname: String,
        /// What is wrong; names the host.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
    /// It does not let us in.
    #[error("{hostname} does not let {user} in; tried: {tried}")]
    LoginRefused {
        /// The host.
        hostname: String,
        /// The login user.
        user: String,
        /// What was tried, and what came of each.
        tried: String,
    },
    /// Another host answers there.
    #[error("the host at {address} calls itself {found}, not {hostname}")]
    WrongHost {
        /// The host that was meant.
        hostname: String,
        /// Where the other one answers.
        address: HostAddress,
        /// What it calls itself, safe to print.
        found: String,
    },
    /// The connection broke, and nobody knows how far the work came.
    #[error("the connection to {hostname} broke: {reason}")]
    Lost {
        /// The host.
        hostname: String,
        /// What happened.
        reason: String,
    },
    /// It answered, and the work failed.
    #[error("{hostname}: {doing} failed: {reason}")]
    Failed {
        /// The host.
        hostname: String,
        /// What was being done.
        doing: String,
        /// What happened.
        reason: String,
    },
}

impl HostError {
    /// The stable code, where the fault has one of its own.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::HostKeyChanged { .. } => Some(Code::HostKeyChanged),
            Self::HostKeyUntrusted { .. } => Some(Code::HostKeyUntrusted),
            Self::LoginRefused { .. } => Some(Code::LoginRefused),
            Self::WrongHost { .. } => Some(Code::WrongHost),
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Failed { .. } => None,
        }
    }

    /// Whether the host was reached and is not to be used as it is.
    pub fn is_refused(&self) -> bool {
        self.code().is_some()
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::Unreachable { hostname, .. } | Self::Lost { hostname, .. } => {
                format!("make sure that SSH reaches {hostname}, then run the same command again")
            }
            Self::HostKeyChanged { hostname, place, .. } => changed_key_remedy(hostname, place),
            Self::HostKeyUntrusted { remedy, .. } => remedy.clone(),
            Self::LoginRefused { hostname, user, .. } => format!(
                "put your public key into ~{user}/.ssh/authorized_keys on {hostname}, load the key \
                 into the agent (`ssh-add`), or name its file in STARGATE_SSH_KEY"
            ),
            Self::WrongHost { hostname, .. } => format!(
                "correct the address of {hostname} in the topology, or, if it is right, the \
                 host's own name: `hostnamectl set-hostname {hostname}`"
            ),
            Self::Failed { hostname, .. } => {
                format!("look at the log of {hostname}, then run the same command again")
            }
        }
    }
}

/// What to do about a key that is another one than before.
pub(super) fn changed_key_remedy(hostname: &str, place: &str) -> String {
    format!(
        "if {hostname} was set up anew, compare the new key with what `ssh-keygen -lf \
         /etc/ssh/ssh_host_ed25519_key.pub` shows on its console and correct {place}; if it was \
         not, do not connect"
    )
}
