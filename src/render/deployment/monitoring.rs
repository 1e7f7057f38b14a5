//! Objects of the Prometheus Operator: the scraped endpoints, and the alerts.

use std::time::Duration;

use serde_json::{Value, json};

use super::{DeploymentSettings, METRICS_PORT_NAME, WatchedTopologies, labels, metadata, name_of};

const API_VERSION: &str = "monitoring.coreos.com/v1";
/// After so many intervals without a success something is wrong.
const MISSED_INTERVALS: u32 = 3;
/// The least time without a success before the alert, also with a short interval.
const MIN_WITHOUT_SUCCESS: Duration = Duration::from_secs(900);
/// Longer than any single change takes, as the creation of a cluster or a drain.
const MIN_WITHOUT_PROGRESS: Duration = Duration::from_secs(3_600);

/// An alert.
struct Alert {
    name: &'static str,
    /// Fires while it has a result.
    expression: String,
    /// For how long it must have one first.
    after: &'static str,
    severity: &'static str,
    summary: String,
    /// The action of the person on call.
    action: &'static str,
}

/// `interval` is the time between two reconciles.
pub(super) fn objects(
    topology: &WatchedTopologies<'_>,
    settings: &DeploymentSettings,
    interval: Duration,
) -> Vec<Value> {
    let within = || metadata(topology, Some(&settings.namespace));
    vec![
        json!({
            "apiVersion": API_VERSION,
            "kind": "PodMonitor",
            "metadata": within(),
            "spec": {
                "selector": { "matchLabels": labels(topology) },
                "podMetricsEndpoints": [{
                    "port": METRICS_PORT_NAME, "path": "/metrics", "interval": "30s",
                }],
            },
        }),
        json!({
            "apiVersion": API_VERSION,
            "kind": "PrometheusRule",
            "metadata": within(),
            "spec": { "groups": [{
                "name": name_of(topology),
                "rules": alerts(topology, settings, interval).iter().map(rule).collect::<Vec<_>>(),
            }]},
        }),
    ]
}

fn rule(alert: &Alert) -> Value {
    json!({
        "alert": alert.name,
        "expr": alert.expression,
        "for": alert.after,
        "labels": { "severity": alert.severity },
        "annotations": { "summary": alert.summary, "description": alert.action },
    })
}

fn alerts(
    topology: &WatchedTopologies<'_>,
    settings: &DeploymentSettings,
    interval: Duration,
) -> Vec<Alert> {
    // The operator gives the targets of a PodMonitor this job.
    let job = format!("job=\"{}/{}\"", settings.namespace, name_of(topology));
    // Of a folder each metric names its topology.
    let subject = if topology.is_folder { "{{ $labels.topology }}" } else { topology.name };
    let mut alerts = vec![down(topology.name, &job)];
    alerts.extend(of_watchers(subject, &job, interval));
    alerts.extend(of_results(subject, &job));
    alerts
}

/// Whether there is a watcher.
fn down(name: &str, job: &str) -> Alert {
    Alert {
        name: "StargateWatchDown",
        expression: format!("absent(up{{{job}}} == 1)"),
        after: "5m",
        severity: "critical",
        summary: format!("No watcher of {name} can be scraped"),
        action: "Read the state and the log of the pods of the Deployment.",
    }
}

/// Whether the topology is reconciled at all.
fn of_watchers(name: &str, job: &str, interval: Duration) -> Vec<Alert> {
    let limit = (interval * MISSED_INTERVALS).max(MIN_WITHOUT_SUCCESS).as_secs();
    let hung = (interval * MISSED_INTERVALS).max(MIN_WITHOUT_PROGRESS).as_secs();
    vec![
        Alert {
            name: "StargateNoSuccess",
            // The workers of a rollout are changed one after another within one reconcile.
            expression: format!(
                "time() - max by (topology) (stargate_last_success_timestamp_seconds{{{job}}}) > {limit} and \
                 max by (topology) (min_over_time(stargate_reconciling{{{job}}}[5m])) < 1"
            ),
            after: "5m",
            severity: "critical",
            summary: format!("No reconcile of {name} has succeeded for {limit} seconds"),
            action: "Run `kubectl describe topologies.stargate.io --namespace stargate`, which \
                     shows the cause.",
        },
        Alert {
            name: "StargateReconcileHung",
            expression: format!(
                "max by (topology) (stargate_reconciling{{{job}}}) > 0 and time() - \
                 max by (topology) (stargate_last_progress_timestamp_seconds{{{job}}}) > {hung}"
            ),
            after: "5m",
            severity: "critical",
            summary: format!("A reconcile of {name} has made no progress for {hung} seconds"),
            action: "Read the log of the leader, which names the change that began last, or the \
                     holder of the Lease that it waits for. Delete its pod if the change does \
                     not end: another one continues.",
        },
        Alert {
            name: "StargateReconcileLong",
            expression: format!("max by (topology) (stargate_reconciling{{{job}}}) > 0"),
            after: "6h",
            severity: "warning",
            summary: format!("One reconcile of {name} has been running for six hours"),
            action: "Run `kubectl get operations.stargate.io --namespace stargate`: a long \
                     rollout shows progress, and a worker that does not drain is named.",
        },
        Alert {
            name: "StargateNoLeader",
            expression: format!("sum by (topology) (stargate_leader{{{job}}}) < 1"),
            after: "5m",
            severity: "critical",
            summary: format!("No watcher of {name} holds the lease of the leader"),
            action: "Read the log of the pods: the API server may refuse the Lease.",
        },
        Alert {
            name: "StargateTopologyInvalid",
            expression: format!("min by (topology) (stargate_topology_valid{{{job}}}) < 1"),
            after: "10m",
            severity: "warning",
            summary: format!("The topology file of {name} is invalid"),
            action: "Run `stargate validate`. The last valid topology stays in force.",
        },
    ]
}

/// Alerts about the results of reconciles.
fn of_results(name: &str, job: &str) -> Vec<Alert> {
    vec![
        Alert {
            name: "StargateDrift",
            expression: format!("sum by (topology) (stargate_drift_resources{{{job}}}) > 0"),
            after: "1h",
            severity: "warning",
            summary: format!("{{{{ $value }}}} resources of {name} differ from the topology"),
            action: "Run `stargate plan`, which shows the differences and the blocked changes.",
        },
        Alert {
            name: "StargatePairsBroken",
            expression: format!(
                "sum by (topology) (stargate_pairs{{{job}, state=\"broken\"}}) > 0"
            ),
            after: "10m",
            severity: "critical",
            summary: format!("{{{{ $value }}}} pairs of nodes of {name} are unreachable"),
            action: "Run `stargate check`, which names the hop and the cause.",
        },
        Alert {
            name: "StargateAwaitingApproval",
            expression: format!("max by (topology) (stargate_pending_approvals{{{job}}}) > 0"),
            after: "24h",
            severity: "info",
            summary: format!("{{{{ $value }}}} changes of {name} await approval"),
            action: "Run `stargate status`, which prints the command that approves them.",
        },
        Alert {
            name: "StargateChangesPaused",
            expression: format!("max by (topology) (stargate_changes_paused{{{job}}}) > 0"),
            after: "1m",
            severity: "critical",
            summary: format!("Changes of {name} are paused after too many removals or failures"),
            action: "Run `stargate plan`, and then `stargate apply` if the changes are intended.",
        },
    ]
}
