//! The origin of a request for work on a worker: a command, or an Operation in the cluster.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The request that work on a worker is a part of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkRequest {
    /// A command line named the worker; the name of the request in the records.
    Command(String),
    /// A person created an Operation.
    Operation(RequestedOperation),
}

/// An Operation that a person created: its object is the record of the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedOperation {
    /// The name of its object.
    pub name: String,
    /// The identity of its object. Another object of the same name is another request.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
    /// The time at which it was created.
    pub requested: Timestamp,
    /// How far an earlier attempt came, if there was one.
    pub earlier: Option<EarlierAttempt>,
}

impl RequestedOperation {
    /// The number of the attempt that begins now, counted from 1.
    pub fn next_attempt(&self) -> u32 {
        self.earlier.as_ref().map_or(1, |earlier| earlier.attempts.saturating_add(1))
    }
}

/// The progress of an interrupted attempt, from the status of an Operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EarlierAttempt {
    /// The start of the first attempt.
    pub started: Timestamp,
    /// How many attempts were started.
    pub attempts: u32,
    /// The uid of the Node before the first attempt changed it; `None` if there was no
    /// Node, or if the attempt did not come that far.
    pub node_uid: Option<String>,
    /// The boot of the machine before the restart; `None` if the attempt did not come that
    /// far.
    pub boot_id: Option<String>,
}
