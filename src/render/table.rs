//! Tables of routes and of health, for people and for machines.

use schemars::JsonSchema;
use serde::Serialize;

use super::connectivity::reachability_report::ReachabilityReportJson;
use super::text::width;

/// What one station on a packet's way knows of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state", content = "text")]
pub enum Cell {
    /// It is there.
    Present(String),
    /// It should be there and is not, by whose tables lack it.
    Missing(String),
    /// It is there and leads elsewhere, by whose tables say so.
    Wrong(String),
    /// Nothing is to be there.
    NotApplicable,
    /// Nobody could look.
    Unknown,
}

impl Cell {
    /// A word: a row of names would fit no terminal.
    fn shown(&self) -> &'static str {
        match self {
            Self::Present(_) => "yes",
            Self::Missing(_) => "MISSING",
            Self::Wrong(_) => "WRONG",
            Self::NotApplicable => "-",
            Self::Unknown => "?",
        }
    }
}

/// One prefix, and every table that must hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RouteRow {
    /// The prefix.
    pub prefix: String,
    /// Whose it is.
    pub owner: String,
    /// The route table in Azure.
    pub azure: Cell,
    /// What the router offers to the tailnet.
    pub advertised: Cell,
    /// What the tailnet accepts.
    pub approved: Cell,
    /// The worker's CiliumNode.
    pub cilium_node: Cell,
    /// The routers' kernels.
    pub kernel: Cell,
}

/// The routes of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RoutesTable {
    /// One row a prefix.
    pub rows: Vec<RouteRow>,
}

/// How a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub enum Health {
    /// It is as it should be.
    Healthy,
    /// It is on its way there.
    Progressing,
    /// It is not there.
    Missing,
    /// It is there and does not do what it should.
    Degraded,
    /// Nobody could look.
    Unknown,
}

impl Health {
    /// The word.
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

/// One resource and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusRow {
    /// What it is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// How it is.
    pub health: Health,
    /// Why.
    pub detail: String,
    /// What more there is to say of a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerStatus>,
}

/// What there is to say of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WorkerStatus {
    /// Whether its Node is Ready; null where there is none.
    pub node_ready: Option<bool>,
    /// The version of its kubelet.
    pub kubelet: Option<String>,
    /// Whether the profile that the topology has is the one that was applied.
    pub profile_applied: Option<bool>,
    /// The last work on it.
    pub last_operation: Option<OperationStatus>,
}

/// A piece of work on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OperationStatus {
    /// `join`, `repave` or `reboot`.
    pub kind: String,
    /// `Running`, `Succeeded` or `Failed`.
    pub phase: String,
    /// The step it is at, or how it ended.
    pub message: String,
    /// When it began.
    pub started: Option<String>,
    /// When it ended.
    pub completed: Option<String>,
}

impl OperationStatus {
    /// In a few words; how well it went needs none where it went well.
    pub fn in_words(&self) -> String {
        match self.phase.as_str() {
            "Succeeded" => format!("{} succeeded", self.kind),
            "Running" => format!("{} running: {}", self.kind, self.message),
            "Failed" => format!("{} failed: {}", self.kind, self.message),
            _ => format!("{} not begun", self.kind),
        }
    }
}

/// The health of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusTable {
    /// One row a resource.
    pub rows: Vec<StatusRow>,
    /// Who reaches whom now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reachability: Option<ReachabilityReportJson>,
}

impl RoutesTable {
    /// The table as text.
    pub fn to_text(&self) -> String {
        let row = |row: &RouteRow| {
            let layers =
                [&row.azure, &row.advertised, &row.approved, &row.cilium_node, &row.kernel];
            let words = layers.into_iter().map(|cell| cell.shown().to_owned());
            std::iter::once(row.prefix.clone()).chain(words).chain([row.owner.clone()]).collect()
        };
        let head = ["PREFIX", "AZURE", "ADVERTISED", "APPROVED", "CILIUMNODE", "KERNEL", "OWNER"];
        text(&head, self.rows.iter().map(row).collect())
    }

    /// The table as JSON text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

impl StatusTable {
    /// The worst health of all; the better one of two unknowns is no better.
    pub fn worst(&self) -> Health {
        self.rows.iter().map(|row| row.health).max().unwrap_or(Health::Healthy)
    }

    /// The table as text.
    pub fn to_text(&self) -> String {
        let row = |row: &StatusRow| {
            vec![row.kind.clone(), row.name.clone(), row.health.as_str().into(), row.detail.clone()]
        };
        let mut all =
            text(&["KIND", "NAME", "HEALTH", "DETAIL"], self.rows.iter().map(row).collect());
        let workers: Vec<Vec<String>> = self.rows.iter().filter_map(worker_row).collect();
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

/// What a worker's own line says; none where there is nothing of it yet.
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
        worker.kubelet.clone().unwrap_or_else(|| "-".to_owned()),
        word(worker.profile_applied, "applied", "differs"),
        worker.last_operation.as_ref().map_or_else(|| "-".to_owned(), OperationStatus::in_words),
    ])
}

/// Aligned columns without lines, which every log can hold and every tool cut:
/// a row is a line, whatever its last column holds.
fn text(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            let cells = rows.iter().chain([&head]).filter_map(|row| row.get(column));
            cells.map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(&rows) {
        let cells = row.iter().zip(&widths);
        let padded = cells.map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn json(table: &impl Serialize) -> String {
    let mut value = serde_json::to_value(table).unwrap_or_default();
    value["format_version"] = "1.0".into();
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::text::WIDTH;

    fn routes() -> RoutesTable {
        let present = || Cell::Present("lab-router".into());
        let row = |prefix: &str, owner: &str, advertised, approved| RouteRow {
            prefix: prefix.into(),
            owner: owner.into(),
            azure: Cell::Present("stargate-workers-rt".into()),
            advertised,
            approved,
            cilium_node: Cell::NotApplicable,
            kernel: Cell::Unknown,
        };
        let missing = || Cell::Missing("lab-router".into());
        let nothing = || Cell::NotApplicable;
        RoutesTable {
            rows: vec![
                row("10.50.0.0/16", "dc1 network", present(), present()),
                row("10.51.0.0/16", "dc2 network", present(), missing()),
                row("10.52.0.0/16", "dc3 network", missing(), present()),
                row("10.53.0.0/16", "dc4 network", missing(), missing()),
                row("10.244.65.0/24", "stargate-aks-e2e-2-worker-1", nothing(), nothing()),
            ],
        }
    }

    /// Only the name of an owner, in the last column, may reach beyond it.
    #[test]
    fn routes_keep_to_the_width() {
        let text = routes().to_text();
        let owner = text.lines().next().and_then(|head| head.find("OWNER")).unwrap();
        assert!(owner + "dc1 network".len() <= WIDTH, "{text}");
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
                kubelet: Some("1.33.7".into()),
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
        let rows = vec![
            row("worker-1", Health::Healthy),
            row("stargate-worker-22", Health::Degraded),
            row("worker-3", Health::Missing),
        ];
        let table = StatusTable { rows, reachability: None };
        assert_eq!(table.worst(), Health::Degraded);
        assert_eq!(StatusTable::default().worst(), Health::Healthy);
        insta::assert_snapshot!(table.to_text());
        assert!(table.to_json().contains("\"format_version\": \"1.0\""));
    }
}
