//! `stargate apply`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::arguments::Format;
use crate::resource::Address;

/// Make the world match the topology
///
/// Plans, asks, and carries the plan out, round after round until nothing is
/// left to do. Ctrl-C lets running steps finish; the next apply goes on.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApplyArguments {
    /// A plan that `stargate plan --out` kept: exactly this is applied
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<PathBuf>,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Look at the workers themselves too, over SSH
    #[arg(long)]
    pub(crate) deep: bool,
    /// Take over an object that does not carry our mark; may be given often
    #[arg(long, value_name = "ADDRESS", conflicts_with = "plan")]
    pub(crate) adopt: Vec<Address>,
    /// Lines for people, or a line of JSON for each event
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: Format,
}
