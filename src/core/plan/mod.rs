//! Topology and live state in, plan out: see [`plan()`].
//!
//! Synchronous, without I/O and deterministic. A plan leaves nothing to decide and
//! does not change once it was returned.

mod address_exchanges;
mod adoption;
mod api_server_access;
mod arrivals;
mod awaiting;
mod blocked_moves;
mod change;
mod cluster_replacement;
mod consequences;
pub mod cost;
mod cyclic_waits;
mod decision;
mod deferred_replacements;
mod dependencies;
mod dependency_collector;
pub mod diff;
mod exclusive_claims;
mod execution;
mod execution_details;
mod existing_ranges;
pub mod findings;
mod follow_ups;
mod group_takeovers;
mod held;
mod held_back;
mod held_prefixes;
mod hidden_contents;
mod host_route;
mod ignore_fields;
mod ignored_conflicts;
mod ignored_routes;
pub mod impact;
mod interruptions;
mod kept_ranges;
mod kept_routers;
mod known_drift;
mod later_moves;
mod new_datacenters;
mod new_places;
mod newer_kubelets;
mod node_pools;
mod omitted;
mod orphans;
mod planner;
mod planning;
mod pool_removal;
mod predecessors;
mod prefix_conflicts;
pub mod preflight;
mod preparation;
mod present_routers;
mod profile_settings;
mod propagation;
mod protected_departures;
mod protection;
mod protection_records;
mod readdressing;
pub mod readiness;
mod remaining_time;
mod removal_pace;
mod replacement;
mod restrict;
mod rollout;
mod router_addresses;
pub mod saved_plan;
mod site_kind;
pub mod stale_facts;
pub mod step_graph;
mod succession;
#[cfg(test)]
mod tests;
mod types;
pub mod unattended;
mod unreachable_departures;
mod unread_cluster;
mod unread_nodes;
mod unread_parts;
mod version_remedies;
mod versions;
mod waiting_changes;
mod wave_schedule;
mod withdrawal;
mod worker_request;

pub use awaiting::{ApprovalReason, AwaitingApproval};
pub use change::{Action, Change, InWave};
pub use diff::{FieldChange, FieldPath};
pub use execution::{
    ApplySettings, Execution, ManagedNodeFields, NodePoolExecution, RouterExecution,
    WorkerDeparture, WorkerExecution, WorkerProfile, WorkerRestart,
};
pub use findings::{Finding, FindingSeverity};
pub use held::{Blocked, Deferred};
pub use host_route::{HostLocation, HostRoute};
pub use known_drift::IgnoredDrift;
pub use omitted::OmittedChange;
pub use planning::{PlanOptions, PlanningInput, plan};
pub use preparation::{MAX_DOWNLOADS, MAX_STEPS_PER_API, Preparation};
pub use remaining_time::remaining_seconds;
pub use rollout::Rollout;
use stale_facts::surviving;
pub use step_graph::{Phase, StepGraph};
pub use types::{Plan, PlanContents, PlanStatus};
pub use worker_request::{WorkerOperation, WorkerRequest};
