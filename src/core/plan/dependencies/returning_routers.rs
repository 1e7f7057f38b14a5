//! Routers that join the tailnet again: hosts that stay are reset through them.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::decision::Comparison;
use crate::plan::present_routers::renamed_router;
use crate::plan::{Action, Change};
use crate::resource::{Address, Kind, Site};

/// The changes by which routers join the tailnet again, by site.
pub(super) struct ReturningRouters<'a> {
    by_site: BTreeMap<&'a Site, Vec<&'a Address>>,
    /// The sites and names of VMs that are deleted, so that nothing on them must be reset.
    ending: BTreeSet<(&'a Site, &'a str)>,
}

impl<'a> ReturningRouters<'a> {
    pub(super) fn of(input: Comparison<'_>, changes: &[&'a Change]) -> Self {
        let mut found = Self { by_site: BTreeMap::new(), ending: BTreeSet::new() };
        for change in changes {
            let Address { kind, site, .. } = &change.address;
            // Workers leave through the present router, which the topology may replace.
            if (*kind, change.action) == (Kind::TailnetDevice, Action::Create)
                && renamed_router(input, site).is_none()
            {
                found.by_site.entry(site).or_default().push(&change.address);
            }
        }
        if found.by_site.is_empty() {
            return found;
        }
        for change in changes {
            let Address { kind, site, name } = &change.address;
            match (kind, change.action) {
                (Kind::RouterHost, Action::Create | Action::Replace) => {
                    found.by_site.entry(site).and_modify(|it| it.push(&change.address));
                }
                (Kind::VirtualMachine, Action::Delete | Action::Replace) => {
                    found.ending.insert((site, name));
                }
                _ => {}
            }
        }
        found
    }

    /// The changes that a worker waits for before its host is reset.
    pub(super) fn before_departure(&self, change: &Change) -> Vec<&'a Address> {
        let leaves = change.address.kind == Kind::Worker && change.before.is_some();
        if !leaves || self.by_site.is_empty() {
            return Vec::new();
        }
        let site = change.old_site().unwrap_or_else(|| change.address.site.clone());
        let is_moved = change.moves_from().is_some();
        let is_deleted = self.ending.contains(&(&site, change.address.name.as_str())) && !is_moved;
        self.by_site.get(&site).filter(|_| !is_deleted).cloned().unwrap_or_default()
    }
}
