//! A plan as a comment on a pull request: a summary table, details folded, and
//! truncated to the maximum size of a comment.

use std::collections::BTreeMap;

use crate::plan::{Action, Change, Deferred, FindingSeverity, Plan};
use crate::resource::Site;

use super::connectivity::reachability_report::ReachabilityReportText;
use super::deferred::{Group, groups};
use super::markdown::{code, escape, fence};
use super::plan_text::{Folded, Options, body_lines, count_pairs, fold, last_line};
use super::text::{counted, cut};
use super::{Purpose, Style};

/// The maximum size in bytes; GitHub accepts 65,536 characters.
pub const MAX_SIZE: usize = 60_000;

/// Bytes reserved for the note that the comment was truncated.
const RESERVE: usize = 400;

/// The maximum size in bytes of the parts above the changes.
const MAX_HEAD_SIZE: usize = MAX_SIZE / 3;

/// Resources that the comment names first for each action that takes them away.
const MAX_GOING_AWAY: usize = 20;

/// Deferred resources named in one group.
const MAX_DEFERRED: usize = 12;

/// Renders a plan as markdown of at most [`MAX_SIZE`] bytes.
pub fn render(plan: &Plan, purpose: Purpose) -> String {
    rendered(plan, purpose, &reachability(plan))
}

/// Renders a plan and the current reachability.
pub fn render_with_reachability(
    plan: &Plan,
    purpose: Purpose,
    report: ReachabilityReportText<'_>,
) -> String {
    let lines = report.summary_lines(Style::Plain);
    let text = match lines.split_first() {
        None => String::new(),
        Some((summary, [])) => format!("{}\n\n", escape(summary)),
        Some((summary, causes)) => {
            let fence = fence(causes.iter().map(String::as_str));
            format!("{}\n\n{fence}text\n{}\n{fence}\n\n", escape(summary), causes.join("\n"))
        }
    };
    rendered(plan, purpose, &text)
}

fn rendered(plan: &Plan, purpose: Purpose, reachability: &str) -> String {
    let mut page = Comment { text: String::new() };
    page.text.push_str(&format!("### {}\n\n", title(plan, purpose)));
    page.text.push_str(&format!("**{}**\n\n", last_line(plan, purpose)));
    for line in going_away(plan) {
        page.push(&line, MAX_HEAD_SIZE);
    }
    if !plan.is_empty() {
        page.text.push_str(&summary(plan));
    }
    page.push(reachability, MAX_HEAD_SIZE);
    page.notes(plan);
    page.changes(plan, purpose);
    page.text
}

/// The text so far, which stays below its maximum size.
struct Comment {
    text: String,
}

impl Comment {
    /// Adds the part if it fits below the limit; returns whether it did.
    fn push(&mut self, part: &str, limit: usize) -> bool {
        let fits = self.text.len() + part.len() <= limit;
        if fits {
            self.text.push_str(part);
        }
        fits
    }

    /// Blocked and deferred changes, findings and gaps.
    fn notes(&mut self, plan: &Plan) {
        let notes = notes(plan);
        for (index, note) in notes.iter().enumerate() {
            if !self.push(&format!("- {note}\n"), MAX_HEAD_SIZE) {
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
        let mut sites: BTreeMap<&Site, Vec<Folded<'_>>> = BTreeMap::new();
        for folded in fold(&plan.changes, false) {
            sites.entry(&folded.change.address.site).or_default().push(folded);
        }
        let mut left = plan.changes.len();
        for (site, group) in sites {
            let count: usize = group.iter().map(Folded::count).sum();
            let (listed, complete) = self.site(site, count, &group, purpose);
            left -= listed;
            if !complete {
                let left = counted(left, "more change");
                self.text.push_str(&format!(
                    "\n… and {left}, truncated to the size of a comment; run `stargate plan` to see all.\n"
                ));
                return;
            }
        }
    }

    /// Adds the changes of one site; returns how many it shows, and whether that is all.
    fn site(
        &mut self,
        site: &Site,
        count: usize,
        group: &[Folded<'_>],
        purpose: Purpose,
    ) -> (usize, bool) {
        let blocks: Vec<String> = group.iter().map(|folded| block(folded, purpose)).collect();
        let fence = fence(blocks.iter().map(String::as_str));
        let open = format!(
            "<details><summary>{}: {}</summary>\n\n{fence}diff\n",
            escape(&site.to_string()),
            counted(count, "change")
        );
        let close = format!("{fence}\n\n</details>\n\n");
        let limit = MAX_SIZE.saturating_sub(RESERVE + close.len());
        if !self.push(&open, limit) {
            return (0, false);
        }
        let mut listed = 0;
        for (folded, block) in group.iter().zip(&blocks) {
            if !self.push(block, limit) {
                self.text.push_str(&close);
                return (listed, false);
            }
            listed += folded.count();
        }
        self.text.push_str(&close);
        (listed, true)
    }
}

fn title(plan: &Plan, purpose: Purpose) -> String {
    let topology = code(&plan.topology);
    match purpose {
        Purpose::Plan => format!("Plan for {topology}"),
        Purpose::Drift => format!("Drift of {topology}"),
        Purpose::Destroy => format!("Destroy plan for {topology}"),
        Purpose::Repave => format!("Repave plan for workers of {topology}"),
        Purpose::Reboot => format!("Reboot plan for workers of {topology}"),
    }
}

/// What a reviewer must see first: the resources that are destroyed, replaced or
/// rebooted, by name.
fn going_away(plan: &Plan) -> Vec<String> {
    let actions = [Action::Delete, Action::Replace, Action::Reboot];
    let listed = actions.into_iter().filter_map(|action| {
        let changes = plan.changes.iter().filter(|change| change.action == action);
        let names: Vec<String> = changes.map(|it| code(&it.address.to_string())).collect();
        let first = names.iter().take(MAX_GOING_AWAY).cloned().collect::<Vec<_>>().join(", ");
        let more = match names.len().saturating_sub(MAX_GOING_AWAY) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!names.is_empty()).then(|| format!("- **{}**: {first}{more}\n", action.participle()))
    });
    let mut lines: Vec<String> = listed.collect();
    if !lines.is_empty() {
        lines.push("\n".to_owned());
    }
    lines
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
        let workers = rollout.waves(&plan.changes).iter().map(Vec::len).sum::<usize>();
        let first = match rollout.canary {
            0 => String::new(),
            canary => format!("{canary} first, then "),
        };
        notes.push(format!(
            "**rollout**: {} in {}: {first}at most {} of a datacenter disturbed at the same time",
            counted(workers, "worker"),
            counted(rollout.waves as usize, "wave"),
            rollout.width
        ));
    }
    for one in plan.blocked.iter().filter(|one| one.caused_by.is_none()) {
        let text = with_help(&one.failure.message, &one.failure.remedy);
        let address = code(&one.address.to_string());
        notes.push(format!("**blocked** {address} ({}): {text}", one.failure.code));
    }
    for one in &plan.ignored {
        let fields: Vec<String> = one.fields.iter().map(|it| code(&it.path.to_string())).collect();
        let until = one.until.map(|until| format!(" Until {until}.")).unwrap_or_default();
        let (address, fields) = (code(&one.address.to_string()), fields.join(", "));
        notes.push(format!("**ignored** {address}: {fields}: {}{until}", prose(&one.reason)));
    }
    for finding in &plan.findings {
        let word = match finding.severity {
            FindingSeverity::Warning => "warning",
            FindingSeverity::Error => "error",
        };
        let text = with_help(&finding.failure.message, &finding.failure.remedy);
        notes.push(format!("**{word}** ({}): {text}", finding.failure.code));
    }
    for gap in plan.unexplained_gaps() {
        notes.push(format!(
            "**not read** {}: {} Resources that only {} shows are not planned for deletion.",
            escape(&gap.subject()),
            prose(&gap.failure.message),
            if gap.in_part { "this part" } else { "this source" }
        ));
    }
    notes.extend(deferred(plan));
    notes
}

/// Deferred resources, grouped by what they wait for.
fn deferred(plan: &Plan) -> Vec<String> {
    let note = |group: Group<'_>| {
        let line = |similar: &Vec<&Deferred>| match similar.len() {
            1 => code(&similar[0].address.to_string()),
            count => {
                let first = code(&similar[0].address.to_string());
                format!("{first} and {}", counted(count - 1, "other"))
            }
        };
        let listed: Vec<String> = group.similar.iter().take(MAX_DEFERRED).map(line).collect();
        let omitted: usize = group.similar.iter().skip(MAX_DEFERRED).map(Vec::len).sum();
        let more = if omitted > 0 { format!("; and {omitted} more") } else { String::new() };
        format!("**deferred**, {}: {}{more}", group.roots("`"), listed.join(", "))
    };
    groups(&plan.deferred).into_iter().map(note).collect()
}

/// The effect on reachability between the pods of nodes.
fn reachability(plan: &Plan) -> String {
    let found = &plan.reachability;
    if found.pairs() == 0 || plan.is_empty() {
        return String::new();
    }
    let mut text = format!("Reachability: {}\n\n", count_pairs(found));
    let lost = found.losses.iter().map(|loss| (loss, "loses", ""));
    let removed = found.removals.iter().map(|loss| (loss, "removes", " together with a node"));
    for (loss, verb, manner) in lost.chain(removed) {
        let (from, to) = (escape(&loss.example.0), escape(&loss.example.1));
        let pairs = counted(usize::try_from(loss.pairs).unwrap_or(usize::MAX), "pair");
        let resource =
            loss.resource.as_ref().map(|it| format!(", because of {}", code(&it.to_string())));
        let resource = resource.unwrap_or_default();
        text.push_str(&format!(
            "- **{verb}** {pairs}{manner}, for example {from} to {to}{resource}\n"
        ));
    }
    for disruption in found.disruption_summaries() {
        text.push_str(&format!("- {}\n", escape(&disruption)));
    }
    for unexamined in &found.unexamined {
        text.push_str(&format!("- {}\n", escape(&unexamined.sentence())));
    }
    if found.is_refused() {
        text.push_str("- **refused**: permit the loss with `--allow-loss`\n");
    }
    let is_silent = found.losses.is_empty() && found.removals.is_empty();
    if !(is_silent && found.disruptions.is_empty() && found.unexamined.is_empty()) {
        text.push('\n');
    }
    text
}

/// One change in a `diff` block, where the first column sets the color.
fn block(folded: &Folded<'_>, purpose: Purpose) -> String {
    let Folded { change, .. } = folded;
    let mut text = format!("{} {}{}\n", sign(change), change.address, action_note(change));
    let options = Options { style: Style::Plain, purpose, full: false, verbose: false };
    for line in body_lines(change, options) {
        // Two columns less than on a terminal, but never none: a list's sign
        // would color the line, and a fence would end the block.
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

/// The action where the sign is ambiguous.
fn action_note(change: &Change) -> String {
    match change.action {
        Action::Create | Action::Delete => String::new(),
        action => format!(" ({})", action.participle()),
    }
}

/// A problem and its remedy.
fn with_help(text: &str, remedy: &str) -> String {
    let text = prose(text);
    if remedy.is_empty() { text } else { format!("{text} Help: {}", prose(remedy)) }
}

/// A sentence on one line, with a full stop.
fn prose(text: &str) -> String {
    let text = escape(text.trim());
    if text.is_empty() || text.ends_with(['.', '!', '?']) { text } else { text + "." }
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
    fn a_drift_without_changes() {
        insta::assert_snapshot!(render(&fixture::nothing(), Purpose::Drift));
    }

    #[test]
    fn a_comment_never_exceeds_its_maximum_size() {
        let text = render(&fixture::many_kinds(4_000), Purpose::Plan);
        assert!(text.len() <= MAX_SIZE, "{}", text.len());
        assert!(text.contains("truncated to the size of a comment"), "the comment is truncated");
        let fences = text.lines().filter(|line| line.starts_with("```")).count();
        assert_eq!(fences % 2, 0, "every block is closed");
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }
}
