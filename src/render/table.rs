//! The tables of `routes` and `status`, as text and JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::connectivity::reachability_report::ReachabilityReportJson;
use super::text::{WIDTH, width, wrap};
use super::watcher_status::WatcherStatus;

/// The version of the formats of `routes --format json` and `status --format json`.
pub const FORMAT_VERSION: &str = "2.0";

/// Whether one layer of routing has a prefix, with the names of its tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state", content = "tables")]
pub enum Cell {
    /// The tables have it.
    Present(Vec<String>),
    /// The tables lack it although they should have it.
    Missing(Vec<String>),
    /// The tables have it with another next hop.
    Wrong(Vec<String>),
    /// The layer does not need it.
    NotApplicable,
    /// The layer could not be read.
    Unknown,
}

impl Cell {
    /// The state in one word; the names of tables would not fit the width.
    fn word(&self) -> &'static str {
        match self {
            Self::Present(_) => "yes",
            Self::Missing(_) => "MISSING",
            Self::Wrong(_) => "WRONG",
            Self::NotApplicable => "-",
            Self::Unknown => "?",
        }
    }
}

/// One prefix and its state in each layer of routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RouteRow {
    /// The prefix.
    pub prefix: String,
    /// The node, datacenter or network that the prefix belongs to.
    pub owner: String,
    /// Azure's route tables.
    pub azure: Cell,
    /// The prefixes that routers advertise.
    pub advertised: Cell,
    /// The prefixes that the tailnet has approved.
    pub approved: Cell,
    /// The worker's CiliumNode.
    pub cilium_node: Cell,
    /// The routers' kernel routes.
    pub kernel: Cell,
}

/// The routes of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoutesTable {
    /// One row for each prefix.
    pub routes: Vec<RouteRow>,
}

/// The health of a resource, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub enum Health {
    /// The resource matches the topology and works.
    Healthy,
    /// An operation on the resource is running.
    Progressing,
    /// The resource does not exist.
    Missing,
    /// The resource exists but differs from the topology or does not work.
    Degraded,
    /// The resource could not be read.
    Unknown,
}

impl Health {
    /// The name of the variant.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::Missing => "Missing",
            Self::Degraded => "Degraded",
            Self::Unknown => "Unknown",
        }
    }
}

/// One resource and its health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusRow {
    /// `cluster`, `router` or `worker`.
    pub kind: String,
    /// The name of the resource.
    pub name: String,
    /// The health.
    pub health: Health,
    /// Why the resource has this health, or its main facts.
    pub detail: String,
    /// Details of a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerStatus>,
}

/// Details of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkerStatus {
    /// Whether the Node is Ready; null without a Node.
    pub node_ready: Option<bool>,
    /// The version of the kubelet.
    pub kubelet_version: Option<String>,
    /// Whether the applied profile is the one of the topology.
    pub profile_applied: Option<bool>,
    /// The most recent operation.
    pub last_operation: Option<OperationStatus>,
}

/// An operation on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OperationStatus {
    /// `join`, `repave` or `reboot`.
    pub kind: String,
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Refused`; empty before the first status.
    pub phase: String,
    /// The current step, or the result.
    pub message: String,
    /// The start time (RFC 3339).
    pub started: Option<String>,
    /// The end time (RFC 3339).
    pub completed: Option<String>,
}

impl OperationStatus {
    /// The operation and its state as text.
    pub fn summary(&self) -> String {
        match self.phase.as_str() {
            "Succeeded" => format!("{} succeeded", self.kind),
            "Running" => format!("{} running: {}", self.kind, self.message),
            "Failed" => format!("{} failed: {}", self.kind, self.message),
            "Refused" => format!("{} refused: {}", self.kind, self.message),
            "Pending" => format!("{} pending: {}", self.kind, self.message),
            _ => format!("{} not started", self.kind),
        }
    }
}

/// The health of the resources of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusTable {
    /// One row for each resource.
    pub resources: Vec<StatusRow>,
    /// The current reachability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachability: Option<ReachabilityReportJson>,
    /// The `stargate watch` of the topology, if there is or was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watcher: Option<WatcherStatus>,
}

impl RoutesTable {
    /// The table as text.
    pub fn to_text(&self) -> String {
        let row = |row: &RouteRow| {
            let layers =
                [&row.azure, &row.advertised, &row.approved, &row.cilium_node, &row.kernel];
            let words = layers.into_iter().map(|cell| cell.word().to_owned());
            std::iter::once(row.prefix.clone()).chain(words).chain([row.owner.clone()]).collect()
        };
        let head = ["PREFIX", "AZURE", "ADVERTISED", "APPROVED", "CILIUM", "KERNEL", "OWNER"];
        text(&head, self.routes.iter().map(row).collect())
    }

    /// The table as JSON text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

impl StatusTable {
    /// Whether no resource of the table exists.
    pub fn is_nothing_deployed(&self) -> bool {
        self.resources.iter().all(|row| row.health == Health::Missing)
    }

    /// The table as text.
    pub fn to_text(&self) -> String {
        let row = |row: &StatusRow| {
            vec![row.kind.clone(), row.name.clone(), row.health.as_str().into(), row.detail.clone()]
        };
        let mut all =
            text(&["KIND", "NAME", "HEALTH", "DETAIL"], self.resources.iter().map(row).collect());
        let workers: Vec<Vec<String>> = self.resources.iter().filter_map(worker_row).collect();
        if !workers.is_empty() {
            let head = ["WORKER", "NODE", "KUBELET", "PROFILE", "LAST OPERATION"];
            all.push('\n');
            all.push_str(&text(&head, workers));
        }
        all
    }

    /// The table as JSON text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// The row of a worker; `None` for a worker without Node and operation.
fn worker_row(row: &StatusRow) -> Option<Vec<String>> {
    let worker = row.worker.as_ref()?;
    if worker.node_ready.is_none() && worker.last_operation.is_none() {
        return None;
    }
    let word = |holds: Option<bool>, yes: &str, no: &str| match holds {
        Some(true) => yes.to_owned(),
        Some(false) => no.to_owned(),
        None => "-".to_owned(),
    };
    Some(vec![
        row.name.clone(),
        word(worker.node_ready, "Ready", "NotReady"),
        worker.kubelet_version.clone().unwrap_or_else(|| "-".to_owned()),
        word(worker.profile_applied, "applied", "differs"),
        worker.last_operation.as_ref().map_or_else(|| "-".to_owned(), OperationStatus::summary),
    ])
}

/// Columns of the indentation of a last cell that gets lines of its own.
const OWN_LINE_INDENT: usize = 4;

/// Aligned columns without rules; the last cell of a row is broken into lines.
fn text(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let widths: Vec<usize> = (0..head.len().saturating_sub(1))
        .map(|column| {
            let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let lines = std::iter::once(&head).chain(&rows).flat_map(|row| row_lines(row, &widths));
    lines.map(|line| line + "\n").collect()
}

/// The lines of one row: the last cell continues below itself, or on lines of its own
/// if one of its words does not fit there.
fn row_lines(row: &[String], widths: &[usize]) -> Vec<String> {
    let Some((last, cells)) = row.split_last() else { return Vec::new() };
    let cells = cells.iter().zip(widths);
    let begin: String = cells.map(|(cell, width)| format!("{cell:width$}  ")).collect();
    let place = width(&begin);
    let fits = last.split_whitespace().all(|word| place + width(word) <= WIDTH);
    if fits {
        return wrap(last, &begin, &" ".repeat(place));
    }
    let indent = " ".repeat(OWN_LINE_INDENT);
    let mut lines = vec![begin.trim_end().to_owned()];
    lines.extend(wrap(last, &indent, &indent));
    lines
}

fn json(table: &impl Serialize) -> String {
    let mut value = serde_json::to_value(table).unwrap_or_default();
    value["format_version"] = FORMAT_VERSION.into();
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> RoutesTable {
        let present = || Cell::Present(vec!["lab-router".into()]);
        let row = |prefix: &str, owner: &str, advertised, approved| RouteRow {
            prefix: prefix.into(),
            owner: owner.into(),
            azure: Cell::Present(vec!["stargate-workers-rt".into()]),
            advertised,
            approved,
            cilium_node: Cell::NotApplicable,
            kernel: Cell::Unknown,
        };
        let missing = || Cell::Missing(vec!["lab-router".into()]);
        let nothing = || Cell::NotApplicable;
        RoutesTable {
            routes: vec![
                row("10.50.0.0/16", "dc1 network", present(), present()),
                row("10.51.0.0/16", "dc2 network", present(), missing()),
                row("10.52.0.0/16", "dc3 network", missing(), present()),
                row("10.53.0.0/16", "dc4 network", missing(), missing()),
                row("10.244.65.0/24", "stargate-aks-e2e-2-worker-1", nothing(), nothing()),
            ],
        }
    }

    #[test]
    fn routes_fit_the_width() {
        let mut routes = routes();
        routes.routes[0].owner = "a-node-pool-with-a-long-name-12345678-vmss000001".to_owned();
        let text = routes.to_text();
        assert!(text.lines().all(|line| width(line) <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_worst_health_wins() {
        let row = |name: &str, health: Health| StatusRow {
            kind: "worker".into(),
            name: name.into(),
            health,
            detail: "10.50.1.5, pods 10.244.65.0/24".into(),
            worker: (name != "worker-3").then(|| WorkerStatus {
                node_ready: Some(health == Health::Healthy),
                kubelet_version: Some("1.33.7".into()),
                profile_applied: Some(true),
                last_operation: Some(OperationStatus {
                    kind: "reboot".into(),
                    phase: if health == Health::Healthy { "Succeeded" } else { "Failed" }.into(),
                    message: "restart: it is not back after 15 minutes".into(),
                    started: Some("2026-01-02T03:04:05Z".into()),
                    completed: None,
                }),
            }),
        };
        let resources = vec![
            row("worker-1", Health::Healthy),
            row("stargate-worker-22", Health::Degraded),
            row("worker-3", Health::Missing),
        ];
        let table = StatusTable { resources, reachability: None, watcher: None };
        insta::assert_snapshot!(table.to_text());
        assert!(table.to_json().contains("\"format_version\": \"2.0\""));
    }
}
