//! The whole command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::commands;

/// Plans, applies and checks an AKS cluster whose workers live in other
/// datacenters, joined by Tailscale subnet routers.
///
/// Exit codes: 0 done or nothing to do; 1 error; 2 changes or drift present;
/// 3 applied in part; 4 the plan is stale; 5 blocked by a lint or a
/// protection; 64 usage; 130 interrupted.
#[derive(Debug, Clone, Parser)]
#[command(name = "stargate", version, propagate_version = true, max_term_width = 80)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The topology file
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        default_value = "stargate.toml",
        env = "STARGATE_TOPOLOGY",
        global = true
    )]
    pub(crate) topology: PathBuf,
    /// Use the embedded world instead of real clouds, kept in DIR [default:
    /// .stargate/sandbox beside the topology]
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, global = true)]
    #[arg(hide = !cfg!(feature = "sandbox"))]
    pub(crate) sandbox: Option<Option<PathBuf>>,
    /// Tell nothing but data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Tell more; twice for a log of requests. `STARGATE_LOG` sets filters
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Whether to use colours; `NO_COLOR` is obeyed
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub(crate) color: ColorChoice,
    /// The command that was given, such as `sandbox serve`: what the sandbox's
    /// log calls its requests by
    #[arg(skip)]
    pub(crate) command: String,
}

/// Whether to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum ColorChoice {
    /// Where a terminal is.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Text for people or JSON for machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// How a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For a terminal or a log.
    #[default]
    Text,
    /// For machines; `stargate schema --plan` describes it.
    Json,
    /// For a comment on a pull request.
    Markdown,
}

/// The commands; each one's help stands at its arguments.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Command {
    Init(commands::init::InitArguments),
    Validate(commands::validate::ValidateArguments),
    Plan(commands::plan::PlanArguments),
    Apply(commands::apply::ApplyArguments),
    Drift(commands::drift::DriftArguments),
    Destroy(commands::destroy::DestroyArguments),
    Repave(commands::repave::RepaveArguments),
    Reboot(commands::reboot::RebootArguments),
    Status(commands::status::StatusArguments),
    Routes(commands::routes::RoutesArguments),
    Trace(commands::trace::TraceArguments),
    Check(commands::check::CheckArguments),
    Graph(commands::graph::GraphArguments),
    #[cfg(feature = "sandbox")]
    Sandbox(commands::sandbox::SandboxArguments),
    Schema(commands::schema::SchemaArguments),
    Explain(commands::explain::ExplainArguments),
    Completions(commands::completions::CompletionsArguments),
}

impl Global {
    /// The folder of the embedded world, if it is to be used.
    pub(crate) fn sandbox_folder(&self) -> Option<PathBuf> {
        let default = || self.default_sandbox_folder();
        self.sandbox.as_ref().map(|folder| folder.clone().unwrap_or_else(default))
    }

    /// The folder of the embedded world where no other one is named.
    pub(crate) fn default_sandbox_folder(&self) -> PathBuf {
        self.topology.parent().unwrap_or(Path::new("")).join(".stargate/sandbox")
    }

    /// The topology file as messages name it.
    pub(crate) fn topology_name(&self) -> String {
        self.topology.display().to_string()
    }
}
