//! Similar changes are shown once.

use std::collections::BTreeMap;

use crate::plan::diff::{FieldChange, FieldPath};
use crate::plan::{Action, Change};
use crate::resource::{Kind, Site};

/// Up to this many similar changes are shown one by one.
const MAX_UNFOLDED: usize = 3;

/// A change that is shown, and the names of similar changes.
pub(in crate::render) struct Folded<'a> {
    /// The one that is shown.
    pub(in crate::render) change: &'a Change,
    /// The names of the others.
    pub(in crate::render) others: Vec<&'a str>,
}

impl Folded<'_> {
    /// The line about the changes that are not shown.
    pub(in crate::render) fn more(&self) -> Option<String> {
        let (first, last) = (self.others.first()?, self.others.last()?);
        Some(format!("and {} similar changes ({first} … {last})", self.others.len()))
    }

    /// The number of changes it represents.
    pub(in crate::render) fn count(&self) -> usize {
        1 + self.others.len()
    }
}

/// The properties that two similar changes have in common.
///
/// Creations are similar if they have the same fields, since the values contain
/// names and addresses of their own. For updates the values must agree too.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Similarity<'a> {
    kind: Kind,
    site: &'a Site,
    action: Action,
    fields: Vec<(FieldPath, String)>,
    /// The disruption, without the name of the resource.
    interrupts: Option<String>,
}

impl<'a> Similarity<'a> {
    fn of(change: &'a Change) -> Self {
        let whole = matches!(change.action, Action::Create | Action::Delete);
        let field = |field: &FieldChange| {
            let values = match whole {
                true => String::new(),
                false => format!("{:?} {:?} {}", field.before, field.after, field.pending),
            };
            (field.path.clone(), values)
        };
        Self {
            kind: change.address.kind,
            site: &change.address.site,
            action: change.action,
            fields: change.fields().iter().map(field).collect(),
            interrupts: change
                .interrupts
                .as_ref()
                .map(|text| text.replace(change.address.name.as_str(), "")),
        }
    }
}

/// Folds similar changes into the first of them, in the order of the plan.
pub(in crate::render) fn fold(changes: &[Change], full: bool) -> Vec<Folded<'_>> {
    let mut groups: Vec<Vec<&Change>> = Vec::new();
    let mut known: BTreeMap<Similarity<'_>, usize> = BTreeMap::new();
    for change in changes {
        if full {
            groups.push(vec![change]);
            continue;
        }
        let group = *known.entry(Similarity::of(change)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        groups[group].push(change);
    }
    groups.into_iter().flat_map(fold_group).collect()
}

fn fold_group(group: Vec<&Change>) -> Vec<Folded<'_>> {
    if group.len() <= MAX_UNFOLDED {
        return group.into_iter().map(|change| Folded { change, others: Vec::new() }).collect();
    }
    let others = group.iter().skip(1).map(|change| change.address.name.as_str()).collect();
    group.into_iter().take(1).map(|change| Folded { change, others: Vec::clone(&others) }).collect()
}
