//! The sections of a plan after its changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::Failure;
use crate::plan::cost::Cost;
use crate::plan::impact::Reachability;
use crate::plan::{Action, Deferred, Finding, FindingSeverity, IgnoredDrift, Plan};
use crate::resource::{Address, Api};

use super::super::Purpose;
use super::super::connectivity::reachability_report::ReachabilityReportText;
use super::super::deferred::{self, Group};
use super::super::style::Role;
use super::super::text::{counted, estimated};
use super::Page;

/// Lines of deferred resources in one group; `--full` lists all.
const MAX_DEFERRED: usize = 24;

/// Waves listed; `--full` lists all.
const MAX_WAVES: usize = 6;

impl Page {
    /// The waves in which workers change.
    pub(super) fn rollout(&mut self, plan: &Plan) {
        let Some(rollout) = plan.rollout.filter(|rollout| rollout.waves > 1) else { return };
        let waves = rollout.waves(&plan.changes);
        let workers = counted(waves.iter().map(Vec::len).sum::<usize>(), "worker");
        let canary = match rollout.canary {
            0 => "",
            _ => "a failed canary, or ",
        };
        self.title(&format!(
            "Rollout: {workers} in {}, one after the other; {canary}more than {} in total, \
             halts the rollout:",
            counted(waves.len(), "wave"),
            counted(rollout.max_failures as usize, "failure"),
        ));
        let listed = if self.options.full { waves.len() } else { MAX_WAVES };
        for (number, wave) in waves.iter().take(listed).enumerate() {
            self.wave(number + 1, wave);
        }
        if waves.len() > listed {
            let more = format!("and {}", counted(waves.len() - listed, "more wave"));
            self.painted(Role::Quiet, &more, "  ", "  ");
        }
        self.blank();
    }

    fn wave(&mut self, number: usize, wave: &[Address]) {
        let names = match wave {
            [] => return,
            [only] => only.name.to_string(),
            all if self.options.full || all.len() == 2 => {
                let names: Vec<&str> = all.iter().map(|one| one.name.as_str()).collect();
                names.join(", ")
            }
            [first, .., last] => format!("{} … {} ({})", first.name, last.name, wave.len()),
        };
        self.wrapped(&format!("{number}: {names}"), "  ", "     ");
    }

    /// Deferred resources, grouped by the resources that they wait for.
    pub(super) fn deferred(&mut self, deferred: &[Deferred]) {
        if deferred.is_empty() {
            return;
        }
        let title = self.deferred_title(deferred);
        self.title(&title);
        self.blank();
        for group in deferred::groups(deferred) {
            self.wrapped(&format!("{}:", group.roots("")), "  ", "    ");
            self.deferred_group(&group);
            self.blank();
        }
    }

    /// How many changes are deferred, and that an apply makes them.
    fn deferred_title(&self, deferred: &[Deferred]) -> String {
        let expected = deferred.iter().filter(|one| !one.is_conditional).count();
        let (apply, approval) = match self.options.purpose {
            Purpose::Drift => ("an apply", ""),
            _ => ("the same apply", ", without another approval"),
        };
        match expected {
            0 => format!(
                "Possible: {}, which {apply} makes in a later iteration if they are \
                 needed{approval}:",
                counted(deferred.len(), "change")
            ),
            _ => format!(
                "Deferred: {} whose values exist only after other changes were made; {apply} \
                 makes them in a later iteration{approval}:",
                counted(expected, "change")
            ),
        }
    }

    /// One line a resource with `full`, else one line for similar resources.
    fn deferred_group(&mut self, group: &Group<'_>) {
        if self.options.full {
            for one in group.similar.iter().flatten() {
                self.header(one.action, &one.address, "");
                self.deferred_body(one);
            }
            return;
        }
        for similar in group.similar.iter().take(MAX_DEFERRED) {
            let behind = match similar.len() {
                1 => String::new(),
                count => format!(" and {}", counted(count - 1, "other")),
            };
            self.header(similar[0].action, &similar[0].address, &behind);
            self.deferred_body(similar[0]);
        }
        let omitted: usize = group.similar.iter().skip(MAX_DEFERRED).map(Vec::len).sum();
        if omitted > 0 {
            let more = format!("and {} (use `--full` to list all)", counted(omitted, "other"));
            self.painted(Role::Quiet, &more, "      ", "      ");
        }
    }

    /// The known fields of a deferred resource. Of one that is created again as a whole no
    /// former value is known: that is no change from none.
    fn deferred_body(&mut self, deferred: &Deferred) {
        let is_whole = deferred.fields.iter().all(|field| field.before.is_none());
        let action = if is_whole { Action::Create } else { deferred.action };
        self.fields(action, &deferred.fields);
        if let Some(disruption) = &deferred.interrupts {
            self.disruption(disruption);
        }
    }

    /// Drift that the topology ignores, with the reason.
    pub(super) fn ignored(&mut self, ignored: &[IgnoredDrift]) {
        if ignored.is_empty() {
            return;
        }
        self.title("Ignored by `[[ignore]]` blocks of the topology:");
        self.blank();
        for one in ignored {
            self.line(format!("    {}", self.options.style.paint(Role::Title, &one.address)));
            let until = one.until.map(|until| format!(" (until {until})")).unwrap_or_default();
            self.rule(&format!("{}{until}", one.reason));
            self.fields(Action::Update, &one.fields);
            self.blank();
        }
        let help = "an apply does not change these fields; to correct one, remove its \
                    `[[ignore]]` block";
        self.help(help, "");
        self.blank();
    }

    /// Warnings and errors about the live state.
    pub(super) fn findings(&mut self, findings: &[Finding]) {
        for finding in findings {
            let (role, word) = match finding.severity {
                FindingSeverity::Warning => (Role::Warning, "warning"),
                FindingSeverity::Error => (Role::Error, "error"),
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

    /// Sources that could not be read, and the effect on the plan.
    pub(super) fn gaps(&mut self, plan: &Plan) {
        // Several objects may be unread for one reason.
        let mut printed = BTreeSet::new();
        for gap in plan.unexplained_gaps() {
            if !printed.insert((&gap.source, &gap.failure.message)) {
                continue;
            }
            let reason = gap.failure.message.trim_end_matches('.');
            let text = format!(
                "warning[{}]: {} could not be read: {reason}. Resources that only {} shows are not \
                 planned for deletion.",
                gap.failure.code,
                gap.subject(),
                if gap.in_part { "this part" } else { "this source" }
            );
            self.painted(Role::Warning, &text, "", "  ");
            self.causes(&gap.failure, "  ");
            self.blank();
        }
        if !printed.is_empty() {
            return;
        }
        // A finding explains these gaps; they are named so that they do not pass for read.
        for gap in &plan.gaps {
            let reason = gap.failure.message.trim_end_matches('.');
            let text = format!("Not read: {}: {reason}.", gap.subject());
            if printed.insert((&gap.source, &gap.failure.message)) {
                self.painted(Role::Quiet, &text, "", "  ");
            }
        }
        if !printed.is_empty() {
            self.blank();
        }
    }

    /// Requests and the estimated duration.
    pub(super) fn cost(&mut self, cost: &Cost) {
        self.title("Requests and time:");
        self.line(format!("  requests to refresh: {}", by_api(&cost.requests, |_| None)));
        let writes = |api: Api| cost.apply_writes.get(&api).copied();
        self.wrapped(&by_api(&cost.apply_requests, writes), "  requests to apply:   ", "    ");
        if !cost.critical_path.is_empty() {
            let time = format!("critical path, {}:", estimated(cost.seconds));
            self.line(format!("  {time}"));
            let names: Vec<String> = cost.critical_path.iter().map(ToString::to_string).collect();
            self.wrapped(&names.join(" -> "), "    ", "    ");
        }
        self.blank();
    }

    /// The effect on reachability between the pods of nodes.
    pub(super) fn reachability(&mut self, found: &Reachability) {
        if found.pairs() == 0 {
            return;
        }
        self.wrapped(&count_pairs(found), "Reachability: ", "  ");
        for loss in found.loss_summaries().into_iter().chain(found.removal_summaries()) {
            self.painted(Role::Warning, &loss, "  ", "    ");
        }
        for disruption in found.disruption_summaries() {
            self.painted(Role::Warning, &disruption, "  ", "    ");
        }
        for unexamined in &found.unexamined {
            self.painted(Role::Warning, &unexamined.sentence(), "  ", "    ");
        }
        if found.is_refused() {
            self.help(
                "inspect a pair with `stargate trace --planned`, or permit the loss with `--allow-loss`",
                "  ",
            );
        }
        self.blank();
    }

    /// The current reachability and the causes of dropped packets.
    pub(super) fn current_reachability(&mut self, report: ReachabilityReportText<'_>) {
        let lines = report.summary_lines(self.options.style);
        if !lines.is_empty() {
            self.lines.extend(lines);
            self.blank();
        }
    }

    /// The remedy of a failure, and with `-v` its causes.
    pub(super) fn causes(&mut self, failure: &Failure, indent: &str) {
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

/// Counts of pairs by the effect of a plan; rare effects only where there are any.
pub(in crate::render) fn count_pairs(found: &Reachability) -> String {
    let Reachability { kept, gained, lost, removed, broken, unknown, .. } = found;
    let pairs = counted(found.pairs(), "pair");
    let mut text = format!("{pairs} ({kept} kept, {gained} gained, {lost} lost");
    for (count, effect) in
        [(removed, "removed"), (broken, "dropped before and after"), (unknown, "unknown")]
    {
        if *count > 0 {
            text.push_str(&format!(", {count} {effect}"));
        }
    }
    text + ")"
}

fn by_api(requests: &BTreeMap<Api, u64>, writes: impl Fn(Api) -> Option<u64>) -> String {
    let one = |(api, count): (&Api, &u64)| match writes(*api) {
        Some(written) if written > 0 => format!("{api} {count} ({})", counted(written, "write")),
        _ => format!("{api} {count}"),
    };
    let counts: Vec<String> = requests.iter().filter(|(_, count)| **count > 0).map(one).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}
