use std::sync::Arc;

use super::events::Reporter;
use super::stop::StopSignal;
use crate::lease::{LeaseSlot, Validity};
use crate::pipeline::Pipeline;
use crate::plan::Plan;
use crate::provider::access::ClusterCredentials;
use crate::provider::clients::Clients;
use crate::provider::read_write::ClusterWrite;

/// The parameters of an apply.
#[derive(Clone)]
pub struct ApplyContext<'a> {
    /// Makes the plans.
    pub pipeline: Pipeline<'a>,
    /// The clients that write.
    pub clients: &'a Clients,
    /// Receives every event.
    pub reporter: &'a dyn Reporter,
    /// Asks to stop.
    pub stop: StopSignal,
    /// The saved plan that is applied, if there is one: only its changes were approved.
    pub saved: Option<&'a Plan>,
    /// The Lease that is held while changes are made, or `None` to go without.
    pub lease: Option<LeaseSlot>,
    /// The Lease that the process holds as the one that reconciles. No step begins once
    /// it is lost.
    pub leadership: Option<Validity>,
}

/// A client that writes to the cluster, and the cluster facts that a joining worker uses.
pub(super) struct ClusterWriter {
    pub(super) client: Arc<dyn ClusterWrite>,
    pub(super) credentials: ClusterCredentials,
}
