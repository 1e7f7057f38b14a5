//! `stargate status`.

use clap::Args;

use crate::cli::arguments::Format;

/// Tell how cluster, routers and workers are
#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}
