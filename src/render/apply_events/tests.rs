use std::io;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressDrawTarget, TermLike};

use super::*;
use crate::apply::events::{Event, Outcome, Reporter};
use crate::diagnostics::{Code, Failure};
use crate::plan::Action;
use crate::render::style::Style;

fn address(text: &str) -> crate::resource::Address {
    text.parse().expect("an address")
}

fn events() -> Vec<Event> {
    let table = address("route-table/cluster/lab-workers-rt");
    let worker = address("worker/dc1/lab-worker");
    let group = address("resource-group/dc1/lab-dc1");
    let network = address("virtual-network/dc1/lab-dc1-vnet");
    let finished = |address: &crate::resource::Address, action, outcome, milliseconds| {
        Event::StepFinished { address: address.clone(), action, outcome, milliseconds }
    };
    let failed =
        Outcome::Failed(Failure::new(Code::AzureRefused, "403 from Azure", "log in again"));
    let no_lease =
        Failure::new(Code::ServiceUnavailable, "the apply holds no lease", "run no other apply");
    vec![
        Event::Warning(no_lease),
        Event::IterationStarted { iteration: 1, changes: 4 },
        Event::StepStarted { address: table.clone(), action: Action::Create },
        Event::StepProgress { address: table.clone(), text: "waiting for the operation".into() },
        Event::PhaseStarted { address: worker.clone(), phase: "kubelet".into() },
        Event::PhaseFinished {
            address: worker.clone(),
            phase: "kubelet".into(),
            milliseconds: 20_000,
        },
        finished(&worker, Action::Reboot, Outcome::RolloutHalted { reason: "4 failed".into() }, 0),
        finished(&table, Action::Create, Outcome::Done, 1_234),
        finished(&table, Action::Update, Outcome::UpToDate, 10),
        finished(&group, Action::Replace, failed, 65_000),
        finished(&network, Action::Create, Outcome::Skipped { because_of: group }, 0),
        finished(&network, Action::Delete, Outcome::NotStarted, 0),
        finished(
            &worker,
            Action::Replace,
            Outcome::HalfReplaced {
                done: "drained and reset".into(),
                reason: "the apply stopped first".into(),
            },
            0,
        ),
        finished(&table, Action::Update, Outcome::GuardFailed { reason: "etag".into() }, 5),
        Event::Stopping,
        Event::IterationStarted { iteration: 2, changes: 1 },
    ]
}

#[test]
fn plain_lines() {
    let written = |verbose| {
        let mut out = Vec::new();
        let reporter = PlainReporter::new(&mut out, Style::Plain, verbose);
        events().iter().for_each(|event| reporter.event(event));
        String::from_utf8(out).expect("text")
    };
    insta::assert_snapshot!("plain", written(false));
    insta::assert_snapshot!("verbose", written(true));
}

#[test]
fn lines_of_json() {
    let mut out = Vec::new();
    let reporter = JsonReporter::new(&mut out);
    events().iter().for_each(|event| reporter.event(event));
    let text = String::from_utf8(out).expect("text").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(text);
}

/// A terminal that keeps everything that is written to it.
#[derive(Debug, Clone, Default)]
struct Terminal(Arc<Mutex<String>>);

impl Terminal {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        200
    }

    fn height(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(&format!("{text}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\n")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Each event is printed as plain lines are, and running steps and the iteration are drawn
/// below.
#[test]
fn progress_draws_every_event() {
    let terminal = Terminal::default();
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
    let reporter = ProgressReporter::onto(target, Style::Plain, true);
    for event in events() {
        reporter.event(&event);
        let drawn = terminal.text();
        for line in super::line::lines(&event, Style::Plain, true) {
            assert!(drawn.contains(line.trim_end()), "{event:?} without {line:?}:\n{drawn}");
        }
    }
    // A bar is drawn when its own time has come, at the latest before it is removed.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let table = address("route-table/cluster/lab-workers-rt");
    reporter.event(&Event::StepStarted { address: table.clone(), action: Action::Create });
    std::thread::sleep(std::time::Duration::from_millis(50));
    reporter.event(&Event::StepProgress { address: table, text: "asking Azure".to_owned() });
    let drawn = terminal.text();
    assert!(drawn.contains("route-table/cluster/lab-workers-rt asking Azure"), "{drawn}");
    assert!(drawn.contains("] 0/1 stopping ("), "{drawn}");
    reporter.clear();
}

#[tokio::test(start_paused = true)]
async fn a_reminder_names_running_steps() {
    let mut out = Vec::new();
    let reporter = PlainReporter::new(&mut out, Style::Plain, false);
    let group = address("resource-group/dc1/lab-dc1");
    let wait = Event::WaitingForLease {
        lease: "stargate-write-lab".to_owned(),
        holder: "ana@laptop".to_owned(),
        destroys: false,
        acquired: "09:41".to_owned(),
        renewed: "10:00".to_owned(),
        valid_seconds: 60,
    };
    reporter.event(&wait);
    reporter.remind();
    reporter.event(&Event::IterationStarted { iteration: 1, changes: 7 });
    reporter.event(&Event::StepStarted { address: group.clone(), action: Action::Create });
    let text = "waiting for an earlier operation in Azure".to_owned();
    reporter.event(&Event::StepProgress { address: group.clone(), text });
    tokio::time::advance(std::time::Duration::from_secs(95)).await;
    for number in 0..6 {
        let address = address(&format!("worker/dc1/lab-worker-{number}"));
        reporter.event(&Event::StepStarted { address, action: Action::Create });
    }
    reporter.remind();
    reporter.event(&Event::StepFinished {
        address: group,
        action: Action::Create,
        outcome: Outcome::Done,
        milliseconds: 95_000,
    });
    for number in 0..6 {
        let address = address(&format!("worker/dc1/lab-worker-{number}"));
        let outcome = Outcome::NotStarted;
        let finished =
            Event::StepFinished { address, action: Action::Create, outcome, milliseconds: 0 };
        reporter.event(&finished);
    }
    reporter.remind();
    insta::assert_snapshot!("reminders", String::from_utf8(out).expect("text"));
}
