//! Prompts and channels.

use super::testing::buffered;
use super::*;
use crate::cli::exit;

const APPROVAL: ApprovalPrompt<'static> =
    ApprovalPrompt { question: "Apply?", target: "Target: the sandbox", can_be_saved: true };

async fn approved(answer: Option<&str>, yes: bool) -> Result<Option<bool>, CliError> {
    buffered(answer, false).0.approve(&APPROVAL, yes, &StopSignal::default()).await
}

#[tokio::test]
async fn only_yes_approves() {
    for (answer, is_approved) in [("yes\n", true), ("y\n", false), ("", false), ("no\n", false)] {
        assert_eq!(approved(Some(answer), false).await, Ok(Some(is_approved)));
    }
}

#[tokio::test]
async fn only_the_name_approves_a_replacement() {
    let names = ["production".to_owned()];
    for (answer, is_approved) in [("production\n", true), ("yes\n", false), ("prod\n", false)] {
        let ui = buffered(Some(answer), false).0;
        let approved = ui.approve_by_name(&names, &APPROVAL, false, &StopSignal::default()).await;
        assert_eq!(approved, Ok(Some(is_approved)), "{answer}");
    }
    let unattended = buffered(None, false).0;
    let approved =
        unattended.approve_by_name(&names, &APPROVAL, true, &StopSignal::default()).await;
    assert_eq!(approved, Ok(Some(true)));
}

/// An input that never returns.
struct Silence;

impl io::Read for Silence {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        loop {
            std::thread::park();
        }
    }
}

#[tokio::test]
async fn a_signal_ends_the_prompt() {
    let (mut ui, _, _) = buffered(Some(""), false);
    ui.input = Arc::new(Mutex::new(Box::new(io::BufReader::new(Silence))));
    let stop = StopSignal::default();
    let signal = stop.clone();
    tokio::spawn(async move { signal.stop() });
    assert_eq!(ui.approve(&APPROVAL, false, &stop).await, Ok(None));
}

#[tokio::test]
async fn a_prompt_without_a_terminal_is_an_error() {
    let error = approved(None, false).await.expect_err("no terminal");
    assert_eq!((error.code, error.exit), (Some(Code::ApprovalNeeded), exit::ERROR));
    assert_eq!(approved(None, true).await, Ok(Some(true)));
    assert!(error.remedies.iter().any(|remedy| remedy.contains("plan --out")));
    // A saved plan cannot destroy, repave or reboot.
    let destroy = ApprovalPrompt { question: "Destroy?", can_be_saved: false, ..APPROVAL };
    let ui = buffered(None, false).0;
    let error = ui.approve(&destroy, false, &StopSignal::default()).await.expect_err("a prompt");
    assert!(error.remedies.iter().all(|remedy| !remedy.contains("plan --out")), "{error:?}");
}

#[test]
fn quiet_prints_only_data_and_errors() {
    let (ui, out, err) = buffered(None, true);
    ui.status("status");
    ui.warn("warning");
    ui.data("data").expect("stdout");
    ui.error(&CliError::new("it broke"));
    assert_eq!((out.text().as_str(), err.text().as_str()), ("data", "error: it broke\n"));
}
