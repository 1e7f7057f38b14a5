//! The access of the login user to a host.

use serde::{Deserialize, Serialize};

/// The rights of the login user on a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostAccess {
    /// To log in, and sudo without a password.
    #[default]
    Granted,
    /// Nothing.
    LoginRefused,
    /// To log in only.
    SudoPassword,
}
