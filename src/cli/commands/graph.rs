//! `stargate graph`.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};

use crate::cli::error::CliError;
use crate::cli::findings::report_errors;
use crate::cli::session::ReadSession;
use crate::cli::ui::Ui;
use crate::pipeline::Planned;
use crate::plan::{Action, PlanOptions};
use crate::render::graph::ResourceGraph;
use crate::resource::Address;

/// Print the graph of resources and their dependencies
///
/// Exits with 0 if the graph could be printed; 1 if not everything could be read; 5 if an
/// error of the topology and the live state forbids all changes.
#[derive(Debug, Clone, Args)]
pub(crate) struct GraphArguments {
    /// Output format
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub(crate) format: GraphFormat,
}

/// The format of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum GraphFormat {
    /// DOT for Graphviz.
    #[default]
    Dot,
    /// Mermaid, for GitHub and other markdown viewers.
    Mermaid,
    /// SVG image.
    Svg,
}

/// Prints the graph of the desired resources.
pub(crate) async fn run(
    arguments: &GraphArguments,
    session: &ReadSession,
    ui: &Ui,
) -> Result<u8, CliError> {
    let scope = session.scope(PlanOptions::default());
    let planned = session.plan(&scope, ui).await;
    let graph = graph_of(&planned);
    let drawing = match arguments.format {
        GraphFormat::Dot => graph.to_dot(),
        GraphFormat::Mermaid => graph.to_mermaid(),
        GraphFormat::Svg => graph.to_svg(),
    };
    ui.data(&drawing)?;
    Ok(report_errors(&planned.plan, ui))
}

fn graph_of(planned: &Planned) -> ResourceGraph {
    let plan = &planned.plan;
    let deferred = plan.deferred.iter().map(|deferred| (&deferred.address, deferred.action));
    let changes = plan.changes.iter().map(|change| (&change.address, change.action));
    let actions: BTreeMap<&Address, Action> = changes.chain(deferred).collect();
    ResourceGraph {
        nodes: planned
            .plan
            .desired()
            .iter()
            .map(|resource| (resource.address.clone(), actions.get(&resource.address).copied()))
            .collect(),
        edges: planned
            .plan
            .desired()
            .iter()
            .flat_map(|resource| {
                resource
                    .depends_on
                    .iter()
                    .filter(|address| planned.plan.desired().get(address).is_some())
                    .map(|address| (address.clone(), resource.address.clone()))
            })
            .collect(),
    }
}
