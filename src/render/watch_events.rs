//! Reporters of `stargate watch`: a line of text or of JSON for each event.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::style::{Role, Style};
use super::text::{counted, elapsed, wrap_to};
use crate::apply::events::Outcome;
use crate::diagnostics::Failure;
use crate::plan::Action;
use crate::provider::cluster::OperationPhase;
use crate::resource::Address;
use crate::resource::names::TopologyName;
use crate::watch::{
    ApprovalState, BlockedChange, ReconcileResult, Reconciled, WatchEvent, WatchReporter,
};

/// How many changes that await approval or are blocked are named in a line each.
const MAX_NAMED: usize = 10;

/// Returns the current time.
pub type ReadTime = fn() -> Timestamp;

/// Writes lines of text, each with its time.
#[derive(Debug)]
pub struct TextWatchReporter<W> {
    out: Mutex<W>,
    style: Style,
    /// The width of the terminal; `None` for a log, in which each event is one line.
    columns: Option<usize>,
    now: ReadTime,
    /// The topology of the events, where there are several.
    topology: Option<TopologyName>,
}

impl<W: Write> TextWatchReporter<W> {
    /// A reporter onto a channel. With `columns`, lines are wrapped to that width.
    pub fn new(out: W, style: Style, columns: Option<usize>, now: ReadTime) -> Self {
        Self { out: Mutex::new(out), style, columns, now, topology: None }
    }

    /// The same for the events of one of several topologies.
    #[must_use]
    pub fn of_topology(self, topology: Option<TopologyName>) -> Self {
        Self { topology, ..self }
    }

    /// A line after the width of `start`, with continuation lines below it.
    fn wrapped(&self, start: usize, line: String) -> Vec<String> {
        let Some(columns) = self.columns else { return vec![line] };
        let indent = &line[..line.len() - line.trim_start().len()];
        wrap_to(columns.saturating_sub(start + 1), &line, indent, &format!("{indent}  "))
    }
}

impl<W: Write + Send> WatchReporter for TextWatchReporter<W> {
    fn event(&self, event: &WatchEvent) {
        let time = (self.now)().strftime("%FT%TZ").to_string();
        let topology = self.topology.as_ref().map(|it| format!(" {it}:")).unwrap_or_default();
        let start = format!("{time}{topology}");
        let below = " ".repeat(start.len());
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (role, line) in lines(event) {
            for (index, part) in self.wrapped(start.len(), line).into_iter().enumerate() {
                let start = if index == 0 { &start } else { &below };
                // A failed write must not stop the watch.
                let _ = writeln!(out, "{start} {}", self.style.paint(role, part));
            }
        }
        let _ = out.flush();
    }
}

/// Writes a line of JSON for each event.
#[derive(Debug)]
pub struct JsonWatchReporter<W> {
    out: Mutex<W>,
    now: ReadTime,
    /// The topology of the events, where there are several.
    topology: Option<TopologyName>,
}

/// A line of the event stream.
#[derive(Serialize)]
struct EventLine<'a> {
    /// The time of the event.
    time: Timestamp,
    /// The topology, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    topology: Option<&'a TopologyName>,
    #[serde(flatten)]
    event: &'a WatchEvent,
}

impl<W: Write> JsonWatchReporter<W> {
    /// A reporter onto a channel.
    pub fn new(out: W, now: ReadTime) -> Self {
        Self { out: Mutex::new(out), now, topology: None }
    }

    /// The same for the events of one of several topologies.
    #[must_use]
    pub fn of_topology(self, topology: Option<TopologyName>) -> Self {
        Self { topology, ..self }
    }
}

impl<W: Write + Send> WatchReporter for JsonWatchReporter<W> {
    fn event(&self, event: &WatchEvent) {
        let line = serde_json::to_string(&EventLine {
            time: (self.now)(),
            topology: self.topology.as_ref(),
            event,
        });
        let mut out = self.out.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A closed pipe must not stop the watch.
        let _ = line.map(|line| writeln!(out, "{line}").and_then(|()| out.flush()));
    }
}

fn lines(event: &WatchEvent) -> Vec<(Role, String)> {
    match event {
        WatchEvent::TopologyLoaded { digest, apply, interval_seconds } => {
            let short: String = digest.chars().take(12).collect();
            let apply = serde_json::to_value(apply).unwrap_or_default();
            let apply = apply.as_str().unwrap_or_default().to_owned();
            let text = format!(
                "topology file loaded (SHA-256 {short}…): changes without approval: {apply}; a \
                 reconcile every {interval_seconds} s"
            );
            vec![(Role::Quiet, text)]
        }
        WatchEvent::TopologyInvalid { failure } => {
            let mut lines = failure_lines(failure);
            lines.push((Role::Help, "the last valid version of the file is used".to_owned()));
            lines
        }
        WatchEvent::ReconcileStarted { .. } | WatchEvent::ChangeStarted { .. } => Vec::new(),
        WatchEvent::WaitingForLease { lease, holder } => {
            vec![(Role::Quiet, format!("waiting for the lease {lease}, which {holder} holds"))]
        }
        WatchEvent::Warning { failure } => vec![
            (Role::Warning, format!("warning[{}]: {}", failure.code, failure.message)),
            (Role::Help, format!("help: {}", failure.remedy)),
        ],
        WatchEvent::Operation { name, server, operation, phase, message, .. } => {
            let role = match phase {
                OperationPhase::Failed | OperationPhase::Refused => Role::Warning,
                OperationPhase::Pending | OperationPhase::Running => Role::Quiet,
                OperationPhase::Succeeded => Role::Good,
            };
            let phase = phase.as_str().to_lowercase();
            vec![(role, format!("operation {name} ({operation} {server}) {phase}: {message}"))]
        }
        WatchEvent::Approval { digest, state, message } => {
            let (role, word) = match state {
                ApprovalState::InProgress => (Role::Quiet, "is in progress"),
                ApprovalState::Done => (Role::Good, "is done"),
                ApprovalState::Refused => (Role::Warning, "was refused"),
                ApprovalState::Abandoned => (Role::Warning, "was abandoned"),
            };
            vec![(role, format!("approval {digest} {word}: {message}"))]
        }
        WatchEvent::WatchStarted { file } => {
            vec![(Role::Quiet, format!("the watch starts with the topology file `{file}`"))]
        }
        WatchEvent::FileMoved { file } => {
            vec![(Role::Quiet, format!("the topology file is now `{file}`"))]
        }
        WatchEvent::WatchEnded { failure } => {
            let mut lines = failure_lines(failure);
            lines.push((
                Role::Warning,
                "the watch ends; the infrastructure is not changed".to_owned(),
            ));
            lines
        }
        WatchEvent::FileInvalid { file, failure } => {
            let mut lines = vec![(Role::Warning, format!("`{file}` is not watched"))];
            lines.extend(failure_lines(failure));
            lines
        }
        WatchEvent::Listening { address } => {
            vec![(Role::Quiet, format!("listening on http://{address}"))]
        }
        WatchEvent::StandingBy { holder } => {
            vec![(Role::Quiet, format!("standing by: {holder} reconciles"))]
        }
        WatchEvent::ChangeFinished { address, action, outcome, milliseconds } => {
            let took = elapsed(Duration::from_millis(*milliseconds));
            changed(address, *action, outcome, &took)
        }
        WatchEvent::ReconcileFinished { number, reconciled, milliseconds } => {
            finished(*number, reconciled, *milliseconds)
        }
        WatchEvent::Stopping => {
            vec![(Role::Warning, "stopping after running steps have finished".to_owned())]
        }
    }
}

fn finished(number: u64, reconciled: &Reconciled, milliseconds: u64) -> Vec<(Role, String)> {
    let took = elapsed(Duration::from_millis(milliseconds));
    let made = counted(reconciled.changes, "change");
    let (role, end) = match reconciled.result {
        ReconcileResult::Matches => (Role::Quiet, "the infrastructure matches".to_owned()),
        ReconcileResult::AwaitsApproval => {
            let count = reconciled.awaiting_approval.len();
            let verb = if count == 1 { "awaits" } else { "await" };
            let changes = counted(count, "change");
            (Role::Warning, format!("{changes} {verb} approval: `stargate apply`"))
        }
        ReconcileResult::Blocked => {
            (Role::Warning, format!("{} blocked", counted(reconciled.blocked.len(), "change")))
        }
        ReconcileResult::Failed => (Role::Error, "failed".to_owned()),
        ReconcileResult::Interrupted => (Role::Warning, "interrupted".to_owned()),
        ReconcileResult::StandingBy => (Role::Quiet, "another replica reconciles".to_owned()),
    };
    let mut lines = vec![(role, format!("reconcile {number}: {made} made, {end} ({took})"))];
    let named = reconciled.awaiting_approval.iter().take(MAX_NAMED);
    lines.extend(
        named.map(|it| {
            (Role::Quiet, format!("  {} {}: {}", it.action.glyph(), it.address, it.reason))
        }),
    );
    lines.extend(omitted_count(reconciled.awaiting_approval.len()));
    lines.extend(reconciled.blocked.iter().take(MAX_NAMED).flat_map(blocked_lines));
    lines.extend(omitted_count(reconciled.blocked.len()));
    if reconciled.pairs.broken > 0 {
        let count = reconciled.pairs.broken;
        let verb = if count == 1 { "is" } else { "are" };
        let pairs = counted(count, "pair");
        let text = format!("  {pairs} of nodes {verb} unreachable: `stargate check` names the hop");
        lines.push((Role::Warning, text));
    }
    lines.extend(reconciled.failure.iter().flat_map(failure_lines));
    lines
}

fn omitted_count(count: usize) -> Option<(Role, String)> {
    let more = count.checked_sub(MAX_NAMED).filter(|more| *more > 0)?;
    Some((Role::Quiet, format!("  and {more} more: `stargate plan` lists them")))
}

fn blocked_lines(blocked: &BlockedChange) -> Vec<(Role, String)> {
    let BlockedChange { address, action, failure } = blocked;
    let sign = action.map_or("!", Action::glyph);
    let subject = address.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
    vec![
        (Role::Warning, format!("  {sign} {subject}[{}] {}", failure.code, failure.message)),
        (Role::Help, format!("    help: {}", failure.remedy)),
    ]
}

fn changed(
    address: &Address,
    action: Action,
    outcome: &Outcome,
    took: &str,
) -> Vec<(Role, String)> {
    let sign = action.glyph();
    match outcome {
        Outcome::Done => {
            let text = format!("  {sign} {address} {} ({took})", action.participle());
            vec![(Role::Action(action), text)]
        }
        Outcome::Failed(failure) => {
            let mut lines = vec![(Role::Error, format!("  {sign} {address} failed ({took})"))];
            lines.extend(failure_lines(failure));
            lines
        }
        Outcome::GuardFailed { reason } => {
            let text = format!("  {sign} {address} was not changed: {reason}");
            vec![(Role::Warning, text)]
        }
        Outcome::HalfReplaced { done, reason } => {
            let text = format!("  {sign} {address} {done}, but not created again: {reason}");
            vec![(Role::Error, text)]
        }
        // The event of the reconcile names its triggers.
        Outcome::UpToDate
        | Outcome::Skipped { .. }
        | Outcome::NotStarted
        | Outcome::RolloutHalted { .. } => Vec::new(),
    }
}

fn failure_lines(failure: &Failure) -> Vec<(Role, String)> {
    vec![
        (Role::Error, format!("error[{}]: {}", failure.code, failure.message)),
        (Role::Help, format!("help: {}", failure.remedy)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::Code;
    use crate::plan::{Action, ApprovalReason, AwaitingApproval};
    use crate::watch::PairCounts;

    fn lines(count: usize) -> Vec<String> {
        let awaiting = AwaitingApproval {
            address: "worker/dc1/lab-worker".parse().expect("an address"),
            action: Action::Delete,
            reason: ApprovalReason::LosesPairs { count: count as u64 },
            digest: String::new(),
        };
        let reconciled = Reconciled {
            result: ReconcileResult::AwaitsApproval,
            awaiting_approval: vec![awaiting; count],
            pairs: PairCounts { broken: count as u64, ..PairCounts::default() },
            ..Reconciled::interrupted()
        };
        finished(1, &reconciled, 1_000).into_iter().map(|(_, line)| line).collect()
    }

    fn printed(columns: Option<usize>) -> String {
        let reporter =
            TextWatchReporter::new(Vec::new(), Style::colored(false), columns, Timestamp::default);
        let message = "the device of router lab-router in the tailnet serves prefixes of others";
        let failure = Failure::new(Code::PrefixConflict, message, "withdraw the prefixes");
        reporter.event(&WatchEvent::Warning { failure });
        let out = reporter.out.into_inner().expect("no test panics");
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn lines_are_wrapped_on_a_terminal_only() {
        let log = printed(None);
        assert_eq!(log.lines().count(), 2, "{log}");
        let terminal = printed(Some(80));
        assert!(terminal.lines().all(|line| line.chars().count() <= 80), "{terminal}");
        assert_eq!(terminal.lines().count(), 3, "{terminal}");
        assert_eq!(terminal.split_whitespace().count(), log.split_whitespace().count());
        assert!(terminal.lines().nth(1).is_some_and(|line| line.starts_with(&" ".repeat(23))));
    }

    #[test]
    fn a_warning_of_an_apply_is_shown() {
        let failure = Failure::new(Code::ServiceUnavailable, "no lease is held", "wait");
        let printed: Vec<String> =
            super::lines(&WatchEvent::Warning { failure }).into_iter().map(|(_, it)| it).collect();
        assert_eq!(printed, ["warning[SG0618]: no lease is held", "help: wait"]);
    }

    #[test]
    fn counts_of_one_are_singular() {
        let one = lines(1).join("\n");
        assert!(one.contains("1 change awaits approval"), "{one}");
        assert!(one.contains("1 pair of nodes is unreachable"), "{one}");
        assert!(one.contains("it would make 1 pair of nodes unreachable"), "{one}");
        let two = lines(2).join("\n");
        assert!(two.contains("2 changes await approval"), "{two}");
        assert!(two.contains("2 pairs of nodes are unreachable"), "{two}");
    }
}
