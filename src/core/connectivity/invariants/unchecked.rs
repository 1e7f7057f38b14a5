//! Checks that were not made, so that their rules are not reported as satisfied.

use std::collections::BTreeSet;

use super::super::{PathModel, Sources};
use super::Invariant;
use crate::inventory::Source;
use crate::resource::{Kind, ObjectKey, Observable, Resource};

/// A rule that was not looked at, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unchecked {
    /// The rule.
    pub rule: Invariant,
    /// Why not.
    pub why: Why,
}

/// Why a rule was not looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// A source could not be read.
    Unread(Source),
    /// The workers' hosts were not read: their state is inferred from the Nodes, which
    /// record the last applied profile.
    InferredFromNode,
    /// There is nothing of the kind yet.
    Nothing,
}

/// Invariants that a refresh cannot check, by number.
pub const NOT_CHECKED: [(u8, &str); 4] = [
    (12, "when kubelet certificates expire, and whether they are renewed"),
    (13, "whether a second apply changes nothing (see `stargate drift`)"),
    (14, "what a destroy would leave behind (current orphans are checked)"),
    (15, "secrets in logs, process arguments and files on hosts"),
];

/// The rules that were not looked at, or not wholly, each with a reason.
pub fn unchecked(sources: Sources<'_>, model: &PathModel) -> Vec<Unchecked> {
    let mut found = BTreeSet::new();
    for rule in Invariant::ALL.iter().copied() {
        let mut note = |why| {
            found.insert(Unchecked { rule, why });
        };
        for kind in rule.looks_at() {
            if let Some(gap) = sources.inventory.gap_for(*kind, None) {
                note(Why::Unread(gap.source.clone()));
            }
            if *kind == Kind::RouterHost {
                for source in unread_routers(sources, model) {
                    note(Why::Unread(source));
                }
            }
        }
        if rule == Invariant::CniConfigActive && are_inferred_from_nodes(sources) {
            note(Why::InferredFromNode);
        }
        if model.sites.is_empty() {
            note(Why::Nothing);
        }
    }
    found.into_iter().collect()
}

fn unread_routers(sources: Sources<'_>, model: &PathModel) -> Vec<Source> {
    let routers = model.sites.iter().map(|site| model.network.name(site.router).to_owned());
    let is_unread = |name: &String| sources.inventory.get(&ObjectKey::Host(name.clone())).is_none();
    routers.filter(is_unread).map(Source::Host).collect()
}

fn are_inferred_from_nodes(sources: Sources<'_>) -> bool {
    sources.inventory.iter().any(|(_, observed)| match &observed.resource {
        Resource::Worker(worker) => matches!(worker.host, Observable::Unobserved(_)),
        _ => false,
    })
}
