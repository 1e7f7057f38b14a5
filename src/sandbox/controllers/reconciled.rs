//! The record of reconciled objects.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::resource::ArmId;

/// The versions at the end of the last reconciliation. They are empty after a load, so everything
/// is reconciled.
#[derive(Debug, Clone, Default)]
pub struct ReconciledVersions {
    /// The version of the ARM store.
    pub(super) azure: Option<u64>,
    /// The VMs and their hosts.
    pub(super) machines: BootedMachines,
    /// The AKS cluster whose nodes were scaled last.
    pub(super) cluster: Option<Value>,
    /// The instance of the API server and the version of its store.
    pub(super) kubernetes: Option<(String, u64)>,
    /// The labels of hosts whose kubelets have no certificate yet.
    pub(super) waiting: BTreeSet<String>,
    /// The labels of hosts with Tailscale.
    pub(super) members: BTreeSet<String>,
}

/// VMs that booted, and VMs that wait for boot.
#[derive(Debug, Clone, Default)]
pub(super) struct BootedMachines {
    /// The labels of hosts by VM.
    pub(super) booted: BTreeMap<ArmId, String>,
    /// VMs that have no address yet.
    pub(super) waiting: BTreeSet<ArmId>,
}
