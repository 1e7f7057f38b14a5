//! Waiting for the cluster and the host, by polling.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::JoinContext;
use super::error::{JoinCause, JoinError};
use super::proof::check_set_once;
use super::step::JoinStep;
use crate::provider::cluster::{Approval, ClusterError, NodeFacts};
use crate::provider::host::WorkerProbe;
use crate::provider::poll::Polling;
use crate::topology::names::WorkerName;

pub(super) const POLL: Duration = Duration::from_secs(2);
const CERTIFICATE: Polling = Polling { interval: POLL, timeout: Duration::from_secs(120) };
const REGISTRATION: Polling = Polling { interval: POLL, timeout: Duration::from_secs(120) };
const READY: Polling = Polling { interval: POLL, timeout: Duration::from_secs(300) };

impl JoinContext<'_> {
    fn timed_out(&self, step: JoinStep, reason: impl AsRef<str>) -> JoinError {
        JoinError::new(step, &self.desired.name, JoinCause::TimedOut, reason, step.remedy())
    }

    /// An answer of the cluster; `None` if the API server is unavailable for now.
    /// The time limit of the caller ends the wait.
    fn tolerate<T>(
        &self,
        step: JoinStep,
        response: Result<T, ClusterError>,
    ) -> Result<Option<T>, JoinError> {
        match response {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_unavailable() => Ok(None),
            Err(error) => Err(JoinError::cluster(step, &self.desired.name, error)),
        }
    }

    /// Approves the worker's certificate request once it exists, and waits until the
    /// kubelet has its certificate.
    pub(super) async fn certificate(&self, token_id: &str) -> Result<WorkerProbe, JoinError> {
        let step = JoinStep::ApproveCertificate;
        let worker = WorkerName::new(&self.desired.name);
        let approved = AtomicBool::new(false);
        let polled = CERTIFICATE.poll_until(|| async {
            let response = self.cluster.approve_csr_for(&worker, token_id).await;
            match self.tolerate(step, response)? {
                Some(Approval::Approved { .. }) => approved.store(true, Ordering::Relaxed),
                Some(Approval::Refused(refusal)) => return Err(self.refused(refusal)),
                Some(Approval::NotThereYet) | None => {}
            }
            if !approved.load(Ordering::Relaxed) {
                return Ok(ControlFlow::Continue(()));
            }
            let probe = self.hosts.probe_worker(&self.target).await;
            let probe = probe.map_err(|error| JoinError::host(step, &self.desired.name, error))?;
            let is_issued = probe.client_certificate;
            Ok(if is_issued { ControlFlow::Break(probe) } else { ControlFlow::Continue(()) })
        });
        match polled.await? {
            ControlFlow::Break(probe) => Ok(probe),
            ControlFlow::Continue(()) if approved.load(Ordering::Relaxed) => {
                let reason = "its certificate request was approved, but no certificate was issued \
                              within two minutes";
                Err(self.timed_out(step, reason))
            }
            ControlFlow::Continue(()) => {
                let reason = "its kubelet did not request a certificate within two minutes";
                Err(self.timed_out(step, reason))
            }
        }
    }

    fn refused(&self, refusal: crate::provider::cluster::Refusal) -> JoinError {
        let reason = refusal.to_string();
        JoinError::new(
            JoinStep::ApproveCertificate,
            &self.desired.name,
            JoinCause::Refused(Box::new(refusal)),
            reason,
            "check who made the request with `kubectl get csr`: another machine may have used the \
             worker's token, or the kubelet has another host name; then run `stargate repave`",
        )
    }

    /// Waits until the worker's Node exists.
    pub(super) async fn registered(&self) -> Result<NodeFacts, JoinError> {
        let step = JoinStep::PodCidr;
        let polled = REGISTRATION.poll_until(|| async {
            let response = self.cluster.node(&self.desired.name).await;
            let found = self.tolerate(step, response).map(Option::flatten);
            found.map(|node| node.map_or(ControlFlow::Continue(()), ControlFlow::Break))
        });
        match polled.await? {
            ControlFlow::Break(node) => {
                check_set_once(&self.desired, Some(&node))?;
                Ok(node)
            }
            ControlFlow::Continue(()) => {
                Err(self.timed_out(step, "its Node did not appear within two minutes"))
            }
        }
    }

    /// Waits until the Node is Ready with the desired kubelet version.
    pub(super) async fn ready(
        &self,
        is_ready: impl Fn(&NodeFacts) -> bool,
    ) -> Result<NodeFacts, JoinError> {
        let step = JoinStep::NodeReady;
        let polled = READY.poll_until(|| async {
            let response = self.cluster.node(&self.desired.name).await;
            self.tolerate(step, response).map(|observed| match observed.flatten() {
                Some(node) if is_ready(&node) => ControlFlow::Break(node),
                observed => ControlFlow::Continue(observed),
            })
        });
        match polled.await? {
            ControlFlow::Break(node) => Ok(node),
            ControlFlow::Continue(observed) => {
                Err(self.timed_out(step, not_ready(observed.as_ref())))
            }
        }
    }
}

fn not_ready(node: Option<&NodeFacts>) -> String {
    match node {
        None => "its Node does not exist, or the API server does not answer".to_owned(),
        Some(node) if node.ready => {
            format!("its Node is Ready with another kubelet version: {}", node.kubelet_version)
        }
        Some(node) => match &node.not_ready_because {
            Some(reason) => format!("its Node is not Ready after five minutes: {reason}"),
            None => "its Node is not Ready after five minutes".to_owned(),
        },
    }
}
