//! Which pods may be evicted now, by their disruption budgets.
//!
//! What the real cluster's controller counts beforehand is counted at the
//! question here.

use serde_json::Value;

use super::status::{ApiError, Cause, Reason};
use super::store::KubernetesStore;
use super::value::{at, items, name, namespace, text};

const BUDGETS: &str = "poddisruptionbudgets.policy";
const PODS: &str = "pods";

impl KubernetesStore {
    /// Refuses an eviction that a budget does not allow now.
    pub(super) fn check_disruption_budgets(&self, pod: &Value) -> Result<(), ApiError> {
        // What does no work is missed by nobody.
        if !is_healthy(pod) {
            return Ok(());
        }
        let place = namespace(pod);
        let budgets = self.scan(BUDGETS, place, None).map(|(_, budget)| &**budget);
        for budget in budgets.filter(|budget| selects(budget, pod)) {
            let others = self.scan(PODS, place, None).map(|(_, other)| &**other);
            let covered: Vec<&Value> = others.filter(|other| selects(budget, other)).collect();
            let healthy = covered.iter().filter(|other| is_healthy(other)).count();
            let needed = needed(budget, covered.len());
            if healthy <= needed {
                return Err(refusal(budget, needed, healthy));
            }
        }
        Ok(())
    }
}

fn refusal(budget: &Value, needed: usize, healthy: usize) -> ApiError {
    let detail = format!(
        "The disruption budget {} needs {needed} healthy pods and has {healthy} currently",
        name(budget)
    );
    let message = "Cannot evict pod as it would violate the pod's disruption budget.";
    ApiError::new(Reason::TooManyRequests, message).with_causes(&[Cause::new(
        "DisruptionBudget",
        "",
        detail,
    )])
}

fn is_healthy(pod: &Value) -> bool {
    let ready = items(pod, &["status", "conditions"])
        .iter()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && at(pod, &["metadata", "deletionTimestamp"]).is_none()
}

/// An empty selector selects every pod, none selects no pod.
fn selects(budget: &Value, pod: &Value) -> bool {
    let Some(selector) = at(budget, &["spec", "selector"]) else { return false };
    let labels = selector["matchLabels"].as_object();
    let label = |key: &str| text(pod, &["metadata", "labels", key]);
    let fits = |key: &str, values: &Value, operator: &str| {
        let listed = values.as_array().into_iter().flatten();
        let among = listed.filter_map(Value::as_str).any(|value| label(key) == Some(value));
        match operator {
            "In" => among,
            "NotIn" => !among,
            "Exists" => label(key).is_some(),
            _ => label(key).is_none(),
        }
    };
    labels.into_iter().flatten().all(|(key, value)| label(key) == value.as_str())
        && items(selector, &["matchExpressions"]).iter().all(|expression| {
            let word = |field: &str| expression[field].as_str().unwrap_or_default();
            fits(word("key"), &expression["values"], word("operator"))
        })
}

/// How many healthy pods must stay, of all that a budget covers.
fn needed(budget: &Value, covered: usize) -> usize {
    let spec = &budget["spec"];
    match (part_of(&spec["minAvailable"], covered), part_of(&spec["maxUnavailable"], covered)) {
        (Some(least), _) => least,
        (None, Some(most)) => covered.saturating_sub(most),
        (None, None) => 0,
    }
}

/// A number, or a percentage that is rounded up.
fn part_of(value: &Value, whole: usize) -> Option<usize> {
    if let Some(number) = value.as_u64() {
        return usize::try_from(number).ok();
    }
    let percent: usize = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    Some((whole * percent).div_ceil(100))
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
            "status": { "conditions": [{ "type": "Ready", "status": status }] },
        })
    }

    fn answer(spec: &Value, pods: &[(&str, bool)], evicted: &str) -> Result<(), ApiError> {
        let mut store = KubernetesStore::new("1.33.5");
        let mut all = vec![json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
            "metadata": { "name": "shop", "namespace": "default" }, "spec": spec,
        })];
        all.extend(pods.iter().map(|(name, ready)| pod(name, *ready)));
        all.into_iter()
            .for_each(|object| drop(store.put(object, "test", super::super::tests::NOW)));
        let found = store.get("v1", "Pod", Some("default"), evicted).cloned().unwrap();
        store.check_disruption_budgets(&found)
    }

    #[test]
    fn a_budget_keeps_as_many_healthy_pods_as_it_says() {
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
            let answer = answer(&spec, pods, evicted);
            assert_eq!(answer.is_ok(), allowed, "{spec} {evicted}: {answer:?}");
        }
    }

    #[test]
    fn a_refusal_reads_as_the_real_one() {
        let spec = json!({ "selector": {}, "minAvailable": 1 });
        let status = answer(&spec, &[("a", true)], "a").unwrap_err().to_status();
        assert_eq!((&status["code"], &status["reason"]), (&json!(429), &json!("TooManyRequests")));
        assert_eq!(status["details"]["causes"][0]["reason"], "DisruptionBudget");
    }
}
