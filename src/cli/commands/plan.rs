//! `stargate plan`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::arguments::PlanFormat;

/// Show what would be changed, and why
///
/// Reads the world, compares it with the topology and changes nothing. The
/// signs are `+` create, `~` update, `-/+` replace, `-` delete, `>` adopt.
#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArguments {
    /// Keep the plan in a file, for `stargate apply FILE`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How to show it
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: PlanFormat,
    /// Exit with 2 where there are changes, as `terraform plan` does
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
    /// Show every field of every change, and cut nothing
    #[arg(long)]
    pub(crate) full: bool,
}
