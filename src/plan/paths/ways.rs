//! Who reaches whom at a moment, and what mends what is broken.

use super::mend::{Mend, Question, mend, read};
use super::{Matrix, Moment, PROTOCOL, PathModel, Sources, path_model};
use crate::resource::Kind;

/// Who reaches whom at a moment.
#[derive(Debug, Clone)]
pub struct Ways {
    /// The network.
    pub model: PathModel,
    /// Site against site.
    pub matrix: Matrix,
    /// What mends each of the broken, in the matrix's order, as far as it was
    /// asked for.
    pub mends: Vec<Mend>,
    /// Nodes whose pods nobody could read of, by what would tell.
    pub unread: Vec<UnreadNodes>,
}

/// Nodes whose pods nobody could read of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadNodes {
    /// What they are called.
    pub names: Vec<String>,
    /// What would tell.
    pub mend: Mend,
}

impl Ways {
    /// Looks at all pairs; a mend is looked for at most so many times, the facts
    /// that break the most pairs first.
    pub fn look(sources: Sources<'_>, moment: &Moment, most_mends: usize) -> Self {
        let model = path_model(sources, moment);
        let matrix = Matrix::of(&model);
        let broken = matrix.broken.iter().take(most_mends);
        let mends = broken.map(|broken| {
            let (from, to) = (broken.example.0.address, broken.example.1.address);
            mend(sources, Question { from, to, protocol: PROTOCOL })
        });
        let mends = mends.collect();
        let unread = unread(sources, &model, &matrix);
        Self { model, matrix, mends, unread }
    }
}

fn unread(sources: Sources<'_>, model: &PathModel, matrix: &Matrix) -> Vec<UnreadNodes> {
    let mut found: Vec<UnreadNodes> = Vec::new();
    for (host, origin) in &matrix.unread {
        let Some(told) = model.origins.get(*origin) else { continue };
        // AKS's nodes have no address of their own.
        let name = match told.address.kind {
            Kind::ManagedCluster => model.network.name(*host).to_owned(),
            _ => told.address.to_string(),
        };
        let mend = match read(sources, told) {
            // One look with `--deep` tells of all of them.
            Mend::LookAtHost(_) => Mend::LookAtHosts,
            mend => mend,
        };
        match found.iter_mut().find(|known| known.mend == mend) {
            Some(known) => known.names.push(name),
            None => found.push(UnreadNodes { names: vec![name], mend }),
        }
    }
    found
}
