//! The cost of a plan as JSON.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::plan_json::texts;
use crate::plan::cost::Cost;
use crate::resource::Api;

/// Requests and the estimated duration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CostJson {
    /// Requests that the refresh took.
    pub refresh_requests: RequestsJson,
    /// The minimum number of requests that the apply takes.
    pub apply_requests: RequestsJson,
    /// The writes among them.
    pub apply_writes: RequestsJson,
    /// The addresses along the chain of changes that takes longest.
    pub critical_path: Vec<String>,
    /// The estimated duration of that chain, in seconds.
    pub estimated_seconds: u64,
}

/// Requests by API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequestsJson {
    /// To Azure Resource Manager.
    pub azure: u64,
    /// To the Tailscale API.
    pub tailscale: u64,
    /// To the cluster's API server.
    pub kubernetes: u64,
}

impl CostJson {
    /// Converts the cost of a plan.
    pub(super) fn of(cost: &Cost) -> Self {
        Self {
            refresh_requests: requests(&cost.requests),
            apply_requests: requests(&cost.apply_requests),
            apply_writes: requests(&cost.apply_writes),
            critical_path: texts(&cost.critical_path),
            estimated_seconds: cost.seconds,
        }
    }
}

fn requests(requests: &BTreeMap<Api, u64>) -> RequestsJson {
    let of = |api| requests.get(&api).copied().unwrap_or_default();
    RequestsJson {
        azure: of(Api::Azure),
        tailscale: of(Api::Tailscale),
        kubernetes: of(Api::Kubernetes),
    }
}
