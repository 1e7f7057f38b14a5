//! `stargate routes`.

use clap::Args;

use crate::cli::arguments::Format;

/// Show every prefix, and which tables on its way hold it
#[derive(Debug, Clone, Args)]
pub(crate) struct RoutesArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}
