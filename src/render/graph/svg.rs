//! A picture without Graphviz on the machine.

use layout::backends::svg::SVGWriter;
use layout::gv::{DotParser, GraphBuilder};

/// The layout refused the graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the graph cannot be laid out: {0}")]
pub struct SvgError(pub String);

/// The picture of nothing; the layout has none.
const EMPTY: &str = "<svg width=\"1\" height=\"1\" xmlns=\"http://www.w3.org/2000/svg\"></svg>\n";

pub(super) fn render(dot: &str, empty: bool) -> Result<String, SvgError> {
    if empty {
        return Ok(EMPTY.to_owned());
    }
    let graph = DotParser::new(dot).process().map_err(SvgError)?;
    let mut builder = GraphBuilder::new();
    builder.visit_graph(&graph);
    let mut picture = builder.get();
    let mut writer = SVGWriter::new();
    picture.do_it(false, false, false, &mut writer);
    Ok(writer.finalize())
}
