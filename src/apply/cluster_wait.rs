//! A destroy waits while Azure creates or deletes the cluster for another process: the API
//! server of a complete cluster has the Lease of a process that makes changes.

use super::context::ApplyContext;
use super::events::Event;
use crate::diagnostics::{Code, Failure};
use crate::refresh::Observation;
use crate::resource::azure::Provisioning;
use crate::resource::{ArmId, ObjectKey, Resource};

/// The cluster of the topology while Azure creates or deletes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TransientCluster {
    id: ArmId,
    is_created: bool,
}

impl TransientCluster {
    /// The cluster as it was read for a plan, if Azure creates or deletes it.
    pub(super) fn of(observation: &Observation) -> Option<Self> {
        observation.inventory.iter().find_map(|(key, observed)| {
            let (ObjectKey::Azure(id), Resource::ManagedCluster(cluster)) =
                (key, &observed.resource)
            else {
                return None;
            };
            let is_created = match cluster.provisioning {
                Provisioning::Creating => true,
                Provisioning::Deleting => false,
                _ => return None,
            };
            observed.ownership.is_ours().then(|| Self { id: id.clone(), is_created })
        })
    }

    /// Its name, if Azure deletes it.
    pub(super) fn deleted(&self) -> Option<&str> {
        (!self.is_created).then(|| self.id.name())
    }

    /// Waits until Azure has created or deleted it, or has given up.
    ///
    /// # Errors
    ///
    /// Azure did not answer, or did not end in time.
    pub(super) async fn wait(&self, context: &ApplyContext<'_>) -> Result<(), Failure> {
        context.reporter.event(&Event::Warning(self.warning()));
        context.clients.azure.wait_until_idle(&self.id).await.map(drop).map_err(Failure::from)
    }

    fn warning(&self) -> Failure {
        let participle = if self.is_created { "creating" } else { "deleting" };
        let message = format!(
            "Azure is still {participle} the cluster {}, on the request of another process; the \
             destroy waits for it and then plans again",
            self.id.name()
        );
        let remedy = "no action is needed; the activity log of Azure shows the request";
        Failure::new(Code::OperationPending, message, remedy)
    }
}
