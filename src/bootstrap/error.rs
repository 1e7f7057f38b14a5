//! Why a worker could not join, leave or restart.

use super::step::{JoinStep, Stage};
use crate::diagnostics::{Code, Failure};
use crate::provider::cluster::{ClusterError, Refusal};
use crate::provider::host::HostError;

/// A join failed at a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {hostname} did not join, step {step}: {failure}")]
pub struct JoinError {
    /// The step.
    pub step: JoinStep,
    /// The worker.
    pub hostname: String,
    /// The cause, by which callers decide how to continue.
    pub cause: JoinCause,
    /// The message and the remedy; never a secret.
    pub failure: Box<Failure>,
}

/// The causes of a failed join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinCause {
    /// Work on the host failed.
    Host(Box<HostError>),
    /// A request to the cluster failed.
    Cluster(Box<ClusterError>),
    /// The Node has another value in a field that can be set only once.
    MustBeReplaced,
    /// The host has another name, or belongs to another cluster.
    WrongHost,
    /// A certificate request was not the worker's.
    Refused(Box<Refusal>),
    /// The step ran, and its result was not found afterwards.
    NotProven,
    /// Pods did not leave the worker, or the cluster refused to evict them.
    NotDrained,
    /// The expected state was not reached before the timeout.
    TimedOut,
}

impl JoinCause {
    /// The code of a cause that no client reported.
    fn code(&self) -> Code {
        match self {
            Self::Host(_) | Self::Cluster(_) => Code::StepFailed,
            Self::MustBeReplaced => Code::NodeMustBeReplaced,
            Self::WrongHost => Code::WrongHost,
            Self::Refused(_) => Code::CertificateRefused,
            Self::NotProven => Code::StepNotVerified,
            Self::NotDrained => Code::DrainBlocked,
            Self::TimedOut => Code::StepTimedOut,
        }
    }
}

impl JoinError {
    pub(super) fn new(
        step: JoinStep,
        hostname: &str,
        cause: JoinCause,
        message: impl AsRef<str>,
        remedy: impl Into<String>,
    ) -> Self {
        let failure = Box::new(Failure::new(cause.code(), message, remedy));
        Self { step, hostname: hostname.to_owned(), cause, failure }
    }

    pub(super) fn host(step: JoinStep, hostname: &str, error: HostError) -> Self {
        let failure = Box::new(of_host(&error, step.remedy()));
        let cause = JoinCause::Host(Box::new(error));
        Self { step, hostname: hostname.to_owned(), cause, failure }
    }

    pub(super) fn cluster(step: JoinStep, hostname: &str, error: ClusterError) -> Self {
        let failure = Box::new(of_cluster(&error, step.remedy()));
        let cause = JoinCause::Cluster(Box::new(error));
        Self { step, hostname: hostname.to_owned(), cause, failure }
    }

    /// The worker could not be drained, and nothing was changed.
    pub(super) fn drain(error: LeaveError) -> Self {
        let LeaveError { hostname, failure } = error;
        let (step, failure) = (JoinStep::OperatingSystem, Box::new(failure));
        Self { step, hostname, cause: JoinCause::NotDrained, failure }
    }
}

/// A worker could not be removed from the cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {hostname} did not leave: {failure}")]
pub struct LeaveError {
    /// The worker.
    pub hostname: String,
    /// The message and the remedy.
    pub failure: Failure,
}

impl LeaveError {
    pub(super) fn host(hostname: &str, error: &HostError) -> Self {
        let remedy = "look at `journalctl -u kubelet -u containerd` on the worker";
        Self { hostname: hostname.to_owned(), failure: of_host(error, remedy) }
    }

    /// A host that stays, and that no router leads to, cannot be reset.
    pub(super) fn unreachable(hostname: &str) -> Self {
        let failure = Failure::new(
            Code::HostUnreachable,
            "its host stays and cannot be reset: the router of its datacenter is not in the tailnet",
            format!(
                "connect the router to the tailnet, then run the same command again; if the host \
                 is gone for good, run `kubectl delete node {hostname}` first"
            ),
        );
        Self { hostname: hostname.to_owned(), failure }
    }

    pub(super) fn cluster(hostname: &str, error: &ClusterError) -> Self {
        let remedy = "look at the object with `kubectl describe`, then run the same command again";
        Self { hostname: hostname.to_owned(), failure: of_cluster(error, remedy) }
    }
}

/// A worker was not rebooted, or did not become Ready again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("worker {hostname} was not rebooted, stage {stage}: {failure}")]
pub struct RebootError {
    /// The worker.
    pub hostname: String,
    /// The stage that failed.
    pub stage: Stage,
    /// The message and the remedy.
    pub failure: Failure,
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        let message = error.to_string();
        error.failure.with_message(message)
    }
}

impl From<LeaveError> for Failure {
    fn from(error: LeaveError) -> Self {
        let message = error.to_string();
        error.failure.with_message(message)
    }
}

impl From<RebootError> for Failure {
    fn from(error: RebootError) -> Self {
        let message = error.to_string();
        error.failure.with_message(message)
    }
}

/// The failure of a host. A failed command is reported by its purpose.
fn of_host(error: &HostError, remedy: &str) -> Failure {
    let failure = Failure::from(error);
    match error {
        HostError::Unreachable { .. } | HostError::Lost { .. } => failure.with_remedy(
            "check that the worker and its datacenter's router run and that SSH reaches them",
        ),
        HostError::Failed { remedy: None, .. } => failure.with_remedy(remedy),
        _ => failure,
    }
}

/// The failure of the cluster. A rejected request is reported by its purpose.
fn of_cluster(error: &ClusterError, remedy: &str) -> Failure {
    let failure = Failure::from(error);
    match failure.code {
        Code::InvalidRequest | Code::RequestError | Code::UnexpectedResponse => {
            failure.with_remedy(remedy)
        }
        _ => failure,
    }
}
