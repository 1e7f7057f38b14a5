//! Bringing a worker into the cluster.

mod finish;

use super::error::{JoinCause, JoinError};
use super::proof::{StepEvidence, check_set_once};
use super::record::Records;
use super::step::{JoinStep, StepEvent};
use super::{JoinContext, Progress, drain, kubelet_configuration};
use crate::provider::cluster::{BootstrapToken, NodeFacts};
use crate::provider::host::{WorkerProbe, WorkerStep};
use crate::topology::names::WorkerName;

/// Attempts to write a Node that other writers change at the same time.
const NODE_WRITES: usize = 5;

/// The result of a join.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JoinReport {
    /// The steps that were done; none where all was proven.
    pub applied: Vec<JoinStep>,
}

/// Applies the profile to a worker and joins it to the cluster, from the first step whose
/// result is not proven.
///
/// # Errors
///
/// A step failed. Completed steps stay, and the next run resumes after them. The token is
/// deleted in any case.
pub async fn join(
    context: &JoinContext<'_>,
    progress: &Progress<'_>,
) -> Result<JoinReport, JoinError> {
    let name = &context.desired.name;
    let node = context.cluster.node(name).await;
    let node = node.map_err(|error| JoinError::cluster(JoinStep::OperatingSystem, name, error))?;
    check_set_once(&context.desired, node.as_ref())?;
    let mut run = JoinRun::begin(context, progress, node).await?;
    if JoinStep::ALL.iter().all(|step| run.evidence().proves(*step)) {
        JoinStep::ALL.into_iter().for_each(|step| progress(StepEvent::StepVerified(step)));
        run.uncordon().await?;
        return Ok(JoinReport::default());
    }
    let message = "applying the profile to the worker";
    let continues = context.continues.clone();
    let mut records = Records::begin(context.subject(), progress, continues, message).await;
    let mut applied = run.drain_and_apply(&mut records).await;
    // An Operation that has succeeded is not looked at again, so its Node is recorded before.
    if applied.is_ok() && context.is_operation() {
        applied = run.record_join().await;
    }
    if let Err(error) = applied {
        run.clean_up().await;
        let message =
            format!("{}: {}; {}", error.step, error.failure.message, error.failure.remedy);
        records.end(Err(message)).await;
        return Err(error);
    }
    records.end(Ok("the Node is Ready")).await;
    if !context.is_operation() {
        run.record_join().await?;
    }
    Ok(JoinReport { applied: run.applied })
}

pub(super) struct JoinRun<'a> {
    context: &'a JoinContext<'a>,
    progress: &'a Progress<'a>,
    probe: WorkerProbe,
    node: Option<NodeFacts>,
    token: Option<BootstrapToken>,
    restart: bool,
    applied: Vec<JoinStep>,
}

impl<'a> JoinRun<'a> {
    pub(super) async fn begin(
        context: &'a JoinContext<'a>,
        progress: &'a Progress<'a>,
        node: Option<NodeFacts>,
    ) -> Result<Self, JoinError> {
        let probe = context.hosts.probe_worker(&context.target).await;
        let probe = probe.map_err(|error| {
            JoinError::host(JoinStep::OperatingSystem, &context.desired.name, error)
        })?;
        let (token, restart, applied) = (None, false, Vec::new());
        Ok(Self { context, progress, probe, node, token, restart, applied })
    }
}

impl JoinRun<'_> {
    fn evidence(&self) -> StepEvidence<'_> {
        StepEvidence {
            desired: &self.context.desired,
            settings: &self.context.settings,
            probe: &self.probe,
            node: self.node.as_ref(),
            restart: self.restart,
            started: self.applied.contains(&JoinStep::Start),
            token: self.token.is_some(),
        }
    }

    async fn drain_and_apply(&mut self, records: &mut Records<'_>) -> Result<(), JoinError> {
        if let (Some(within), Some(node)) = (self.context.drain_within, self.node.clone()) {
            for step in JoinStep::AHEAD {
                self.step(step).await?;
            }
            records.reaches("draining the worker").await;
            let drained = drain::clear(self.context.cluster, &node, within, self.progress).await;
            drained.map_err(JoinError::drain)?;
            self.node = self.context.cluster.node(&node.name).await.map_err(|error| {
                JoinError::cluster(JoinStep::OperatingSystem, &self.context.desired.name, error)
            })?;
        }
        self.steps(records).await
    }

    async fn steps(&mut self, records: &mut Records<'_>) -> Result<(), JoinError> {
        for step in JoinStep::ALL {
            if step.takes_long() && !self.evidence().proves(step) {
                records.reaches(step.as_str()).await;
            }
            self.step(step).await?;
        }
        Ok(())
    }

    /// Does a step unless it is proven.
    pub(super) async fn step(&mut self, step: JoinStep) -> Result<(), JoinError> {
        if self.evidence().proves(step) {
            (self.progress)(StepEvent::StepVerified(step));
            return Ok(());
        }
        (self.progress)(StepEvent::StepStarted(step));
        self.apply(step).await?;
        self.restart = (self.restart || step.needs_restart()) && step != JoinStep::Start;
        self.applied.push(step);
        (self.progress)(StepEvent::StepCompleted(step));
        Ok(())
    }

    async fn apply(&mut self, step: JoinStep) -> Result<(), JoinError> {
        if step == JoinStep::KernelRoutes
            && let Some(error) = self.evidence().distant_router()
        {
            return Err(error);
        }
        match step {
            JoinStep::OperatingSystem => Err(self.evidence().wrong_host()),
            JoinStep::BootstrapCredentials => self.bootstrap_credentials().await,
            JoinStep::ApproveCertificate => self.certificate().await,
            JoinStep::PodCidr => self.pod_cidr().await,
            JoinStep::NodeLabels => self.node_labels().await,
            JoinStep::NodeReady => self.node_ready().await,
            JoinStep::RemoveToken => self.remove_token().await,
            JoinStep::Stamp => self.stamp().await,
            JoinStep::StagePackages
            | JoinStep::KernelSettings
            | JoinStep::KernelRoutes
            | JoinStep::ContainerRuntime
            | JoinStep::Kubelet
            | JoinStep::CniPlugins
            | JoinStep::ClusterCa
            | JoinStep::CniConfiguration
            | JoinStep::KubeletConfiguration
            | JoinStep::Start => self.on_host(step).await,
        }
    }

    /// A step that a second probe of the host proves.
    async fn on_host(&mut self, step: JoinStep) -> Result<(), JoinError> {
        let (desired, settings) = (&self.context.desired, &self.context.settings);
        let work = match step {
            JoinStep::StagePackages => {
                WorkerStep::StagePackages(desired.kubelet_version, settings.packages)
            }
            JoinStep::KernelRoutes => WorkerStep::KernelRoutes(settings.kernel_routes.clone()),
            JoinStep::ContainerRuntime => WorkerStep::ContainerRuntime(settings.packages),
            JoinStep::Kubelet => WorkerStep::Kubelet(desired.kubelet_version, settings.packages),
            JoinStep::CniPlugins => WorkerStep::CniPlugins(settings.packages),
            JoinStep::ClusterCa => WorkerStep::ClusterCa { pem: settings.cluster_ca_pem.clone() },
            JoinStep::CniConfiguration => WorkerStep::CniConfiguration { subnet: desired.pod_cidr },
            JoinStep::KubeletConfiguration => {
                WorkerStep::KubeletConfiguration(kubelet_configuration(desired, settings))
            }
            JoinStep::Start => WorkerStep::Start,
            _ => WorkerStep::Kernel,
        };
        self.host_step(step, &work).await?;
        self.probe_again(step).await?;
        let proven = match step {
            // The steps after it verify the rest of the evidence of a start.
            JoinStep::Start => {
                self.probe.host.container_runtime_active && self.probe.host.kubelet_active
            }
            _ => self.evidence().proves(step),
        };
        if proven {
            Ok(())
        } else {
            Err(self.not_proven(step, "the step ran, but its effect is missing"))
        }
    }

    async fn host_step(&self, step: JoinStep, work: &WorkerStep) -> Result<(), JoinError> {
        let done = self.context.hosts.apply_worker_step(&self.context.target, work).await;
        done.map_err(|error| JoinError::host(step, &self.context.desired.name, error))
    }

    async fn probe_again(&mut self, step: JoinStep) -> Result<(), JoinError> {
        let probe = self.context.hosts.probe_worker(&self.context.target).await;
        self.probe = probe.map_err(|error| self.host_error(step, error))?;
        Ok(())
    }

    fn host_error(&self, step: JoinStep, error: crate::provider::host::HostError) -> JoinError {
        JoinError::host(step, &self.context.desired.name, error)
    }

    fn cluster_error(
        &self,
        step: JoinStep,
    ) -> impl Fn(crate::provider::cluster::ClusterError) -> JoinError + use<> {
        let name = self.context.desired.name.clone();
        move |error| JoinError::cluster(step, &name, error)
    }

    fn not_proven(&self, step: JoinStep, reason: &str) -> JoinError {
        let name = &self.context.desired.name;
        JoinError::new(step, name, JoinCause::NotProven, reason, step.remedy())
    }

    /// The kubelet registered the Node in an earlier step.
    fn node_deleted(&self, step: JoinStep) -> JoinError {
        let name = &self.context.desired.name;
        let remedy = "find out what deletes Nodes (the audit log of the API server names the user), \
                      then run the same command again: the kubelet registers another Node";
        let reason = "its Node was deleted while the worker joined";
        JoinError::new(step, name, JoinCause::NotProven, reason, remedy)
    }

    fn worker(&self) -> WorkerName {
        WorkerName::new(&self.context.desired.name)
    }

    async fn bootstrap_credentials(&mut self) -> Result<(), JoinError> {
        let step = JoinStep::BootstrapCredentials;
        let (cluster, now) = (self.context.cluster, (self.context.now)());
        let failed = self.cluster_error(step);
        let worker = self.worker();
        cluster.delete_stale_bootstrap_tokens(Some(&worker), now).await.map_err(&failed)?;
        let token = cluster.create_bootstrap_token(&worker, now).await.map_err(&failed)?;
        let work = WorkerStep::BootstrapKubeconfig {
            server: self.context.settings.api_server.clone(),
            token: token.secret.clone(),
        };
        // Kept before the host is touched: a failure there must delete it too.
        self.token = Some(token);
        self.host_step(step, &work).await
    }

    async fn certificate(&mut self) -> Result<(), JoinError> {
        let step = JoinStep::ApproveCertificate;
        let Some(token) = &self.token else {
            return Err(self.not_proven(step, "this run created no bootstrap token"));
        };
        self.probe = self.context.certificate(&token.id).await?;
        Ok(())
    }

    async fn pod_cidr(&mut self) -> Result<(), JoinError> {
        let step = JoinStep::PodCidr;
        let desired = &self.context.desired;
        let (cluster, name) = (self.context.cluster, desired.name.as_str());
        let failed = self.cluster_error(step);
        let node = self.context.registered().await?;
        if node.pod_cidr.is_none() {
            cluster.set_node_pod_cidr(name, desired.pod_cidr).await.map_err(&failed)?;
        }
        if node.provider_id.as_deref().unwrap_or_default().is_empty() {
            cluster.set_node_provider_id(name, &desired.provider_id).await.map_err(&failed)?;
        }
        self.node = cluster.node(name).await.map_err(&failed)?;
        // Another writer may have been faster.
        check_set_once(desired, self.node.as_ref())?;
        if self.evidence().proves(step) {
            Ok(())
        } else {
            match &self.node {
                None => Err(self.node_deleted(step)),
                Some(_) => Err(self.not_proven(step, "it was set, but the Node does not have it")),
            }
        }
    }

    /// The kubelet writes its Node too, so a write may have to be tried again.
    async fn node_labels(&mut self) -> Result<(), JoinError> {
        let step = JoinStep::NodeLabels;
        let desired = &self.context.desired;
        let cluster = self.context.cluster;
        let failed = self.cluster_error(step);
        for _ in 0..NODE_WRITES {
            let node = cluster.node(&desired.name).await.map_err(&failed)?;
            let Some(node) = node else {
                return Err(self.node_deleted(step));
            };
            let written =
                cluster.set_node_labels_and_taints(&node, &desired.labels, &desired.taints).await;
            match written {
                Ok(node) => {
                    self.node = Some(node);
                    return Ok(());
                }
                Err(error) if error.is_conflict() => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(self.not_proven(step, "other writers kept changing its Node"))
    }

    async fn node_ready(&mut self) -> Result<(), JoinError> {
        let step = JoinStep::NodeReady;
        let evidence = self.evidence();
        let is_ready =
            |node: &NodeFacts| StepEvidence { node: Some(node), ..evidence }.node_is_ready();
        let node = self.context.ready(is_ready).await?;
        self.node = Some(node);
        self.probe_again(step).await?;
        if self.evidence().our_configuration_is_chosen() {
            return Ok(());
        }
        let chosen = self.probe.host.cni_chosen.as_deref().unwrap_or("nothing");
        Err(JoinError::new(
            step,
            &self.context.desired.name,
            JoinCause::NotProven,
            format!("the container runtime uses the CNI configuration {chosen}, not stargate's"),
            "remove the files in /etc/cni/net.d that sort before 00-stargate.conflist",
        ))
    }

    async fn remove_token(&mut self) -> Result<(), JoinError> {
        let step = JoinStep::RemoveToken;
        let failed = self.cluster_error(step);
        self.delete_tokens().await.map_err(failed)?;
        self.token = None;
        self.host_step(step, &WorkerStep::RemoveBootstrapKubeconfig).await?;
        self.probe_again(step).await?;
        if self.evidence().proves(step) {
            Ok(())
        } else {
            Err(self.not_proven(step, "the bootstrap kubeconfig still exists"))
        }
    }

    async fn stamp(&mut self) -> Result<(), JoinError> {
        // Only the Node lacks it, which is recorded last.
        if self.evidence().is_stamped() {
            return Ok(());
        }
        let step = JoinStep::Stamp;
        let digest = self.context.desired.profile_digest.clone();
        self.host_step(step, &WorkerStep::Stamp { digest }).await
    }
}
