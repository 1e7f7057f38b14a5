//! SVG without Graphviz: a column for each step of the longest path, a lane for
//! each site.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Drawing, Node, colors, order};
use crate::plan::Action;

const BOX_HEIGHT: usize = 38;
const ROW: usize = 50;
const GAP: usize = 56;
const MARGIN: usize = 24;
/// Height above the first row of a lane, for its name.
const LANE_HEAD: usize = 34;
/// Width of a letter of the name at 12 pixels; generous, since fonts differ.
const LETTER: usize = 7;

const STYLE: &str = "text { font-family: system-ui, 'DejaVu Sans', sans-serif; fill: #18181b } \
    .kind { font-size: 10px; fill: #52525b } .name { font-size: 12px } \
    .site { font-size: 13px; font-weight: bold } .lane { fill: #fafafa; stroke: #e4e4e7 } \
    .edge { fill: none; stroke: #a1a1aa }";
const ARROW: &str = "<marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" \
    markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\" \
    fill=\"#a1a1aa\"/></marker>";

/// Positions of columns, nodes and lanes.
struct Layout {
    /// The left edge and the width of each column.
    columns: Vec<(usize, usize)>,
    /// The column and the top of each node.
    positions: Vec<(usize, usize)>,
    /// The name, the top and the height of each lane.
    lanes: Vec<(String, usize, usize)>,
}

pub(super) fn render(drawing: &Drawing) -> String {
    let layout = Layout::of(drawing);
    let (left, wide) = layout.columns.last().copied().unwrap_or_default();
    let width = left + wide + MARGIN;
    let height = layout.lanes.last().map_or(0, |(_, top, height)| top + height) + MARGIN / 2;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\">\n<style>{STYLE}</style>\n<defs>{ARROW}</defs>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    let inner = width.saturating_sub(MARGIN);
    for (name, top, height) in &layout.lanes {
        let (text, baseline) = (escaped(name), top + 22);
        // Writing to a text cannot fail.
        let _ = writeln!(
            svg,
            "<rect class=\"lane\" x=\"{}\" y=\"{top}\" width=\"{inner}\" height=\"{height}\" \
             rx=\"8\"/><text class=\"site\" x=\"{MARGIN}\" y=\"{baseline}\">{text}</text>",
            MARGIN / 2
        );
    }
    for (from, to) in &drawing.edges {
        svg.push_str(&layout.edge(*from, *to));
    }
    for (node, place) in drawing.nodes.iter().zip(&layout.positions) {
        svg.push_str(&layout.node(node, *place));
    }
    svg + "</svg>\n"
}

impl Layout {
    fn of(drawing: &Drawing) -> Self {
        let depths = order::depths(drawing.nodes.len(), &drawing.edges);
        let mut widths = vec![0; depths.iter().max().map_or(0, |deepest| deepest + 1)];
        for (node, depth) in drawing.nodes.iter().zip(&depths) {
            widths[*depth] = widths[*depth].max(box_width(node));
        }
        let mut left = MARGIN;
        let columns = widths.into_iter().map(|width| {
            let column = (left, width);
            left += width + GAP;
            column
        });
        let columns = columns.collect();
        let mut layout = Self { columns, positions: vec![(0, 0); depths.len()], lanes: Vec::new() };
        let mut top = MARGIN / 2;
        for (site, members) in &drawing.sites {
            let rows = layout.stack(drawing, members, &depths, top + LANE_HEAD);
            let height = LANE_HEAD + rows * ROW;
            layout.lanes.push((site.to_string(), top, height));
            top += height + MARGIN / 2;
        }
        layout
    }

    /// Stacks the nodes of a lane, each column by the height of its predecessors, so
    /// that few edges cross. Returns the number of rows.
    fn stack(
        &mut self,
        drawing: &Drawing,
        members: &[usize],
        depths: &[usize],
        top: usize,
    ) -> usize {
        let mut by_column: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &node in members {
            by_column.entry(depths[node]).or_default().push(node);
        }
        let rows = by_column.values().map(Vec::len).max().unwrap_or(0);
        for (column, mut nodes) in by_column {
            let origin = |node: &usize| {
                let before = drawing.edges.iter().filter(|(_, to)| to == node);
                let tops: Vec<usize> = before.map(|(from, _)| self.positions[*from].1).collect();
                tops.iter().sum::<usize>().checked_div(tops.len()).unwrap_or(0)
            };
            nodes.sort_by_cached_key(|node| (origin(node), *node));
            // Centred, so that a short column stands beside the middle of a long one.
            let first = top + (rows - nodes.len()) * ROW / 2;
            for (row, node) in nodes.into_iter().enumerate() {
                self.positions[node] = (column, first + row * ROW);
            }
        }
        rows
    }

    fn edge(&self, from: usize, to: usize) -> String {
        let ((one, top), (other, end)) = (self.positions[from], self.positions[to]);
        let (left, width) = self.columns[one];
        let (start, goal) = (left + width, self.columns[other].0);
        let (top, end) = (top + BOX_HEIGHT / 2, end + BOX_HEIGHT / 2);
        // Bends only at the ends: the edge is straight where it crosses boxes.
        let (bend, back) = (start + GAP, goal.saturating_sub(GAP));
        format!(
            "<path class=\"edge\" marker-end=\"url(#arrow)\" \
             d=\"M{start} {top} C{bend} {top} {back} {end} {goal} {end}\"/>\n"
        )
    }

    fn node(&self, node: &Node, (column, top): (usize, usize)) -> String {
        let (left, width) = self.columns[column];
        let (fill, border) = colors(node.action);
        let (kind, name) = node_text(node);
        let (text, upper, lower) = (left + 8, top + 14, top + 30);
        format!(
            "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{BOX_HEIGHT}\" rx=\"5\" \
             fill=\"{fill}\" stroke=\"{border}\"/>\
             <text class=\"kind\" x=\"{text}\" y=\"{upper}\">{}</text>\
             <text class=\"name\" x=\"{text}\" y=\"{lower}\">{}</text>\n",
            escaped(&kind),
            escaped(&name)
        )
    }
}

/// The kind with its action, and the name; the lane shows the site.
fn node_text(node: &Node) -> (String, String) {
    let mut parts = node.label.splitn(3, '/');
    let kind = parts.next().unwrap_or_default();
    let name = parts.nth(1).or_else(|| node.label.split(": ").nth(1)).unwrap_or(&node.label);
    let sign = node.action.map(Action::glyph).map_or(String::new(), |glyph| format!("{glyph} "));
    (format!("{sign}{kind}"), name.to_owned())
}

fn box_width(node: &Node) -> usize {
    let (kind, name) = node_text(node);
    16 + LETTER * name.chars().count().max(kind.chars().count())
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
