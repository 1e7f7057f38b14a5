//! Evictions, and the budgets that forbid them.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::definition::{CORE, POLICY, qualified};
use super::handle::Call;
use super::path::Propagation;
use super::selector::LabelSelector;
use super::status::{ApiError, Cause, Reason, respond};
use super::store::KubernetesStore;
use super::value::{at, items, name, text};

const FORBIDDEN: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

impl KubernetesStore {
    /// Takes a pod away, unless a budget needs it.
    pub(super) fn evict(&mut self, call: &Call<'_>) -> Result<Response<Bytes>, ApiError> {
        let pod = self.live(call)?;
        self.check_budgets(pod, call.place())?;
        let dry_run = call.parameters.dry_run
            || at(&call.json()?, &["deleteOptions", "dryRun"])
                .is_some_and(|it| *it == json!(["All"]));
        if !dry_run {
            let (place, now) = (call.place(), call.now);
            self.remove(&call.definition, place, call.name(), Propagation::default(), now);
        }
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Success", "code": 201});
        Ok(respond(StatusCode::CREATED, &status))
    }

    /// A pod that does not run, or is not ready, is no budget's.
    fn check_budgets(&self, pod: &Value, place: Option<&str>) -> Result<(), ApiError> {
        if text(pod, &["status", "phase"]) != Some("Running") || !is_ready(pod) {
            return Ok(());
        }
        let budgets = self.scan(&qualified("poddisruptionbudgets", POLICY), place, None);
        for (_, budget) in budgets {
            let selector = at(budget, &["spec", "selector"]).unwrap_or(&Value::Null);
            let selector = LabelSelector::of(selector);
            if !selector.matches(pod) {
                continue;
            }
            let pods: Vec<_> = self
                .scan(&qualified("pods", CORE), place, None)
                .filter(|(_, it)| selector.matches(it))
                .collect();
            let healthy = pods.iter().filter(|(_, it)| is_ready(it)).count();
            let needed = needed(budget, pods.len());
            if healthy <= needed {
                let (name, reason) = (name(budget), Reason::TooManyRequests);
                let told = format!(
                    "The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
                );
                let cause = Cause::new("DisruptionBudget", "", told);
                return Err(ApiError::new(reason, FORBIDDEN).with_causes(&[cause]));
            }
        }
        Ok(())
    }
}

fn is_ready(pod: &Value) -> bool {
    let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
    items(pod, &["status", "conditions"]).iter().any(ready)
}

/// How many pods a budget needs of those that it is for.
fn needed(budget: &Value, all: usize) -> usize {
    let amount = |field: &str| {
        let value = at(budget, &["spec", field])?;
        let percent = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<usize>().ok());
        let whole = || value.as_u64().and_then(|it| usize::try_from(it).ok());
        percent.map(|percent| (all * percent).div_ceil(100)).or_else(whole)
    };
    let spared = || amount("maxUnavailable").map(|spared| all.saturating_sub(spared));
    amount("minAvailable").or_else(spared).unwrap_or(0)
}
