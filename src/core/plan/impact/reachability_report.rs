//! The reachability between all endpoints in one state, and the remedies of broken
//! pairs.

use super::projection::{IntermediateState, Projection, path_model};
use super::remedy_search::{PathQuery, Remedy, find_remedy, read};
use crate::connectivity::{Matrix, PROTOCOL, PathModel};
use crate::resource::Kind;

/// The reachability between all endpoints in one state.
#[derive(Debug, Clone)]
pub struct ReachabilityReport {
    /// The network.
    pub model: PathModel,
    /// The pairs by source and destination site.
    pub matrix: Matrix,
    /// The remedies of the broken pairs, in the matrix's order, up to the requested
    /// number.
    pub remedies: Vec<Remedy>,
    /// Nodes whose pods are unknown, grouped by the remedy.
    pub unread: Vec<UnreadNodes>,
}

/// Nodes whose pods are unknown because a source could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadNodes {
    /// The names of the nodes.
    pub names: Vec<String>,
    /// How to obtain the missing facts.
    pub remedy: Remedy,
}

impl ReachabilityReport {
    /// Traces all pairs, and searches for at most `max_remedies` remedies: those of
    /// the facts that break the most pairs first.
    pub fn of_state(
        sources: Projection<'_>,
        state: &IntermediateState,
        max_remedies: usize,
    ) -> Self {
        let model = path_model(sources, state);
        let matrix = Matrix::of(&model);
        let broken = matrix.broken.iter().take(max_remedies);
        let remedies = broken.map(|broken| {
            let (from, to) = (broken.example.0.address, broken.example.1.address);
            find_remedy(sources, PathQuery { from, to, protocol: PROTOCOL })
        });
        let remedies = remedies.collect();
        let unread = unread(sources, &model, &matrix);
        Self { model, matrix, remedies, unread }
    }
}

fn unread(sources: Projection<'_>, model: &PathModel, matrix: &Matrix) -> Vec<UnreadNodes> {
    let mut found: Vec<UnreadNodes> = Vec::new();
    for (host, origin) in &matrix.unread {
        let Some(provenance) = model.provenance.get(*origin) else { continue };
        // AKS's nodes have no address of their own.
        let name = match provenance.address.kind {
            Kind::ManagedCluster => model.network.name(*host).to_owned(),
            _ => provenance.address.to_string(),
        };
        let remedy = match read(sources, provenance) {
            // One run with `--deep` probes all of them.
            Remedy::ProbeHost(_) => Remedy::ProbeHosts,
            remedy => remedy,
        };
        match found.iter_mut().find(|known| known.remedy == remedy) {
            Some(known) => known.names.push(name),
            None => found.push(UnreadNodes { names: vec![name], remedy }),
        }
    }
    found
}
