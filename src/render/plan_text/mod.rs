//! A plan on a terminal and in a log: 80 columns, and readable without colour.

mod fields;
mod folding;
mod sections;
#[cfg(test)]
mod tests;

use crate::plan::{Action, Change, Plan, PlanStatus};
use crate::resource::Address;

use super::Purpose;
use super::connectivity::reachability_report::ReachabilityReportText;
use super::style::{Role, Style};
use super::text::{WIDTH, cut, wrap};

pub(super) use folding::{Folded, fold};
pub(super) use sections::pairs_by_fate;

/// How a plan is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// With colours or without.
    pub style: Style,
    /// What the plan is for; it decides the headings.
    pub purpose: Purpose,
    /// Every field of every change, and nothing cut.
    pub full: bool,
    /// The chain of causes below each failure.
    pub verbose: bool,
}

/// Renders a plan; the last line is its sum.
pub fn render(plan: &Plan, options: Options) -> String {
    rendered(plan, options, None)
}

/// Renders how the world differs, and who reaches whom now.
pub fn render_drift(plan: &Plan, ways: ReachabilityReportText<'_>, options: Options) -> String {
    rendered(plan, options, Some(ways))
}

fn rendered(plan: &Plan, options: Options, now: Option<ReachabilityReportText<'_>>) -> String {
    let mut page = Page { options, lines: Vec::new() };
    page.changes(plan);
    page.rollout(plan);
    page.deferred(&plan.deferred);
    page.blocked(&plan.blocked);
    page.findings(&plan.findings);
    page.gaps(plan);
    // Whoever asks for drift wants to know how things are, not what mending costs.
    if !plan.is_empty() && options.purpose != Purpose::Drift {
        page.cost(&plan.cost);
    }
    match now {
        Some(ways) => page.reached_now(ways),
        None => page.reachability(&plan.reachability),
    }
    if let Some(text) = not_in_the_sum(plan) {
        page.line(text);
    }
    page.line(options.style.paint(Role::Title, last_line(plan, options.purpose)));
    page.lines.join("\n") + "\n"
}

/// The sum of a plan in one line.
pub fn last_line(plan: &Plan, purpose: Purpose) -> String {
    if plan.is_empty() {
        return match plan.standing() {
            // A source that nobody could read may hide anything.
            PlanStatus::Unknown => "No changes, as far as the world could be read.".to_owned(),
            PlanStatus::Wrong => "Nothing is planned until that is mended.".to_owned(),
            _ => purpose.nothing().to_owned(),
        };
    }
    let rebooted = plan.count(Action::Reboot);
    if rebooted > 0 {
        return format!("{}: {rebooted} to reboot.", purpose.sum());
    }
    let mut line = format!(
        "{}: {} to add, {} to change, {} to replace, {} to destroy",
        purpose.sum(),
        plan.count(Action::Create),
        plan.count(Action::Update),
        plan.count(Action::Replace),
        plan.count(Action::Delete),
    );
    let adopted = plan.count(Action::Adopt);
    if adopted > 0 {
        line.push_str(&format!(", {adopted} to adopt"));
    }
    line + "."
}

/// What the sum of the changes leaves out.
fn not_in_the_sum(plan: &Plan) -> Option<String> {
    let parts = [(plan.deferred.len(), "deferred"), (plan.blocked.len(), "blocked")];
    let counts = parts.into_iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = counts.map(|(count, word)| format!("{count} {word}")).collect();
    (!words.is_empty()).then(|| format!("Not counted below: {}.", words.join(", ")))
}

/// The lines of one change without its header, plain: for other renderers.
pub(super) fn body_lines(change: &Change, options: Options) -> Vec<String> {
    let mut page = Page { options, lines: Vec::new() };
    page.change_body(change);
    page.lines
}

/// The lines that accumulate.
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
        for folded in fold(&plan.changes, self.options.full) {
            self.header(folded.change.action, &folded.change.address, "");
            self.change_body(folded.change);
            if let Some(more) = folded.more() {
                self.painted(Role::Quiet, &more, "      ", "      ");
            }
            self.blank();
        }
    }

    fn header(&mut self, action: Action, address: &Address, behind: &str) {
        let sign = self.options.style.paint(Role::Action(action), format!("{:>3}", action.glyph()));
        let address = self.options.style.paint(Role::Title, address);
        self.line(format!("{sign} {address}{behind}"));
    }

    fn change_body(&mut self, change: &Change) {
        self.rule(&change.planned_because_of);
        self.fields(change.action, &change.fields());
        if let Some(cause) = &change.caused_by {
            self.wrapped(&format!("follows from {cause}"), "      ", "      ");
        }
        if let Some(interrupted) = &change.interrupts {
            self.painted(
                Role::Warning,
                &format!("interrupts: {interrupted}"),
                "      ",
                "        ",
            );
        }
    }

    /// The rule of the topology that asks for a change.
    fn rule(&mut self, planned_because_of: &str) {
        if !planned_because_of.is_empty() {
            self.painted(Role::Quiet, planned_because_of, "      # ", "      # ");
        }
    }

    /// Adds a line that is cut to the width, unless everything was asked for.
    fn cut_line(&mut self, role: Option<Role>, line: &str) {
        let line = if self.options.full { line.to_owned() } else { cut(line, WIDTH) };
        match role {
            Some(role) => self.line(self.options.style.paint(role, line)),
            None => self.line(line),
        }
    }
}
