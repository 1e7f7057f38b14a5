//! A plan on a terminal and in a log: 80 columns, and readable without color.

mod blocked;
mod difference;
mod fields;
mod folding;
mod sections;
#[cfg(test)]
mod tests;

use crate::plan::{Action, Change, Plan, PlanStatus};
use crate::resource::Address;

use super::Purpose;
use super::connectivity::reachability_report::ReachabilityReportText;
use super::purpose::matches_topology;
use super::style::{Role, Style};
use super::text::{WIDTH, counted, cut, wrap};

pub(super) use folding::{Folded, fold};
pub(super) use sections::count_pairs;

/// How a plan is rendered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Colored or plain.
    pub style: Style,
    /// The command that the plan is rendered for.
    pub purpose: Purpose,
    /// Show every field of every change, and truncate nothing.
    pub full: bool,
    /// The chain of causes below each failure.
    pub verbose: bool,
}

/// Renders a plan; the last line counts its changes.
pub fn render(plan: &Plan, options: Options) -> String {
    rendered(plan, options, None)
}

/// Renders a plan and the current reachability.
pub fn render_with_reachability(
    plan: &Plan,
    reachability: ReachabilityReportText<'_>,
    options: Options,
) -> String {
    rendered(plan, options, Some(reachability))
}

fn rendered(plan: &Plan, options: Options, current: Option<ReachabilityReportText<'_>>) -> String {
    let mut page = Page { options, lines: Vec::new() };
    page.changes(plan);
    page.rollout(plan);
    page.deferred(&plan.deferred);
    page.blocked(&plan.blocked);
    page.ignored(&plan.ignored);
    page.findings(&plan.findings);
    page.gaps(plan);
    // `drift` reports the current state; only `plan` shows the cost of an apply.
    let applies = !plan.changes.is_empty() || !plan.deferred.is_empty();
    if applies && options.purpose != Purpose::Drift {
        page.cost(&plan.cost);
    }
    match current {
        Some(report) => page.current_reachability(report),
        None if plan.is_empty() => {}
        None => page.reachability(&plan.reachability),
    }
    page.notes_on_the_count(plan);
    page.painted(Role::Title, &last_line(plan, options.purpose), "", "  ");
    page.lines.join("\n") + "\n"
}

/// The last line of a plan: how many changes of each action it has.
pub fn last_line(plan: &Plan, purpose: Purpose) -> String {
    if plan.is_empty() {
        return match plan.status() {
            // An unread source may hide a difference.
            PlanStatus::Unknown => {
                "No changes found, but not all sources could be read.".to_owned()
            }
            PlanStatus::Wrong => {
                "No plan: resolve the errors above, then run `stargate plan` again.".to_owned()
            }
            PlanStatus::Unreachable => {
                format!("{}, but {}.", matches_topology(plan), plan.reachability.broken_summary())
            }
            _ => purpose.no_changes(plan),
        };
    }
    let blocked = match plan.blocked.len() {
        0 => String::new(),
        count => format!(", {count} blocked"),
    };
    let rebooted = plan.count(Action::Reboot);
    if rebooted > 0 {
        return format!("{}: {rebooted} to reboot{blocked}.", purpose.label());
    }
    let mut line = format!(
        "{}: {} to add, {} to change, {} to replace, {} to destroy",
        purpose.label(),
        plan.count(Action::Create),
        plan.count(Action::Update),
        plan.count(Action::Replace),
        plan.count(Action::Delete),
    );
    let adopted = plan.count(Action::Adopt);
    if adopted > 0 {
        line.push_str(&format!(", {adopted} to adopt"));
    }
    line + &blocked + "."
}

/// The lines of one change without its header, plain: for other renderers.
pub(super) fn body_lines(change: &Change, options: Options) -> Vec<String> {
    let mut page = Page { options, lines: Vec::new() };
    page.change_body(change);
    page.lines
}

/// The lines rendered so far.
struct Page {
    options: Options,
    lines: Vec<String>,
}

impl Page {
    fn line(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    fn blank(&mut self) {
        self.lines.push(String::new());
    }

    /// Notes on the last line: how many of its resources are deferred, and
    /// whether it may be incomplete.
    fn notes_on_the_count(&mut self, plan: &Plan) {
        let deferred = plan.expected().count();
        if deferred > 0 {
            let deferred = counted(deferred, "deferred change");
            self.line(format!("The counts below include {deferred}."));
        }
        if !plan.is_empty() && plan.status() == PlanStatus::Unknown {
            self.line("Not all sources could be read, so changes may be missing.");
        }
    }

    fn title(&mut self, text: &str) {
        self.painted(Role::Title, text, "", "");
    }

    /// Wraps plain text, then paints it line by line.
    fn painted(&mut self, role: Role, text: &str, first: &str, rest: &str) {
        for line in wrap(text, first, rest) {
            let painted = self.options.style.paint(role, line);
            self.line(painted);
        }
    }

    fn wrapped(&mut self, text: &str, first: &str, rest: &str) {
        self.lines.extend(wrap(text, first, rest));
    }

    fn changes(&mut self, plan: &Plan) {
        if plan.changes.is_empty() {
            return;
        }
        self.title(&self.options.purpose.heading(&plan.topology));
        self.blank();
        let folded = fold(&plan.changes, self.options.full);
        let bodies: Vec<Vec<String>> = folded.iter().map(|it| self.folded_body(it)).collect();
        for (at, (folded, body)) in folded.iter().zip(&bodies).enumerate() {
            self.header(folded.change.action, &folded.change.address, "");
            // Headers without a body, or with that of the next one, stand below each other.
            let is_brief = body.is_empty() || folded.change.records_protection_only();
            if is_brief && bodies.get(at + 1) == Some(body) {
                continue;
            }
            self.lines.extend(body.iter().cloned());
            self.blank();
        }
    }

    /// The lines of a change below its header, and the names of similar ones.
    fn folded_body(&self, folded: &Folded<'_>) -> Vec<String> {
        let mut page = Self { options: self.options, lines: Vec::new() };
        page.change_body(folded.change);
        if let Some(more) = folded.more() {
            page.painted(Role::Quiet, &more, "      ", "      ");
        }
        page.lines
    }

    fn header(&mut self, action: Action, address: &Address, behind: &str) {
        let sign = self.options.style.paint(Role::Action(action), format!("{:>3}", action.glyph()));
        let address = self.options.style.paint(Role::Title, address);
        self.line(format!("{sign} {address}{behind}"));
    }

    fn change_body(&mut self, change: &Change) {
        // The heading says why everything is deleted, and a record of protection by which
        // block of the topology it is.
        if self.options.purpose != Purpose::Destroy && !change.records_protection_only() {
            self.rule(&change.planned_because_of);
        }
        self.fields(change.action, &change.fields());
        if let Some(cause) = &change.caused_by {
            let relation = match change.action {
                Action::Create => "depends on",
                _ => "caused by",
            };
            self.wrapped(&format!("{relation} {cause}"), "      ", "      ");
        }
        if let Some(disruption) = &change.interrupts {
            self.disruption(disruption);
        }
    }

    fn disruption(&mut self, text: &str) {
        self.painted(Role::Warning, &format!("disruption: {text}"), "      ", "        ");
    }

    /// The rule of the topology that a change is planned for.
    fn rule(&mut self, planned_because_of: &str) {
        if !planned_because_of.is_empty() {
            self.painted(Role::Quiet, planned_because_of, "      # ", "      # ");
        }
    }

    /// Adds a line, truncated to the width unless `full` is set.
    fn cut_line(&mut self, role: Option<Role>, line: &str) {
        let line = if self.options.full { line.to_owned() } else { cut(line, WIDTH) };
        match role {
            Some(role) => self.line(self.options.style.paint(role, line)),
            None => self.line(line),
        }
    }
}
