//! Blocked changes: those with the same reason are listed together.

use crate::diagnostics::Failure;
use crate::plan::Blocked;

use super::super::style::Role;
use super::super::text::counted;
use super::Page;

/// Blocked resources listed for one reason; `--full` lists all.
const MAX_LISTED: usize = 8;

impl Page {
    /// Blocked changes, then the changes that depend on them.
    pub(super) fn blocked(&mut self, blocked: &[Blocked]) {
        if blocked.is_empty() {
            return;
        }
        self.title("Blocked:");
        self.blank();
        let roots = blocked.iter().filter(|one| one.caused_by.is_none());
        for group in grouped(roots, |one, other| is_same_reason(&one.failure, &other.failure)) {
            self.blocked_group(&group);
            self.blank();
        }
        let dependents = blocked.iter().filter(|one| one.caused_by.is_some());
        for group in grouped(dependents, |one, other| one.caused_by == other.caused_by) {
            self.listed(&group);
            if let Some(cause) = group.first().and_then(|one| one.caused_by.as_ref()) {
                let text = format!("waits for {cause}, which is blocked");
                self.wrapped(&text, "      ", "      ");
            }
            self.blank();
        }
    }

    /// Changes that are blocked for one reason, which is printed once.
    fn blocked_group(&mut self, group: &[&Blocked]) {
        let Some(first) = group.first() else { return };
        if let [only] = group {
            self.header(only.action, &only.address, "");
            self.rule(&only.planned_because_of);
            self.fields(only.action, &only.fields);
        } else {
            self.listed(group);
        }
        let text = format!("{}: {}", first.failure.code, first.failure.message);
        self.painted(Role::Error, &text, "      ", "        ");
        self.causes(&first.failure, "      ");
    }

    /// The headers of several changes.
    fn listed(&mut self, group: &[&Blocked]) {
        let limit = if self.options.full { usize::MAX } else { MAX_LISTED };
        // A line that says `1 other` is as long as the item that it replaces.
        let listed = if group.len() > limit { limit - 1 } else { group.len() };
        for one in group.iter().take(listed) {
            self.header(one.action, &one.address, "");
            if self.options.full {
                self.rule(&one.planned_because_of);
                self.fields(one.action, &one.fields);
            }
        }
        if listed < group.len() {
            let others = counted(group.len() - listed, "other");
            let more = format!("and {others} (use `--full` to list all)");
            self.painted(Role::Quiet, &more, "      ", "      ");
        }
    }
}

/// Whether two failures read the same.
fn is_same_reason(one: &Failure, other: &Failure) -> bool {
    (one.code, &one.message, &one.remedy) == (other.code, &other.message, &other.remedy)
}

/// Groups that are the same in some respect, in the order of their first members.
fn grouped<'a>(
    all: impl Iterator<Item = &'a Blocked>,
    is_same: impl Fn(&Blocked, &Blocked) -> bool,
) -> Vec<Vec<&'a Blocked>> {
    let mut groups: Vec<Vec<&Blocked>> = Vec::new();
    for one in all {
        match groups.iter_mut().find(|group| is_same(group[0], one)) {
            Some(group) => group.push(one),
            None => groups.push(vec![one]),
        }
    }
    groups
}
