//! The DOT language of Graphviz.

use super::{Drawing, colors, label};

pub(super) fn render(drawing: &Drawing) -> String {
    let mut lines = vec![
        "digraph stargate {".to_owned(),
        "  rankdir=LR;".to_owned(),
        "  node [shape=box, style=filled];".to_owned(),
    ];
    for (site, positions) in &drawing.sites {
        let name = site.to_string();
        lines.push(format!("  subgraph {} {{", quoted(&format!("cluster_{name}"))));
        lines.push(format!("    label={};", quoted(&name)));
        for node in positions.iter().filter_map(|place| drawing.nodes.get(*place)) {
            let (fill, border) = colors(node.action);
            lines.push(format!(
                "    {} [label={}, fillcolor=\"{fill}\", color=\"{border}\"];",
                node.id,
                quoted(&label(node))
            ));
        }
        lines.push("  }".to_owned());
    }
    for (from, to) in &drawing.edges {
        lines.push(format!("  n{from} -> n{to};"));
    }
    lines.push("}".to_owned());
    lines.join("\n") + "\n"
}

/// A quoted string; only quotes and backslashes need escapes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
