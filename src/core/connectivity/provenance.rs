//! The provenance of facts: the resource that holds them and its source.

use foldhash::HashMap;

use super::PathModel;
use crate::dataplane::{Origin, Verdict};
use crate::inventory::Source;
use crate::resource::Address;

/// The resource that holds a fact, and the source that reported it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Provenance {
    /// The resource.
    pub address: Address,
    /// The source.
    pub source: Source,
}

/// All origins of one network.
#[derive(Debug, Clone, Default)]
pub struct ProvenanceTable {
    all: Vec<Provenance>,
    known: HashMap<Provenance, Origin>,
}

impl ProvenanceTable {
    /// The origin of the facts of a resource.
    pub(super) fn of(&mut self, address: &Address) -> Origin {
        self.add(Provenance { address: address.clone(), source: source_of(address) })
    }

    /// The origin of a fact that another source than the usual one reports.
    pub(super) fn add(&mut self, provenance: Provenance) -> Origin {
        if let Some(known) = self.known.get(&provenance) {
            return *known;
        }
        let origin = Origin(u32::try_from(self.all.len()).unwrap_or(u32::MAX));
        self.known.insert(provenance.clone(), origin);
        self.all.push(provenance);
        origin
    }

    /// The provenance of an origin.
    pub fn get(&self, origin: Origin) -> Option<&Provenance> {
        self.all.get(origin.0 as usize)
    }
}

/// The resources that a verdict depends on.
pub fn addresses(model: &PathModel, verdict: &Verdict) -> Vec<Address> {
    provenance(model, verdict).into_iter().map(|provenance| provenance.address.clone()).collect()
}

/// The facts that a verdict depends on, the most specific first.
pub fn provenance<'m>(model: &'m PathModel, verdict: &Verdict) -> Vec<&'m Provenance> {
    let provenance: &[Origin] = match verdict {
        Verdict::Dropped(drop) => &drop.provenance,
        Verdict::Unknown { origin, .. } => std::slice::from_ref(origin),
        Verdict::Arrived(_) | Verdict::Exited(_) => &[],
    };
    provenance.iter().filter_map(|origin| model.provenance.get(*origin)).collect()
}

fn source_of(address: &Address) -> Source {
    Source::of(&address.kind.facts().service, &address.name)
}
