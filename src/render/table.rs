//! Tables of routes and of health, for people and for machines.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use schemars::JsonSchema;
use serde::Serialize;

use super::text::WIDTH;

/// What one station on a packet's way knows of a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state", content = "text")]
pub enum Cell {
    /// It is there.
    Present(String),
    /// It should be there and is not.
    Missing,
    /// Nothing is to be there.
    NotApplicable,
    /// Nobody could look.
    Unknown,
}

impl Cell {
    fn shown(&self) -> &str {
        match self {
            Self::Present(text) if text.is_empty() => "yes",
            Self::Present(text) => text,
            Self::Missing => "MISSING",
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
}

/// The health of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StatusTable {
    /// One row a resource.
    pub rows: Vec<StatusRow>,
}

impl RoutesTable {
    /// The table as text.
    pub fn to_text(&self) -> String {
        let head = ["PREFIX", "OWNER", "AZURE", "ADVERTISED", "APPROVED", "CILIUM", "KERNEL"];
        let row = |row: &RouteRow| {
            let cells = [&row.azure, &row.advertised, &row.approved, &row.cilium_node, &row.kernel];
            let names = [row.prefix.clone(), row.owner.clone()];
            names.into_iter().chain(cells.map(|cell| cell.shown().to_owned())).collect()
        };
        text(&head, "OWNER", self.rows.iter().map(row).collect())
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
        text(&["KIND", "NAME", "HEALTH", "DETAIL"], "DETAIL", self.rows.iter().map(row).collect())
    }

    /// The table as JSON text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

/// Aligned columns without lines, which every log can hold and every tool cut.
///
/// Only the flexible column is broken into lines: half a prefix helps nobody.
fn text(head: &[&str], flexible: &str, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(WIDTH).unwrap_or(u16::MAX));
    table.set_header(head.to_vec());
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    for (name, column) in head.iter().zip(table.column_iter_mut()) {
        column.set_padding((0, 2));
        if *name != flexible {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn json(table: &impl Serialize) -> String {
    let mut value = serde_json::to_value(table).unwrap_or_default();
    value["format_version"] = "1.0".into();
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes() -> RoutesTable {
        let present = || Cell::Present(String::new());
        let row = |prefix: &str, owner: &str, approved| RouteRow {
            prefix: prefix.into(),
            owner: owner.into(),
            azure: Cell::Present("10.237.0.4".into()),
            advertised: present(),
            approved,
            cilium_node: Cell::NotApplicable,
            kernel: Cell::Unknown,
        };
        RoutesTable {
            rows: vec![
                row("10.50.0.0/16", "dc1", present()),
                row("10.244.65.0/24", "stargate-aks-e2e-2-worker-1", Cell::Missing),
            ],
        }
    }

    #[test]
    fn routes_keep_to_the_width() {
        let text = routes().to_text();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_worst_health_wins() {
        let row = |health: Health| StatusRow {
            kind: "worker".into(),
            name: "worker-1".into(),
            health,
            detail: "a reason that is rather long, so that it must be broken into lines".into(),
        };
        let rows = vec![row(Health::Healthy), row(Health::Degraded), row(Health::Missing)];
        let table = StatusTable { rows };
        assert_eq!(table.worst(), Health::Degraded);
        assert_eq!(StatusTable::default().worst(), Health::Healthy);
        insta::assert_snapshot!(table.to_text());
        assert!(table.to_json().contains("\"format_version\": \"1.0\""));
    }
}
