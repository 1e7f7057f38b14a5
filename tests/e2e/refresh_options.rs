//! The options of a refresh and plan.

use std::collections::BTreeSet;

use stargate::plan::WorkerRequest;
use stargate::plan::unattended::ApprovedChanges;
use stargate::resource::Address;
use stargate::resource::settings::AutoApply;
use stargate::topology::names::TopologyName;

/// The options of a refresh and plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct RefreshOptions {
    pub(crate) deep: bool,
    pub(crate) destroying: bool,
    pub(crate) adopt: BTreeSet<Address>,
    pub(crate) adopt_from: Option<TopologyName>,
    pub(crate) replace: BTreeSet<Address>,
    pub(crate) worker_request: Option<WorkerRequest>,
    pub(crate) allow_loss: bool,
    pub(crate) upgrade_patches: bool,
    pub(crate) unattended: Option<AutoApply>,
    pub(crate) approved: ApprovedChanges,
}

impl RefreshOptions {
    /// Also reads the workers' hosts.
    pub(crate) fn deep() -> Self {
        Self { deep: true, ..Self::default() }
    }

    /// Plans a destroy.
    pub(crate) fn destroying() -> Self {
        Self { destroying: true, ..Self::default() }
    }

    /// Permits the replacement of these resources, and the loss of pairs by it.
    pub(crate) fn replacing(addresses: &[&str]) -> Self {
        let replace = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Self { replace, allow_loss: true, ..Self::default() }
    }

    /// Adopts one object.
    pub(crate) fn adopting(address: &str) -> Self {
        let adopt = BTreeSet::from([address.parse().unwrap()]);
        Self { adopt, ..Self::default() }
    }
}
