//! `stargate sandbox`.

use clap::{Args, Subcommand};

use crate::cli::arguments::Format;

/// Serve, look at, reset or break the embedded world
#[derive(Debug, Clone, Args)]
pub(crate) struct SandboxArguments {
    #[command(subcommand)]
    pub(crate) command: SandboxCommand,
}

/// What is done with the embedded world.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Open it to other clients, such as `az` and `kubectl`
    Serve {
        /// Without TLS
        #[arg(long)]
        http: bool,
    },
    /// Show what happened in it
    Log {
        /// How to show it
        #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
        format: Format,
    },
    /// Forget everything in it
    Reset,
    /// Inject a fault, so that drift and apply have something to find
    Break {
        /// Which one; `stargate sandbox faults` lists them
        #[arg(value_name = "FAULT")]
        fault: String,
        /// What is hit, where there is a choice
        #[arg(value_name = "TARGET")]
        target: Option<String>,
    },
    /// List the faults
    Faults,
}
