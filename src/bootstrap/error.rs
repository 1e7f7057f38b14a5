//! Why a worker could not join or leave.

use super::step::Step;
use crate::provider::cluster::{ClusterError, Refusal};
use crate::provider::host::HostError;

/// A join failed at a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{hostname} did not join, at the step {step}: {reason}")]
pub struct JoinError {
    /// The step.
    pub step: Step,
    /// The worker.
    pub hostname: String,
    /// What kind of failure it is, with its source.
    pub failure: JoinFailure,
    /// What happened; never a secret.
    pub reason: String,
    /// What mends it.
    pub remedy: String,
}

/// The kind of a join's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinFailure {
    /// The host could not be worked on.
    Host(Box<HostError>),
    /// The cluster could not be worked with.
    Cluster(Box<ClusterError>),
    /// A value that can be set once is another one: the Node must be replaced.
    MustBeReplaced,
    /// The host is not the one that is meant, or belongs to another cluster.
    WrongHost,
    /// A certificate request was not the worker's.
    Refused(Box<Refusal>),
    /// The step was done, and a second look does not find it.
    NotProven,
    /// What was waited for did not come.
    TimedOut,
}

impl JoinError {
    pub(super) fn new(
        step: Step,
        hostname: &str,
        failure: JoinFailure,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            step,
            hostname: hostname.to_owned(),
            failure,
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn host(step: Step, hostname: &str, error: HostError) -> Self {
        let remedy = host_remedy(&error).unwrap_or_else(|| step.remedy().to_owned());
        let reason = error.to_string();
        Self::new(step, hostname, JoinFailure::Host(Box::new(error)), reason, remedy)
    }

    pub(super) fn cluster(step: Step, hostname: &str, error: ClusterError) -> Self {
        let remedy = cluster_remedy(&error).unwrap_or(step.remedy());
        let reason = error.to_string();
        Self::new(step, hostname, JoinFailure::Cluster(Box::new(error)), reason, remedy)
    }

    /// Whether only a replacement of the Node helps.
    pub fn must_be_replaced(&self) -> bool {
        self.failure == JoinFailure::MustBeReplaced
    }
}

/// A worker could not be taken out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{hostname} did not leave: {reason}")]
pub struct LeaveError {
    /// The worker.
    pub hostname: String,
    /// What happened.
    pub reason: String,
    /// What mends it.
    pub remedy: String,
}

impl LeaveError {
    pub(super) fn host(hostname: &str, error: &HostError) -> Self {
        let remedy = host_remedy(error).unwrap_or_else(|| {
            "look at `journalctl -u kubelet -u containerd` on the worker".to_owned()
        });
        Self { hostname: hostname.to_owned(), reason: error.to_string(), remedy }
    }

    pub(super) fn cluster(hostname: &str, error: &ClusterError) -> Self {
        let remedy = cluster_remedy(error).unwrap_or("look at the object in the cluster");
        Self { hostname: hostname.to_owned(), reason: error.to_string(), remedy: remedy.to_owned() }
    }
}

fn host_remedy(error: &HostError) -> Option<String> {
    match error {
        HostError::Unreachable { .. } | HostError::Lost { .. } => Some(
            "check that the worker and its datacenter's router run and that SSH reaches them"
                .to_owned(),
        ),
        refused if refused.is_refused() => Some(refused.remedy()),
        _ => None,
    }
}

fn cluster_remedy(error: &ClusterError) -> Option<&'static str> {
    if error.is_unavailable() {
        Some("check that the API server answers, then run apply again")
    } else if error.is_refused() {
        Some("use a credential that may do that, as the cluster's user credential can")
    } else {
        None
    }
}
