//! `stargate drift`.

use clap::Args;

use crate::cli::arguments::PlanFormat;

/// Tell how the world differs from the topology
///
/// Changes nothing and needs no right to. Exits with 2 where there is drift.
#[derive(Debug, Clone, Args)]
pub(crate) struct DriftArguments {
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
}
