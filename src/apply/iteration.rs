use super::context::ClusterWriter;
use super::events::Reporter;
use super::routers::RouterAddresses;
use super::stages::CompletedStages;
use super::stop::StopSignal;
use super::unfinished::Unfinished;
use super::write_lease::WriteLease;
use crate::diagnostics::Failure;
use crate::inventory::Inventory;
use crate::plan::ApplySettings;
use crate::provider::clients::{Clients, ReadClients};
use crate::refresh::Clock;

/// The parameters of the steps of one iteration.
pub(super) struct Iteration<'a> {
    pub(super) clients: &'a Clients,
    pub(super) readers: &'a ReadClients,
    pub(super) settings: &'a ApplySettings,
    /// Live state as read for this iteration.
    pub(super) inventory: &'a Inventory,
    pub(super) reporter: &'a dyn Reporter,
    pub(super) now: &'a Clock,
    pub(super) stop: &'a StopSignal,
    pub(super) lease: &'a WriteLease<'a>,
    /// A client that writes to the cluster, or the reason why this iteration has no such client.
    pub(super) cluster: Result<ClusterWriter, Failure>,
    pub(super) routers: RouterAddresses,
    pub(super) unfinished: Unfinished,
    pub(super) stages: CompletedStages,
}
