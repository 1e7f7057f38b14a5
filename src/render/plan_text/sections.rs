//! What a plan says beyond its changes.

use std::collections::BTreeMap;

use crate::diagnostics::Failure;
use crate::plan::cost::Cost;
use crate::plan::impact::Reachability;
use crate::plan::{Blocked, Deferred, Finding, Plan, Severity};
use crate::resource::{Address, Api};

use super::super::connectivity::reachability_report::ReachabilityReportText;
use super::super::deferred::{self, Group};
use super::super::style::Role;
use super::super::text::{counted, estimated};
use super::Page;

/// How many lines of deferred resources are listed below what they wait for.
const DEFERRED_SHOWN: usize = 24;

/// How many waves are listed.
const WAVES_SHOWN: usize = 6;

impl Page {
    /// In which waves the changes reach the workers.
    pub(super) fn rollout(&mut self, plan: &Plan) {
        let Some(rollout) = plan.rollout.filter(|rollout| rollout.waves > 1) else { return };
        let waves = rollout.waves(&plan.changes);
        let workers = counted(waves.iter().map(Vec::len).sum(), "worker");
        let stops = match rollout.canary {
            0 => String::new(),
            _ => "one failure in the first wave or ".to_owned(),
        };
        self.title(&format!(
            "{workers} in {}, one after the other; {stops}more than {} in all stops the rest:",
            counted(waves.len(), "wave"),
            counted(rollout.max_failures as usize, "failure"),
        ));
        let shown = if self.options.full { waves.len() } else { WAVES_SHOWN };
        for (number, wave) in waves.iter().take(shown).enumerate() {
            self.wave(number + 1, wave);
        }
        if waves.len() > shown {
            let more = format!("and {}", counted(waves.len() - shown, "more wave"));
            self.painted(Role::Quiet, &more, "  ", "  ");
        }
        self.blank();
    }

    fn wave(&mut self, number: usize, wave: &[&Address]) {
        let names = match wave {
            [] => return,
            [only] => only.name.clone(),
            all if self.options.full || all.len() == 2 => {
                let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
                names.join(", ")
            }
            [first, .., last] => format!("{} … {} ({})", first.name, last.name, wave.len()),
        };
        self.wrapped(&format!("{number}: {names}"), "  ", "     ");
    }

    /// What cannot be spelt out yet, by what it waits for in the end.
    pub(super) fn deferred(&mut self, deferred: &[Deferred]) {
        let (count, they) = match deferred.len() {
            0 => return,
            1 => ("1 resource is".to_owned(), "it is"),
            count => (format!("{count} resources are"), "they are"),
        };
        self.title(&format!(
            "{count} deferred: {they} spelt out in a later round of the apply, when values \
             that only the real objects have are known. Approving the plan approves them."
        ));
        self.blank();
        for group in deferred::groups(deferred) {
            self.wrapped(&format!("{}:", group.roots("")), "  ", "    ");
            self.deferred_group(&group);
            self.blank();
        }
    }

    /// One line a resource where all are asked for, else a line for those alike.
    fn deferred_group(&mut self, group: &Group<'_>) {
        if self.options.full {
            for one in group.alike.iter().flatten() {
                self.header(one.action, &one.address, "");
            }
            return;
        }
        for alike in group.alike.iter().take(DEFERRED_SHOWN) {
            let behind = match alike.len() {
                1 => String::new(),
                count => format!(" and {}", counted(count - 1, "other")),
            };
            self.header(alike[0].action, &alike[0].address, &behind);
        }
        let hidden: usize = group.alike.iter().skip(DEFERRED_SHOWN).map(Vec::len).sum();
        if hidden > 0 {
            let more = format!("and {}; `--full` lists them", counted(hidden, "other"));
            self.painted(Role::Quiet, &more, "      ", "      ");
        }
    }

    /// What is wanted and must not be done. What only waits for another
    /// blocked resource is named below it.
    pub(super) fn blocked(&mut self, blocked: &[Blocked]) {
        if blocked.is_empty() {
            return;
        }
        self.title("Blocked:");
        self.blank();
        for one in blocked.iter().filter(|one| one.caused_by.is_none()) {
            self.header(one.action, &one.address, "");
            self.rule(&one.planned_because_of);
            self.fields(one.action, &one.fields);
            self.painted(
                Role::Error,
                &format!("{}: {}", one.failure.code, one.failure.message),
                "      ",
                "        ",
            );
            self.causes(&one.failure, "      ");
            self.blank();
        }
        let following: Vec<&Blocked> =
            blocked.iter().filter(|one| one.caused_by.is_some()).collect();
        for one in &following {
            self.header(one.action, &one.address, "");
            if let Some(cause) = &one.caused_by {
                self.wrapped(&format!("waits for {cause}, which is blocked"), "      ", "      ");
            }
        }
        if !following.is_empty() {
            self.blank();
        }
    }

    /// What was found out about the world on the way.
    pub(super) fn findings(&mut self, findings: &[Finding]) {
        for finding in findings {
            let (role, word) = match finding.severity {
                Severity::Warning => (Role::Warning, "warning"),
                Severity::Error => (Role::Error, "error"),
            };
            let about = finding.address.as_ref().map(|address| format!("{address}: "));
            let about = about.unwrap_or_default();
            let text =
                format!("{word}[{}]: {about}{}", finding.failure.code, finding.failure.message);
            self.painted(role, &text, "", "  ");
            self.causes(&finding.failure, "  ");
            self.blank();
        }
    }

    /// Sources that could not be read, and what that means.
    pub(super) fn gaps(&mut self, plan: &Plan) {
        let mut any = false;
        for gap in plan.unexplained_gaps() {
            any = true;
            let reason = gap.failure.message.trim_end_matches('.');
            let text = format!(
                "warning[{}]: {} could not be read: {reason}. Nothing that it would have shown is \
                 planned for deletion.",
                gap.failure.code, gap.source
            );
            self.painted(Role::Warning, &text, "", "  ");
            self.causes(&gap.failure, "  ");
            self.blank();
        }
        if any {
            return;
        }
        // What a finding explains already needs a word only, lest it look read.
        let sources: Vec<String> = plan.gaps.iter().map(|gap| gap.source.to_string()).collect();
        if !sources.is_empty() {
            self.painted(Role::Quiet, &format!("Not looked at: {}.", sources.join(", ")), "", "  ");
            self.blank();
        }
    }

    /// Requests and time.
    pub(super) fn cost(&mut self, cost: &Cost) {
        self.title("Cost:");
        self.line(format!("  requests to read:  {}", by_api(&cost.requests, |_| None)));
        let writes = |api: Api| cost.apply_writes.get(&api).copied();
        self.wrapped(&by_api(&cost.apply_requests, writes), "  requests to apply: ", "    ");
        if !cost.critical_path.is_empty() {
            let time = format!("longest chain, {}:", estimated(cost.seconds));
            self.line(format!("  {time}"));
            let names: Vec<String> = cost.critical_path.iter().map(ToString::to_string).collect();
            self.wrapped(&names.join(" -> "), "    ", "    ");
        }
        self.blank();
    }

    /// What becomes of the pairs of pods, and why some are lost.
    pub(super) fn reachability(&mut self, found: &Reachability) {
        if found.pairs() == 0 {
            return;
        }
        self.wrapped(&pairs_by_fate(found), "Reachability: ", "  ");
        for loss in found.told_losses() {
            self.painted(Role::Warning, &loss, "  ", "    ");
        }
        for interruption in found.told_interruptions() {
            self.painted(Role::Warning, &interruption, "  ", "    ");
        }
        if found.is_refused() {
            self.help(
                "look at it with `stargate trace --planned`; allow it with `--allow-loss`",
                "  ",
            );
        }
        self.blank();
    }

    /// Who reaches whom before anything is mended, and what stands against it.
    pub(super) fn reached_now(&mut self, ways: ReachabilityReportText<'_>) {
        let lines = ways.in_short(self.options.style);
        if !lines.is_empty() {
            self.lines.extend(lines);
            self.blank();
        }
    }

    /// The remedy of a failure, and with `-v` its causes.
    fn causes(&mut self, failure: &Failure, indent: &str) {
        self.help(&failure.remedy, indent);
        if self.options.verbose {
            for cause in &failure.source {
                let text = format!("caused by: {cause}");
                self.painted(Role::Quiet, &text, indent, &format!("{indent}  "));
            }
        }
    }

    fn help(&mut self, remedy: &str, indent: &str) {
        if !remedy.is_empty() {
            self.painted(Role::Help, &format!("help: {remedy}"), indent, &format!("{indent}  "));
        }
    }
}

/// How a plan's pairs fare, the usual fates always and the others where there are any.
pub(in crate::render) fn pairs_by_fate(found: &Reachability) -> String {
    let Reachability { kept, gained, lost, broken, unknown, .. } = found;
    let pairs = found.pairs();
    let mut text = format!("{pairs} pairs, {kept} kept, {gained} gained, {lost} lost");
    for (count, fate) in [(broken, "still broken"), (unknown, "unknown")] {
        if *count > 0 {
            text.push_str(&format!(", {count} {fate}"));
        }
    }
    text
}

fn by_api(requests: &BTreeMap<Api, u64>, writes: impl Fn(Api) -> Option<u64>) -> String {
    let one = |(api, count): (&Api, &u64)| match writes(*api) {
        Some(written) if written > 0 => format!("{api} {count} ({written} to write)"),
        _ => format!("{api} {count}"),
    };
    let asked: Vec<String> = requests.iter().filter(|(_, count)| **count > 0).map(one).collect();
    if asked.is_empty() { "none".to_owned() } else { asked.join(", ") }
}
