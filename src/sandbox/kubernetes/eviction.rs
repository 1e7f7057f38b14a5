//! Evictions and PodDisruptionBudgets.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::definition::{CORE, POLICY, qualified};
use super::handle::ResourceRequest;
use super::path::Propagation;
use super::selector::LabelSelector;
use super::status::{StatusCause, StatusError, StatusReason, respond};
use super::store::KubernetesStore;
use super::value::{at, items, name, text};

const FORBIDDEN: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

impl KubernetesStore {
    /// Evicts a pod, unless a budget forbids it.
    pub(super) fn evict(
        &mut self,
        call: &ResourceRequest<'_>,
    ) -> Result<Response<Bytes>, StatusError> {
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

    /// Budgets do not protect a pod that is not running or not ready.
    fn check_budgets(&self, pod: &Value, place: Option<&str>) -> Result<(), StatusError> {
        if text(pod, &["status", "phase"]) != Some("Running") || !is_ready(pod) {
            return Ok(());
        }
        let budgets = self.scan(&qualified("poddisruptionbudgets", POLICY), place, None);
        for (_, budget) in budgets {
            // An empty selector selects every pod, an absent one selects none.
            let Some(selector) = at(budget, &["spec", "selector"]) else { continue };
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
                let (name, reason) = (name(budget), StatusReason::TooManyRequests);
                let message = format!(
                    "The disruption budget {name} needs {needed} healthy pods and has {healthy} currently"
                );
                let cause = StatusCause::new("DisruptionBudget", "", message);
                return Err(StatusError::new(reason, FORBIDDEN).with_causes(&[cause]));
            }
        }
        Ok(())
    }
}

fn is_ready(pod: &Value) -> bool {
    let ready = |it: &Value| it["type"] == "Ready" && it["status"] == "True";
    items(pod, &["status", "conditions"]).iter().any(ready)
}

/// The minimum number of healthy pods that a budget requires, of all that it selects.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, ready: bool) -> Value {
        let status = if ready { "True" } else { "False" };
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": "default", "labels": { "app": "shop" } },
            "spec": { "containers": [{ "name": "main", "image": "x" }] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] },
        })
    }

    fn evict(spec: &Value, pods: &[(&str, bool)], evicted: &str) -> Result<(), StatusError> {
        let mut store = KubernetesStore::new("1.33.5");
        let mut all = vec![json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "shop", "namespace": "default" }, "spec": spec,
        })];
        all.extend(pods.iter().map(|(name, ready)| pod(name, *ready)));
        all.into_iter()
            .for_each(|object| drop(store.put(object, "test", super::super::tests::NOW)));
        let found = store.get("v1", "Pod", Some("default"), evicted).cloned().unwrap();
        store.check_budgets(&found, Some("default"))
    }

    #[test]
    fn a_budget_keeps_its_number_of_healthy_pods() {
        let selector = json!({ "matchLabels": { "app": "shop" } });
        let with = |field: &str, value: Value| json!({ "selector": selector, field: value });
        let two = [("a", true), ("b", true)];
        let three = [("a", true), ("b", true), ("c", false)];
        for (spec, pods, evicted, allowed) in [
            (with("minAvailable", json!(1)), &two[..], "a", true),
            (with("minAvailable", json!(2)), &two[..], "a", false),
            (with("minAvailable", json!("50%")), &two[..], "a", true),
            (with("minAvailable", json!("51%")), &two[..], "a", false),
            (with("maxUnavailable", json!(1)), &two[..], "a", true),
            (with("maxUnavailable", json!(1)), &three[..], "a", false),
            (with("maxUnavailable", json!(0)), &three[..], "c", true),
            (
                json!({ "selector": { "matchLabels": { "app": "x" } }, "minAvailable": 9 }),
                &two[..],
                "a",
                true,
            ),
            (json!({ "selector": {}, "minAvailable": 2 }), &two[..], "b", false),
        ] {
            let response = evict(&spec, pods, evicted);
            assert_eq!(response.is_ok(), allowed, "{spec} {evicted}: {response:?}");
        }
    }

    #[test]
    fn the_error_equals_the_real_server_s() {
        let spec = json!({ "selector": {}, "minAvailable": 1 });
        let status = evict(&spec, &[("a", true)], "a").unwrap_err().to_status();
        assert_eq!((&status["code"], &status["reason"]), (&json!(429), &json!("TooManyRequests")));
        assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
    }
}
