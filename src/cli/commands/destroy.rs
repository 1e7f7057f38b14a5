//! `stargate destroy`.

use clap::Args;

use crate::cli::arguments::Format;

/// Take away everything that carries the topology's mark
///
/// What does not carry it stays, and so does what is protected.
#[derive(Debug, Clone, Args)]
pub(crate) struct DestroyArguments {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Lines for people, or a line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}
