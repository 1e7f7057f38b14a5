//! Errors of work on a host, with their codes and remedies.

use super::host::HostAddress;
use crate::diagnostics::{Code, Failure};

/// The remedy if the login user needs a password for sudo.
pub(crate) const SUDO_REMEDY: &str = "let the login user use sudo without a password, as in `USER \
                                      ALL=(ALL) NOPASSWD: ALL`, or log in as root";

/// Work on a host failed. `Failure::from` gives it a code and a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The connection to sshd, or to the host before it, failed.
    #[error("cannot reach {hostname} at {address}: {reason}")]
    Unreachable {
        /// The host.
        hostname: String,
        /// The address that was tried.
        address: HostAddress,
        /// The error of the connection.
        reason: String,
    },
    /// The host presents another key than the known one: it was reinstalled, or
    /// another machine answers in its place.
    #[error(
        "the host key of {hostname} has changed: the host presents {presented}, and {place} has \
         {expected}"
    )]
    HostKeyChanged {
        /// The host.
        hostname: String,
        /// Kind and fingerprint of the presented key.
        presented: String,
        /// Kind and fingerprint of the known key.
        expected: String,
        /// Where the known key is written: a file and line, or the topology.
        place: String,
    },
    /// The host's key cannot be trusted for another reason.
    #[error("{reason}")]
    HostKeyUntrusted {
        /// The host.
        hostname: String,
        /// The error; names the host.
        reason: String,
        /// The remedy.
        remedy: String,
    },
    /// sshd accepted none of the keys.
    #[error("{hostname} does not accept the login of {user}; tried: {tried}")]
    LoginRefused {
        /// The host.
        hostname: String,
        /// The login user.
        user: String,
        /// Each key that was tried, with its result.
        tried: String,
    },
    /// A host of another name answers at the address.
    #[error("the host at {address} has the name {found}, not {hostname}")]
    WrongHost {
        /// The host that was meant.
        hostname: String,
        /// The address.
        address: HostAddress,
        /// The name that the host gives, safe to print.
        found: String,
    },
    /// The connection broke while a command ran: its effect is unknown.
    #[error("lost the connection to {hostname}: {reason}")]
    Lost {
        /// The host.
        hostname: String,
        /// The error of the connection.
        reason: String,
    },
    /// A command ran and failed, or printed something unexpected.
    #[error("{activity} failed on {hostname}: {reason}")]
    Failed {
        /// The host.
        hostname: String,
        /// The command's label.
        activity: String,
        /// How it failed.
        reason: String,
        /// The end of the command's output; empty without output.
        output: String,
        /// The remedy, if this cause has one of its own.
        remedy: Option<String>,
    },
}

impl HostError {
    /// A command that failed, without output or a remedy of its own.
    pub fn failed(hostname: &str, activity: &str, reason: impl Into<String>) -> Self {
        Self::Failed {
            hostname: hostname.to_owned(),
            activity: activity.to_owned(),
            reason: reason.into(),
            output: String::new(),
            remedy: None,
        }
    }

    /// True if the host answered and stargate must not use it as it is: its
    /// identity or the login is in doubt.
    pub fn is_refused(&self) -> bool {
        matches!(
            self,
            Self::HostKeyChanged { .. }
                | Self::HostKeyUntrusted { .. }
                | Self::LoginRefused { .. }
                | Self::WrongHost { .. }
        )
    }
}

impl From<&HostError> for Failure {
    fn from(error: &HostError) -> Self {
        let (code, remedy) = match error {
            HostError::Unreachable { hostname, .. } => {
                (Code::HostUnreachable, unreachable_remedy(hostname))
            }
            HostError::Lost { hostname, .. } => {
                (Code::ConnectionLost, unreachable_remedy(hostname))
            }
            HostError::HostKeyChanged { hostname, place, .. } => {
                (Code::HostKeyChanged, changed_key_remedy(hostname, place))
            }
            HostError::HostKeyUntrusted { remedy, .. } => (Code::HostKeyUntrusted, remedy.clone()),
            HostError::LoginRefused { hostname, user, .. } => {
                (Code::LoginRefused, login_remedy(hostname, user))
            }
            HostError::WrongHost { hostname, .. } => (
                Code::WrongHost,
                format!(
                    "correct the address of {hostname} in the topology; if the address is right, \
                     set the host's name: `hostnamectl set-hostname {hostname}`"
                ),
            ),
            HostError::Failed { hostname, remedy, .. } => (
                Code::HostCommandFailed,
                remedy.clone().unwrap_or_else(|| {
                    format!("look at `journalctl` on {hostname}, then run the same command again")
                }),
            ),
        };
        let failure = Self::new(code, error.to_string(), remedy);
        match error {
            HostError::Failed { output, .. } => {
                output.lines().filter(|line| !line.trim().is_empty()).fold(failure, Self::caused_by)
            }
            _ => failure,
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::from(&error)
    }
}

fn unreachable_remedy(hostname: &str) -> String {
    format!("check that `ssh {hostname}` works from here, then run the same command again")
}

fn login_remedy(hostname: &str, user: &str) -> String {
    format!(
        "put your public key into ~{user}/.ssh/authorized_keys on {hostname}, load the key into \
         the agent with `ssh-add`, or name its file in STARGATE_SSH_KEY"
    )
}

/// The remedy for a key that is not the known one.
pub(super) fn changed_key_remedy(hostname: &str, place: &str) -> String {
    format!(
        "if {hostname} was reinstalled, compare the new key with the output of `ssh-keygen -lf \
         /etc/ssh/ssh_host_ed25519_key.pub` on its console and correct {place}; otherwise do not \
         connect"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_error_has_a_code_and_the_output_is_the_source() {
        let hostname = || "dc1-w1".to_owned();
        let address = || HostAddress::of_text("10.0.0.4");
        let text = || "x".to_owned();
        let table = [
            (
                HostError::Unreachable { hostname: hostname(), address: address(), reason: text() },
                Code::HostUnreachable,
            ),
            (HostError::Lost { hostname: hostname(), reason: text() }, Code::ConnectionLost),
            (
                HostError::WrongHost { hostname: hostname(), address: address(), found: text() },
                Code::WrongHost,
            ),
            (
                HostError::LoginRefused { hostname: hostname(), user: text(), tried: text() },
                Code::LoginRefused,
            ),
            (HostError::failed("dc1-w1", "kubelet", "exit status 100"), Code::HostCommandFailed),
        ];
        for (error, code) in table {
            let failure = Failure::from(&error);
            assert_eq!(failure.code, code, "{error}");
            assert!(
                failure.message.contains("dc1-w1") && !failure.remedy.is_empty(),
                "{failure:?}"
            );
        }
        let error = HostError::Failed {
            hostname: hostname(),
            activity: "kubelet".to_owned(),
            reason: "exit status 100: E: Unable to locate package".to_owned(),
            output: "Reading package lists...\n\nE: Unable to locate package\n".to_owned(),
            remedy: Some("add the repository".to_owned()),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.source, ["Reading package lists...", "E: Unable to locate package"]);
        assert_eq!(failure.remedy, "add the repository");
    }
}
