//! Global options and the list of commands.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::commands;
use super::formats::ErrorFormat;
use crate::topology::names::TopologyName;

/// Plan, apply and check an AKS cluster with workers in remote datacenters.
///
/// Workers join the cluster as nodes; pods reach each other through Tailscale
/// subnet routers.
///
/// Exit codes: 0 success or nothing to do; 1 error; 2 changes, drift or dropped
/// packets found; 3 partially applied; 4 the plan is stale; 5 blocked; 64 invalid
/// usage; 130 interrupted.
#[derive(Debug, Clone, Parser)]
#[command(name = "stargate", version, propagate_version = true, max_term_width = 80)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Path to the topology file
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        default_value = "stargate.toml",
        env = "STARGATE_TOPOLOGY",
        global = true
    )]
    pub(crate) topology: PathBuf,
    /// Use the sandbox instead of real services, with its state in DIR [default:
    /// `.stargate/sandbox` next to the topology]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, global = true)]
    #[arg(hide = !cfg!(feature = "sandbox"))]
    pub(crate) sandbox: Option<Option<PathBuf>>,
    /// Print only data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more detail; repeat to log requests. `STARGATE_LOG` sets log filters
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// When to use colors; `NO_COLOR` disables them
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub(crate) color: ColorChoice,
    /// The command, such as `sandbox serve`, by which the sandbox logs its requests
    #[arg(skip)]
    pub(crate) command: String,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// If the output is a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The format of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// Human-readable text.
    #[default]
    Text,
    /// JSON.
    Json,
}

/// The commands; the arguments of each hold its help.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::InitArguments),
    Validate(commands::validate::ValidateArguments),
    Doctor(commands::doctor::DoctorArguments),
    Plan(commands::plan::PlanArguments),
    Apply(commands::apply::ApplyArguments),
    Drift(commands::drift::DriftArguments),
    Destroy(commands::destroy::DestroyArguments),
    Repave(commands::repave::RepaveArguments),
    Reboot(commands::reboot::RebootArguments),
    Watch(commands::watch::WatchArguments),
    Status(commands::status::StatusArguments),
    Routes(commands::routes::RoutesArguments),
    Trace(commands::trace::TraceArguments),
    Check(commands::check::CheckArguments),
    Graph(commands::graph::GraphArguments),
    #[cfg(feature = "sandbox")]
    Sandbox(commands::sandbox::SandboxArguments),
    Manifests(commands::manifests::ManifestsArguments),
    Schema(commands::schema::SchemaArguments),
    Explain(commands::explain::ExplainArguments),
    Completions(commands::completions::CompletionsArguments),
}

impl Command {
    /// The format in which an error that ends the command is data, if it is data.
    pub(crate) fn error_format(&self) -> Option<ErrorFormat> {
        match self {
            Self::Validate(validate) => validate.format.of_errors(),
            Self::Plan(plan) => plan.format.of_errors(),
            Self::Drift(drift) => drift.format.of_errors(),
            Self::Check(check) => check.format.of_errors(),
            _ => None,
        }
    }
}

impl Global {
    /// The folder of the sandbox, if `--sandbox` was given.
    pub(crate) fn sandbox_folder(&self) -> Option<PathBuf> {
        let default = || self.default_sandbox_folder();
        self.sandbox.as_ref().map(|folder| folder.clone().unwrap_or_else(default))
    }

    /// The folder of the sandbox if `--sandbox` names none.
    pub(crate) fn default_sandbox_folder(&self) -> PathBuf {
        self.topology.parent().unwrap_or(Path::new("")).join(".stargate/sandbox")
    }

    /// The path of the topology file for messages.
    pub(crate) fn topology_name(&self) -> String {
        self.topology.display().to_string()
    }
}

/// Parses the name of a topology.
pub(crate) fn topology_name(text: &str) -> Result<TopologyName, String> {
    let rule = "expected at most 63 lowercase letters, digits and hyphens";
    if TopologyName::is_legal(text) { Ok(TopologyName::new(text)) } else { Err(rule.to_owned()) }
}
