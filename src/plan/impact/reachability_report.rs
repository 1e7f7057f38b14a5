//! Who reaches whom at a moment, and what mends what is broken.

use super::projection::{IntermediateState, Projection, path_model};
use super::remedy_search::{Question, Remedy, find_remedy, read};
use crate::connectivity::{Matrix, PROTOCOL, PathModel};
use crate::resource::Kind;

/// Who reaches whom at a moment.
#[derive(Debug, Clone)]
pub struct ReachabilityReport {
    /// The network.
    pub model: PathModel,
    /// Site against site.
    pub matrix: Matrix,
    /// What mends each of the broken, in the matrix's order, as far as it was
    /// asked for.
    pub mends: Vec<Remedy>,
    /// Nodes whose pods nobody could read of, by what would tell.
    pub unread: Vec<UnreadNodes>,
}

/// Nodes whose pods nobody could read of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadNodes {
    /// What they are called.
    pub names: Vec<String>,
    /// What would tell.
    pub remedy: Remedy,
}

impl ReachabilityReport {
    /// Looks at all pairs; a mend is looked for at most so many times, the facts
    /// that break the most pairs first.
    pub fn of_state(
        sources: Projection<'_>,
        moment: &IntermediateState,
        most_mends: usize,
    ) -> Self {
        let model = path_model(sources, moment);
        let matrix = Matrix::of(&model);
        let broken = matrix.broken.iter().take(most_mends);
        let mends = broken.map(|broken| {
            let (from, to) = (broken.example.0.address, broken.example.1.address);
            find_remedy(sources, Question { from, to, protocol: PROTOCOL })
        });
        let mends = mends.collect();
        let unread = unread(sources, &model, &matrix);
        Self { model, matrix, mends, unread }
    }
}

fn unread(sources: Projection<'_>, model: &PathModel, matrix: &Matrix) -> Vec<UnreadNodes> {
    let mut found: Vec<UnreadNodes> = Vec::new();
    for (host, origin) in &matrix.unread {
        let Some(told) = model.provenance.get(*origin) else { continue };
        // AKS's nodes have no address of their own.
        let name = match told.address.kind {
            Kind::ManagedCluster => model.network.name(*host).to_owned(),
            _ => told.address.to_string(),
        };
        let remedy = match read(sources, told) {
            // One look with `--deep` tells of all of them.
            Remedy::LookAtHost(_) => Remedy::LookAtHosts,
            remedy => remedy,
        };
        match found.iter_mut().find(|known| known.remedy == remedy) {
            Some(known) => known.names.push(name),
            None => found.push(UnreadNodes { names: vec![name], remedy }),
        }
    }
    found
}
