//! `stargate graph`.

use clap::{Args, ValueEnum};

/// Draw the resources and what waits for what
#[derive(Debug, Clone, Args)]
pub(crate) struct GraphArguments {
    /// The language of the drawing
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: GraphFormat,
}

/// The language of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For Graphviz.
    #[default]
    Dot,
    /// For GitHub and other readers of markdown.
    Mermaid,
    /// A picture.
    Svg,
}
