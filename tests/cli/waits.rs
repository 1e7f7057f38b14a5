//! Commands that wait for a service.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::location::{PROGRAM, TestFolder};

/// Also without a terminal, and long before the service is given up.
#[test]
fn a_plan_names_the_requests_that_it_waits_for() {
    let location = TestFolder::new();
    location.run("sandbox break source-down tailscale").exits(0);
    let mut command = Command::new(PROGRAM);
    command.args(["plan", "--sandbox"]).current_dir(location.path("")).env_clear();
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn().expect("the program starts");
    let mut messages = BufReader::new(child.stderr.take().expect("its messages")).lines();
    let mut next = || messages.next().expect("a message").expect("text");
    let message = format!("{} {}", next(), next().trim());
    let elapsed = started.elapsed();
    child.kill().expect("the end");
    child.wait().expect("the end");
    let expected = "Reading the live state; waiting for tailscale: GET devices of the tailnet \
                    (answered 503; sent again)";
    assert!(message.starts_with(expected), "{message}");
    // One second, and the start of the program on a machine that is busy.
    assert!(elapsed < Duration::from_secs(5), "{elapsed:?}");
}
