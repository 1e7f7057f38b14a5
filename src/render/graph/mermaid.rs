//! Mermaid, which GitHub renders in markdown.

use std::collections::BTreeMap;

use crate::plan::Action;

use super::{Drawing, colors, label};

pub(super) fn render(drawing: &Drawing) -> String {
    let mut lines = vec!["flowchart LR".to_owned()];
    let mut classes: BTreeMap<Action, Vec<&str>> = BTreeMap::new();
    for (index, (site, positions)) in drawing.sites.iter().enumerate() {
        lines.push(format!("  subgraph s{index}[\"{}\"]", escaped(&site.to_string())));
        for node in positions.iter().filter_map(|place| drawing.nodes.get(*place)) {
            lines.push(format!("    {}[\"{}\"]", node.id, escaped(&label(node))));
            if let Some(action) = node.action {
                classes.entry(action).or_default().push(&node.id);
            }
        }
        lines.push("  end".to_owned());
    }
    for (from, to) in &drawing.edges {
        lines.push(format!("  n{from} --> n{to}"));
    }
    for (action, nodes) in classes {
        let (fill, border) = colors(Some(action));
        let class = action.participle();
        lines.push(format!("  classDef {class} fill:{fill},stroke:{border},color:#18181b"));
        lines.push(format!("  class {} {class}", nodes.join(",")));
    }
    lines.join("\n") + "\n"
}

/// A label with markup escaped as Mermaid's `#` entities.
fn escaped(text: &str) -> String {
    let escape = |(index, character): (usize, char)| match character {
        '"' | '#' | '&' | '<' | '>' | ';' | '`' | '\\' => format!("#{};", u32::from(character)),
        // Mermaid parses a label that begins with a sign and a space as a list.
        '+' | '-' | '~' if index == 0 => format!("#{};", u32::from(character)),
        character => character.to_string(),
    };
    text.chars().enumerate().map(escape).collect()
}
