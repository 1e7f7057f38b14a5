//! The graph of resources and their dependencies.

mod dot;
mod mermaid;
mod order;
mod svg;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Action;
use crate::resource::{Address, Kind, Site};

/// The maximum number of nodes of one kind and site; further resources share a node.
const MAX_NODES_PER_KIND: usize = 6;

/// A resource and the planned action, if any.
pub type Vertex = (Address, Option<Action>);

/// Resources and their dependencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceGraph {
    /// The resources and their actions.
    pub nodes: Vec<Vertex>,
    /// Pairs of a resource and one that depends on it.
    pub edges: Vec<(Address, Address)>,
}

impl ResourceGraph {
    /// The graph in Graphviz's language.
    pub fn to_dot(&self) -> String {
        dot::render(&Drawing::of(self))
    }

    /// The graph as a Mermaid flowchart.
    pub fn to_mermaid(&self) -> String {
        mermaid::render(&Drawing::of(self))
    }

    /// The graph as SVG.
    pub fn to_svg(&self) -> String {
        svg::render(&Drawing::of(self))
    }
}

/// One node of a drawing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    id: String,
    label: String,
    action: Option<Action>,
}

/// The drawn graph, in which numerous resources share a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Drawing {
    sites: BTreeMap<Site, Vec<usize>>,
    nodes: Vec<Node>,
    edges: BTreeSet<(usize, usize)>,
}

impl Drawing {
    fn of(graph: &ResourceGraph) -> Self {
        let mut groups: BTreeMap<(&Site, Kind), Vec<&Vertex>> = BTreeMap::new();
        for node in &graph.nodes {
            groups.entry((&node.0.site, node.0.kind)).or_default().push(node);
        }
        let mut drawing =
            Self { sites: BTreeMap::new(), nodes: Vec::new(), edges: BTreeSet::new() };
        let mut positions: BTreeMap<&Address, usize> = BTreeMap::new();
        for ((site, kind), group) in groups {
            // Folding a single resource would save nothing.
            let drawn =
                if group.len() > MAX_NODES_PER_KIND + 1 { MAX_NODES_PER_KIND } else { group.len() };
            for (address, action) in &group[..drawn] {
                positions.insert(address, drawing.add(site, address.to_string(), *action));
            }
            let folded = &group[drawn..];
            if !folded.is_empty() {
                let label = format!("{kind}/{site}: … and {} more", folded.len());
                // The node has a color only if all its resources share the action.
                let first = folded.first().and_then(|(_, action)| *action);
                let action = first.filter(|_| folded.iter().all(|(_, action)| *action == first));
                let place = drawing.add(site, label, action);
                positions.extend(folded.iter().map(|(address, _)| (address, place)));
            }
        }
        let ends = graph
            .edges
            .iter()
            .filter_map(|(from, to)| Some((*positions.get(from)?, *positions.get(to)?)));
        let edges = ends.filter(|(from, to)| from != to).collect();
        drawing.edges = order::reduce(drawing.nodes.len(), &edges);
        drawing
    }

    fn add(&mut self, site: &Site, label: String, action: Option<Action>) -> usize {
        let place = self.nodes.len();
        self.nodes.push(Node { id: format!("n{place}"), label, action });
        self.sites.entry(site.clone()).or_default().push(place);
        place
    }
}

/// Fill and border color of a node by its action.
fn colors(action: Option<Action>) -> (&'static str, &'static str) {
    match action {
        None => ("#f4f4f5", "#71717a"),
        Some(Action::Create) => ("#dcfce7", "#16a34a"),
        Some(Action::Update | Action::Reboot) => ("#fef9c3", "#ca8a04"),
        Some(Action::Replace) => ("#f3e8ff", "#9333ea"),
        Some(Action::Delete) => ("#fee2e2", "#dc2626"),
        Some(Action::Adopt) => ("#dbeafe", "#2563eb"),
    }
}

/// The text of a node.
fn label(node: &Node) -> String {
    match node.action {
        Some(action) => format!("{} {}", action.glyph(), node.label),
        None => node.label.clone(),
    }
}
