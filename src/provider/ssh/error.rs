//! Errors of SSH connections and of the commands run over them.

use std::time::Duration;

use super::command::{CommandError, Exit};
use super::host_keys::HostKeyError;
use crate::diagnostics::Failure;
use crate::provider::host::{HostAddress, HostError, HostTarget};
use crate::provider::host_error::SUDO_REMEDY;

/// A command did not run to its end, or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// The connection to sshd failed.
    #[error("cannot reach {hostname} at {address} port {port}: {reason}")]
    Unreachable {
        /// The host.
        hostname: String,
        /// The address that was tried.
        address: HostAddress,
        /// The port of sshd.
        port: u16,
        /// The reason.
        reason: String,
    },
    /// The jump host cannot be used.
    #[error("cannot reach {hostname} through its jump host: {source}")]
    Jump {
        /// The host behind it.
        hostname: String,
        /// The error of the jump host.
        source: Box<SshError>,
    },
    /// The host's key is not trusted.
    #[error(transparent)]
    HostKey(#[from] HostKeyError),
    /// sshd accepted none of the keys.
    #[error("{hostname} does not accept the login of {user}; tried: {}", Tried(tried))]
    Login {
        /// The host.
        hostname: String,
        /// The login user.
        user: String,
        /// Each key that was tried, with its result.
        tried: Vec<String>,
    },
    /// The connection broke while a command ran: its effect is unknown.
    #[error("lost the connection to {hostname}: {reason}")]
    Lost {
        /// The host.
        hostname: String,
        /// The reason.
        reason: String,
    },
    /// The command ran into its time limit and was ended.
    #[error("{activity} on {hostname} timed out after {} s", within.as_secs_f32())]
    TimedOut {
        /// The host.
        hostname: String,
        /// The command's label.
        activity: String,
        /// The time limit.
        within: Duration,
    },
    /// The command printed more than its limit and was ended.
    #[error("{activity} on {hostname} printed more than {limit} bytes and was stopped")]
    TooMuchOutput {
        /// The host.
        hostname: String,
        /// The command's label.
        activity: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// sshd did not start the command.
    #[error("{hostname} did not start {activity}: {reason}")]
    NotRun {
        /// The host.
        hostname: String,
        /// The command's label.
        activity: String,
        /// The reason.
        reason: String,
    },
    /// The command cannot be written as a shell command.
    #[error("{activity} on {hostname}: {source}")]
    Malformed {
        /// The host.
        hostname: String,
        /// The command's label.
        activity: String,
        /// The error in it.
        source: CommandError,
    },
    /// The command ran and failed.
    #[error("{activity} failed on {hostname} with {exit}{}", Printed(printed))]
    Command {
        /// The host.
        hostname: String,
        /// The command's label.
        activity: String,
        /// How it ended.
        exit: Exit,
        /// The end of the command's output.
        printed: String,
    },
}

struct Tried<'a>(&'a [String]);

impl std::fmt::Display for Tried<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            [] => formatter.write_str("none: there is no agent and no key file"),
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

    /// The remedy, where the cause has one of its own.
    fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Command { printed, .. } if printed.starts_with("sudo:") => SUDO_REMEDY.to_owned(),
            Self::TimedOut { hostname, .. } => {
                format!("find out what delays it on {hostname}, then run the same command again")
            }
            Self::TooMuchOutput { hostname, .. } => {
                format!(
                    "check what {hostname} prints at login: a login script may print with every \
                     command"
                )
            }
            Self::NotRun { hostname, .. } => {
                format!("look at the log of sshd on {hostname} and at its setting MaxSessions")
            }
            Self::Command { hostname, .. } => {
                format!("correct the cause on {hostname}, then run the same command again")
            }
            _ => return None,
        })
    }
}

impl From<SshError> for HostError {
    fn from(error: SshError) -> Self {
        let (text, remedy) = (error.to_string(), error.remedy());
        let failed = |hostname, activity, reason, output| Self::Failed {
            hostname,
            activity,
            reason,
            output,
            remedy,
        };
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
                Self::HostKeyUntrusted { hostname, reason: text, remedy }
            }
            SshError::Login { hostname, user, tried } => {
                Self::LoginRefused { hostname, user, tried: Tried(&tried).to_string() }
            }
            SshError::Lost { hostname, reason } => Self::Lost { hostname, reason },
            SshError::TimedOut { hostname, activity, within } => {
                let reason = format!("it timed out after {} s", within.as_secs_f32());
                failed(hostname, activity, reason, String::new())
            }
            SshError::TooMuchOutput { hostname, activity, limit } => {
                let reason = format!("it printed more than {limit} bytes and was stopped");
                failed(hostname, activity, reason, String::new())
            }
            SshError::NotRun { hostname, activity, reason } => {
                failed(hostname, activity, reason, String::new())
            }
            SshError::Malformed { hostname, activity, source } => {
                failed(hostname, activity, source.to_string(), String::new())
            }
            SshError::Command { hostname, activity, exit, printed } => {
                let reason = format!("{exit}{}", Printed(last_line(&printed)));
                let output = if printed.trim().contains('\n') { printed } else { String::new() };
                failed(hostname, activity, reason, output)
            }
        }
    }
}

impl From<&SshError> for Failure {
    fn from(error: &SshError) -> Self {
        HostError::from(error.clone()).into()
    }
}

/// Most programs print the reason of a failure last.
fn last_line(printed: &str) -> &str {
    printed.trim_end().lines().next_back().unwrap_or_default().trim()
}

/// The error of a host behind a jump host that failed.
fn behind(hostname: String, source: SshError) -> HostError {
    let reason = source.to_string();
    match HostError::from(source) {
        HostError::Unreachable { address, .. } => {
            HostError::Unreachable { hostname, address, reason }
        }
        HostError::Lost { .. } => HostError::Lost { hostname, reason },
        // Keys and logins are to be corrected on the jump host.
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
        let rendered = HostError::from(error).to_string();
        assert!(rendered.starts_with("cannot reach dc1-worker-1"), "{rendered}");
        assert!(rendered.contains("cannot reach dc1-router at 100.64.0.7 port 22"), "{rendered}");
    }

    #[test]
    fn reports_a_changed_key_of_the_router() {
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
        let rendered = error.to_string();
        for part in ["SHA256:new", "SHA256:old", "known_hosts line 3"] {
            assert!(rendered.contains(part), "{rendered}");
        }
    }

    #[test]
    fn a_missing_right_to_sudo_has_its_own_remedy() {
        let error = SshError::Command {
            hostname: "dc1-router".to_owned(),
            activity: "sysctls".to_owned(),
            exit: Exit::Code(1),
            printed: "sudo: a password is required".to_owned(),
        };
        assert!(Failure::from(&error).remedy.contains("NOPASSWD"));
        let rendered = HostError::from(error).to_string();
        assert!(rendered.contains("exit status 1: sudo: a password is required"), "{rendered}");
    }
}
