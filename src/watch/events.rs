//! Events of `watch`, as data. All reporters receive them.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Serialize;

use super::queue::Trigger;
use super::reconciled::Reconciled;
use super::topology_status::ApprovalState;
use crate::apply::events::Outcome;
use crate::diagnostics::Failure;
use crate::plan::Action;
use crate::provider::cluster::OperationPhase;
use crate::resource::Address;
use crate::resource::settings::AutoApply;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum WatchEvent {
    /// A new version of the topology file is used from now on.
    TopologyLoaded {
        /// The SHA-256 of the file, in hexadecimal.
        digest: String,
        /// The changes that need no approval.
        apply: AutoApply,
        /// The interval in seconds.
        interval_seconds: u64,
    },
    /// The topology file is missing or invalid; the last valid version is used.
    TopologyInvalid {
        /// Why.
        failure: Failure,
    },
    /// The watch of one of the topologies of a folder begins.
    WatchStarted {
        /// Its file.
        file: String,
    },
    /// The file of one of the topologies of a folder has another name.
    FileMoved {
        /// Its file.
        file: String,
    },
    /// The watch of one of the topologies of a folder ends; nothing of it is changed.
    WatchEnded {
        /// Why.
        failure: Failure,
    },
    /// A file of a folder has no topology that can be watched.
    FileInvalid {
        /// The file; the folder itself if it cannot be read.
        file: String,
        /// Why.
        failure: Failure,
    },
    /// Another replica reconciles from now on.
    StandingBy {
        /// Its name.
        holder: String,
    },
    /// Probes and metrics are answered from now on.
    Listening {
        /// The address and port.
        address: SocketAddr,
    },
    /// A reconcile begins.
    ReconcileStarted {
        /// Its number, counted from 1 since the start.
        number: u64,
        /// The triggers of the reconcile.
        triggers: BTreeSet<Trigger>,
    },
    /// Another process holds a Lease; the reconcile waits for it.
    WaitingForLease {
        /// The name of the Lease.
        lease: String,
        /// The holder of the Lease.
        holder: String,
    },
    /// A change begins.
    ChangeStarted {
        /// The resource.
        address: Address,
        /// The action of the change.
        action: Action,
    },
    /// A change ended.
    ChangeFinished {
        /// The resource.
        address: Address,
        /// The action of the change.
        action: Action,
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
        /// How long it took.
        milliseconds: u64,
    },
    /// The phase or the reason of a requested Operation changed.
    Operation {
        /// The name of its object.
        name: String,
        /// The worker.
        server: String,
        /// The operation, as in `repave`.
        operation: String,
        /// Its phase.
        phase: OperationPhase,
        /// Why it has this phase, in CamelCase.
        reason: String,
        /// The same as a sentence.
        message: String,
    },
    /// The state of an approval on the Topology object changed.
    Approval {
        /// The approved digest, as it was written.
        digest: String,
        /// Its state.
        state: ApprovalState,
        /// Why it has this state.
        message: String,
    },
    /// A failure that the reconcile does not depend on.
    Warning {
        /// The failure and its effect.
        failure: Failure,
    },
    /// A reconcile ended.
    ReconcileFinished {
        /// Its number.
        number: u64,
        /// How it ended.
        #[serde(flatten)]
        reconciled: Box<Reconciled>,
        /// How long it took.
        milliseconds: u64,
    },
    /// It was asked to stop; running steps finish.
    Stopping,
}

/// Takes events.
pub trait WatchReporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &WatchEvent);
}
