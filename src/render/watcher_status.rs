//! The `stargate watch` of a topology, for `stargate status`.

use schemars::JsonSchema;
use serde::Serialize;

use super::text::{counted, wrap};

/// Whether a watcher is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WatcherState {
    /// It renewed its Lease while the status was read.
    Alive,
    /// It holds the Lease, and did not renew it in time.
    NotRenewed,
    /// No watcher holds the Lease.
    None,
}

/// The watcher of a topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WatcherStatus {
    /// Whether it is alive.
    pub state: WatcherState,
    /// The name of the process that reconciles.
    pub holder: Option<String>,
    /// When its Lease was renewed last, by its own clock (RFC 3339).
    pub last_renewed: Option<String>,
    /// The time (RFC 3339) of the last reconcile after which only changes that await
    /// approval were left.
    pub last_success: Option<String>,
    /// When the next reconcile is due at the latest (RFC 3339); only of a watcher that is alive.
    pub next_reconcile: Option<String>,
    /// The status of the condition Ready.
    pub ready: Option<String>,
    /// Its reason.
    pub reason: Option<String>,
    /// The reason as a sentence.
    pub message: Option<String>,
    /// Changes that await approval.
    pub pending_approval: Option<PendingApproval>,
}

/// Changes that await approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PendingApproval {
    /// How many there are.
    pub total: u64,
    /// The digest that approves them.
    pub digest: String,
    /// The command that approves them.
    pub command: String,
}

impl WatcherStatus {
    /// The lines of text.
    pub fn lines(&self) -> Vec<String> {
        let holder = self.holder.as_deref().unwrap_or("unknown");
        let renewed = self.last_renewed.as_deref().unwrap_or("unknown");
        let mut sentences = vec![match self.state {
            WatcherState::Alive => format!("Watcher: {holder} is alive."),
            WatcherState::NotRenewed => format!(
                "Watcher: {holder} does not renew its lease, which was last renewed at {renewed}."
            ),
            WatcherState::None => "Watcher: none is running.".to_owned(),
        }];
        if let Some(time) = &self.last_success {
            sentences.push(format!("Last success: {time}."));
        }
        if let Some(time) = &self.next_reconcile {
            sentences.push(format!("Next reconcile: {time}."));
        }
        if let (Some(reason), Some(message)) = (&self.reason, &self.message) {
            sentences.push(match self.state {
                WatcherState::Alive => format!("Result: {reason}, {message}."),
                WatcherState::NotRenewed | WatcherState::None => format!(
                    "Result when a watcher last reported: {reason}, {message}; it may be out of \
                     date. Run `stargate plan`."
                ),
            });
        }
        let mut lines: Vec<String> =
            sentences.iter().flat_map(|sentence| wrap(sentence, "", "  ")).collect();
        if let Some(pending) = &self.pending_approval {
            let count = counted(pending.total, "change");
            lines.push(format!("Awaiting approval: {count}. To approve:"));
            // A command is copied, so it stays in one line of any width.
            lines.push(format!("  {}", pending.command));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: WatcherState) -> WatcherStatus {
        let text = |text: &str| Some(text.to_owned());
        WatcherStatus {
            state,
            holder: text("root@jumpbox pid 4242 (9f3c1a2b)"),
            last_renewed: text("2026-01-02T03:04:05.000000Z"),
            last_success: text("2026-01-02T03:00:00Z"),
            next_reconcile: text("2026-01-02T03:05:00Z").filter(|_| state == WatcherState::Alive),
            ready: text("False"),
            reason: text("AwaitsApproval"),
            message: text("awaiting approval: 2 changes"),
            pending_approval: Some(PendingApproval {
                total: 2,
                digest: "d1".to_owned(),
                command: "kubectl annotate topologies.stargate.io lab".to_owned(),
            }),
        }
    }

    #[test]
    fn a_watcher_in_every_state() {
        let states = [WatcherState::Alive, WatcherState::NotRenewed, WatcherState::None];
        let text = states.map(|state| status(state).lines().join("\n"));
        insta::assert_snapshot!(text.join("\n\n"));
    }
}
