//! A datacenter that left the topology and contains a protected resource stays as a whole:
//! the protected resource needs the rest of the datacenter.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::held_back::held_back_until;
use super::waiting_changes;
use super::{Action, Blocked, Change};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind, Site};

/// Blocks all deletions of such datacenters, the moves of workers out of them, and the
/// changes that wait for either.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    // A plan that destroys stops as a whole.
    if input.desired.is_empty() {
        return;
    }
    let protected = protected_sites(input, decisions);
    if protected.is_empty() {
        return;
    }
    let ending: BTreeMap<Address, Blocked> = decisions
        .iter()
        .filter_map(|(address, decision)| match decision {
            ResourceDecision::Change(change) => {
                let cause = protected.get(&vacated_site(change)?)?;
                Some((address.clone(), held_back_until(change, cause, Code::Protected)))
            }
            _ => None,
        })
        .collect();
    let workers: BTreeSet<Address> =
        ending.keys().filter(|address| address.kind == Kind::Worker).cloned().collect();
    let reasons: BTreeMap<Address, Failure> =
        ending.iter().map(|(address, it)| (address.clone(), it.failure.clone())).collect();
    waiting_changes::block_waiting(input, &workers, &reasons, decisions);
    decisions.extend(ending.into_iter().map(|(address, blocked)| (address, blocked.into())));
}

/// Sites that the topology no longer has and on which a protection stops a deletion, with
/// the protected resource.
fn protected_sites(
    input: Comparison<'_>,
    decisions: &ResourceDecisions,
) -> BTreeMap<Site, Address> {
    let mut listed: Option<BTreeSet<&Site>> = None;
    let mut protected: BTreeMap<Site, Address> = BTreeMap::new();
    for (address, decision) in decisions {
        let ResourceDecision::Blocked(blocked) = decision else { continue };
        let stops = blocked.failure.code == Code::Protected && blocked.action == Action::Delete;
        if !stops || address.site == Site::Cluster {
            continue;
        }
        let sites = || input.desired.iter().map(|it| &it.address.site).collect();
        if listed.get_or_insert_with(sites).contains(&address.site) {
            continue;
        }
        let cause = blocked.caused_by.as_ref().unwrap_or(address);
        // The protection of the resource itself is the better reason.
        if blocked.caused_by.is_none() || !protected.contains_key(&address.site) {
            protected.insert(address.site.clone(), cause.clone());
        }
    }
    protected
}

/// The site that a change takes something from.
fn vacated_site(change: &Change) -> Option<Site> {
    match change.action {
        Action::Delete => Some(change.address.site.clone()),
        _ => change.moves_from(),
    }
}
