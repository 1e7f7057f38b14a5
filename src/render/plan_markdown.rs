//! A plan as a comment on a pull request: a short table, the rest folded, and
//! never longer than such a comment may be.

use std::collections::BTreeMap;

use crate::plan::{Action, Change, Deferred, Plan, Severity};
use crate::resource::Side;

use super::connectivity::reachability_report::ReachabilityReportText;
use super::deferred::{Group, groups};
use super::plan_text::{Folded, Options, body_lines, fold, last_line, pairs_by_fate};
use super::text::{counted, cut};
use super::{Purpose, Style};

/// The greatest size in bytes; GitHub takes 65,536 characters.
pub const SIZE_LIMIT: usize = 60_000;

/// What is kept free for the words that say that something was cut.
const RESERVE: usize = 400;

/// What the parts above the changes take at most.
const HEAD_LIMIT: usize = SIZE_LIMIT / 3;

/// How many deferred resources are named for one that they wait for.
const DEFERRED_SHOWN: usize = 12;

/// Renders a plan as markdown of at most [`SIZE_LIMIT`] bytes.
pub fn render(plan: &Plan, purpose: Purpose) -> String {
    rendered(plan, purpose, &reachability(plan))
}

/// Renders how the world differs, and who reaches whom now.
pub fn render_drift(plan: &Plan, ways: ReachabilityReportText<'_>) -> String {
    let lines = ways.in_short(Style::Plain);
    let text = match lines.split_first() {
        None => String::new(),
        Some((summary, [])) => format!("{}\n\n", escape(summary)),
        Some((summary, facts)) => {
            format!("{}\n\n```text\n{}\n```\n\n", escape(summary), facts.join("\n"))
        }
    };
    rendered(plan, Purpose::Drift, &text)
}

fn rendered(plan: &Plan, purpose: Purpose, reachability: &str) -> String {
    let mut page = Comment { text: String::new() };
    page.text.push_str(&format!("### {}\n\n", title(plan, purpose)));
    page.text.push_str(&format!("**{}**\n\n", last_line(plan, purpose)));
    if !plan.is_empty() {
        page.text.push_str(&summary(plan));
    }
    page.push(reachability, HEAD_LIMIT);
    page.notes(plan);
    page.changes(plan, purpose);
    page.text
}

/// The text that grows towards its limit.
struct Comment {
    text: String,
}

impl Comment {
    /// Adds what fits below the limit; says whether it fitted.
    fn push(&mut self, part: &str, limit: usize) -> bool {
        let fits = self.text.len() + part.len() <= limit;
        if fits {
            self.text.push_str(part);
        }
        fits
    }

    /// Blocked, deferred, findings and gaps: what a reader must not miss.
    fn notes(&mut self, plan: &Plan) {
        let notes = notes(plan);
        for (index, note) in notes.iter().enumerate() {
            if !self.push(&format!("- {note}\n"), HEAD_LIMIT) {
                let left = counted(notes.len() - index, "more note");
                self.text.push_str(&format!("- … and {left}\n"));
                break;
            }
        }
        if !notes.is_empty() {
            self.text.push('\n');
        }
    }

    fn changes(&mut self, plan: &Plan, purpose: Purpose) {
        let mut sides: BTreeMap<&Side, Vec<Folded<'_>>> = BTreeMap::new();
        for folded in fold(&plan.changes, false) {
            sides.entry(&folded.change.address.side).or_default().push(folded);
        }
        let mut left = plan.changes.len();
        for (side, group) in sides {
            let count: usize = group.iter().map(Folded::count).sum();
            let (shown, complete) = self.side(side, count, &group, purpose);
            left -= shown;
            if !complete {
                let left = counted(left, "more change");
                self.text.push_str(&format!(
                    "\n… and {left}, too long for a comment; `stargate plan` shows them all.\n"
                ));
                return;
            }
        }
    }

    /// Adds one folded block; says how many changes it shows, and whether all.
    fn side(
        &mut self,
        side: &Side,
        count: usize,
        group: &[Folded<'_>],
        purpose: Purpose,
    ) -> (usize, bool) {
        let open = format!(
            "<details><summary>{}: {}</summary>\n\n```diff\n",
            escape(&side.to_string()),
            counted(count, "change")
        );
        const CLOSE: &str = "```\n\n</details>\n\n";
        let limit = SIZE_LIMIT - RESERVE - CLOSE.len();
        if !self.push(&open, limit) {
            return (0, false);
        }
        let mut shown = 0;
        for folded in group {
            if !self.push(&block(folded, purpose), limit) {
                self.text.push_str(CLOSE);
                return (shown, false);
            }
            shown += folded.count();
        }
        self.text.push_str(CLOSE);
        (shown, true)
    }
}

fn title(plan: &Plan, purpose: Purpose) -> String {
    let topology = escape(&plan.topology);
    match purpose {
        Purpose::Plan => format!("Plan for `{topology}`"),
        Purpose::Drift => format!("Drift of `{topology}`"),
        Purpose::Destroy => format!("Destruction of `{topology}`"),
        Purpose::Repave => format!("Repave of workers of `{topology}`"),
        Purpose::Reboot => format!("Reboot of workers of `{topology}`"),
    }
}

fn summary(plan: &Plan) -> String {
    let mut head = String::from("|");
    let mut rule = String::from("|");
    let mut row = String::from("|");
    let counts = [
        ("add", plan.count(Action::Create)),
        ("change", plan.count(Action::Update)),
        ("replace", plan.count(Action::Replace)),
        ("destroy", plan.count(Action::Delete)),
        ("adopt", plan.count(Action::Adopt)),
        ("deferred", plan.deferred.len()),
        ("blocked", plan.blocked.len()),
    ];
    for (name, count) in counts {
        head.push_str(&format!(" {name} |"));
        rule.push_str(" ---: |");
        row.push_str(&format!(" {count} |"));
    }
    format!("{head}\n{rule}\n{row}\n\n")
}

fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(rollout) = plan.rollout.filter(|rollout| rollout.waves > 1) {
        let workers = plan.changes.iter().filter(|change| change.wave.is_some()).count();
        let first = match rollout.canary {
            0 => String::new(),
            canary => format!("{canary} first, then "),
        };
        notes.push(format!(
            "**rollout**: {} in {}, {first}{} side by side",
            counted(workers, "worker"),
            counted(rollout.waves as usize, "wave"),
            rollout.width
        ));
    }
    for one in plan.blocked.iter().filter(|one| one.caused_by.is_none()) {
        let text = with_help(&one.failure.message, &one.failure.remedy);
        notes.push(format!("**blocked** `{}` ({}): {text}", one.address, one.failure.code));
    }
    for finding in &plan.findings {
        let word = match finding.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let text = with_help(&finding.failure.message, &finding.failure.remedy);
        notes.push(format!("**{word}** ({}): {text}", finding.failure.code));
    }
    for gap in plan.unexplained_gaps() {
        notes.push(format!(
            "**not read** {}: {} Nothing that it would have shown is planned for deletion.",
            escape(&gap.source.to_string()),
            prose(&gap.failure.message)
        ));
    }
    notes.extend(deferred(plan));
    notes
}

/// What is deferred, by what it waits for in the end.
fn deferred(plan: &Plan) -> Vec<String> {
    let note = |group: Group<'_>| {
        let line = |alike: &Vec<&Deferred>| match alike.len() {
            1 => format!("`{}`", alike[0].address),
            count => format!("`{}` and {}", alike[0].address, counted(count - 1, "other")),
        };
        let shown: Vec<String> = group.alike.iter().take(DEFERRED_SHOWN).map(line).collect();
        let hidden: usize = group.alike.iter().skip(DEFERRED_SHOWN).map(Vec::len).sum();
        let more = if hidden > 0 { format!("; and {hidden} more") } else { String::new() };
        format!("**deferred** {}: {}{more}", group.roots("`"), shown.join(", "))
    };
    groups(&plan.deferred).into_iter().map(note).collect()
}

/// What becomes of the pairs of pods, and why some are lost.
fn reachability(plan: &Plan) -> String {
    let found = &plan.reachability;
    if found.pairs() == 0 {
        return String::new();
    }
    let mut text = format!("Reachability: {}\n\n", pairs_by_fate(found));
    for loss in &found.losses {
        let (from, to) = (escape(&loss.example.0), escape(&loss.example.1));
        let pairs = counted(usize::try_from(loss.pairs).unwrap_or(usize::MAX), "pair");
        let resource = loss.resource.as_ref().map(|it| format!(", for `{it}`"));
        let resource = resource.unwrap_or_default();
        text.push_str(&format!("- **loses** {pairs}, such as {from} to {to}{resource}\n"));
    }
    for interruption in found.told_interruptions() {
        text.push_str(&format!("- {}\n", escape(&interruption)));
    }
    if found.is_refused() {
        text.push_str("- **refused**: allow it with `--allow-loss`\n");
    }
    if !found.losses.is_empty() || !found.disruptions.is_empty() {
        text.push('\n');
    }
    text
}

/// One change in a `diff` block, whose first column decides the colour.
fn block(folded: &Folded<'_>, purpose: Purpose) -> String {
    let Folded { change, .. } = folded;
    let mut text = format!("{} {}{}\n", sign(change), change.address, words(change));
    let options = Options { style: Style::Plain, purpose, full: false, verbose: false };
    for line in body_lines(change, options) {
        // Two columns of the terminal's indent are enough, but never none: a
        // sign of a list would colour a line, and a fence would end the block.
        text.push_str(line.strip_prefix("  ").unwrap_or(&line));
        text.push('\n');
    }
    if let Some(more) = folded.more() {
        text.push_str(&format!("    {}\n", cut(&more, 120)));
    }
    text
}

fn sign(change: &Change) -> &'static str {
    match change.action {
        Action::Create => "+",
        Action::Delete => "-",
        Action::Update | Action::Replace | Action::Adopt | Action::Reboot => "!",
    }
}

/// What the sign alone does not tell.
fn words(change: &Change) -> String {
    match change.action {
        Action::Create | Action::Delete => String::new(),
        action => format!(" ({})", action.participle()),
    }
}

/// What is wrong, and what to do.
fn with_help(text: &str, remedy: &str) -> String {
    let text = prose(text);
    if remedy.is_empty() { text } else { format!("{text} Help: {}", prose(remedy)) }
}

/// A sentence on one line, ended.
fn prose(text: &str) -> String {
    let text = escape(text.trim());
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text } else { text + "." }
}

/// Text that can be neither a tag nor a line of its own.
fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_plan_with_everything() {
        insta::assert_snapshot!(render(&fixture::everything(), Purpose::Plan));
    }

    #[test]
    fn a_drift_of_nothing() {
        insta::assert_snapshot!(render(&fixture::nothing(), Purpose::Drift));
    }

    #[test]
    fn a_comment_is_never_too_long() {
        let text = render(&fixture::many_kinds(4_000), Purpose::Plan);
        assert!(text.len() <= SIZE_LIMIT, "{}", text.len());
        assert!(text.contains("too long for a comment"), "it says that it was cut");
        let fences = text.lines().filter(|line| line.starts_with("```")).count();
        assert_eq!(fences % 2, 0, "every block is closed");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }
}
