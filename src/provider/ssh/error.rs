//! What can go wrong between us and a host, and what mends it.

use std::time::Duration;

use super::command::{CommandError, Exit};
use super::host_keys::HostKeyError;
use crate::provider::host::{HostAddress, HostError, HostTarget};

/// A command did not run to its end, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// No way to the host, or it does not answer.
    #[error("{hostname} cannot be reached at {address} port {port}: {reason}")]
    Unreachable {
        /// The host.
        hostname: String,
        /// Where it was tried.
        address: HostAddress,
        /// The port of sshd.
        port: u16,
        /// What happened.
        reason: String,
    },
    /// The host on the way cannot be used.
    #[error("{hostname} is reached through another host, and {source}")]
    Jump {
        /// The host that was to be reached.
        hostname: String,
        /// What is wrong with the one before it.
        source: Box<SshError>,
    },
    /// The host's key is not one to trust.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// The host does not let us in.
    #[error("{hostname} does not let {user} in; tried: {}", Tried(tried))]
    Login {
        /// The host.
        hostname: String,
        /// The login user.
        user: String,
        /// What was tried, and what came of each.
        tried: Vec<String>,
    },
    /// The connection broke, and nobody knows how far the command came.
    #[error("the connection to {hostname} broke: {reason}")]
    Lost {
        /// The host.
        hostname: String,
        /// What happened.
        reason: String,
    },
    /// The command took too long and was ended.
    #[error("{hostname}: {doing} had not ended after {} s", within.as_secs_f32())]
    TimedOut {
        /// The host.
        hostname: String,
        /// The command's label.
        doing: String,
        /// How long it was waited for.
        within: Duration,
    },
    /// The command printed too much and was ended.
    #[error("{hostname}: {doing} printed more than {limit} bytes and was broken off")]
    TooMuchOutput {
        /// The host.
        hostname: String,
        /// The command's label.
        doing: String,
        /// What it may print, in bytes.
        limit: usize,
    },
    /// The host does not run the command.
    #[error("{hostname} does not run {doing}: {reason}")]
    NotRun {
        /// The host.
        hostname: String,
        /// The command's label.
        doing: String,
        /// What happened.
        reason: String,
    },
    /// The command cannot be put into words.
    #[error("{doing} on {hostname}: {source}")]
    Malformed {
        /// The host.
        hostname: String,
        /// The command's label.
        doing: String,
        /// What is wrong with it.
        source: CommandError,
    },
    /// The command ran and failed.
    #[error("{hostname}: {doing} failed with {exit}{}", Printed(printed))]
    Command {
        /// The host.
        hostname: String,
        /// The command's label.
        doing: String,
        /// How it ended.
        exit: Exit,
        /// The end of what it printed.
        printed: String,
    },
}

struct Tried<'a>(&'a [String]);

impl std::fmt::Display for Tried<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => formatter.write_str("nothing, since there is neither an agent nor a key file"),
            tried => formatter.write_str(&tried.join("; ")),
        }
    }
}

struct Printed<'a>(&'a str);

impl std::fmt::Display for Printed<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            "" => Ok(()),
            text => write!(formatter, ": {text}"),
        }
    }
}

impl SshError {
    pub(super) fn unreachable(target: &HostTarget, reason: impl Into<String>) -> Self {
        Self::Unreachable {
            hostname: target.hostname.clone(),
            address: target.address.clone(),
            port: target.port,
            reason: reason.into(),
        }
    }

    pub(super) fn lost(hostname: &str, reason: impl Into<String>) -> Self {
        Self::Lost { hostname: hostname.to_owned(), reason: reason.into() }
    }

    /// What the user can do about it.
    pub fn remedy(&self) -> String {
        match self {
            Self::HostKey(error) => error.remedy(),
            Self::Jump { source, .. } => source.remedy(),
            Self::Command { printed, .. } if printed.starts_with("sudo:") => {
                "let the login user use sudo without a password, as in `USER ALL=(ALL) NOPASSWD: \
                 ALL`, or log in as root"
                    .to_owned()
            }
            Self::TimedOut { hostname, .. } => {
                format!("look at what holds it up on {hostname}, then run the same command again")
            }
            Self::TooMuchOutput { hostname, .. } => {
                format!(
                    "look at what {hostname} prints; a login script may do it for every command"
                )
            }
            Self::NotRun { hostname, .. } => {
                format!("look at the log of sshd on {hostname} and at its MaxSessions")
            }
            Self::Malformed { .. } | Self::Command { .. } => {
                "look at what it printed, then run the same command again".to_owned()
            }
            Self::Unreachable { .. } | Self::Lost { .. } | Self::Login { .. } => {
                HostError::from(self.clone()).remedy()
            }
        }
    }
}

impl From<SshError> for HostError {
    fn from(error: SshError) -> Self {
        let reason = error.to_string();
        match error {
            SshError::Unreachable { hostname, address, port, reason } => {
                Self::Unreachable { hostname, address, reason: format!("port {port}: {reason}") }
            }
            SshError::Jump { hostname, source } => behind(hostname, *source),
            SshError::HostKey(HostKeyError::Changed { hostname, presented, expected, place }) => {
                Self::HostKeyChanged { hostname, presented, expected, place }
            }
            SshError::HostKey(found) => {
                let (hostname, remedy) = (found.hostname().to_owned(), found.remedy());
                Self::HostKeyUntrusted { hostname, reason, remedy }
            }
            SshError::Login { hostname, user, tried } => {
                Self::LoginRefused { hostname, user, tried: Tried(&tried).to_string() }
            }
            SshError::Lost { hostname, reason } => Self::Lost { hostname, reason },
            SshError::TimedOut { hostname, doing, within } => {
                let reason = format!("it had not ended after {} s", within.as_secs_f32());
                Self::Failed { hostname, doing, reason }
            }
            SshError::TooMuchOutput { hostname, doing, limit } => {
                let reason = format!("it printed more than {limit} bytes and was broken off");
                Self::Failed { hostname, doing, reason }
            }
            SshError::NotRun { hostname, doing, reason } => {
                Self::Failed { hostname, doing, reason }
            }
            SshError::Malformed { hostname, doing, source } => {
                Self::Failed { hostname, doing, reason: source.to_string() }
            }
            SshError::Command { hostname, doing, exit, printed } => {
                Self::Failed { hostname, doing, reason: format!("{exit}{}", Printed(&printed)) }
            }
        }
    }
}

/// What a fault of the host on the way means for the one behind it.
fn behind(hostname: String, source: SshError) -> HostError {
    let reason = source.to_string();
    match HostError::from(source) {
        HostError::Unreachable { address, .. } => {
            HostError::Unreachable { hostname, address, reason }
        }
        HostError::Lost { .. } => HostError::Lost { hostname, reason },
        // Of keys and logins the host on the way is the one to look at.
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn unreachable(hostname: &str) -> SshError {
        SshError::Unreachable {
            hostname: hostname.to_owned(),
            address: Ipv4Addr::new(100, 64, 0, 7).into(),
            port: 22,
            reason: "connection refused".to_owned(),
        }
    }

    #[test]
    fn a_router_that_is_away_makes_its_workers_unreachable() {
        let source = Box::new(unreachable("dc1-router"));
        let error = SshError::Jump { hostname: "dc1-worker-1".to_owned(), source };
        let shown = HostError::from(error).to_string();
        assert!(shown.starts_with("dc1-worker-1 cannot be reached"), "{shown}");
        assert!(shown.contains("dc1-router cannot be reached at 100.64.0.7 port 22"), "{shown}");
    }

    #[test]
    fn a_changed_key_of_the_router_is_told_as_that() {
        let key = HostKeyError::Changed {
            hostname: "dc1-router".to_owned(),
            presented: "ssh-ed25519 SHA256:new".to_owned(),
            expected: "ssh-ed25519 SHA256:old".to_owned(),
            place: "/home/a/.ssh/known_hosts line 3".to_owned(),
        };
        let source = Box::new(SshError::from(key));
        let error = HostError::from(SshError::Jump { hostname: "dc1-worker-1".to_owned(), source });
        assert!(
            matches!(&error, HostError::HostKeyChanged { hostname, .. } if hostname == "dc1-router")
        );
        let shown = error.to_string();
        for part in ["SHA256:new", "SHA256:old", "known_hosts line 3"] {
            assert!(shown.contains(part), "{shown}");
        }
    }

    #[test]
    fn a_missing_right_to_sudo_has_its_own_remedy() {
        let error = SshError::Command {
            hostname: "dc1-router".to_owned(),
            doing: "sysctls".to_owned(),
            exit: Exit::Code(1),
            printed: "sudo: a password is required".to_owned(),
        };
        assert!(error.remedy().contains("NOPASSWD"));
        let shown = HostError::from(error).to_string();
        assert!(shown.contains("exit status 1: sudo: a password is required"), "{shown}");
    }
}
