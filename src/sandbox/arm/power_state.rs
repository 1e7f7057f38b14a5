//! Power states of VMs, and the actions that change them.

use serde::{Deserialize, Serialize};

use super::kind::ArmKind;

/// An action on the power state of a VM or a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PowerChange {
    Start,
    /// The machine is off, and its hardware stays reserved.
    Stop,
    /// The machine is off, and its hardware is released.
    Deallocate,
    Restart,
}

/// The power state of a VM that does not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PowerOff {
    /// Off, with its hardware reserved.
    Stopped,
    /// Off, with its hardware released.
    Deallocated,
}

impl PowerChange {
    /// The last segment of the action's path.
    pub(super) fn name(self, kind: ArmKind) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop if kind == ArmKind::ManagedCluster => "stop",
            Self::Stop => "powerOff",
            Self::Deallocate => "deallocate",
            Self::Restart => "restart",
        }
    }
}
