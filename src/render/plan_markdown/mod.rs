//! A plan as a comment on a pull request. It begins with the target, deletions,
//! interruptions and losses; details are folded, and truncated to the maximum size of a
//! comment.

mod consequences;
mod listing;
mod notes;

use std::collections::BTreeMap;

use crate::plan::{Action, Change, Plan};
use crate::resource::Site;

use super::connectivity::reachability_report::ReachabilityReportText;
use super::markdown::{code, escape, fence};
use super::plan_text::{Folded, Options, body_lines, count_pairs, fold, last_line};
use super::text::{counted, cut};
use super::{Purpose, Style};

/// The maximum size in bytes; GitHub accepts 65,536 characters.
pub const MAX_SIZE: usize = 60_000;

/// Bytes reserved for the note that the comment was truncated.
const RESERVE: usize = 400;

/// Bytes of the notes above the changes.
const MAX_NOTES_SIZE: usize = MAX_SIZE / 4;

/// Bytes of the causes of dropped packets.
const MAX_CAUSES_SIZE: usize = MAX_SIZE / 8;

/// Renders a plan as markdown of at most [`MAX_SIZE`] bytes, with the target: where its
/// changes are made.
pub fn render(plan: &Plan, purpose: Purpose, target: &str) -> String {
    rendered(plan, purpose, target, &reachability(plan))
}

/// Renders a plan and the current reachability.
pub fn render_with_reachability(
    plan: &Plan,
    purpose: Purpose,
    target: &str,
    report: ReachabilityReportText<'_>,
) -> String {
    let lines = report.summary_lines(Style::Plain);
    let text = match lines.split_first() {
        None => String::new(),
        Some((summary, [])) => format!("{}\n\n", listing::sentence(summary)),
        Some((summary, causes)) => {
            format!("{}\n\n{}", listing::sentence(summary), block_of_causes(causes))
        }
    };
    rendered(plan, purpose, target, &text)
}

fn rendered(plan: &Plan, purpose: Purpose, target: &str, reachability: &str) -> String {
    let mut page = Comment { text: format!("### {}\n\n", title(plan, purpose)) };
    // A plan without changes is the same everywhere.
    if !plan.is_empty() {
        page.text.push_str(&format!("{}\n\n", listing::sentence(target)));
    }
    page.text.push_str(&format!("**{}**\n\n", last_line(plan, purpose)));
    page.text.push_str(&consequences::consequences(plan));
    if !plan.is_empty() {
        page.text.push_str(&summary(plan));
    }
    page.text.push_str(reachability);
    page.text.push_str(&listing::items(&notes::notes(plan), "note", MAX_NOTES_SIZE));
    page.changes(plan, purpose);
    page.text
}

/// The causes of dropped packets, in a block that nothing in them can end.
fn block_of_causes(causes: &[String]) -> String {
    let mut block = String::new();
    for (number, line) in causes.iter().enumerate() {
        if block.len() + line.len() > MAX_CAUSES_SIZE {
            block.push_str(&format!("… and {}\n", counted(causes.len() - number, "more line")));
            break;
        }
        block.push_str(line);
        block.push('\n');
    }
    let fence = fence([block.as_str()]);
    format!("{fence}text\n{block}{fence}\n\n")
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
        ("deferred", plan.expected().count()),
        ("blocked", plan.blocked.len()),
    ];
    for (name, count) in counts {
        head.push_str(&format!(" {name} |"));
        rule.push_str(" ---: |");
        row.push_str(&format!(" {count} |"));
    }
    format!("{head}\n{rule}\n{row}\n\n")
}

/// The pairs of nodes by the effect of the plan.
fn reachability(plan: &Plan) -> String {
    let found = &plan.reachability;
    match found.pairs() == 0 || plan.is_empty() {
        true => String::new(),
        false => format!("Reachability: {}\n\n", count_pairs(found)),
    }
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

#[cfg(test)]
mod tests;
